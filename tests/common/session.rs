//! What a page of the documents shows: commands behind `#`, their continuation behind `>`, and what they print.

use super::read;
use std::path::Path;

/// Commands and what they print.
pub struct Session(Vec<(String, Vec<String>)>);

impl Session {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The blocks of code that are called `kind`.
    pub fn of(page: &str, kind: &str) -> Session {
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
    pub fn script(&self, out: &Path) -> String {
        let commands = self.0.iter().enumerate().map(|(n, (command, _))| {
            format!("{{ {command}\n}} >'{0}.{n}' || {{ echo 'failed: command {n}'; exit 1; }}\n", out.display())
        });
        commands.collect()
    }

    pub fn check(&self, out: &Path, log: &str) {
        for (n, (command, expected)) in self.0.iter().enumerate() {
            let printed = read(Path::new(&format!("{}.{n}", out.display())));
            let lines: Vec<&str> = printed.lines().collect();
            let same =
                lines.len() == expected.len() && lines.iter().zip(expected).all(|(line, shown)| fits(line, shown));
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
