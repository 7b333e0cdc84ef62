//! The plan carried out: the parent's side of creating a container.

mod channel;
pub mod console;
mod failure;
mod files;
pub mod foreground;
pub mod hooks;
pub mod idmap;
pub mod notify;
pub mod start;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use hilum_init::Header;
use hilum_init::step::{Point, Step, Words};
use rustix::fs::{Mode, OFlags, fstatfs, open};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

pub use channel::{Channel, Said};

use crate::cgroup;
use crate::error::{Context, Error, Result};
use crate::plan::seccomp::Filter;
use crate::plan::{Plan, describe};
use crate::spec::config::Hooks;
use crate::state::{Container, Identity, InitProgram, State, Status, StepNames};
use console::Console;

const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// What the parent works with while it creates a container.
pub struct Creation<'c> {
    pub plan: &'c Plan<'c>,
    pub cgroup: &'c mut cgroup::Plan,
    pub seccomp: Option<&'c Filter<'c>>,
    pub hooks: &'c Hooks,
    pub preserve: u32,
    pub wait_for_start: bool,
    /// The caller has nothing to do between the creation and the execution.
    pub go_ahead: bool,
    pub container: &'c Container,
    pub state: &'c mut State,
    pub console: Console,
}

/// A container whose process has done all but to execute.
pub struct Created {
    pub channel: Channel,
    pub process: Identity,
    pub pidfd: OwnedFd,
    /// The terminal's master, if the caller is to hold it.
    pub terminal: Option<OwnedFd>,
    /// It has been let go already.
    went_ahead: bool,
}

impl Created {
    /// Lets the process execute, and returns once it has.
    pub fn execute(&self, state: &State) -> Result<()> {
        if !self.went_ahead {
            self.channel.go()?;
        }
        start::await_exec(&self.channel, state)
    }
}

impl Creation<'_> {
    /// Up to the point where the process is ready; on an error, nothing of it is left but the container's directory.
    pub fn create(mut self) -> Result<Created> {
        self.cgroup.create()?;
        self.state.cgroup = self.cgroup.cgroup.clone();
        let mut begun = Begun::default();
        let created = self.start_process(&mut begun);
        if created.is_err() {
            self.undo(&begun);
        }
        created
    }

    fn start_process(&mut self, begun: &mut Begun) -> Result<Created> {
        let entry = self.cgroup.cgroup.entry()?;
        let program = files::init_program()?;
        self.state.init = Some(InitProgram::of(&program)?);
        let progress = files::Progress::new()?;
        let proc = host_proc()?;
        let start = if self.wait_for_start { Some(start::listen_in(self.container.path())?) } else { None };
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).context("socketpair")?;

        // CLONE_INTO_CGROUP where the clone is the container's process and v2 is all there is; else it enters itself.
        let into_cgroup = entry.v2.as_ref().filter(|_| !self.plan.stage_one);
        let mut procs = entry.procs;
        if let (Some(dir), None) = (&entry.v2, into_cgroup) {
            procs.push(
                rustix::fs::openat(dir, "cgroup.procs", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
                    .context("open cgroup.procs")?,
            );
        }
        let numbers: Vec<u8> = procs.iter().flat_map(|fd| (fd.as_raw_fd() as u32).to_ne_bytes()).collect();
        let header = Header {
            channel: theirs.as_raw_fd(),
            progress: progress.file.as_raw_fd(),
            proc: proc.as_raw_fd(),
            start: start.as_ref().map_or(-1, AsRawFd::as_raw_fd),
            cgroup_procs: Words(&numbers),
            preserve: self.preserve,
        };
        let plan = files::plan(&header, &self.plan.steps)?;

        let mut inherit = vec![theirs.as_raw_fd(), progress.file.as_raw_fd(), proc.as_raw_fd(), plan.as_raw_fd()];
        inherit.extend(3..3 + self.preserve as i32);
        inherit.extend(start.iter().map(AsRawFd::as_raw_fd));
        inherit.extend(procs.iter().chain(&self.plan.fds).map(AsRawFd::as_raw_fd));
        let number = std::ffi::CString::new(plan.as_raw_fd().to_string()).unwrap_or_default();
        let spawned = hilum_sys::clone::spawn(
            program.as_fd(),
            [c"hilum-init", &number],
            &inherit,
            self.plan.clone_kinds.into(),
            into_cgroup.map(AsFd::as_fd),
        )
        .map_err(|errno| failure::spawn(errno, self.plan))?;
        begun.processes.push(spawned.pidfd);
        begun.pid = spawned.pid;
        // The other end must be the child's alone: its end is how we learn of the child's.
        drop((theirs, start));
        // From here on the child works beside us.
        if !self.plan.stage_one {
            self.record(spawned.pid)?;
        }
        self.cgroup.install_device_filter()?;
        let channel = Channel::new(ours);
        // What has an answer already is asked without a wait, which saves the run two changes of context.
        let went_ahead = self.may_go_ahead();
        if went_ahead {
            // It may have failed by now: then its last words, which are read next, say why, and not a broken pipe.
            let _ = channel.go();
        }
        Ok(Created { went_ahead, ..self.converse(channel, &progress, begun)? })
    }

    /// Whether the only question of the child will be whether it may execute, and nothing speaks against it.
    fn may_go_ahead(&self) -> bool {
        let asks = |step: &&Step<'_>| matches!(step, Step::Wait(_) | Step::Hook(_));
        self.go_ahead && self.plan.steps.iter().find(asks) == Some(&Step::Wait(Point::Ready))
    }

    /// The container's first process is known, and so is what to undo should this one be killed. Written while the child
    /// is at work.
    fn record(&mut self, pid: i32) -> Result<()> {
        self.state.process = Some(Identity::of(pid)?);
        self.container.save(self.state)
    }

    fn converse(&mut self, channel: Channel, progress: &files::Progress, begun: &mut Begun) -> Result<Created> {
        let mut terminal = None;
        let mut stage_one = self.plan.stage_one;
        let mut deferred = None;
        // Compiled while the child mounts, unless it waits for its id maps first.
        let mut seccomp = if self.plan.id_maps.is_none() { self.compile_seccomp()? } else { Vec::new() };
        loop {
            let said = match deferred.take_if(|_| !stage_one) {
                Some(said) => said,
                None => channel.next()?,
            };
            match said {
                Said::At(Point::IdMaps) => {
                    if let Some(maps) = &self.plan.id_maps {
                        idmap::write(begun.pid, maps)?;
                    }
                    channel.go()?;
                    seccomp = self.compile_seccomp()?;
                }
                Said::Forked(pid) => {
                    // The child of our child has us as its parent (CLONE_PARENT): its pid cannot be reused before we
                    // have waited for it.
                    let number = Pid::from_raw(pid).ok_or_else(|| Error::new("the init program reported no pid"))?;
                    let pidfd = pidfd_open(number, PidfdFlags::empty()).context("pidfd_open")?;
                    begun.reap_stage_one();
                    begun.processes.push(pidfd);
                    begun.pid = pid;
                    stage_one = false;
                    self.record(pid)?;
                }
                // Stage two may be heard before stage one has said its pid.
                said @ Said::At(_) if stage_one => deferred = Some(said),
                Said::At(Point::RuntimeHooks) => {
                    begun.hooks = true;
                    let (hooks, pid) = (self.hooks, begun.pid);
                    hooks::run("prestart", &hooks.prestart, self.state, Status::Creating, pid)?;
                    hooks::run("createRuntime", &hooks.create_runtime, self.state, Status::Creating, pid)?;
                    channel.go()?;
                }
                Said::At(Point::HookState) => {
                    begun.hooks = true;
                    let pid = inner_pid(begun.pid)?;
                    channel.answer(&hooks::document(self.state, Status::Creating, pid)?)?;
                }
                Said::At(Point::Seccomp) => channel.answer(&seccomp)?,
                Said::Terminal(master) => terminal = self.console.deliver(master)?,
                Said::At(Point::Ready) => {
                    let process = self.state.process.ok_or_else(|| Error::new("no process"))?;
                    self.state.steps_after_start = steps_after_ready(&self.plan.steps);
                    self.state.ready = true;
                    if self.wait_for_start {
                        self.container.save(self.state)?;
                    }
                    let pidfd = begun.processes.pop().ok_or_else(|| Error::new("no process"))?;
                    return Ok(Created { channel, process, pidfd, terminal, went_ahead: false });
                }
                Said::Failed { step, errno, detail } => {
                    return Err(failure::step(self.plan.steps.get(step), errno, &detail));
                }
                Said::Executing | Said::Nothing => {
                    return Err(failure::silent(self.plan, progress.step(), begun.wait()));
                }
            }
        }
    }

    fn compile_seccomp(&self) -> Result<Vec<u8>> {
        self.seccomp.map_or(Ok(Vec::new()), |filter| filter.compile().context("linux.seccomp"))
    }

    /// Errors on the way out are logged: the one that is returned is why there is anything to undo.
    fn undo(&mut self, begun: &Begun) {
        begun.kill();
        let cgroup = &self.cgroup.cgroup;
        let removed = cgroup.signal_all(rustix::process::Signal::KILL).and_then(|()| cgroup.remove());
        if let Err(e) = removed {
            crate::log::warn(&format!("undo: {e}"));
        }
        if begun.hooks {
            run_poststop(self.state);
        }
    }
}

/// What has been started and must be ended if the creation fails.
#[derive(Default)]
struct Begun {
    processes: Vec<OwnedFd>,
    pid: i32,
    /// Hooks have seen the container: poststop must, too.
    hooks: bool,
}

impl Begun {
    fn kill(&self) {
        for pidfd in &self.processes {
            let _ = rustix::process::pidfd_send_signal(pidfd, rustix::process::Signal::KILL);
            let _ = wait(pidfd.as_fd());
        }
    }

    fn reap_stage_one(&mut self) {
        if let Some(pidfd) = self.processes.pop() {
            let _ = wait(pidfd.as_fd());
        }
    }

    fn wait(&self) -> Option<rustix::process::WaitIdStatus> {
        self.processes.last().and_then(|pidfd| wait(pidfd.as_fd()))
    }
}

/// Waits for a child's end.
pub fn wait(pidfd: std::os::fd::BorrowedFd<'_>) -> Option<rustix::process::WaitIdStatus> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED)).ok().flatten()
}

/// A hook that fails after the container's end cannot be undone: it is reported, and the others run (config.md).
pub fn run_poststop(state: &State) {
    for hook in &state.poststop {
        if let Err(e) = hooks::run("poststop", std::slice::from_ref(hook), state, Status::Stopped, 0) {
            crate::log::warn(&e.to_string());
        }
    }
}

/// A container whose poststart hook has failed does not go on (runtime.md, "Lifecycle").
pub fn run_poststart(state: &State) -> Result<()> {
    let Some(process) = state.process.filter(|_| !state.poststart.is_empty()) else {
        return Ok(());
    };
    let ran = hooks::run("poststart", &state.poststart, state, Status::Running, process.pid);
    if let (Err(_), Some(pidfd)) = (&ran, process.open()?) {
        hilum_sys::signal::send(pidfd.as_fd(), 9).context("kill the container's process")?;
    }
    ran
}

/// By name, for `start`, which has no plan.
fn steps_after_ready(steps: &[Step<'_>]) -> StepNames {
    let ready = steps.iter().position(|step| *step == Step::Wait(Point::Ready));
    let first = ready.unwrap_or(steps.len());
    StepNames { first, names: steps.iter().skip(first).map(describe).collect() }
}

/// The host's own procfs, for what the child writes there.
fn host_proc() -> Result<OwnedFd> {
    let proc = open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at("open", "/proc")?;
    if fstatfs(&proc).at("statfs", "/proc")?.f_type as i64 != PROC_SUPER_MAGIC {
        return Err(Error::new("/proc on this host is not a procfs").hint("mount -t proc proc /proc"));
    }
    Ok(proc)
}

/// The pid that the container's process has in its own pid namespace, which is the last of the list (proc_pid_status(5)).
pub fn inner_pid(pid: i32) -> Result<i32> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).at("read", &path)?;
    let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"));
    Ok(line.and_then(|line| line.split_whitespace().last()).and_then(|pid| pid.parse().ok()).unwrap_or(pid))
}
