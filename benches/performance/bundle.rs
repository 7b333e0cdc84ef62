//! The bundles: `runc spec`, so that no runtime has its own.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Bundle {
    pub path: PathBuf,
    pub args: Vec<String>,
}

impl Bundle {
    pub fn new(path: &Path, args: &[&str]) -> Bundle {
        let bin = path.join("rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        for dir in ["proc", "dev", "sys"] {
            fs::create_dir(path.join("rootfs").join(dir)).unwrap();
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        fs::copy(busybox.expect("busybox is installed"), bin.join("busybox")).unwrap();
        symlink("busybox", bin.join("sleep")).unwrap();
        fs::copy(crate::target().join("true"), bin.join("true")).unwrap();
        crate::must(Command::new("runc").arg("spec").arg("--bundle").arg(path));
        let bundle = Bundle { path: path.to_owned(), args: args.iter().map(ToString::to_string).collect() };
        bundle.change(|config| {
            config["process"]["terminal"] = false.into();
            config["process"]["args"] = args.into();
        });
        bundle
    }

    pub fn rootfs(&self) -> PathBuf {
        self.path.join("rootfs")
    }

    pub fn change(&self, change: impl FnOnce(&mut Value)) {
        let file = self.path.join("config.json");
        let mut config = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        change(&mut config);
        fs::write(&file, config.to_string()).unwrap();
    }

    /// The same with another config.json.
    pub fn variant(&self, name: &str, change: impl FnOnce(&mut Value)) -> Bundle {
        let path = self.path.with_extension(name);
        crate::must(Command::new("cp").arg("-a").arg(&self.path).arg(&path));
        let bundle = Bundle { path, args: self.args.clone() };
        bundle.change(change);
        bundle
    }
}
