//! What the documents show is typed, and printed.

use crate::common::*;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_page_on_pods_does_what_it_says() {
    if !hilum_only("its own commands") {
        return;
    }
    let page = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pods.md"));
    let session = Session::of(&page, "console");
    assert!(session.0.len() > 20, "{} commands", session.0.len());
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(program(), bin.join("hilum")).unwrap();
    // In a mount namespace, where /run/hilum is nobody else's; what goes wrong must not outlive it.
    let script = format!(
        "mkdir -p /run/hilum && mount -t tmpfs none /run/hilum && cd '{dir}' && PATH='{dir}/bin':$PATH\n\
         trap 'hilum pod rm -f shop jobs; for id in $(hilum list -q); do hilum delete -f $id; done' EXIT\n{}",
        session.script(&dir.path().join("out")),
        dir = dir.path().display(),
    );
    let log = dir.path().join("log");
    let stdout = fs::File::create(&log).unwrap();
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "bash", "-c", &script]).stdin(std::process::Stdio::null());
    shell.stderr(stdout.try_clone().unwrap()).stdout(stdout);
    let code = wait_within(&mut shell.spawn().unwrap(), 4 * LIMIT, "docs/pods.md");
    assert_eq!(code, 0, "{}", read(&log));
    session.check(&dir.path().join("out"), &read(&log));
}

/// Commands and what they print.
struct Session(Vec<(String, Vec<String>)>);

impl Session {
    /// The blocks of code that are called `kind`.
    fn of(page: &str, kind: &str) -> Session {
        let mut commands: Vec<(String, Vec<String>)> = Vec::new();
        let mut inside = false;
        for line in page.lines() {
            if let Some(name) = line.strip_prefix("```") {
                inside = !inside && name == kind;
            } else if let (true, Some(command)) = (inside, line.strip_prefix("# ")) {
                commands.push((command.to_owned(), Vec::new()));
            } else if let (true, Some(last)) = (inside, commands.last_mut()) {
                match line.strip_prefix("> ") {
                    Some(more) => last.0 += &format!("\n{more}"),
                    None => last.1.push(line.to_owned()),
                }
            }
        }
        Session(commands)
    }

    /// A script that puts the output of each into a file of its own: a container keeps it open.
    fn script(&self, out: &Path) -> String {
        let commands = self.0.iter().enumerate().map(|(n, (command, _))| {
            format!("{{ {command}\n}} >'{0}.{n}' || {{ echo 'failed: command {n}'; exit 1; }}\n", out.display())
        });
        commands.collect()
    }

    fn check(&self, out: &Path, log: &str) {
        for (n, (command, expected)) in self.0.iter().enumerate() {
            let printed = read(Path::new(&format!("{}.{n}", out.display())));
            let lines: Vec<&str> = printed.lines().collect();
            let same = lines.len() == expected.len() && lines.iter().zip(expected).all(|(line, shown)| fits(line, shown));
            assert!(same, "{command}\nprints\n{printed}\nand the page says\n{}\n{log}", expected.join("\n"));
        }
    }
}

/// `…` stands for anything.
fn fits(line: &str, shown: &str) -> bool {
    let mut rest = line;
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(behind) = rest.strip_prefix(first) else { return false };
    rest = behind;
    let mut ended = !shown.contains('…') && rest.is_empty();
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
        ended = part.is_empty() || rest.is_empty();
    }
    ended
}
