//! linux.cgroupsPath under systemd, `slice:prefix:name`: which unit that is, and where systemd puts its cgroup.

use std::path::PathBuf;

use crate::error::{Error, Result};

/// What runc calls `runc`: the first part of the name of a unit that config.json gives none.
const PREFIX: &str = "hilum";
/// systemd's limit.
const LONGEST: usize = 255;

#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    /// With its suffix.
    pub unit: String,
    /// The unit that it is in; `-.slice` is the root.
    pub slice: String,
}

impl Name {
    pub fn parse(cgroups_path: &str, id: &str, default_slice: &str) -> Result<Name> {
        let named = |e: Error| e.context(format!("linux.cgroupsPath {cgroups_path:?}"));
        let [slice, prefix, name] = match cgroups_path {
            "" => ["", PREFIX, id],
            path => {
                let parts: Vec<&str> = path.split(':').collect();
                <[&str; 3]>::try_from(parts).map_err(|_| named(not_three_parts()))?
            }
        };
        Name::of(slice, prefix, name, default_slice).map_err(named)
    }

    fn of(slice: &str, prefix: &str, name: &str, default_slice: &str) -> Result<Name> {
        if name.ends_with(".slice") {
            check(name)?;
            // A slice is where its name says.
            let parents = slices(name)?;
            let parent = parents.iter().rev().nth(1).map_or("-.slice", String::as_str);
            if name == "-.slice" || !slice.is_empty() && slice != parent {
                return Err(Error::new(format!("the slice {name} is not in {slice}, but in {parent}")));
            }
            return Ok(Name { unit: name.into(), slice: parent.into() });
        }
        if name.is_empty() {
            return Err(Error::new("the name is empty"));
        }
        let slice = if slice.is_empty() { default_slice } else { slice };
        slices(slice)?;
        let unit = format!("{prefix}-{name}.scope");
        check(&unit)?;
        Ok(Name { unit, slice: slice.into() })
    }

    pub fn is_slice(&self) -> bool {
        self.unit.ends_with(".slice")
    }

    /// The cgroup below that of the manager.
    pub fn path(&self) -> Result<PathBuf> {
        let mut path: PathBuf = slices(&self.slice)?.iter().collect();
        path.push(&self.unit);
        Ok(path)
    }
}

fn not_three_parts() -> Error {
    Error::new("expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups")
        .hint("a path of directories is for the cgroup file system: leave out --systemd-cgroup")
}

/// `a-b.slice` is in `a.slice`: all on the way down, the slice itself last. The root slice is none.
fn slices(slice: &str) -> Result<Vec<String>> {
    let invalid = || {
        Error::new(format!("invalid slice name: {slice}")).hint("a slice is called a-b.slice, and that is in a.slice")
    };
    let name = slice.strip_suffix(".slice").ok_or_else(invalid)?;
    check(slice)?;
    if name == "-" {
        return Ok(Vec::new());
    }
    let mut all: Vec<String> = Vec::new();
    let mut prefix = String::new();
    for part in name.split('-') {
        if part.is_empty() {
            return Err(invalid());
        }
        prefix += part;
        all.push(format!("{prefix}.slice"));
        prefix.push('-');
    }
    Ok(all)
}

/// The characters of a unit's name (systemd.unit(5)); none of them can lead to another directory.
fn check(unit: &str) -> Result<()> {
    if let Some(bad) = unit.chars().find(|c| !c.is_ascii_alphanumeric() && !":-_.\\@".contains(*c)) {
        return Err(Error::new(format!("{bad:?} cannot be part of the name of a unit: {unit}")));
    }
    if unit.len() > LONGEST {
        return Err(Error::new(format!("the name of a unit has {LONGEST} bytes at the most: {unit}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> std::result::Result<(String, String, String), String> {
        let name = Name::parse(path, "id", "system.slice").map_err(|e| e.to_string())?;
        let path = name.path().map_err(|e| e.to_string())?.display().to_string();
        Ok((name.unit, name.slice, path))
    }

    #[test]
    fn scopes_are_in_their_slice() {
        for (path, unit, slice, directory) in [
            ("", "hilum-id.scope", "system.slice", "system.slice/hilum-id.scope"),
            ("::x", "-x.scope", "system.slice", "system.slice/-x.scope"),
            ("user.slice:libpod:0a", "libpod-0a.scope", "user.slice", "user.slice/libpod-0a.scope"),
            ("-.slice:d:x", "d-x.scope", "-.slice", "d-x.scope"),
            (
                "kubepods-burstable-podab_c.slice:cri-containerd:x",
                "cri-containerd-x.scope",
                "kubepods-burstable-podab_c.slice",
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podab_c.slice/cri-containerd-x.scope",
            ),
        ] {
            assert_eq!(name(path), Ok((unit.into(), slice.into(), directory.into())), "{path}");
        }
    }

    #[test]
    fn a_name_that_is_a_slice_makes_a_slice_where_it_belongs() {
        for path in ["::a-b.slice", "a.slice:any:a-b.slice"] {
            assert_eq!(name(path), Ok(("a-b.slice".into(), "a.slice".into(), "a.slice/a-b.slice".into())));
        }
        assert_eq!(name("::a.slice"), Ok(("a.slice".into(), "-.slice".into(), "a.slice".into())));
        assert!(
            name("b.slice::a-b.slice").unwrap_err().ends_with("the slice a-b.slice is not in b.slice, but in a.slice")
        );
    }

    #[test]
    fn what_is_no_unit_is_refused() {
        for path in ["/a/b", "a", "a.slice:b", "a.slice:b:c:d"] {
            let error = name(path).unwrap_err();
            assert!(
                error.starts_with(&format!("linux.cgroupsPath {path:?}: expected cgroupsPath to be of format")),
                "{error}"
            );
        }
        for path in [
            "a:b:c",
            "-:b:c",
            ".slice:b:c",
            "a--b.slice:b:c",
            "-a.slice:b:c",
            "a-.slice:b:c",
            "a/b.slice:b:c",
            "..:b:c",
        ] {
            assert!(name(path).unwrap_err().contains("invalid slice name") || path.contains('/'), "{path}");
        }
        for path in ["a.slice:../..:x", "a.slice:x:../../y", "::x y", "::", "::-.slice", "::a--b.slice", "::é"] {
            assert!(name(path).is_err(), "{path}");
        }
        assert!(name(&format!("::{}", "x".repeat(300))).is_err());
    }
}
