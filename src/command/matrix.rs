//! A table of namespaces: who has the same letter in a column shares that namespace.

use std::collections::BTreeMap;

use hilum_sys::namespace::Kind;

use super::show::paint;
use crate::proc::Namespace;
use crate::state::Namespaces;

/// In the order in which people ask for them: what a pod usually shares comes first.
const COLUMNS: [Kind; 8] =
    [Kind::Net, Kind::Ipc, Kind::Uts, Kind::Pid, Kind::User, Kind::Time, Kind::Cgroup, Kind::Mount];
/// The longest name that leaves room for the columns on a line of 80.
const ROOM: usize = 30;
/// As Docker shortens its ids of 64.
const SHORT: usize = 12;
const GAP: &str = "  ";
/// For letters that stand more than once: cyan, green, yellow, magenta, blue; so that neighbours differ.
const COLOURS: [&str; 5] = ["36", "32", "33", "35", "34"];
const HOST_COLOUR: &str = "1;31";

pub struct Matrix<'r> {
    pub host: &'r Namespaces,
    /// Those of the pod that all rows are in.
    pub pod: Option<&'r Namespaces>,
    /// Names, and where they are. Nowhere, for what does not run.
    pub rows: Vec<(&'r str, &'r Namespaces)>,
}

enum Mark {
    /// There is no process, or no such kind of namespace on this host.
    Nothing,
    /// The kernel does not say it to this user.
    Hidden,
    Host,
    Pod,
    /// Nobody else's here, in a pod.
    Own,
    /// The n-th of its column, and whether others are in it.
    Letter {
        index: usize,
        shared: bool,
    },
}

impl Matrix<'_> {
    pub fn table(&self, colour: bool) -> String {
        let names: Vec<&str> =
            std::iter::once("ID").chain(self.rows.iter().map(|(name, _)| self.short(name))).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        let mut lines: Vec<String> = names.iter().map(|name| format!("{name:width$}")).collect();
        for kind in COLUMNS {
            let head = (kind.proc_name().to_uppercase(), None);
            let marks = self.column(kind);
            let cells: Vec<_> = std::iter::once(head).chain(marks.iter().map(Mark::cell)).collect();
            let width = cells.iter().map(|(text, _)| text.len()).max().unwrap_or_default();
            for (line, (text, code)) in lines.iter_mut().zip(cells) {
                let padding = " ".repeat(width - text.len());
                let text = code.map_or(text.clone(), |code| paint(&text, code, colour));
                line.push_str(&format!("{GAP}{text}{padding}"));
            }
        }
        lines.iter().flat_map(|line| [line.trim_end(), "\n"]).collect()
    }

    /// The name, or so much of it as Docker shows, if that is nobody else's.
    fn short<'n>(&self, name: &'n str) -> &'n str {
        match name.get(..SHORT) {
            Some(short) if name.len() > ROOM => {
                let alike = self.rows.iter().filter(|(other, _)| other.starts_with(short)).count();
                if alike > 1 { name } else { short }
            }
            _ => name,
        }
    }

    fn column(&self, kind: Kind) -> Vec<Mark> {
        // Each with its place in the order of appearance, and how often it is there.
        let mut seen = BTreeMap::<Namespace, (usize, usize)>::new();
        let host = self.host.get(kind);
        let pod = self.pod.and_then(|pod| pod.get(kind));
        for namespace in
            self.rows.iter().filter_map(|(_, of)| of.get(kind)).filter(|it| ![host, pod].contains(&Some(*it)))
        {
            let next = seen.len();
            seen.entry(namespace).or_insert((next, 0)).1 += 1;
        }
        let mark = |(_, of): &(&str, &Namespaces)| match of.get(kind) {
            None if host.is_none() || of.iter().next().is_none() => Mark::Nothing,
            None => Mark::Hidden,
            Some(namespace) => match seen.get(&namespace) {
                None if Some(namespace) == pod => Mark::Pod,
                None => Mark::Host,
                Some((_, 1)) if self.pod.is_some() => Mark::Own,
                Some((index, count)) => Mark::Letter { index: *index, shared: *count > 1 },
            },
        };
        self.rows.iter().map(mark).collect()
    }
}

impl Mark {
    /// Its text, and its colour.
    fn cell(&self) -> (String, Option<&'static str>) {
        match self {
            Mark::Nothing => ("-".into(), None),
            Mark::Hidden => ("?".into(), None),
            Mark::Host => ("host".into(), Some(HOST_COLOUR)),
            Mark::Pod => ("pod".into(), COLOURS.first().copied()),
            Mark::Own => ("own".into(), None),
            Mark::Letter { index, shared } => {
                let colour = COLOURS.get(index % COLOURS.len()).copied();
                (letters(*index), colour.filter(|_| *shared))
            }
        }
    }
}

/// a, b, …, z, aa, ab, …
fn letters(index: usize) -> String {
    let last = char::from(b'a' + (index % 26) as u8);
    match index / 26 {
        0 => last.to_string(),
        more => letters(more - 1) + &last.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(inode: u64, with: &[(Kind, u64)]) -> Namespaces {
        let of = |kind| with.iter().find(|(other, _)| *other == kind).map_or(inode, |(_, inode)| *inode);
        Kind::ALL.into_iter().map(|kind| (kind, Namespace::fake(of(kind)))).collect()
    }

    #[test]
    fn equal_namespaces_have_equal_letters_in_each_column() {
        let host = namespaces(1, &[]);
        let shared = [(Kind::User, 1), (Kind::Time, 1), (Kind::Net, 9)];
        let rows = [
            ("alone", namespaces(2, &[(Kind::User, 1)])),
            ("app", namespaces(3, &shared)),
            ("ended", Namespaces::default()),
            ("hidden", [(Kind::Net, Namespace::fake(1))].into_iter().collect()),
            ("sidecar", namespaces(4, &shared)),
        ];
        let rows: Vec<_> = rows.iter().map(|(name, of)| (*name, of)).collect();
        let matrix = Matrix { host: &host, pod: None, rows };
        let expected = "\
ID       NET   IPC  UTS  PID  USER  TIME  CGROUP  MNT
alone    a     a    a    a    host  a     a       a
app      b     b    b    b    host  host  b       b
ended    -     -    -    -    -     -     -       -
hidden   host  ?    ?    ?    ?     ?     ?       ?
sidecar  b     c    c    c    host  host  c       c
";
        assert_eq!(matrix.table(false), expected);
        let coloured = matrix.table(true);
        assert_eq!(coloured.matches("\x1b[32mb\x1b[m").count(), 2, "{coloured:?}");
        assert_eq!(coloured.matches("\x1b[1;31mhost\x1b[m").count(), 6);
        assert_eq!(coloured.matches("\x1b[m").count(), 8);
        assert_eq!(coloured.replace("\x1b[32m", "").replace("\x1b[1;31m", "").replace("\x1b[m", ""), expected);
    }

    #[test]
    fn in_a_pod_it_is_told_what_is_the_pods() {
        let host = namespaces(1, &[]);
        let pod: Namespaces = [(Kind::Net, Namespace::fake(7)), (Kind::User, Namespace::fake(1))].into_iter().collect();
        let (app, peer) =
            (namespaces(2, &[(Kind::Net, 7), (Kind::User, 1)]), namespaces(3, &[(Kind::Net, 7), (Kind::Ipc, 2)]));
        let rows = vec![("app", &app), ("peer", &peer)];
        let expected = "\
ID    NET  IPC  UTS  PID  USER  TIME  CGROUP  MNT
app   pod  a    own  own  pod   own   own     own
peer  pod  a    own  own  own   own   own     own
";
        assert_eq!(Matrix { host: &host, pod: Some(&pod), rows }.table(false), expected);
    }

    #[test]
    fn a_line_has_80_columns_with_ids_of_any_length() {
        let host = namespaces(1, &[]);
        let long = ["a", "b", "cccccccccccc0", "cccccccccccc1"].map(|start| format!("{start:f<64}"));
        let mut rows: Vec<_> = long.iter().map(|id| (id.as_str(), &host)).collect();
        rows.push(("thirty-characters-are-in-full-", &host));
        let shown = |rows: &[(&str, &Namespaces)]| Matrix { host: &host, pod: None, rows: rows.to_vec() }.table(false);
        let some = shown(&[&rows[..2], &rows[4..]].concat());
        let first: Vec<_> = some.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(first, ["ID", "afffffffffff", "bfffffffffff", "thirty-characters-are-in-full-"]);
        assert!(some.lines().all(|line| line.len() <= 80), "{some}");
        // Two that begin alike are told apart, whatever the width.
        assert!(shown(&rows).contains(&long[3]));
    }

    #[test]
    fn letters_go_on_behind_z() {
        assert_eq!([0, 25, 26, 51, 52, 701, 702].map(letters), ["a", "z", "aa", "az", "ba", "zz", "aaa"]);
    }
}
