//! The namespaces of a container, as a test edits them.

use super::*;

impl Container {
    /// Replaces the entry of a namespace kind, or adds one.
    pub fn namespace(mut self, entry: Value) -> Container {
        self = self.without_namespace(entry["type"].as_str().unwrap());
        self.push("linux/namespaces", entry)
    }

    pub fn without_namespace(mut self, kind: &str) -> Container {
        self.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != kind);
        self
    }

    pub fn join(self, kind: &str, path: impl AsRef<Path>) -> Container {
        self.namespace(json!({ "type": kind, "path": path.as_ref().display().to_string() }))
    }

    /// Without the cgroup mount, for what is not about it.
    pub fn without_cgroup_mounts(mut self) -> Container {
        self.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "cgroup");
        self
    }

    /// What root of a user namespace with a single id can have: no limits, nothing that is mapped to group 5.
    pub fn for_a_single_id(mut self) -> Container {
        self.config["linux"].as_object_mut().unwrap().remove("resources");
        for mount in self.config["mounts"].as_array_mut().unwrap() {
            if mount["type"] == "devpts" {
                mount["options"].as_array_mut().unwrap().retain(|option| option != "gid=5");
            }
        }
        self
    }

    /// A user namespace that maps the container's ids 0 to 65535 to the host's 100000 and up, and a file system for it.
    pub fn in_user_namespace(self) -> Container {
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
        let out = Command::new("chown").args(["-Rh", "100000:100000"]).arg(self.rootfs()).status().unwrap();
        assert!(out.success());
        self.namespace(json!({ "type": "user" })).set("linux/uidMappings", map.clone()).set("linux/gidMappings", map)
    }
}
