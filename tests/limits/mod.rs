//! The limits of a host: what is used up, not mounted, not allowed, or not in the kernel. Whatever it is, a command works or
//! says in one line what is in its way, it leaves nothing behind, and the same id works once the limit has gone.
//!
//! Each limit is made for the calls of one test: in a mount namespace, a cgroup, a user namespace or a process of its own.

mod capabilities;
mod cgroups;
mod disk;
mod kernel;
mod memory;
mod nested;
mod pids;
mod proc;
mod users;

use crate::common::*;
use std::process::{Command, Stdio};

fn tally(what: &str) -> Tally {
    Tally::of("Limits of the host", what)
}

/// The commands of hilum behind some other command, which puts the limit around them.
pub struct Limit<'t> {
    tally: &'t Tally,
    name: String,
    /// What comes before the program: `unshare -m sh -c … sh`.
    prefix: Vec<String>,
    /// One of these is in every error.
    says: &'t [&'t str],
}

impl<'t> Limit<'t> {
    fn new(tally: &'t Tally, name: &str, prefix: &[&str], says: &'t [&'t str]) -> Limit<'t> {
        Limit { tally, name: name.into(), prefix: prefix.iter().map(|arg| arg.to_string()).collect(), says }
    }

    /// In a mount namespace that this script has changed.
    fn view(tally: &'t Tally, name: &str, script: &str, says: &'t [&'t str]) -> Limit<'t> {
        let script = format!("{script} || exit 99; exec \"$@\"");
        Limit::new(tally, name, &["unshare", "-m", "--propagation", "private", "sh", "-c", &script, "sh"], says)
    }

    /// With a cgroup of the test's own around it.
    fn in_cgroup(tally: &'t Tally, name: &str, cgroup: &HostCgroup, says: &'t [&'t str]) -> Limit<'t> {
        let script = "echo $$ >\"$0/cgroup.procs\" || exit 99; exec \"$@\"";
        Limit::new(tally, name, &["sh", "-c", script, &cgroup.0.display().to_string()], says)
    }

    fn around(&self, command: &Command) -> Command {
        let mut limited = Command::new(&self.prefix[0]);
        limited.args(&self.prefix[1..]).arg(command.get_program()).args(command.get_args());
        limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(dir) = command.get_current_dir() {
            limited.current_dir(dir);
        }
        limited
    }

    /// One command of the container's: it works, or says why not.
    #[track_caller]
    fn call(&self, c: &Container, args: &[&str]) -> Out {
        c.write_config();
        self.tally.tries();
        let out = c.finish_call(c.command_behind(&self.prefix, args), Stdio::null());
        self.check(args, &out);
        self.tally.survives();
        out
    }

    #[track_caller]
    fn call_fails_saying(&self, c: &Container, args: &[&str], says: &[&str]) -> Out {
        self.says_only(says).call_fails(c, args)
    }

    #[track_caller]
    fn call_fails(&self, c: &Container, args: &[&str]) -> Out {
        let out = self.call(c, args);
        assert_ne!(out.code, 0, "{}: {args:?} works", self.name);
        out
    }

    /// The same limit, met at another place.
    fn says_only<'s>(&'s self, says: &'s [&'s str]) -> Limit<'s> {
        Limit { tally: self.tally, name: self.name.clone(), prefix: self.prefix.clone(), says }
    }

    #[track_caller]
    fn pod_call(&self, pod: &Pod, args: &[&str]) -> Out {
        self.tally.tries();
        let out = pod.finish_call(self.around(&pod.command(args)));
        self.check(args, &out);
        self.tally.survives();
        out
    }

    #[track_caller]
    fn check(&self, args: &[&str], out: &Out) {
        let at = format!("{}: {args:?}: {out:?}", self.name);
        assert!(!out.stderr.contains("panicked"), "{at}");
        if out.code == 0 {
            return;
        }
        let errors: Vec<&str> = out.stderr.lines().filter(|line| !line.contains("level=warning")).collect();
        assert_eq!(errors.len(), 1, "not one line of error: {at}");
        // Where the host has no such controller, or a command before was refused.
        let answers = [
            "the cgroup controller \\\"cpu\\\" is not available",
            "that is not stopped",
            "container not paused",
            "container not running",
            "does not exist",
        ];
        let expected = || self.says.iter().chain(&answers).any(|text| errors[0].contains(text));
        assert!(expected(), "says none of {:?}: {at}", self.says);
        // exec has the exit codes of what it executes, and 255 for its own failure.
        assert_eq!(out.code, if args[0] == "exec" { 255 } else { 1 }, "{at}");
    }

    /// Every command of a container's life. Says whether `run` worked.
    #[track_caller]
    fn life(&self, make: impl Fn() -> Container) -> bool {
        let c = make();
        let id = c.id.clone();
        let works = self.creations(&c);
        c.up();
        self.commands_on(&c);
        // The limit has gone: nothing of the id is in the way.
        c.create();
        c.call(&["delete", "--force", &id]).ok();
        c.finish();
        works
    }

    /// `run` and `create`, and nothing left of what did not come to be.
    #[track_caller]
    fn creations(&self, c: &Container) -> bool {
        let id = c.id.as_str();
        let detached = self.call(c, &["run", "-d", id]);
        if detached.code == 0 {
            self.end(c);
        }
        c.left_nothing();
        if self.call(c, &["create", id]).code == 0 {
            self.call(c, &["start", id]);
            self.end(c);
        }
        c.left_nothing();
        detached.code == 0
    }

    #[track_caller]
    fn end(&self, c: &Container) {
        if self.call(c, &["delete", "--force", &c.id]).code != 0 {
            c.call(&["delete", "--force", &c.id]).ok();
        }
    }

    /// All the others, on a container that was there before the limit: what they cannot do, they do not do by half.
    #[track_caller]
    fn commands_on(&self, c: &Container) {
        let id = c.id.as_str();
        let pid = c.pid();
        self.call(c, &["exec", id, "true"]);
        self.call(c, &["ps", id]);
        self.call(c, &["list"]);
        self.call(c, &["events", "--stats", id]);
        self.call(c, &["pause", id]);
        self.call(c, &["resume", id]);
        self.call(c, &["update", "--cpu-share", "512", id]);
        let state = self.call(c, &["state", id]);
        assert!(state.code != 0 || state.stdout.contains("running"), "{}: it runs, but: {state:?}", self.name);
        // Without --force, only what has ended.
        let deleted = self.call(c, &["delete", id]);
        assert!(deleted.code == 1 && !has_ended(pid), "{}: deleted as it ran: {deleted:?}", self.name);
        assert_eq!(c.status(), "running", "{}", self.name);
        self.call(c, &["kill", id, "KILL"]);
        c.kill("KILL");
        c.wait("stopped");
        self.end(c);
        c.left_nothing();
    }

    /// What is done with pods.
    #[track_caller]
    fn pod(&self) {
        let pod = Pod::new();
        if self.pod_call(&pod, &["pod", "create", &pod.name]).code == 0 {
            // A mount namespace of the call's own has taken the pins with it.
            pod.verb("rm", &["-f"]).ok();
        }
        pod.left_nothing();
        pod.create(&[]).ok();
        for args in [&["pod", "ls"][..], &["pod", "inspect", &pod.name], &["pod", "kill", &pod.name, "KILL"]] {
            self.pod_call(&pod, args);
        }
        self.pod_call(&pod, &["pod", "rm", "-f", &pod.name]);
        pod.finish();
    }
}

/// A cgroup of version 1 around the calls of a test, below the test's own. Removed on drop.
pub struct HostCgroup(std::path::PathBuf);

impl HostCgroup {
    /// `None`, with the reason: there is no such controller here.
    fn new(c: &Container, controller: &str) -> Option<HostCgroup> {
        if Host::plain() != Host::V1Hybrid || !Host::V1Hybrid.has(controller) {
            skip(&format!("no {controller} controller of cgroup v1"));
            return None;
        }
        let own = cgroup_of(std::process::id(), controller);
        let own = Host::V1Hybrid.hierarchy(controller).join(own.trim_start_matches('/'));
        // Not the id itself: what is below is the container's.
        let dir = own.join(format!("around-{}", c.id.replace('-', "n")));
        Some(HostCgroup::at(dir))
    }

    fn at(dir: std::path::PathBuf) -> HostCgroup {
        std::fs::create_dir(&dir).unwrap();
        HostCgroup(dir)
    }

    #[track_caller]
    fn set(&self, file: &str, value: impl ToString) {
        std::fs::write(self.0.join(file), value.to_string()).unwrap();
    }
}

impl Drop for HostCgroup {
    fn drop(&mut self) {
        // The last process may have ended a moment ago.
        let deadline = deadline_in(5);
        while std::fs::remove_dir(&self.0).is_err() && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
