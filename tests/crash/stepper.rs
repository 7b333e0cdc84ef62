//! A command that is stopped at each of its system calls (ptrace(2)), as are the processes that it starts: counted,
//! killed after one, or given an error for one.

use super::calls::{self, Kind};
use crate::common::{patience, program, read, skip};
use nix::errno::Errno;
use nix::libc::{PTRACE_EVENT_CLONE, PTRACE_EVENT_EXEC, PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// No command takes longer, and none waits this long for anything.
const LIMIT: Duration = Duration::from_secs(25);

/// The runtime, among the processes: its children follow, in the order in which they are made.
pub const RUNTIME: usize = 0;

/// One system call of those that are noted (calls.rs): whose, the how manieth of that process, and what it is.
#[derive(Clone, Copy)]
pub struct Call {
    pub who: usize,
    pub nth: usize,
    pub kind: &'static Kind,
    pub changes: bool,
}

/// Which call: whose, and the how manieth of that process.
pub type Place = (usize, usize);

#[derive(Clone, Copy)]
pub enum Strike {
    /// SIGKILL as soon as the call is done.
    Kill,
    /// The call is not made, and fails.
    Fail(Errno),
}

/// How a command went.
pub struct Walk {
    /// As a shell counts it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub calls: Vec<Call>,
    /// What was struck, if it came to that.
    pub struck: Option<&'static str>,
    /// Of its processes those that were there when it ended.
    pub left: Vec<u32>,
    /// It had to be ended.
    pub hung: bool,
}

pub fn may_trace() -> bool {
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    let may = ptrace::seize(Pid::from_raw(child.id() as i32), Options::empty()).is_ok();
    child.kill().unwrap();
    child.wait().unwrap();
    may || skip("ptrace(2) is not allowed")
}

/// Runs the command until the runtime has ended, and looks at these processes, too. Its output is in `dir`.
pub fn walk(command: &Command, dir: &Path, others: &[u32], strike: Option<(Place, Strike)>) -> Walk {
    let known = Arc::new(Mutex::new(Vec::new()));
    let (done, ended) = mpsc::channel();
    let (stdout, stderr) = (dir.join("step.stdout"), dir.join("step.stderr"));
    let mut step = Step::new(command, dir, (&stdout, &stderr), strike, known.clone());
    step.others.extend(others.iter().map(|pid| Pid::from_raw(*pid as i32)));
    // A thread of its own: its end lets go of what is still traced, and it waits for nobody else's children.
    let thread = std::thread::spawn(move || done.send(step.run()));
    let (hung, walk) = match ended.recv_timeout(LIMIT * patience()) {
        Ok(walk) => (false, walk),
        Err(_) => {
            known.lock().unwrap().iter().for_each(|pid| _ = kill(*pid, Signal::SIGKILL));
            (true, ended.recv().expect("the stepper has failed"))
        }
    };
    thread.join().unwrap().unwrap();
    Walk { hung, stdout: read(&stdout), stderr: read(&stderr), ..walk }
}

struct Tracee {
    /// None: it is what leads to the runtime, and is not looked at.
    who: Option<usize>,
    noted: usize,
    /// The call that it is in.
    inside: Option<Inside>,
}

struct Inside {
    noted: Option<Call>,
    fails: Option<Errno>,
}

struct Step {
    command: Command,
    program: PathBuf,
    strike: Option<(Place, Strike)>,
    known: Arc<Mutex<Vec<Pid>>>,
    others: Vec<Pid>,
    first: Pid,
    tracees: HashMap<Pid, Tracee>,
    /// Children that were heard of before their parents said so.
    early: HashSet<Pid>,
    /// How many have a number, with the runtime, which comes later than some.
    count: usize,
    walk: Walk,
}

impl Step {
    fn new(
        command: &Command,
        dir: &Path,
        (stdout, stderr): (&Path, &Path),
        strike: Option<(Place, Strike)>,
        known: Arc<Mutex<Vec<Pid>>>,
    ) -> Step {
        // It waits until it is traced.
        let mut waiting = Command::new("sh");
        waiting.args(["-c", "read go && exec \"$@\" </dev/null", "sh"]).arg(command.get_program());
        waiting.args(command.get_args());
        waiting.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        waiting.current_dir(command.get_current_dir().unwrap_or(dir));
        waiting.stdin(Stdio::piped()).stdout(File::create(stdout).unwrap());
        waiting.stderr(File::create(stderr).unwrap());
        Step {
            command: waiting,
            program: program().canonicalize().unwrap(),
            strike,
            known,
            others: Vec::new(),
            first: Pid::from_raw(0),
            tracees: HashMap::new(),
            early: HashSet::new(),
            count: 1,
            walk: Walk {
                code: -1,
                stdout: String::new(),
                stderr: String::new(),
                calls: Vec::new(),
                struck: None,
                left: Vec::new(),
                hung: false,
            },
        }
    }

    #[allow(clippy::zombie_processes)] // waitpid(2) below waits for it
    fn run(mut self) -> Walk {
        let mut child = self.command.spawn().unwrap();
        self.first = Pid::from_raw(child.id() as i32);
        let follow = Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK | Options::PTRACE_O_TRACECLONE;
        let options = follow | Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_TRACESYSGOOD;
        ptrace::seize(self.first, options).unwrap();
        self.tracees.insert(self.first, Tracee::new(None));
        self.known.lock().unwrap().push(self.first);
        for pid in std::mem::take(&mut self.others) {
            self.tracees.insert(pid, Tracee::new(Some(self.count)));
            self.count += 1;
            ptrace::seize(pid, options).and_then(|()| ptrace::interrupt(pid)).unwrap();
        }
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"go\n").unwrap();
        loop {
            match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.first => return self.ended(code),
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.first => {
                    return self.ended(128 + signal as i32);
                }
                Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) => drop(self.tracees.remove(&pid)),
                Ok(WaitStatus::PtraceSyscall(pid)) => self.at_call(pid),
                Ok(WaitStatus::PtraceEvent(pid, _, event)) => self.at_event(pid, event),
                Ok(WaitStatus::Stopped(pid, signal)) => self.go_on(pid, Some(signal)),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => panic!("waitpid: {e}"),
            }
        }
    }

    fn ended(mut self, code: i32) -> Walk {
        let numbered = self.tracees.iter().filter(|(pid, it)| **pid != self.first && it.who.is_some());
        self.walk.left.extend(numbered.map(|(pid, _)| pid.as_raw() as u32));
        self.walk.code = code;
        self.walk
    }

    fn at_event(&mut self, pid: Pid, event: i32) {
        match event {
            PTRACE_EVENT_FORK | PTRACE_EVENT_VFORK | PTRACE_EVENT_CLONE => {
                if let Ok(child) = ptrace::getevent(pid) {
                    self.follow(pid, Pid::from_raw(child as i32));
                }
                self.go_on(pid, None);
            }
            PTRACE_EVENT_EXEC => self.executed(pid),
            // PTRACE_EVENT_STOP: of a new child, or of nothing.
            _ if self.tracees.contains_key(&pid) => self.go_on(pid, None),
            _ => drop(self.early.insert(pid)),
        }
    }

    fn follow(&mut self, parent: Pid, child: Pid) {
        let who = self.tracees.get(&parent).and_then(|it| it.who).map(|_| self.count);
        self.count += usize::from(who.is_some());
        self.tracees.insert(child, Tracee::new(who));
        self.known.lock().unwrap().push(child);
        if self.early.remove(&child) {
            self.go_on(child, None);
        }
    }

    /// From here on it is the runtime, or its init program; or anything else, which is none of ours.
    fn executed(&mut self, pid: Pid) {
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let Some(tracee) = self.tracees.get_mut(&pid) else { return };
        if tracee.who.is_none() && exe == self.program {
            tracee.who = Some(RUNTIME);
            tracee.inside = Some(Inside { noted: None, fails: None });
        } else if tracee.who.is_some_and(|who| who != RUNTIME) && !exe.to_string_lossy().contains("memfd:hilum-init") {
            self.walk.left.push(pid.as_raw() as u32);
            self.tracees.remove(&pid);
            _ = ptrace::detach(pid, None);
            return;
        }
        self.go_on(pid, None);
    }

    fn go_on(&self, pid: Pid, signal: Option<Signal>) {
        // What was killed meanwhile is told by the next wait.
        _ = match self.tracees.get(&pid).is_some_and(|it| it.who.is_some()) {
            true => ptrace::syscall(pid, signal),
            false => ptrace::cont(pid, signal),
        };
    }

    fn at_call(&mut self, pid: Pid) {
        let (Some(tracee), Ok(mut registers)) = (self.tracees.get_mut(&pid), ptrace::getregs(pid)) else { return };
        match tracee.inside.take() {
            None => {
                let r = &registers;
                let peek = |at: u64| ptrace::read(pid, at as ptrace::AddressType).unwrap_or(0) as u64;
                let found = calls::noted(r.orig_rax, [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9], peek);
                let noted = found.map(|(kind, changes)| {
                    tracee.noted += 1;
                    Call { who: tracee.who.unwrap_or_default(), nth: tracee.noted, kind, changes }
                });
                self.walk.calls.extend(noted);
                let mut fails = None;
                if let (Some(call), Some((at, Strike::Fail(errno)))) = (noted, self.strike) {
                    if call.place() == at {
                        fails = Some(errno);
                        self.walk.struck = Some(call.kind.name);
                        registers.orig_rax = u64::MAX;
                        ptrace::setregs(pid, registers).unwrap();
                    }
                }
                tracee.inside = Some(Inside { noted, fails });
            }
            Some(Inside { fails: Some(errno), .. }) => {
                registers.rax = -i64::from(errno as i32) as u64;
                _ = ptrace::setregs(pid, registers);
            }
            Some(Inside { noted: Some(call), .. }) => {
                if let Some((at, Strike::Kill)) = self.strike {
                    if call.place() == at {
                        self.walk.struck = Some(call.kind.name);
                        _ = kill(pid, Signal::SIGKILL);
                        return;
                    }
                }
            }
            Some(_) => {}
        }
        self.go_on(pid, None);
    }
}

impl Tracee {
    fn new(who: Option<usize>) -> Tracee {
        Tracee { who, noted: 0, inside: None }
    }
}

impl Call {
    pub fn place(&self) -> Place {
        (self.who, self.nth)
    }
}
