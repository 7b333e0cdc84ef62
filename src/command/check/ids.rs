//! The ids of a user who is not root: the ranges that the administrator gave, and the programs that map them.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Check;
use crate::command::list::Owners;
use crate::program;

const FOR_WHOM: &str = "only containers that map more ids than the user's own need it";

pub fn checks() -> Vec<Check> {
    let uid = rustix::process::getuid();
    if rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    let (name, uid) = (Owners::read().name(uid.as_raw()), uid.to_string());
    vec![
        ranges("subuid", "/etc/subuid", &name, &uid),
        ranges("subgid", "/etc/subgid", &name, &uid),
        mapper("newuidmap"),
        mapper("newgidmap"),
    ]
}

fn ranges(check: &'static str, path: &str, name: &str, uid: &str) -> Check {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    match of_user(&text, name, uid).as_slice() {
        [] => {
            let advice = format!("{FOR_WHOM}: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}");
            Check::optional(check, format!("no range for {name} in {path}"), advice)
        }
        ranges => Check::ok(check, format!("{} in {path}", ranges.join(", "))),
    }
}

/// `name:100000:65536`, or the uid in the place of the name (subuid(5)).
fn of_user(text: &str, name: &str, uid: &str) -> Vec<String> {
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        fields.next().filter(|owner| *owner == name || *owner == uid)?;
        let (first, count): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(format!("{first}-{}", first.checked_add(count.checked_sub(1)?)?))
    };
    text.lines().filter_map(range).collect()
}

fn mapper(name: &'static str) -> Check {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(file) = program::find(name, &path) else {
        return Check::optional(
            name,
            "not on PATH",
            format!("{FOR_WHOM}: install the package uidmap (or shadow-utils)"),
        );
    };
    let shown = file.display();
    match rights(&file) {
        Some(how) => Check::ok(name, format!("{shown}, {how}")),
        None => Check::optional(
            name,
            format!("{shown} is neither set-uid root nor has file capabilities"),
            format!("{FOR_WHOM}: chmod u+s {shown}"),
        ),
    }
}

fn rights(file: &Path) -> Option<&'static str> {
    let set_uid = file.metadata().is_ok_and(|meta| meta.mode() & 0o4000 != 0 && meta.uid() == 0);
    let capable = || rustix::fs::getxattr(file, "security.capability", &mut [0u8; 64]).is_ok();
    if set_uid { Some("set-uid root") } else { capable().then_some("with file capabilities") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_of_a_user_are_by_name_or_number() {
        let text = "other:1:2\nann:100000:65536\n1000:300000:1\nann:x:1\nann:5\nann:7:0\nann:4294967295:2\n";
        assert_eq!(of_user(text, "ann", "1000"), ["100000-165535", "300000-300000"]);
        assert_eq!(of_user(text, "#7", "7"), Vec::<String>::new());
    }
}
