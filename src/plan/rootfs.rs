//! The root file system: its propagation, what is mounted in it, what is hidden, and how it becomes `/`.

use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use hilum_init::step::{self, Attr, Bind, Source, Step, Str};
use hilum_sys::namespace::Kind;
use rustix::fs::{Mode, OFlags, readlink};
use rustix::io::Errno;

use super::namespace::Namespaces;
use super::options;
use super::{Builder, Request, device, hooks, mount};
use crate::error::{Context, Error, Result};
use crate::spec::config;

/// Where the container finds its notify socket's directory.
pub const NOTIFY_INSIDE: &str = "/run/notify";

pub fn plan(b: &mut Builder<'_>, req: &Request<'_>, ns: &Namespaces) {
    let spec = req.spec;
    let private = ns.is_private(Kind::Mount);
    if !private {
        refuse_host_mounts(b, spec);
    }
    b.part("linux.mountLabel", |_| check_label(req));
    let propagation = b.part("linux.rootfsPropagation", |_| propagation(spec)).unwrap_or(0);
    let shared = propagation & options::MS_SHARED != 0;
    let path = req.rootfs.as_os_str().as_encoded_bytes();
    let Some(rootfs) = b.part("root.path", |b| b.text(path, "root.path")) else { return };
    if private {
        open(b, ns, rootfs, propagation);
    } else {
        b.push(Step::OpenRootInPlace { path: rootfs });
    }

    let mut remounts = Vec::new();
    for (index, mount) in spec.mounts.iter().enumerate() {
        b.part(format_args!("mounts[{index}]"), |b| mount::plan(b, req, ns, index, mount, &mut remounts));
    }
    if let Some(dir) = &req.notify_dir {
        b.part("NOTIFY_SOCKET", |b| notify(b, dir));
    }
    b.part("process.cwd", |b| working_directory(b, spec));
    device::plan(b, req, ns);
    if spec.process.as_ref().is_some_and(|process| process.terminal) {
        let size = spec.process.as_ref().and_then(|process| process.console_size.as_ref());
        let (rows, cols) = size.map_or((0, 0), |size| (size.height, size.width));
        b.push(Step::Console { bind: private, rows, cols });
    }
    hooks::before_pivot(b, req);

    for (index, path) in spec.linux.masked_paths.iter().enumerate() {
        let path = b.part("linux.maskedPaths", |b| b.text(path, &format!("linux.maskedPaths[{index}]")));
        b.steps.extend(path.map(|path| Step::Mask { path }));
    }
    for (index, path) in spec.linux.readonly_paths.iter().enumerate() {
        let path = b.part("linux.readonlyPaths", |b| b.text(path, &format!("linux.readonlyPaths[{index}]")));
        b.steps.extend(path.map(|path| Step::ReadonlyPath { path }));
    }
    b.steps.append(&mut remounts);
    if req.spec.root.as_ref().is_some_and(|root| root.readonly) {
        b.push(Step::ReadonlyRoot);
    }
    if private && req.no_pivot && shared {
        // What is moved onto a shared mount appears on the host, too.
        b.push(Step::PrivateParent { path: step::Str(c"/") });
    }
    b.push(match (private, req.no_pivot) {
        (true, false) => Step::Pivot { shared },
        (true, true) => Step::MoveRoot(rootfs),
        (false, _) => Step::Chroot,
    });
    if private && propagation != 0 {
        b.push(Step::RootPropagation { flags: propagation });
    }
}

/// A file system without SELinux takes no label.
fn check_label(req: &Request<'_>) -> Result<()> {
    if req.spec.linux.mount_label.is_empty() || req.modules.selinux {
        return Ok(());
    }
    Err(Error::new("linux.mountLabel: SELinux is not enabled on this host")
        .hint("remove the property, or boot with security=selinux"))
}

fn open<'a>(b: &mut Builder<'a>, ns: &Namespaces, path: Str<'a>, propagation: u32) {
    let untie = Step::Propagation { flags: before_pivot(propagation) };
    if ns.bare.is_some() {
        if let Some(tree) = b.part("root.path", |_| mount::take_along(path, true, "root.path")) {
            let fd = b.pass(tree);
            b.push(Step::AttachRoot { fd, path });
        }
        b.push(untie);
        return;
    }
    b.push(match propagation & options::MS_SHARED {
        0 => untie,
        _ => Step::PrivateParent { path },
    });
    b.push(Step::OpenRoot { path, recursive: true });
}

/// What the copies of the host's mounts get, before any of them is used: an unbindable one could not be the source of a
/// bind, so that comes last, on `/` alone.
fn before_pivot(propagation: u32) -> u32 {
    match propagation & !options::MS_REC {
        options::MS_PRIVATE | options::MS_UNBINDABLE => options::MS_PRIVATE | options::MS_REC,
        _ => options::RSLAVE,
    }
}

fn propagation(spec: &config::Spec) -> Result<u32> {
    match spec.linux.rootfs_propagation.as_str() {
        "" => Ok(0),
        name => options::propagation(name).ok_or_else(|| {
            Error::new(format!("linux.rootfsPropagation: unknown propagation {name:?}"))
                .hint("use private, slave, shared or unbindable, or the same with an r before it")
        }),
    }
}

/// Without a mount namespace of the container's own, every mount would be made on the host, and stay there.
fn refuse_host_mounts(b: &mut Builder<'_>, spec: &config::Spec) {
    for (property, absent) in [
        ("mounts", spec.mounts.is_empty()),
        ("linux.maskedPaths", spec.linux.masked_paths.is_empty()),
        ("linux.readonlyPaths", spec.linux.readonly_paths.is_empty()),
        ("root.readonly", !spec.root.as_ref().is_some_and(|root| root.readonly)),
    ] {
        b.part(property, |_| match absent {
            true => Ok(()),
            false => Err(Error::new(format!("{property}: would be done in the host's mount namespace"))
                .hint("add {\"type\": \"mount\"} to linux.namespaces")),
        });
    }
}

/// sd_notify(3): the directory of the container's own socket, which the parent makes.
fn notify(b: &mut Builder<'_>, dir: &Path) -> Result<()> {
    let options = ["bind", "ro", "nosuid", "nodev", "noexec"].map(String::from);
    let options = options::parse(&options);
    let step = Step::Bind(Bind {
        source: Source::Path(b.text(dir.as_os_str().as_encoded_bytes(), "NOTIFY_SOCKET")?),
        recursive: false,
        target: b.text(NOTIFY_INSIDE, "NOTIFY_SOCKET")?,
        attr: options.attr,
        recursive_attr: Attr::default(),
        propagation: options::MS_PRIVATE,
        no_symlinks: false,
    });
    b.push(step);
    Ok(())
}

/// process.cwd is made if the image does not have it.
fn working_directory(b: &mut Builder<'_>, spec: &config::Spec) -> Result<()> {
    let cwd = spec.process.as_ref().map_or("/", |process| process.cwd.as_str());
    // A path through /proc is a trick, and is judged when it is entered (CVE-2024-21626).
    if cwd != "/" && !cwd.starts_with("/proc/") {
        b.push(Step::Directory { path: b.text(cwd, "process.cwd")? });
    }
    Ok(())
}

/// root.path, against the bundle; it must be there and be a directory.
pub fn locate(bundle: &Path, root: Option<&config::Root>) -> Result<PathBuf> {
    let root = root
        .filter(|root| !root.path.is_empty())
        .ok_or_else(|| Error::new("root.path: missing").hint("give the directory with the container's files"))?;
    if root.path.contains('\0') {
        return Err(Error::new("root.path: holds a NUL byte"));
    }
    let path = bundle.join(&root.path);
    let real = real_directory(&path).at("root.path: rootfs", &path).map_err(|error| match error.detail().errno {
        Some(Errno::NOTDIR) => {
            Error::new(format!("root.path: rootfs {} is not a directory", path.display())).path(&path)
        }
        _ => error.hint("make it, or give the directory with the container's files"),
    })?;
    if real == Path::new("/") {
        return Err(Error::new("root.path: the host's root directory cannot be a container's")
            .hint("give a directory with the container's files"));
    }
    Ok(real)
}

/// Without symbolic links, as the kernel knows it: three system calls, where realpath(3) takes one for each part of the path.
pub fn real_directory(path: &Path) -> rustix::io::Result<PathBuf> {
    let directory = rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let real = readlink(format!("/proc/self/fd/{}", directory.as_raw_fd()), Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(real.into_bytes())))
}
