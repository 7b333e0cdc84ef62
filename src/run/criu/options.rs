//! What CRIU will be told, as data: `criu_opts` of its RPC.

use super::protocol::Message;

/// How cgroups are dumped and restored (`criu_cg_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupMode {
    /// Cgroups are not CRIU's business: the processes are where CRIU itself is, in the container's own.
    Ignore = 0,
    /// Restore the properties of those that CRIU has to make.
    #[default]
    Soft = 3,
    /// Of those that are there, too.
    Full = 4,
    /// Those must not be there at all.
    Strict = 5,
}

/// What both commands let the user choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    pub tcp_established: bool,
    pub ext_unix_sk: bool,
    pub shell_job: bool,
    pub file_locks: bool,
    pub auto_dedup: bool,
    pub cgroups: CgroupMode,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Descriptors of hilum's, which CRIU opens through /proc.
    pub images_dir: i32,
    pub work_dir: Option<i32>,
    pub log_file: &'static str,
    /// The first process of the tree to dump.
    pub pid: Option<i32>,
    /// The container's root file system.
    pub root: String,
    pub switches: Switches,
    pub leave_running: bool,
    pub tcp_skip_in_flight: bool,
    pub link_remap: bool,
    /// A directory with the images of an earlier dump, relative to the images.
    pub parent: Option<String>,
    pub track_mem: bool,
    pub page_server: Option<(String, u16)>,
    /// What is not the container's own: mounts, namespaces, files (criu(8), `--external`).
    pub external: Vec<String>,
    /// What takes its place: CRIU's descriptor, and the resource (`--inherit-fd`).
    pub inherit: Vec<(i32, String)>,
    /// Namespaces to restore into: kind, and file (`--join-ns`).
    pub join: Vec<(&'static str, String)>,
    /// The cgroup that stands for the one that was dumped: controllers, and path (`--cgroup-root`).
    pub cgroup_roots: Vec<(String, String)>,
    /// The cgroup to stop the processes with.
    pub freeze_cgroup: Option<String>,
    /// More options, which win over these.
    pub config_file: Option<String>,
    pub lsm_profile: Option<String>,
    pub lsm_mount_context: Option<String>,
    /// The restored process becomes a child of who has started CRIU.
    pub sibling: bool,
}

/// CRIU's own level for what is worth knowing after a failure.
const LOG_LEVEL: i64 = 4;
const CLONE_NEWNET: i64 = 0x4000_0000;

impl Options {
    pub fn encode(&self) -> Message {
        let mut m = Message::default();
        m.number(1, self.images_dir.into());
        if let Some(pid) = self.pid {
            m.number(2, pid.into());
        }
        m.flag(3, self.leave_running);
        m.flag(4, self.switches.ext_unix_sk);
        m.flag(5, self.switches.tcp_established);
        // A device may have another number on the host that restores: its name counts.
        m.flag(6, self.sibling);
        m.flag(7, self.switches.shell_job);
        m.flag(8, self.switches.file_locks);
        m.number(9, LOG_LEVEL);
        m.text(10, self.log_file);
        if let Some((address, port)) = &self.page_server {
            let mut server = Message::default();
            server.text(1, address);
            server.number(2, (*port).into());
            m.message(11, server);
        }
        m.flag(12, true); // notifications
        m.text(13, &self.root);
        text(&mut m, 14, self.parent.as_deref());
        m.flag(15, self.track_mem);
        m.flag(16, self.switches.auto_dedup);
        if let Some(work_dir) = self.work_dir {
            m.number(17, work_dir.into());
        }
        m.flag(18, self.link_remap);
        m.flag(24, true);
        for (controllers, path) in &self.cgroup_roots {
            let mut root = Message::default();
            text(&mut root, 1, Some(controllers.as_str()).filter(|names| !names.is_empty()));
            root.text(2, path);
            m.message(25, root);
        }
        m.flag(26, self.sibling);
        for (fd, resource) in &self.inherit {
            let mut inherit = Message::default();
            inherit.text(1, resource);
            inherit.number(2, (*fd).into());
            m.message(27, inherit);
        }
        m.number(34, self.switches.cgroups as i64);
        for external in &self.external {
            m.text(37, external);
        }
        // Interfaces and addresses are not a runtime's work: a network namespace is restored empty, and who has filled it
        // fills it again.
        m.number(38, CLONE_NEWNET);
        for (kind, file) in &self.join {
            let mut join = Message::default();
            join.text(1, kind);
            join.text(2, file);
            m.message(39, join);
        }
        text(&mut m, 44, self.freeze_cgroup.as_deref());
        m.flag(46, self.tcp_skip_in_flight);
        m.flag(50, true); // a terminal whose master is outside
        text(&mut m, 51, self.config_file.as_deref());
        text(&mut m, 53, self.lsm_profile.as_deref());
        text(&mut m, 63, self.lsm_mount_context.as_deref());
        m
    }
}

fn text(message: &mut Message, field: u32, value: Option<&str>) {
    if let Some(value) = value {
        message.text(field, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_is_not_sent() {
        let options = Options { images_dir: 5, log_file: "d", root: "/r".into(), ..Options::default() };
        let expected: &[u8] = &[
            0x08, 5, 0x48, 4, 0x52, 1, b'd', 0x60, 1, 0x6a, 2, b'/', b'r', // images, log, notifications, root
            0xc0, 1, 1, 0x90, 2, 3, // cgroups: managed, soft
            0xb0, 2, 0x80, 0x80, 0x80, 0x80, 4, // empty network namespace
            0x90, 3, 1, // terminals
        ];
        assert_eq!(options.encode().into_bytes(), expected);
    }
}
