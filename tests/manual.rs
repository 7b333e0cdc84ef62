//! The manual pages, by what `--help` prints: the same commands, with the same options.

use crate::common::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Documented for people, and not printed: the oracle, too, hides it.
const HIDDEN: &[(&str, &str)] = &[("kill", "-a, --all")];

/// Commands that have commands of their own, and one page for all of these.
const GROUPS: &[&str] = &["pod", "setup"];

/// The text of `hilum [COMMAND] --help`.
fn help(c: &Container, command: &[&str]) -> String {
    c.call(&[command, &["--help"]].concat()).ok().stdout
}

/// The lines that are indented, below a heading of the help.
fn below<'h>(help: &'h str, heading: &str) -> Vec<&'h str> {
    let behind = help.lines().skip_while(|line| *line != heading).skip(1);
    behind.take_while(|line| line.starts_with(' ')).map(str::trim).collect()
}

fn commands(help: &str) -> Vec<&str> {
    let names = below(help, "Commands:").into_iter().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").collect() // which is clap's own
}

/// `-b, --bundle DIR`, as the help says it. A flag may have a value, and then it is not named.
fn options_of_help(help: &str) -> BTreeSet<String> {
    let lines = below(help, "Options:").into_iter().filter(|line| line.starts_with('-'));
    let option = |line: &str| line.split("  ").next().unwrap().replace("[=<BOOL>]", "").replace(['<', '>'], "");
    lines.map(option).collect()
}

/// The lines of a section of a page.
fn section<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    let heading = format!(".Sh {name}");
    page.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with(".Sh ")).collect()
}

/// `Fl b , Fl -bundle Ar DIR` (mdoc(7)) as the help has it.
fn plain(macros: &str) -> String {
    let text = macros.replace("Fl ", "-").replace("Ar ", "").replace(" ,", ",");
    text.trim().to_owned()
}

/// What follows these words in the lines that begin with them.
fn entries(section: &[&str], words: &str) -> BTreeSet<String> {
    section.iter().filter_map(|line| line.strip_prefix(words)).map(|rest| plain(&format!("Fl {rest}"))).collect()
}

/// In a synopsis an option stands by its letter, if it has one.
fn short(option: &str) -> String {
    let Some((letter, long)) = option.split_once(", ") else { return option.to_owned() };
    long.split_once(' ').map_or(letter.to_owned(), |(_, value)| format!("{letter} {value}"))
}

fn pages() -> BTreeMap<String, String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let names = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|name| (name.trim_end_matches(".8").to_owned(), read(&dir.join(&name)))).collect()
}

#[test]
fn every_command_has_a_page_and_every_page_its_command() {
    if !hilum_only("its pages") {
        return;
    }
    let c = Container::new(&["true"]);
    let (help, pages) = (help(&c, &[]), pages());
    let commands = commands(&help);
    assert!(commands.len() > 10, "{help}");
    let names: BTreeSet<_> = commands.iter().map(|name| format!("hilum-{name}")).chain(["hilum".into()]).collect();
    assert_eq!(pages.keys().cloned().collect::<BTreeSet<_>>(), names, "the pages and the commands");

    for (name, page) in &pages {
        let title = format!("\n.Dt {} 8\n", name.to_uppercase());
        assert!(page.contains(&title) && section(page, "NAME")[0] == format!(".Nm {name}"), "{name}: its title");
        for named in page.lines().filter_map(|line| line.split_once("Xr hilum-")?.1.split_once(" 8")) {
            assert!(commands.contains(&named.0), "{name} refers to hilum-{}", named.0);
        }
    }
    let listed = section(&pages["hilum"], "DESCRIPTION");
    let listed: Vec<_> =
        listed.iter().filter_map(|line| line.strip_prefix(".It Xr hilum-")?.strip_suffix(" 8")).collect();
    assert_eq!(listed, commands, "hilum.8 lists them in this order");
    for name in commands {
        let reference = format!(".Xr hilum-{name} 8");
        let see_also = section(&pages["hilum"], "SEE ALSO");
        assert!(see_also.iter().any(|line| line.trim_end_matches(" ,") == reference), "SEE ALSO of hilum.8: {name}");
    }
}

#[test]
fn a_page_has_the_options_and_arguments_of_the_help() {
    if !hilum_only("its pages") {
        return;
    }
    let c = Container::new(&["true"]);
    let (overview, pages) = (help(&c, &[]), pages());
    let page = |name: &str| pages.get(name).unwrap_or_else(|| panic!("there is no man/{name}.8"));

    let mut expected = options_of_help(&overview);
    assert_eq!(entries(&section(page("hilum"), "DESCRIPTION"), ".It Fl "), expected, "hilum.8 and --help");
    for apart in ["-h, --help", "-v, --version"] {
        assert!(expected.remove(apart), "{overview}"); // not in the synopsis, or in a form of its own
    }
    assert_eq!(entries(&section(page("hilum"), "SYNOPSIS"), ".Op Fl "), expected, "hilum.8, SYNOPSIS, and --help");

    let mut total = 0;
    for command in commands(&overview).into_iter().filter(|command| !GROUPS.contains(command)) {
        let (help, page) = (help(&c, &[command]), page(&format!("hilum-{command}")));
        let mut expected = options_of_help(&help);
        assert!(expected.remove("-h, --help"), "{help}"); // said once for all, in hilum.8
        for (_, option) in HIDDEN.iter().filter(|(of, _)| *of == command) {
            assert!(expected.insert((*option).into()), "{command} {option} is not hidden");
        }
        assert_eq!(entries(&section(page, "DESCRIPTION"), ".It Fl "), expected, "hilum-{command}.8 and --help");
        total += expected.len();

        let synopsis = section(page, "SYNOPSIS");
        let expected = expected.iter().map(|option| short(option)).collect();
        assert_eq!(entries(&synopsis, ".Op Fl "), expected, "hilum-{command}.8, SYNOPSIS, and --help");
        let usage = help.lines().find_map(|line| line.strip_prefix(&format!("Usage: hilum {command}"))).unwrap();
        let expected = usage.replace("[OPTIONS]", "").replace(['<', '>', '[', ']', '.'], "");
        let arguments = synopsis.iter().filter_map(|line| line.strip_prefix(".Op Ar ").or(line.strip_prefix(".Ar ")));
        let arguments: Vec<_> = arguments.map(|line| line.trim_end_matches(" ...")).collect();
        assert_eq!(
            arguments,
            expected.split_whitespace().collect::<Vec<_>>(),
            "hilum-{command}.8, SYNOPSIS, and --help"
        );
    }
    assert!(total > 50, "only {total} options were compared");
}

#[test]
fn a_page_of_several_commands_has_the_options_and_arguments_of_each() {
    if !hilum_only("its pages") {
        return;
    }
    let (c, pages) = (Container::new(&["true"]), pages());
    // A command that takes limits, too, may leave them to the page of `update`.
    let limits = options_of_help(&help(&c, &["update"]));
    for group in GROUPS {
        let (overview, page) = (help(&c, &[group]), &pages[&format!("hilum-{group}")]);
        let names: Vec<_> = commands(&overview).iter().map(|name| format!("{group} {name}")).collect();
        let headings: Vec<_> = page.lines().filter_map(|line| line.strip_prefix(".Ss ")).collect();
        assert_eq!(headings, names, "the page and the commands, in this order");
        let synopsis = section(page, "SYNOPSIS");
        let named: Vec<_> = synopsis.iter().filter_map(|line| line.strip_prefix(".Nm hilum ")).collect();
        assert_eq!(named, names, "SYNOPSIS");
        for name in &names {
            let (help, text) = (help(&c, &name.split(' ').collect::<Vec<_>>()), subsection(page, name));
            let mut expected = options_of_help(&help);
            assert!(expected.remove("-h, --help"), "{help}");
            if text.contains(&".Xr hilum-update 8") {
                assert!(expected.contains("--memory BYTES"), "{name} takes no limits");
                expected.retain(|option| !limits.contains(option));
            }
            assert_eq!(entries(&text, ".It Fl "), expected, "{name}: page and --help");
            let usage = help.lines().find_map(|line| line.strip_prefix(&format!("Usage: hilum {name}"))).unwrap();
            let expected = usage.replace("[OPTIONS]", "").replace(['<', '>', '[', ']', '.'], "");
            let own = synopsis.iter().skip_while(|line| **line != format!(".Nm hilum {name}")).skip(1);
            let own = own.take_while(|line| !line.starts_with(".Nm "));
            let arguments = own.filter_map(|line| line.strip_prefix(".Op Ar ").or(line.strip_prefix(".Ar ")));
            let arguments: Vec<_> =
                arguments.map(|line| line.trim_end_matches(" ...")).filter(|name| *name != "option").collect();
            assert_eq!(arguments, expected.split_whitespace().collect::<Vec<_>>(), "{name}: SYNOPSIS and --help");
        }
    }
}

#[test]
fn a_page_has_what_people_look_for() {
    for (name, page) in pages() {
        for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "EXAMPLES", "SEE ALSO"] {
            assert!(!section(&page, heading).is_empty(), "{name}.8 has no {heading}");
        }
    }
}

#[test]
fn mandoc_has_nothing_to_say() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let mut mandoc = Command::new("mandoc");
    mandoc.args(["-T", "lint", "-W", "warning"]).args(pages().keys().map(|name| format!("{name}.8"))).current_dir(dir);
    match mandoc.output() {
        Ok(out) => assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout)),
        Err(error) => _ = skip(&format!("mandoc: {error}")),
    }
}

/// The lines below `.Ss`.
fn subsection<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    let heading = format!(".Ss {name}");
    let behind = page.lines().skip_while(|line| *line != heading).skip(1);
    behind.take_while(|line| !line.starts_with(".Ss ") && !line.starts_with(".Sh ")).collect()
}
