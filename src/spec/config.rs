//! The types of config.json (runtime-spec 1.3, Linux).
//!
//! Our own, and not the oci-spec crate's: that one refuses a document with a capability it does not know (runc warns
//! and goes on) and brings a regular expression engine, which more than doubles the binary.
//!
//! As in Go, a `null` means the same as an absent property, and unknown properties are ignored (config.md,
//! "Extensibility"). What is absent and what is empty are told apart only where the specification does.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// Structs in which every property may be absent or null. `rename_all` is the specification's camelCase.
///
/// A derived `Deserialize` would also take an array, as the properties in their order; a JSON document must have an
/// object there. (`remote` makes the derived function one of the type's own, for the trait's to call.)
macro_rules! document {
    ($($(#[$meta:meta])* struct $name:ident { $($(#[$attr:meta])* $field:ident: $ty:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", remote = "Self")]
        pub struct $name {
            $($(#[$attr])* #[serde(default, deserialize_with = "null_is_default")] pub $field: $ty,)*
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Object;
                impl<'de> Visitor<'de> for Object {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$name, A::Error> {
                        $name::deserialize(MapAccessDeserializer::new(map))
                    }
                }
                d.deserialize_map(Object)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                $name::serialize(self, s)
            }
        }
    )*};
}

document! {
    struct Spec {
        oci_version: String,
        process: Option<Process>,
        root: Option<Root>,
        hostname: String,
        domainname: String,
        mounts: Vec<Mount>,
        hooks: Hooks,
        annotations: BTreeMap<String, String>,
        linux: Linux,
        // What a container of another kind would be made from.
        solaris: Option<Value>,
        windows: Option<Value>,
        vm: Option<Value>,
        zos: Option<Value>,
        freebsd: Option<Value>,
    }

    struct Root { path: String, readonly: bool, }

    struct Mount {
        destination: String,
        #[serde(rename = "type")]
        kind: String,
        source: String,
        options: Vec<String>,
        uid_mappings: Vec<IdMapping>,
        gid_mappings: Vec<IdMapping>,
    }

    struct Process {
        terminal: bool,
        console_size: Option<ConsoleSize>,
        user: User,
        args: Vec<String>,
        command_line: String,
        env: Vec<String>,
        cwd: String,
        capabilities: Option<Capabilities>,
        rlimits: Vec<Rlimit>,
        no_new_privileges: bool,
        apparmor_profile: String,
        oom_score_adj: Option<i32>,
        scheduler: Option<Scheduler>,
        selinux_label: String,
        io_priority: Option<IoPriority>,
        #[serde(rename = "execCPUAffinity")]
        exec_cpu_affinity: Option<ExecCpuAffinity>,
    }

    struct ConsoleSize { height: u16, width: u16, }

    struct User { uid: u32, gid: u32, umask: Option<u32>, additional_gids: Vec<u32>, username: String, }

    /// The names are kept as they came: one that this kernel does not know is reported and left out, as runc does.
    struct Capabilities {
        bounding: Vec<String>,
        effective: Vec<String>,
        inheritable: Vec<String>,
        permitted: Vec<String>,
        ambient: Vec<String>,
    }

    struct Rlimit {
        #[serde(rename = "type")]
        kind: String,
        soft: u64,
        hard: u64,
    }

    struct Scheduler {
        policy: String,
        nice: i32,
        priority: i32,
        flags: Vec<String>,
        runtime: u64,
        deadline: u64,
        period: u64,
    }

    struct IoPriority { class: String, priority: i32, }

    struct ExecCpuAffinity { initial: String, #[serde(rename = "final")] last: String, }

    struct Hooks {
        prestart: Vec<Hook>,
        create_runtime: Vec<Hook>,
        create_container: Vec<Hook>,
        start_container: Vec<Hook>,
        poststart: Vec<Hook>,
        poststop: Vec<Hook>,
    }

    struct Hook { path: String, args: Vec<String>, env: Vec<String>, timeout: Option<i64>, }

    struct Linux {
        uid_mappings: Vec<IdMapping>,
        gid_mappings: Vec<IdMapping>,
        sysctl: BTreeMap<String, String>,
        resources: Option<Resources>,
        cgroups_path: String,
        namespaces: Vec<Namespace>,
        devices: Vec<Device>,
        net_devices: BTreeMap<String, NetDevice>,
        seccomp: Option<Seccomp>,
        rootfs_propagation: String,
        masked_paths: Vec<String>,
        readonly_paths: Vec<String>,
        mount_label: String,
        intel_rdt: Option<IntelRdt>,
        memory_policy: Option<MemoryPolicy>,
        personality: Option<Personality>,
        time_offsets: BTreeMap<String, TimeOffset>,
    }

    struct Namespace {
        #[serde(rename = "type")]
        kind: String,
        path: String,
        /// hilum's own: what `path` must lead to, or the namespace is not joined.
        expect: Option<Expect>,
    }

    #[derive(Copy)]
    struct Expect {
        /// The namespace's, in nsfs.
        inode: Option<u64>,
        /// That of the process which a /proc/PID/… names: clock ticks after boot (proc_pid_stat(5), field 22).
        start_time: Option<u64>,
    }

    #[derive(Copy)]
    struct IdMapping {
        #[serde(rename = "containerID")]
        container_id: u32,
        #[serde(rename = "hostID")]
        host_id: u32,
        size: u32,
    }

    #[derive(Copy)]
    struct TimeOffset { secs: i64, nanosecs: u32, }

    struct Device {
        #[serde(rename = "type")]
        kind: String,
        path: String,
        major: i64,
        minor: i64,
        file_mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
    }

    struct NetDevice { name: String, }

    struct Resources {
        devices: Vec<DeviceRule>,
        memory: Option<Memory>,
        cpu: Option<Cpu>,
        pids: Option<Pids>,
        #[serde(rename = "blockIO")]
        block_io: Option<BlockIo>,
        hugepage_limits: Vec<HugepageLimit>,
        network: Option<Network>,
        rdma: BTreeMap<String, Rdma>,
        unified: BTreeMap<String, String>,
    }

    struct DeviceRule {
        allow: bool,
        #[serde(rename = "type")]
        kind: String,
        major: Option<i64>,
        minor: Option<i64>,
        access: String,
    }

    struct Memory {
        limit: Option<i64>,
        reservation: Option<i64>,
        swap: Option<i64>,
        kernel: Option<i64>,
        #[serde(rename = "kernelTCP")]
        kernel_tcp: Option<i64>,
        swappiness: Option<u64>,
        #[serde(rename = "disableOOMKiller")]
        disable_oom_killer: Option<bool>,
        use_hierarchy: Option<bool>,
        check_before_update: Option<bool>,
    }

    struct Cpu {
        shares: Option<u64>,
        quota: Option<i64>,
        burst: Option<u64>,
        period: Option<u64>,
        realtime_runtime: Option<i64>,
        realtime_period: Option<u64>,
        cpus: String,
        mems: String,
        idle: Option<i64>,
    }

    struct Pids { limit: Option<i64>, }

    struct BlockIo {
        weight: Option<u16>,
        leaf_weight: Option<u16>,
        weight_device: Vec<WeightDevice>,
        throttle_read_bps_device: Vec<ThrottleDevice>,
        throttle_write_bps_device: Vec<ThrottleDevice>,
        #[serde(rename = "throttleReadIOPSDevice")]
        throttle_read_iops_device: Vec<ThrottleDevice>,
        #[serde(rename = "throttleWriteIOPSDevice")]
        throttle_write_iops_device: Vec<ThrottleDevice>,
    }

    struct WeightDevice { major: i64, minor: i64, weight: Option<u16>, leaf_weight: Option<u16>, }

    struct ThrottleDevice { major: i64, minor: i64, rate: u64, }

    struct HugepageLimit { page_size: String, limit: u64, }

    struct Network {
        #[serde(rename = "classID")]
        class_id: Option<u32>,
        priorities: Vec<InterfacePriority>,
    }

    struct InterfacePriority { name: String, priority: u32, }

    struct Rdma { hca_handles: Option<u32>, hca_objects: Option<u32>, }

    struct Seccomp {
        default_action: String,
        default_errno_ret: Option<u32>,
        architectures: Vec<String>,
        /// Absent and empty differ: absent means the runtime's default.
        flags: Option<Vec<String>>,
        listener_path: String,
        listener_metadata: String,
        syscalls: Vec<SyscallRule>,
    }

    struct SyscallRule { names: Vec<String>, action: String, errno_ret: Option<u32>, args: Vec<SyscallArg>, }

    struct SyscallArg { index: u32, value: u64, value_two: u64, op: String, }

    struct IntelRdt {
        #[serde(rename = "closID")]
        clos_id: String,
        schemata: Vec<String>,
        l3_cache_schema: String,
        mem_bw_schema: String,
        enable_monitoring: bool,
    }

    struct MemoryPolicy { mode: String, nodes: String, flags: Vec<String>, }

    struct Personality { domain: String, flags: Vec<String>, }
}

impl Mount {
    pub fn is_bind(&self) -> bool {
        self.kind == "bind" || self.options.iter().any(|option| option == "bind" || option == "rbind")
    }
}

impl Hooks {
    /// By their names in the document, in the order in which they run.
    pub fn by_name(&self) -> [(&'static str, &[Hook]); 6] {
        [
            ("prestart", &self.prestart),
            ("createRuntime", &self.create_runtime),
            ("createContainer", &self.create_container),
            ("startContainer", &self.start_container),
            ("poststart", &self.poststart),
            ("poststop", &self.poststop),
        ]
    }
}
