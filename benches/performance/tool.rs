//! What is compared: hilum, crun, runc, and the floor.

use crate::bundle::Bundle;
use crate::target;
use rustix::process::{Pid, WaitOptions, set_child_subreaper, waitpid};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory with the bundles, and each tool's state. All of it goes when it is dropped, the containers first.
pub struct Stage {
    pub dir: PathBuf,
    pub tools: Vec<Tool>,
    /// Unique on the host: what all ids, and so all cgroups, begin with.
    pub prefix: String,
    /// With /bin/true, and with one that stays.
    pub short: Bundle,
    pub long: Bundle,
    /// What all bundles do without, for one of the tools.
    pub without: &'static str,
}

pub struct Tool {
    pub name: &'static str,
    pub program: PathBuf,
    root: PathBuf,
}

impl Stage {
    pub fn new(layout: &str) -> Stage {
        // The processes of a container become children of this one when its runtime ends, and can be waited for.
        set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        let prefix = format!("bench{}{layout}", std::process::id());
        let dir = Path::new("/run").join(&prefix);
        fs::create_dir(&dir).unwrap();
        // As /run is on most hosts: a disk would be measured, too.
        crate::must(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&dir));
        let tools = ["hilum", "crun", "runc", "floor"].into_iter().filter_map(|name| Tool::find(name, &dir)).collect();
        let short = Bundle::new(&dir.join("short"), &["/bin/true"]);
        let long = Bundle::new(&dir.join("long"), &["/bin/sleep", "1000"]);
        let mut stage = Stage { dir, tools, prefix, short, long, without: "" };
        stage.do_without();
        stage
    }

    /// crun raises RLIMIT_MEMLOCK for the device program, and gives up where it may not. The same bundle for all.
    fn do_without(&mut self) {
        let fails = |tool: &Tool| {
            let out = quiet(tool.run(&self.short, &format!("{}first", self.prefix))).status().unwrap();
            !out.success()
        };
        if self.tools.iter().any(fails) {
            self.without =
                "device rules of its own: crun, which cannot set any here, has none then, the others the usual ones";
            for bundle in [&self.short, &self.long] {
                bundle.change(|config| _ = config["linux"].as_object_mut().unwrap().remove("resources"));
            }
        }
        if let Some(tool) = self.tools.iter().find(|tool| fails(tool)) {
            panic!("{} cannot run a container here: {:?}", tool.name, tool.run(&self.short, "x"));
        }
    }

    pub fn id(&self, tool: &Tool, n: impl std::fmt::Display) -> String {
        format!("{}{}{n}", self.prefix, tool.name)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for tool in &self.tools {
            for entry in fs::read_dir(&tool.root).into_iter().flatten().flatten() {
                tool.remove(&entry.file_name().to_string_lossy());
            }
        }
        while waitpid(None, WaitOptions::NOHANG).is_ok_and(|found| found.is_some()) {}
        _ = Command::new("umount").arg(&self.dir).status();
        _ = fs::remove_dir(&self.dir);
    }
}

impl Tool {
    fn find(name: &'static str, dir: &Path) -> Option<Tool> {
        let own = target().join(name);
        let on_path = || {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).chain(["/usr/sbin".into()]).map(|it| it.join(name)).find(|it| it.exists())
        };
        let program = if own.exists() { Some(own) } else { on_path() };
        if program.is_none() {
            eprintln!("performance: no {name}, left out");
        }
        let root = dir.join(name);
        fs::create_dir(&root).unwrap();
        Some(Tool { name, program: program?.canonicalize().unwrap(), root })
    }

    pub fn is_floor(&self) -> bool {
        self.name == "floor"
    }

    /// What the floor has no part in: filters, namespaces that are joined.
    pub fn is_runtime(&self) -> bool {
        !self.is_floor()
    }

    pub fn version(&self) -> String {
        let out = Command::new(&self.program).arg("--version").output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let word = text.lines().next().and_then(|line| line.split_whitespace().last());
        if self.is_floor() { String::new() } else { word.unwrap_or_default().to_owned() }
    }

    /// `runtime --root DIR WORD …`, or `floor WORD …`.
    fn command(&self, word: &str) -> Command {
        let mut command = Command::new(&self.program);
        if !self.is_floor() {
            command.arg("--root").arg(&self.root);
        }
        command.arg(word);
        command
    }

    fn state(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    pub fn run(&self, bundle: &Bundle, id: &str) -> Command {
        let mut command = self.command("run");
        match self.is_floor() {
            true => command.arg(bundle.rootfs()),
            false => command.arg("--bundle").arg(&bundle.path).arg(id),
        };
        command
    }

    pub fn create(&self, bundle: &Bundle, id: &str) -> Command {
        let mut command = self.command("create");
        match self.is_floor() {
            true => command.arg(self.state(id)).arg(bundle.rootfs()).args(&bundle.args),
            false => {
                command.arg("--bundle").arg(&bundle.path).arg("--pid-file").arg(self.root.with_extension(id)).arg(id)
            }
        };
        command
    }

    /// `start`, `state`, `delete`, …
    pub fn of(&self, operation: &str, id: &str) -> Command {
        let mut command = self.command(operation);
        match self.is_floor() {
            true => command.arg(self.state(id)),
            false => command.arg(id),
        };
        if operation == "kill" && !self.is_floor() {
            command.arg("KILL");
        }
        command
    }

    pub fn exec(&self, id: &str) -> Command {
        let mut command = self.of("exec", id);
        command.arg("/bin/true");
        command
    }

    pub fn list(&self) -> Command {
        let mut command = self.command("list");
        if self.is_floor() {
            command.args(fs::read_dir(&self.root).unwrap().flatten().map(|entry| entry.path()));
        }
        command
    }

    /// After `create`: the first process.
    pub fn pid(&self, id: &str) -> i32 {
        let file = if self.is_floor() { self.state(id).join("state") } else { self.root.with_extension(id) };
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        text.split_whitespace().next().unwrap().parse().unwrap()
    }

    pub fn wait_for_end(&self, id: &str) {
        let pid = Pid::from_raw(self.pid(id)).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        // One that is not a child, because its runtime has waited for it, is gone.
        while let Ok(None) = waitpid(Some(pid), WaitOptions::NOHANG) {
            assert!(std::time::Instant::now() < deadline, "{id} of {} does not end", self.name);
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        if !self.is_floor() {
            _ = fs::remove_file(self.root.with_extension(id));
        }
    }

    /// Whatever there is of it.
    pub fn remove(&self, id: &str) {
        if self.is_floor() {
            _ = quiet(self.of("kill", id)).status();
            self.wait_for_end(id);
            _ = quiet(self.of("delete", id)).status();
        } else {
            let mut command = self.command("delete");
            _ = quiet(command.args(["--force", id])).status();
        }
    }
}

/// Nothing to read, and nobody who reads.
pub fn quiet(mut command: impl std::borrow::BorrowMut<Command>) -> Command {
    let given = command.borrow_mut();
    let mut command = Command::new(given.get_program());
    command.args(given.get_args()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
