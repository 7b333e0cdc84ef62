//! A hundred containers at once, however few processors there are: all of them come to be, none is lost, and nothing stays.

use crate::common::*;
use crate::systemd::{can_be_tested, systemctl};
use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;

const MANY: usize = 100;

/// Containers of one bundle, which differ in their ids alone.
struct Crowd {
    bundle: Container,
    host: Host,
    /// Options before the command, and those of a creation.
    globals: Vec<OsString>,
    creation: Vec<String>,
    dir: PathBuf,
    ids: Vec<String>,
}

impl Crowd {
    /// In a pod, if there is one.
    fn new(host: Host, pod: Option<&Pod>) -> Crowd {
        Self::of(Container::sleeper().on(host), host, pod)
    }

    fn of(bundle: Container, host: Host, pod: Option<&Pod>) -> Crowd {
        bundle.write_config();
        let ids = (0..MANY).map(|n| format!("{}-{n}-", bundle.id)).collect();
        let mut globals = vec!["--root".into(), bundle.root().into_os_string()];
        let mut creation = vec!["-b".into(), bundle.bundle().display().to_string()];
        if let Some(pod) = pod {
            globals.extend(["--pods".into(), pod.pods().into_os_string()]);
            creation.extend(["--pod".into(), pod.name.clone()]);
        }
        Crowd { host, globals, creation, dir: bundle.dir().to_owned(), ids, bundle }
    }

    /// The commands of each, one after the other, side by side with those of all others. ID stands for its id.
    #[track_caller]
    fn each(&self, commands: &[&[&str]]) {
        let Crowd { host, globals, dir, ids, .. } = self;
        std::thread::scope(|scope| {
            let one = |id: &String| {
                for args in commands {
                    let args = args.iter().map(|arg| if *arg == "ID" { id } else { *arg });
                    let mut command = host.command(&program());
                    command.args(globals).args(args).stdin(Stdio::null()).stdout(Stdio::null());
                    let errors = dir.join(format!("{id}.stderr"));
                    command.stderr(File::create(&errors).unwrap());
                    let code = wait_within(&mut command.spawn().unwrap(), 2 * LIMIT, &format!("{command:?}"));
                    assert_eq!(code, 0, "{command:?}: {}", read(&errors));
                }
            };
            let all: Vec<_> = ids.iter().map(|id| scope.spawn(move || one(id))).collect();
            let failed: Vec<_> = all.into_iter().filter_map(|thread| thread.join().err()).collect();
            assert!(failed.is_empty(), "{} of {MANY} failed", failed.len());
        });
    }

    fn states(&self) -> Vec<Value> {
        let out = self.bundle.call(&["list", "--format", "json"]).ok();
        match serde_json::from_str(&out.stdout).unwrap() {
            Value::Array(states) => states,
            _ => Vec::new(),
        }
    }

    fn lives(&self, tally: &Tally) {
        self.ids.iter().for_each(|_| tally.tries());
        let create: Vec<&str> = ["create"].into_iter().chain(self.creation.iter().map(String::as_str)).collect();
        let create = [create.as_slice(), &["ID"]].concat();
        self.each(&[&create, &["start", "ID"], &["exec", "ID", "true"], &["state", "ID"]]);
        let mut ids = self.ids.clone();
        ids.sort();
        let states = self.states();
        assert_eq!(states.iter().map(|state| state["id"].as_str().unwrap()).collect::<Vec<_>>(), ids);
        assert!(states.iter().all(|state| state["status"] == "running"), "{states:?}");
        let mut pids: Vec<u32> = states.iter().map(|state| state["pid"].as_u64().unwrap() as u32).collect();
        pids.sort();
        pids.dedup();
        assert_eq!(pids.len(), MANY);
        self.each(&[&["kill", "ID", "KILL"]]);
        eventually("all have ended", || self.states().iter().all(|state| state["status"] == "stopped"));
        self.each(&[&["delete", "ID"]]);
        assert_eq!(self.states(), Vec::<Value>::new());
        self.bundle.left_nothing();
        self.ids.iter().for_each(|_| tally.survives());
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for state in self.states() {
            self.bundle.call(&["delete", "--force", state["id"].as_str().unwrap()]);
        }
    }
}

#[test]
fn a_hundred_containers_at_once() {
    for host in Host::all() {
        let crowd = Crowd::new(host, None);
        let tally = Tally::of("Races", &format!("100 containers at once, {host:?}"));
        (0..rounds(1, 10)).for_each(|_| crowd.lives(&tally));
    }
}

/// They queue at its bus, whose limits are far above, and none comes back with an error.
#[test]
fn a_hundred_containers_at_once_by_systemd() {
    if !can_be_tested() {
        return;
    }
    let mut crowd = Crowd::of(Container::sleeper().by_systemd(), Host::plain(), None);
    crowd.globals.push("--systemd-cgroup".into());
    let tally = Tally::of("Races", "100 containers at once, by systemd");
    (0..rounds(1, 10)).for_each(|_| crowd.lives(&tally));
    let units = systemctl(&["list-units", "--all", "--no-legend", &format!("*{}*", crowd.bundle.id)]);
    assert_eq!(units, "", "left");
}

#[test]
fn a_hundred_containers_at_once_in_one_pod() {
    if !hilum_only("pods") {
        return;
    }
    let pod = Pod::with(&["--share", "net,ipc,uts,pid"]);
    let crowd = Crowd::new(Host::plain(), Some(&pod));
    let tally = Tally::of("Races", "100 containers at once in one pod");
    (0..rounds(1, 10)).for_each(|_| crowd.lives(&tally));
    drop(crowd);
    pod.finish();
}
