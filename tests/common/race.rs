//! Many commands at the same moment, and what each of them answered.

use super::schema::Random;
use super::*;
use std::collections::BTreeMap;

/// A command, how often it is chosen, and all that it may answer when it fails, where `*` is anything. Names in capitals
/// stand for what is raced for.
pub struct Verb {
    args: &'static [&'static str],
    weight: u64,
    errors: &'static [&'static str],
}

pub const fn verb(weight: u64, args: &'static [&'static str], errors: &'static [&'static str]) -> Verb {
    Verb { args, weight, errors }
}

impl Verb {
    fn any(verbs: &'static [Verb], random: &mut Random) -> &'static Verb {
        let mut at = random.below(verbs.iter().map(|verb| verb.weight).sum());
        let mut verbs = verbs.iter();
        loop {
            let verb = verbs.next().unwrap();
            match at.checked_sub(verb.weight) {
                Some(rest) => at = rest,
                None => return verb,
            }
        }
    }

    fn is(&self, start: &[&str]) -> bool {
        self.args.starts_with(start)
    }

    /// Ends with the process that it starts, or waits for others to end: a pause holds it up.
    fn is_held_up(&self) -> bool {
        self.is(&["run", "ID"]) || self.is(&["exec"]) || self.is(&["pod", "wait"])
    }
}

/// What is raced for.
pub struct Race<'r> {
    pub verbs: &'static [Verb],
    /// What the names stand for. No name is a part of another.
    pub names: &'r [(&'r str, &'r str)],
    /// hilum with the options before the command.
    pub command: &'r dyn Fn(&[&str]) -> Command,
    /// For what they print.
    pub dir: &'r Path,
}

/// A command that has been started.
pub struct Running {
    verb: &'static Verb,
    child: std::process::Child,
    out: PathBuf,
    err: PathBuf,
}

/// What has come of it.
pub struct Ended {
    verb: &'static Verb,
    pub ok: bool,
    answer: String,
    /// What callers would not expect.
    surprise: Option<String>,
}

/// How often each command gave which answer.
#[derive(Default)]
pub struct Answers(BTreeMap<(String, String), u64>);

impl Race<'_> {
    /// That many of them, of which those come apart that a pause may hold up.
    pub fn start(&self, count: u64, random: &mut Random) -> (Vec<Running>, Vec<Running>) {
        let all: Vec<Running> = (0..count).map(|n| self.spawn(Verb::any(self.verbs, random), n)).collect();
        all.into_iter().partition(|one| !one.verb.is_held_up())
    }

    fn spawn(&self, verb: &'static Verb, n: u64) -> Running {
        let stands_for =
            |arg: &&'static str| self.names.iter().find(|(name, _)| name == arg).map_or(*arg, |(_, it)| it);
        let args: Vec<&str> = verb.args.iter().map(stands_for).collect();
        let (out, err) = (self.dir.join(format!("out.{n}")), self.dir.join(format!("err.{n}")));
        let mut command = (self.command)(&[&["--log-format", "json"], args.as_slice()].concat());
        // Files: a container keeps them open.
        command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        Running { verb, child: command.spawn().unwrap(), out, err }
    }

    /// Their ends, within the time limit.
    pub fn end(&self, all: Vec<Running>) -> Vec<Ended> {
        all.into_iter().map(|one| self.end_of(one)).collect()
    }

    /// Of those that something holds up, which `release` ends; again, as one of them may have started anew.
    pub fn end_by(&self, mut all: Vec<Running>, release: impl Fn()) -> Vec<Ended> {
        let deadline = deadline_in(60);
        release();
        while let Some(one) = all.iter_mut().find_map(|one| one.child.try_wait().unwrap().is_none().then_some(one)) {
            assert!(Instant::now() < deadline, "{:?} does not end", one.verb);
            std::thread::sleep(Duration::from_millis(5));
            release();
        }
        release();
        self.end(all)
    }

    /// If it failed, with one line that says one of the verb's errors.
    fn end_of(&self, mut one: Running) -> Ended {
        let verb = one.verb;
        let code = wait_within(&mut one.child, LIMIT, &format!("{verb:?}"));
        let text = self.names.iter().fold(read(&one.err), |text, (name, it)| text.replace(it, name));
        let Some(line) = text.lines().next() else {
            // 137: its process was killed, and 143: by kill TERM.
            let ends: &[i32] = if verb.is_held_up() { &[0, 137, 143] } else { &[0] };
            let (ok, answer) = (ends.contains(&code), format!("exit code {code}"));
            let is_whole = !verb.is(&["state"]) || serde_json::from_str::<Value>(&read(&one.out)).is_ok();
            let surprise = (!ok || !is_whole).then(|| format!("{answer} without a word; stdout {}", read(&one.out)));
            return Ended { verb, ok, answer, surprise };
        };
        let entry: Value = serde_json::from_str(line).unwrap_or_default();
        let said = entry["msg"].as_str().unwrap_or_default();
        let hint = entry["hint"].as_str().map(|hint| format!("; {hint}")).unwrap_or_default();
        let answer = said.strip_suffix(&hint).unwrap_or(said).to_owned();
        let is_known = verb.errors.iter().any(|error| fits(&answer, error));
        let failure = if verb.is(&["exec"]) { 255 } else { 1 };
        let is_one = text.lines().count() == 1 && entry["level"] == "error" && code == failure;
        let surprise = (!is_known || !is_one).then(|| format!("exit code {code}: {text}"));
        Ended { verb, ok: false, answer, surprise }
    }
}

fn fits(answer: &str, error: &str) -> bool {
    let mut parts = error.split('*');
    let Some(mut rest) = parts.next().and_then(|start| answer.strip_prefix(start)) else { return false };
    for part in parts {
        match rest.find(part) {
            _ if part.is_empty() => return true,
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

impl Ended {
    pub fn is(&self, start: &[&str]) -> bool {
        self.verb.is(start)
    }
}

impl Answers {
    /// Fails if one of them is none that callers know.
    #[track_caller]
    pub fn add(&mut self, ended: &[Ended]) {
        for one in ended {
            *self.0.entry((format!("{:?}", one.verb), one.answer.clone())).or_default() += 1;
        }
        let surprises: Vec<_> = ended.iter().filter(|one| one.surprise.is_some()).collect();
        assert!(surprises.is_empty(), "not what callers know: {surprises:#?} among {ended:#?}");
    }

    pub fn print(&self) {
        for ((command, answer), count) in &self.0 {
            println!("{count:8} {command}: {answer}");
        }
    }
}

impl std::fmt::Debug for Verb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.args.join(" "))
    }
}

impl std::fmt::Debug for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.verb, self.surprise.as_ref().unwrap_or(&self.answer))
    }
}
