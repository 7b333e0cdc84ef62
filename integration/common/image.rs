//! The image of every test: busybox, and the System V IPC tools of util-linux, with their libraries. Made here, because
//! a test must not depend on a registry; in the format of `docker save`, which every client can load.

use super::{Lazy, dir, json, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name under which clients know it. They take the host of a registry for granted: this one is never asked.
pub const NAME: &str = "localhost/hilum-test:latest";

/// The archive, made once.
pub fn archive() -> &'static Path {
    static ARCHIVE: Lazy<PathBuf> = Lazy::new();
    ARCHIVE.get(make)
}

fn make() -> PathBuf {
    let image = dir().join("image");
    fs::create_dir(&image).unwrap();
    sh(&image, ROOT);
    let digest = sh(&image, "tar --numeric-owner --owner=0 --group=0 -C root -cf layer.tar . && sha256sum layer.tar");
    let digest = digest.split_whitespace().next().unwrap();
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "created": "2020-01-01T00:00:00Z",
        "config": { "Env": ["PATH=/bin", "FROM_IMAGE=yes"], "Cmd": ["sleep", "1000"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        "history": [{ "created": "2020-01-01T00:00:00Z" }],
    });
    fs::write(image.join("config.json"), config.to_string()).unwrap();
    let manifest = json!([{ "Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"] }]);
    fs::write(image.join("manifest.json"), manifest.to_string()).unwrap();
    sh(&image, "tar -cf ../image.tar manifest.json config.json layer.tar && chmod 644 ../image.tar");
    dir().join("image.tar")
}

const ROOT: &str = r#"
mkdir -p root/bin root/proc root/dev root/sys root/etc root/root root/var
mkdir -m 1777 root/tmp
cp "$(command -v busybox)" root/bin/busybox
for applet in $(busybox --list | grep -vx -e busybox -e ipcs); do ln -s busybox root/bin/$applet; done
for tool in ipcmk ipcs; do
    path=$(readlink -f "$(command -v $tool)")
    cp "$path" root/bin/$tool
    for library in $(ldd "$path" | grep -o '/[^ ]*'); do
        mkdir -p "root$(dirname $library)" && cp -L "$library" "root$library"
    done
done
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\nuser:x:1234:5678::/tmp:/bin/sh\n' >root/etc/passwd
printf 'root:x:0:\nmore:x:77:user\nnogroup:x:65534:\n' >root/etc/group
"#;

fn sh(dir: &Path, script: &str) -> String {
    run(Command::new("sh").args(["-ec", script]).current_dir(dir)).ok().stdout
}
