//! The loop: read the message, do each step, report the one that fails.

use core::ffi::CStr;

use hilum_sys::memory::{SharedWord, map_sealed};
use hilum_sys::namespace::{self, Kind};
use hilum_sys::{clone, process as sys_process, schedule};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::channel::{Answer, ask, is_told, pause, tell, tell_with_fd};
use crate::fail::{During, Fail, Result};
use crate::root::{self, Root};
use crate::step::{Message, Point, Step};
use crate::{Header, device, hook, mount, process, seccomp, terminal, views};

/// What the steps leave for later ones.
pub(crate) struct Walk<'a> {
    pub(crate) header: Header<'a>,
    pub(crate) channel: OwnedFd,
    /// The host's own procfs, for what is written there.
    pub(crate) proc: OwnedFd,
    pub(crate) clock: Option<OwnedFd>,
    pub(crate) root: Option<Root>,
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) seccomp: Option<Answer>,
    pub(crate) program: Option<&'a CStr>,
    /// The working directory could not be entered as root, and is tried again as the user.
    pub(crate) cwd_pending: bool,
    pub(crate) masks: mount::Masks,
    pub(crate) parent: device::Parent<'a>,
    /// The last step has closed all that the program is not to have: nobody is there to `start` this one.
    pub(crate) is_tidy: bool,
}

/// Runs the plan in the sealed file of this descriptor number. Returns only what the process should exit with.
pub fn main(plan: &CStr) -> i32 {
    let Some(fd) = number(plan) else { return 2 };
    let Ok(message) = hilum_sys::process::take(fd).and_then(|fd| map_sealed(fd.as_fd())) else {
        return 2;
    };
    let Ok((header, steps)) = postcard::take_from_bytes::<Header<'_>>(message) else {
        return 2;
    };
    let Ok(channel) = hilum_sys::process::adopt(header.channel) else {
        return 2;
    };
    let procfs = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(proc) = rustix::fs::open(c"/proc", procfs, Mode::empty()) else {
        return 2;
    };
    let progress = hilum_sys::process::take(header.progress).and_then(|fd| SharedWord::map(fd.as_fd())).ok();

    let mut walk = Walk {
        header,
        channel,
        proc,
        clock: hilum_sys::process::adopt(header.clock).ok(),
        root: None,
        terminal: None,
        seccomp: None,
        program: None,
        cwd_pending: false,
        masks: mount::Masks::default(),
        parent: device::Parent::default(),
        is_tidy: false,
    };
    let _ = rustix::thread::set_name(crate::NAME);
    // What the steps make has the modes that they name; the user's umask comes last.
    rustix::process::umask(Mode::empty());
    let (mut rest, mut index) = (steps, 0);
    walk.stamp();
    let fail = loop {
        let Ok((step, behind)) = postcard::take_from_bytes::<Step<'_>>(rest) else {
            // The list ends with an exec that does not return; here it is cut off.
            break Fail::from(Errno::BADMSG);
        };
        if let Some(progress) = progress {
            progress.set(index);
        }
        match walk.step(step) {
            Ok(Next::Step) => {
                (rest, index) = (behind, index + 1);
                walk.stamp();
            }
            Ok(Next::End) => return 0,
            Err(fail) => break fail,
        }
    };
    let failed = Message::Failed { step: index, errno: fail.errno.raw_os_error(), detail: fail.detail() };
    let _ = tell(walk.channel.as_fd(), failed);
    1
}

fn number(text: &CStr) -> Option<i32> {
    core::str::from_utf8(text.to_bytes()).ok()?.parse().ok()
}

enum Next {
    Step,
    /// This process has done its part.
    End,
}

impl<'a> Walk<'a> {
    fn step(&mut self, step: Step<'a>) -> Result<Next> {
        let is_tidy = core::mem::take(&mut self.is_tidy);
        match step {
            Step::Join { kind, fd } => namespace::setns(sys_process::borrow(fd), kind)?,
            Step::EnterRoot { fd } => root::enter(sys_process::borrow(fd))?,
            Step::Unshare { kinds } => namespace::unshare(kinds)?,
            Step::UnshareMounts { from } => {
                let from = sys_process::take(from)?;
                namespace::setns(from.as_fd(), Kind::Mount.flag()).during("setns")?;
                namespace::unshare(Kind::Mount.flag()).during("unshare")?;
            }
            Step::BecomeRoot => process::become_root(self.proc())?,
            Step::TimeOffsets { lines } => self.proc_write(c"self/timens_offsets", lines.0, false)?,
            Step::Fork { kinds } => return self.fork(kinds),
            Step::EnterCgroup => {
                let lists = self.header.cgroups.iter().map(|fd| fd as i32);
                for fd in lists.clone() {
                    process::write_all(sys_process::borrow(fd), b"0")?;
                }
                sys_process::close_all(lists.filter_map(|fd| sys_process::take(fd).ok()));
            }
            Step::NotDumpable => process::hide()?,
            Step::Wait(Point::Seccomp) => self.seccomp = Some(ask(self.channel.as_fd(), Point::Seccomp)?),
            Step::Wait(Point::Ready) => {
                // A created container may wait for long, and one that shares its pid namespace and has CAP_SYS_PTRACE can
                // look at what is open here.
                self.close_all_but(self.header.start)?;
                pause(self.channel.as_fd(), Point::Ready).during("the runtime is gone")?;
                self.is_tidy = self.header.start < 0;
            }
            Step::Wait(point) => pause(self.channel.as_fd(), point).during("the runtime is gone")?,
            Step::SessionKeyring { name, label } => {
                if let Some(label) = label {
                    self.proc_write(c"self/attr/keycreate", label.0, false)?;
                }
                process::session_keyring(name.0)?;
            }
            Step::LoopbackUp => hilum_sys::socket::loopback_up()?,

            Step::Propagation { flags } => mount::propagation(c"/", flags)?,
            Step::PrivateParent { path } => mount::private_parent(path.0)?,
            Step::OpenRoot { path, recursive } => self.root = Some(Root::mount(path.0, recursive)?),
            Step::AttachRoot { fd, .. } => self.root = Some(Root::attach(fd)?),
            Step::OpenRootInPlace { path } => self.root = Some(Root::open(path.0)?),
            Step::Mount(it) => {
                self.parent = device::Parent::default(); // it may be covered by this
                mount::mount(self.root_mut()?, &it)?;
            }
            Step::Bind(it) => {
                self.parent = device::Parent::default();
                mount::bind(self.root_mut()?, &it)?;
            }
            Step::Remount { target, attr, recursive, propagation } => {
                mount::remount(self.root()?, target.0, attr, recursive, propagation)?;
            }
            Step::Directory { path } => drop(self.root()?.directory(path.0, false)?),
            Step::Node { path, mode, device, uid, gid } => {
                device::node(self.place(path.0)?, mode, device, uid, gid)?;
            }
            Step::Symlink { path, to, replace } => device::symlink(self.place(path.0)?, to.0, replace)?,
            Step::Console { bind, rows, cols } => {
                let (master, slave) = terminal::open(self.root()?, rows, cols)?;
                if bind {
                    terminal::bind(self.root()?, slave.as_fd())?;
                }
                tell_with_fd(self.channel.as_fd(), Message::Terminal, master.as_fd())?;
                self.terminal = Some(slave);
            }
            Step::Mask { path } => {
                let root = self.root.as_ref().ok_or(Errno::BADF)?;
                self.masks.cover(root, path.0)?;
            }
            Step::ReadonlyPath { path } => mount::readonly_path(self.root()?, path.0)?,
            Step::ReadonlyRoot => self.root()?.make_readonly()?,
            Step::Pivot { shared } => self.root()?.pivot(shared)?,
            Step::MoveRoot(path) => {
                views::cover(self.proc.as_fd(), path.0, &mut self.masks)?;
                self.root()?.move_over()?;
            }
            Step::Chroot => self.root()?.chroot()?,
            Step::RootPropagation { flags } => mount::propagation(c"/", flags)?,

            Step::Hook(it) => hook::run(self.channel.as_fd(), &it)?,
            Step::Hostname { name } => rustix::system::sethostname(name.0.to_bytes())?,
            Step::Domainname { name } => rustix::system::setdomainname(name.0.to_bytes())?,
            Step::ProcWrite { path, value, unless_equal } => self.proc_write(path.0, value.0, unless_equal)?,
            Step::NewSession => process::new_session(self.terminal.as_ref().map(AsFd::as_fd))?,
            Step::Rlimit { resource, soft, hard } => {
                // Beyond RLIMIT_FSIZE, to write the time would end this process (SIGXFSZ).
                if resource == rustix::process::Resource::Fsize as u32 {
                    self.clock = None;
                }
                sys_process::set_rlimit(resource, soft, hard)?;
            }
            Step::Scheduler(it) => schedule::set_scheduler(schedule::SchedAttr {
                policy: it.policy,
                flags: it.flags.into(),
                nice: it.nice,
                priority: it.priority,
                runtime: it.runtime,
                deadline: it.deadline,
                period: it.period,
                // The specification has no values for SCHED_FLAG_UTIL_CLAMP_MIN and _MAX: they are 0, as with runc.
                ..schedule::SchedAttr::default()
            })?,
            Step::IoPriority { class, level } => schedule::set_io_priority(class, level)?,
            Step::Affinity { cpus } => schedule::set_affinity(cpus.iter())?,
            Step::MemoryPolicy { mode, nodes } => schedule::set_memory_policy(mode, nodes.iter())?,
            Step::Personality { domain } => schedule::set_personality(domain)?,
            Step::NoNewPrivileges => rustix::thread::set_no_new_privs(true)?,
            Step::Seccomp { flags } => {
                self.clock = None; // the filter may forbid to read it, by the end of this process
                self.install_filter(flags)?;
            }
            Step::OwnStdio { uid, terminal } => process::own_stdio(uid, terminal)?,
            Step::BoundingSet { keep } => process::keep_bounding(keep)?,
            Step::User { uid, gid, groups } => process::become_user(self.proc(), uid, gid, groups)?,
            Step::Capabilities(it) => process::set_capabilities(&it)?,
            Step::Umask { mask } => drop(rustix::process::umask(Mode::from_raw_mode(mask))),
            Step::Chdir { path, again } => self.chdir(path.0, again)?,
            Step::FindProgram { candidates, .. } => self.program = Some(process::find_program(candidates)?),
            Step::AwaitStart => self.await_start(sys_process::borrow(self.header.start))?,
            Step::Exec { args, env, seccomp } => {
                if !is_tidy {
                    self.close_all_but(-1)?;
                }
                tell(self.channel.as_fd(), Message::Executing)?;
                let program = self.program.ok_or(Errno::NOENT)?;
                if let Some(flags) = seccomp {
                    self.install_filter(flags)?;
                }
                match hilum_sys::exec::execve(program, args.iter(), env.iter()) {
                    Err(errno) => return Err(errno.into()),
                }
            }

            Step::Reap => {
                process::reap()?;
                return Ok(Next::End);
            }
            Step::End => return Ok(Next::End),
        }
        Ok(Next::Step)
    }

    /// Who gets no time has an error of greater weight, or none.
    fn stamp(&self) {
        if let Some(clock) = &self.clock {
            let _ = rustix::io::write(clock, &sys_process::now().to_ne_bytes());
        }
    }

    fn root(&self) -> Result<&Root> {
        self.root.as_ref().ok_or(Fail::new(Errno::BADF, "no root file system is open"))
    }

    fn root_mut(&mut self) -> Result<&mut Root> {
        self.root.as_mut().ok_or(Fail::new(Errno::BADF, "no root file system is open"))
    }

    fn place(&mut self, path: &'a CStr) -> Result<device::Place<'_, 'a>> {
        let root = self.root.as_ref().ok_or(Errno::BADF)?;
        self.parent.of(root, path)
    }

    /// Stage one's last act. The child has the same parent as this process, which is what makes it the runtime's own.
    fn fork(&mut self, kinds: u32) -> Result<Next> {
        match clone::fork(clone::CLONE_PARENT | u64::from(kinds))? {
            None => Ok(Next::Step),
            Some(pid) => {
                tell(self.channel.as_fd(), Message::Forked { pid })?;
                Ok(Next::End)
            }
        }
    }

    fn install_filter(&self, flags: u32) -> Result<()> {
        seccomp::install(self.channel.as_fd(), flags, self.seccomp.as_ref().map(Answer::bytes).unwrap_or_default())
    }

    fn proc_write(&self, path: &CStr, value: &CStr, unless_equal: bool) -> Result<()> {
        process::proc_write(self.proc(), path, value.to_bytes(), unless_equal)
    }

    fn proc(&self) -> BorrowedFd<'_> {
        self.proc.as_fd()
    }

    /// As root first, then as the user: either may be the one who can (a directory of the user's on a file system that
    /// knows no root, or one that only root may enter).
    fn chdir(&mut self, path: &CStr, again: bool) -> Result<()> {
        if again && !self.cwd_pending {
            return Ok(());
        }
        match rustix::process::chdir(path) {
            Err(Errno::ACCESS) if !again => {
                self.cwd_pending = true;
                return Ok(());
            }
            other => other?,
        }
        // CVE-2024-21626: a directory outside the root, reached through a descriptor in /proc/self/fd.
        if !sys_process::cwd_is_below_root()? {
            return Err(Fail::new(Errno::ACCESS, "the directory is outside the container's root file system"));
        }
        Ok(())
    }

    /// Whoever connects and says nothing was only looking.
    fn await_start(&mut self, listener: BorrowedFd<'_>) -> Result<()> {
        loop {
            let accepted = rustix::net::accept_with(listener, rustix::net::SocketFlags::CLOEXEC);
            let starter = match accepted {
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                other => other?,
            };
            if let Ok(true) = is_told(starter.as_fd()) {
                self.channel = starter;
                return Ok(());
            }
        }
    }

    /// Close-on-exec is not enough: until the program is executed, `/proc/self/fd/N/…` as its path would still reach them
    /// (CVE-2024-21626). What stays is the channel, and where `start` will knock, if that is still to come (or -1).
    fn close_all_but(&mut self, start: i32) -> Result<()> {
        use rustix::fd::AsRawFd;
        self.clock = None; // its number may soon be another file's
        let channel = self.channel.as_raw_fd();
        let mut first = 3 + self.header.preserve;
        for kept in [channel.min(start), channel.max(start)] {
            let Ok(kept) = u32::try_from(kept) else { continue };
            if kept > first {
                sys_process::close_range(first, kept - 1).during("close_range")?;
            }
            first = first.max(kept + 1);
        }
        sys_process::close_range(first, u32::MAX).during("close_range")
    }
}
