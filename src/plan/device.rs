//! linux.devices, the devices that every container has, and the links in /dev.

use hilum_init::step::{Attr, Bind, Step};
use hilum_sys::namespace::Kind;

use super::namespace::Namespaces;
use super::{Builder, Request, mount};
use crate::error::{Error, Result};
use crate::spec::config::Device;

const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;
const S_IFIFO: u32 = 0o010_000;

/// config-linux.md, "Default Devices"; /dev/ptmx and /dev/console are made otherwise.
const DEFAULT: &[(&str, u32, u32)] = &[
    ("/dev/null", 1, 3),
    ("/dev/random", 1, 8),
    ("/dev/full", 1, 7),
    ("/dev/tty", 5, 0),
    ("/dev/zero", 1, 5),
    ("/dev/urandom", 1, 9),
];

/// config-linux.md, "Default symbolic links".
const LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

pub fn plan(b: &mut Builder<'_>, req: &Request<'_>, ns: &Namespaces) {
    // Who binds a /dev brings its own devices.
    let configured = &req.spec.linux.devices;
    if req.spec.mounts.iter().any(|mount| mount::clean(&mount.destination) == "/dev" && mount.is_bind()) {
        if !configured.is_empty() {
            b.warnings.push("linux.devices: none are made, as /dev is a bind mount, which has its own".into());
        }
        return;
    }
    for (index, device) in configured.iter().enumerate() {
        let property = format!("linux.devices[{index}]");
        b.part(&property, |b| one(b, req, ns, device, &property));
    }
    for (path, major, minor) in DEFAULT {
        if !configured.iter().any(|device| mount::clean(&device.path) == *path) {
            let device = Device {
                kind: "c".into(),
                path: path.to_string(),
                major: i64::from(*major),
                minor: i64::from(*minor),
                ..Device::default()
            };
            b.part("linux.devices", |b| one(b, req, ns, &device, path));
        }
    }
    b.part("linux.devices", links);
}

fn links(b: &mut Builder<'_>) -> Result<()> {
    let link = |path, to, replace| -> Result<Step<'_>> {
        Ok(Step::Symlink { path: b.text(path, "/dev")?, to: b.text(to, "/dev")?, replace })
    };
    let mut links = vec![link("/dev/ptmx", "pts/ptmx", true)?];
    for (path, to) in LINKS {
        links.push(link(path, to, false)?);
    }
    if rustix::fs::access("/proc/kcore", rustix::fs::Access::EXISTS).is_ok() {
        links.push(link("/dev/core", "/proc/kcore", false)?);
    }
    b.steps.append(&mut links);
    Ok(())
}

fn one(b: &mut Builder<'_>, req: &Request<'_>, ns: &Namespaces, device: &Device, property: &str) -> Result<()> {
    let path = mount::clean(&device.path);
    if path == "/dev/ptmx" {
        return Ok(()); // the link to the container's own devpts
    }
    let kind = match device.kind.as_str() {
        "c" | "u" => S_IFCHR,
        "b" => S_IFBLK,
        "p" => S_IFIFO,
        other => {
            return Err(Error::new(format!("{property}.type: unknown device type {other:?}")).hint("use c, b or p"));
        }
    };
    let number = |value: i64, name: &str| {
        u32::try_from(value).map_err(|_| Error::new(format!("{property}.{name}: {value} is not a device number")))
    };
    let dev = match kind {
        S_IFIFO => 0,
        _ => rustix::fs::makedev(number(device.major, "major")?, number(device.minor, "minor")?),
    };
    let to = b.text(&path, property)?;
    // A device cannot be made in a user namespace, whoever calls mknod(2): the host's is bound instead. A FIFO can.
    if kind != S_IFIFO && (ns.is_private(Kind::User) || req.in_user_namespace) {
        let source = std::path::Path::new(&path);
        check_same(source, kind, dev, property)?;
        let step = Step::Bind(Bind {
            source: mount::bind_source(b, ns, (source, false), None, property)?,
            recursive: false,
            target: to,
            attr: Attr::default(),
            recursive_attr: Attr::default(),
            propagation: 0,
            no_symlinks: true,
        });
        b.push(step);
        return Ok(());
    }
    let mode = kind | (device.file_mode.unwrap_or(0o666) & 0o7777);
    b.push(Step::Node { path: to, mode, device: dev, uid: device.uid.unwrap_or(0), gid: device.gid.unwrap_or(0) });
    Ok(())
}

/// What stands under that name on the host must be that device.
fn check_same(path: &std::path::Path, kind: u32, dev: u64, property: &str) -> Result<()> {
    match rustix::fs::stat(path) {
        Ok(stat) if stat.st_mode & 0o170_000 == kind && stat.st_rdev == dev => Ok(()),
        Ok(_) => Err(Error::new(format!(
            "{property}: {} on the host is another device, and none can be made in a user namespace",
            path.display()
        ))
        .hint("remove the device, or the user namespace")),
        Err(errno) => Err(Error::from(errno).context(format!(
            "{property}: bind {} from the host, as none can be made in a user namespace",
            path.display()
        ))),
    }
}
