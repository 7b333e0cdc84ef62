//! The report for people: sections, and no line longer than 80 columns that can be broken.

use super::report::{IdMaps, Namespace, Report};

const WIDTH: usize = 80;
/// Of the first of two columns.
const LABEL: usize = 15;

/// Lines, each broken with an indent of its own.
#[derive(Default)]
struct Page(String);

impl Page {
    fn section(&mut self, name: &str) {
        self.0.push_str(&format!("\n{name}\n"));
    }

    /// `label` and a text beside it.
    fn row(&mut self, label: &str, text: &str) {
        self.broken(&format!("  {label:width$}", width = LABEL - 2), LABEL + 2, text);
    }

    fn line(&mut self, text: &str) {
        // What is indented already belongs to the line before.
        let indent = text.len() - text.trim_start().len() + 2;
        self.broken(&" ".repeat(indent), indent + 2, text.trim_start());
    }

    /// A word that is too long for a line has one of its own.
    fn broken(&mut self, first: &str, indent: usize, text: &str) {
        let mut column = first.chars().count();
        self.0.push_str(first);
        let mut fresh = true;
        for word in text.split(' ') {
            let length = word.chars().count();
            if !fresh && column + 1 + length > WIDTH {
                self.0.push_str(&format!("\n{}", " ".repeat(indent)));
                column = indent;
                fresh = true;
            }
            if !fresh {
                self.0.push(' ');
                column += 1;
            }
            self.0.push_str(word);
            column += length;
            fresh = false;
        }
        self.0.push('\n');
    }
}

pub fn render(report: &Report) -> String {
    let mut page = Page::default();
    let verdict = match report.conflicts.len() {
        0 => "create would succeed".to_string(),
        1 => "create would fail, for 1 conflict".to_string(),
        more => format!("create would fail, for {more} conflicts"),
    };
    page.0.push_str(&format!("container {}: {verdict}\n", report.id));
    if report.would_succeed {
        plan(&mut page, report);
    }
    if !report.warnings.is_empty() {
        page.section("WARNINGS");
        report.warnings.iter().for_each(|warning| page.line(warning));
    }
    if !report.conflicts.is_empty() {
        page.section("CONFLICTS");
    }
    for conflict in &report.conflicts {
        page.line(&conflict.property);
        page.line(&format!("    {}", conflict.error));
        page.line(&format!("    fix: {}", conflict.fix));
    }
    page.0
}

fn plan(page: &mut Page, report: &Report) {
    page.row("bundle", &report.bundle.display().to_string());
    page.row("root", &report.rootfs.display().to_string());

    page.section("NAMESPACES");
    report.namespaces.iter().for_each(|namespace| page.row(namespace.kind, &origin(namespace)));
    if let Some(maps) = &report.id_maps {
        page.section("ID MAPS");
        id_maps(page, maps);
    }
    page.section("CGROUP");
    report.cgroup.actions.iter().for_each(|action| page.line(action));
    if report.cgroup.actions.is_empty() {
        page.line("none");
    }
    if !report.net_devices.is_empty() {
        page.section("NETWORK DEVICES");
    }
    for it in &report.net_devices {
        page.line(&format!("move {} of the host to the container as {}", it.device, it.name));
    }
    if !report.resctrl.is_empty() {
        page.section("RESCTRL");
    }
    report.resctrl.iter().for_each(|action| page.line(action));
    if let Some(seccomp) = &report.seccomp {
        page.section("SECCOMP");
        page.row("default", &seccomp.filter.default_action);
        page.row("rules", &seccomp.filter.rules.to_string());
        page.row("architectures", &seccomp.filter.architectures.join(" "));
        if !seccomp.filter.flags.is_empty() {
            page.row("flags", &seccomp.filter.flags.join(" "));
        }
        if let Some(path) = &seccomp.listener_path {
            page.row("listener", path);
        }
    }
    if !report.hooks.is_empty() {
        page.section("HOOKS");
    }
    for hook in &report.hooks {
        let command = if hook.args.is_empty() { hook.path.clone() } else { hook.args.join(" ") };
        page.line(&format!("{}: {command}", hook.property));
    }
    page.section("STEPS");
    let mut topic = "";
    for doing in &report.steps {
        // Said once, for those that belong together.
        let label = if doing.topic == topic { "" } else { doing.topic };
        topic = doing.topic;
        match &doing.detail {
            Some(detail) => page.row(label, &format!("{} ({detail})", doing.step)),
            None => page.row(label, &doing.step),
        }
    }
}

fn origin(namespace: &Namespace) -> String {
    match (namespace.origin, &namespace.path, namespace.inode) {
        ("joined", Some(path), Some(inode)) => {
            let owner = namespace.owner.as_deref().map_or("nobody hilum knows", |owner| owner);
            format!("joined: {path}, number {inode}, of {owner}")
        }
        ("host", ..) => "the host's".into(),
        (other, ..) => other.into(),
    }
}

fn id_maps(page: &mut Page, maps: &IdMaps) {
    for (label, maps) in [("uid", &maps.uid), ("gid", &maps.gid)] {
        for map in maps {
            let (to, size) = (map.host_id, map.size);
            page.row(label, &format!("{} and up: on the host {to} and up, {size} of them", map.container_id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_indented() {
        let mut page = Page::default();
        page.row("label", &"word ".repeat(30));
        page.row("", &"x".repeat(100));
        page.line("    indented");
        let lines: Vec<_> = page.0.lines().collect();
        let indent = |line: &str| line.len() - line.trim_start().len();
        assert!(lines.iter().all(|line| line.len() <= WIDTH || line.ends_with("xxx")), "{lines:#?}");
        assert!(lines[0].starts_with("  label        word word") && indent(lines[1]) == LABEL + 2, "{lines:#?}");
        assert_eq!(lines[lines.len() - 2].trim_start(), "x".repeat(100));
        assert_eq!(lines[lines.len() - 1], "      indented");
    }
}
