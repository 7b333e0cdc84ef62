//! A pod that cleans up after itself, and the containers in it.

use super::*;

/// A pod with a `--pods` directory of its own. Removed on drop, with the containers that it still has; `finish` also
/// proves that nothing stayed. To be made before its containers, so that it is dropped after them.
///
/// What it pins is mounted in the mount namespace of the test: only on `Host::plain()`.
pub struct Pod {
    dir: tempfile::TempDir,
    pub name: String,
    /// Options before the command, of every call.
    globals: Vec<String>,
    env: Vec<(&'static str, String)>,
    calls: Cell<u32>,
}

impl Pod {
    /// Not made yet: `create` does that.
    pub fn new() -> Pod {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::Builder::new().prefix("hilum-test-").tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        // No other pod's name begins so, and no dash is in it, which a slice of systemd's would have to escape.
        let name = format!("hp{}n{}p", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let globals = vec!["--pods".into(), dir.path().join("pods").display().to_string()];
        Pod { dir, name, globals, env: Vec::new(), calls: Cell::new(0) }
    }

    /// Made with these options of `pod create`.
    #[track_caller]
    pub fn with(flags: &[&str]) -> Pod {
        let pod = Pod::new();
        pod.create(flags).ok();
        pod
    }

    /// With --systemd-cgroup, of every call, and for the containers that it gets.
    pub fn by_systemd(mut self) -> Pod {
        self.globals.push("--systemd-cgroup".into());
        self
    }

    /// With this in the environment of every call.
    pub fn env(mut self, name: &'static str, value: &Path) -> Pod {
        self.env.push((name, value.display().to_string()));
        self
    }

    pub fn create(&self, flags: &[&str]) -> Out {
        self.call(&[&["pod", "create"], flags, &[&self.name]].concat())
    }

    /// `pod VERB ARGS… NAME`
    pub fn verb(&self, verb: &str, args: &[&str]) -> Out {
        self.call(&[&["pod", verb], args, &[&self.name]].concat())
    }

    /// What `pod VERB ARGS… NAME --format json` prints.
    #[track_caller]
    pub fn json(&self, verb: &str, args: &[&str]) -> Value {
        self.json_of(verb, &[args, &[&self.name]].concat())
    }

    #[track_caller]
    pub fn json_of(&self, verb: &str, args: &[&str]) -> Value {
        let out = self.call(&[&["pod", verb], args, &["--format", "json"]].concat()).ok();
        serde_json::from_str(&out.stdout).unwrap_or_else(|e| panic!("{e}: {:?}", out.stdout))
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        // A `--root` without containers: the pod knows where its own are.
        command.arg("--root").arg(self.root()).args(&self.globals).args(args);
        command.envs(self.env.iter().cloned());
        command
    }

    /// A file beside its directory.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// The `--root` of its own calls: of what `pod run` starts.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn call(&self, args: &[&str]) -> Out {
        self.finish_call(self.command(args))
    }

    /// Runs a command within the time limit.
    pub fn finish_call(&self, mut command: Command) -> Out {
        let n = self.calls.replace(self.calls.get() + 1);
        let (out, err) = (self.dir.path().join(format!("stdout.{n}")), self.dir.path().join(format!("stderr.{n}")));
        command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let code = wait_within(&mut command.spawn().unwrap(), LIMIT, &format!("{command:?}"));
        Out { code, stdout: read(&out), stderr: read(&err) }
    }

    /// The `--pods` directory.
    pub fn pods(&self) -> PathBuf {
        self.dir.path().join("pods")
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The pod's own.
    pub fn path(&self) -> PathBuf {
        self.pods().join(&self.name)
    }

    /// pod.json, as it is at this moment.
    pub fn document(&self) -> Value {
        serde_json::from_str(&read(&self.path().join("pod.json"))).unwrap()
    }

    /// The same, where it may not be there.
    pub fn document_or_null(&self) -> Value {
        if self.path().join("pod.json").exists() { self.document() } else { Value::Null }
    }

    /// `net:[4026531840]`, as `ns` says it of a process, for what is pinned. `kind` as in /proc/PID/ns.
    pub fn ns(&self, kind: &str) -> String {
        use std::os::unix::fs::MetadataExt as _;
        let path = self.path().join("ns").join(kind);
        let inode = fs::metadata(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).ino();
        format!("{kind}:[{inode}]")
    }

    /// The directory of its cgroup where the controller is; `""` is version 2.
    pub fn cgroup(&self, controller: &str) -> PathBuf {
        let document = self.document();
        let directories = document["cgroup"]["directories"].as_array().unwrap();
        let version = |d: &Value| d["version"] == "v2";
        let has = |d: &&Value| d["controllers"].as_array().unwrap().iter().any(|c| c == controller);
        let found = directories.iter().find(has).or_else(|| directories.iter().find(|d| version(d)));
        let found = found.unwrap_or_else(|| panic!("no {controller:?} in {document}"));
        found["path"].as_str().unwrap().into()
    }

    /// The files of a cgroup that have the limit and the usage of memory, by the host's version.
    pub fn memory_files() -> (&'static str, &'static str) {
        match Host::plain() {
            Host::V1Hybrid => ("memory.limit_in_bytes", "memory.usage_in_bytes"),
            Host::V2 => ("memory.max", "memory.current"),
        }
    }

    /// Removes it, with its containers, and proves that nothing is left.
    #[track_caller]
    pub fn finish(self) {
        self.verb("rm", &["-f"]).ok();
        self.left_nothing();
    }

    /// Fails if a process, cgroup, mount or file of the pod exists. Processes may take a moment to go.
    #[track_caller]
    pub fn left_nothing(&self) {
        let deadline = deadline_in(5);
        loop {
            let left = leftovers(&self.name, self.dir.path(), &self.pods());
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind by {}: {left:#?}", self.name);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if self.path().exists() {
            self.verb("rm", &["-f"]);
        }
        let dir = self.dir.path().display().to_string();
        for mount in mounts_of(std::process::id()).iter().filter(|mount| mount.point.starts_with(&dir)) {
            _ = Command::new("umount").args(["-l", &mount.point]).status();
        }
        for dir in cgroups_named(&self.name) {
            _ = fs::remove_dir(dir);
        }
    }
}

impl Container {
    /// Every creation of it is with `--pod`.
    pub fn in_pod(self, pod: &Pod) -> Container {
        self.knows(pod).creating(&["--pod", &pod.name])
    }

    /// Every call of it has the pod's `--pods`.
    pub fn knows(mut self, pod: &Pod) -> Container {
        self.globals.extend(pod.globals.iter().cloned());
        self
    }
}
