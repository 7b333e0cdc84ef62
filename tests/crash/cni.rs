//! A network for pods, whose plugin may take its time.

use crate::common::*;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// A CNI network of one plugin, which gives away a lease.
pub struct Network {
    pub dir: PathBuf,
}

impl Network {
    const PLUGIN: &str = r#"#!/bin/sh
cat >/dev/null
dir=${0%/*}
case $CNI_COMMAND in
ADD)
    : >"$dir/begun"
    [ ! -e "$dir/slow" ] || sleep 1
    : >"$dir/leases/$CNI_CONTAINERID"
    echo '{ "cniVersion": "1.0.0", "ips": [] }' ;;
DEL) rm -f "$dir/leases/$CNI_CONTAINERID" ;;
esac
"#;

    pub fn new(pod: &Pod) -> Network {
        let dir = pod.pods().with_file_name("net");
        fs::create_dir_all(dir.join("leases")).unwrap();
        let list = json!({ "cniVersion": "1.0.0", "name": "fake", "plugins": [{ "type": "plugin" }] });
        fs::write(dir.join("10-fake.conflist"), list.to_string()).unwrap();
        fs::write(dir.join("plugin"), Self::PLUGIN).unwrap();
        fs::set_permissions(dir.join("plugin"), fs::Permissions::from_mode(0o755)).unwrap();
        Network { dir }
    }

    pub fn leases(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.join("leases")).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }
}
