//! completions/: what the shells know of the command line is what it has, and bash completes by it.

use crate::common::*;
use clap::{Arg, ArgAction, Command};
use clap_complete::Shell;
use std::fs;
use std::path::{Path, PathBuf};

const FILES: [(Shell, &str); 3] = [(Shell::Bash, "hilum.bash"), (Shell::Zsh, "_hilum"), (Shell::Fish, "hilum.fish")];

/// Behind the generated part. The words in front of the command tell which containers or pods it speaks of: `--root DIR`.
const NAMES_IN_BASH: &str = r#"
# Where an option of these commands may stand, the id of a container or the name of a pod may as well.
_hilum_names() {
    local i=$((COMP_CWORD - 1)) names
    while [[ ${COMP_WORDS[i]} == -* ]]; do ((i--)); done
    _hilum "$1" "" "$3"
    local options=" ${COMPREPLY[*]} "
    _hilum "$@"
    [[ $options == *" --help "* && $2 != -* ]] || return 0
    case ${COMP_WORDS[i]} in
        start|exec|ps|pause|resume|update|events|checkpoint|state|kill|delete|ns|inspect|stats|wait|rm)
            names=$("${COMP_WORDS[@]:0:i}" list -q 2>/dev/null)
            COMPREPLY=( $(compgen -W "${names}" -- "$2") )
            ;;
    esac
}

complete -F _hilum_names -o bashdefault -o default hilum
"#;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("completions").join(name)
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut as_typed(&hilum::cli::command()), "hilum", &mut script);
    let script = String::from_utf8(script).unwrap();
    if shell == Shell::Bash { script + NAMES_IN_BASH } else { script }
}

/// The command as people type it: the scripts would have hidden options, too, and a word behind each flag, as `--flag` may
/// also be `--flag=false`.
fn as_typed(command: &Command) -> Command {
    let name: &'static str = command.get_name().to_owned().leak();
    let typed = Command::new(name)
        .about(command.get_about().cloned().unwrap_or_default())
        .visible_aliases(command.get_visible_aliases().map(|alias| &*alias.to_owned().leak()).collect::<Vec<_>>())
        .disable_version_flag(true);
    let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set());
    typed.args(arguments.map(argument_as_typed)).subcommands(command.get_subcommands().map(as_typed))
}

fn argument_as_typed(argument: &Arg) -> Arg {
    if argument.is_require_equals_set() {
        let flag = Arg::new(argument.get_id().clone()).action(ArgAction::SetTrue).long(argument.get_id().clone());
        return flag.short(argument.get_short()).help(argument.get_help().cloned().unwrap_or_default());
    }
    // zsh alone shows the value's name, and its own colons separate.
    match argument.get_value_names() {
        Some([name]) => argument.clone().value_name(&*name.replace(':', "\\:").leak()),
        _ => argument.clone(),
    }
}

/// The words that bash would offer for the last one of the line.
fn offered(line: &str) -> Vec<String> {
    let words: Vec<_> = line.split(' ').collect();
    let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
    let ask = "source /dev/stdin; PATH=$HILUM:$PATH; line=(\"$@\"); COMP_WORDS=(\"${line[@]}\"); COMP_CWORD=$(($# - 1));
               _hilum_names hilum \"$CURRENT\" \"$BEFORE\" && [ ${#COMPREPLY[@]} = 0 ] || printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = std::process::Command::new("timeout");
    bash.args(["60", "bash", "-c", ask, "bash"]).args(&words).env("CURRENT", last).env("BEFORE", before);
    let out = bash.env("HILUM", program().parent().unwrap()).stdin(fs::File::open(path("hilum.bash")).unwrap());
    let out = out.output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "make completions: writes the files"]
fn are_written() {
    for (shell, name) in FILES {
        fs::write(path(name), script(shell)).unwrap();
    }
}

#[test]
fn are_those_of_the_command_line() {
    for (shell, name) in FILES {
        assert!(
            read(&path(name)) == script(shell),
            "completions/{name} is not what the command line has: make completions"
        );
    }
}

#[test]
fn bash_completes_commands_and_options() {
    if !hilum_only("its own completions") {
        return;
    }
    for (line, word) in [
        ("hilum ex", "exec"),
        ("hilum pod cr", "create"),
        ("hilum --root /nowhere setup do", "docker"),
        ("hilum run --pid-f", "--pid-file"),
        ("hilum run -d --pid-f", "--pid-file"),
        ("hilum --log-format j", "json"),
        ("hilum pod ls --q", "--quiet"),
    ] {
        assert_eq!(offered(line), [word], "{line}");
    }
    for hidden in ["hilum kill --al", "hilum exec --no-sub", "hilum restore -n"] {
        assert_eq!(offered(hidden), [""; 0], "{hidden}");
    }
}

#[test]
fn bash_completes_containers_and_pods() {
    if !hilum_only("its own completions") {
        return;
    }
    let line = |call: std::process::Command| {
        let words = call.get_args().map(|word| word.to_str().unwrap());
        ["hilum"].into_iter().chain(words).collect::<Vec<_>>().join(" ")
    };
    let c = Container::sleeper();
    c.create();
    let some = &c.id[..c.id.len() - 1];
    for words in [&["state", ""][..], &["delete", "-f", ""], &["kill", some], &["exec", "-t", ""], &["ps", some]] {
        assert_eq!(offered(&line(c.command(words))), [c.id.as_str()], "{words:?}");
    }
    for other in
        [&["create", ""][..], &["exec", "--cwd", ""], &["exec", "-"], &["help", "state", ""], &["kill", &c.id, ""]]
    {
        assert!(!offered(&line(c.command(other))).contains(&c.id), "{other:?}");
    }
    c.finish();

    let pod = Pod::with(&[]);
    for words in [&["pod", "rm", "-f", ""][..], &["pod", "inspect", &pod.name[..3]]] {
        assert_eq!(offered(&line(pod.command(words))), [pod.name.as_str()], "{words:?}");
    }
    pod.finish();
}
