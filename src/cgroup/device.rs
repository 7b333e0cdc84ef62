//! linux.resources.devices: the rules, what the runtime always allows, and both ways to hand them to the kernel.
//!
//! One meaning for both: of the rules that match a device, the last one that mentions an access decides it.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use super::program;
use super::resources::{Missing, Write};
use crate::error::{Context, Error, Result};
use crate::spec::config::{self, DeviceRule};

/// Numbers of the kernel's `BPF_DEVCG_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Block = 1,
    Char = 2,
}

pub(super) const MKNOD: u8 = 1;
pub(super) const READ: u8 = 2;
pub(super) const WRITE: u8 = 4;
const ALL: u8 = MKNOD | READ | WRITE;

/// A major or minor number; none is all of them.
type Number = Option<u32>;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rule {
    pub(super) allow: bool,
    pub(super) kind: Kind,
    pub(super) major: Number,
    pub(super) minor: Number,
    pub(super) access: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// What a rule for all devices said last. Without one nothing is allowed.
    pub(super) default_allow: bool,
    pub(super) exceptions: Vec<Rule>,
}

/// What every container may use, whatever its rules say; a config.json that has a device of its own at the path goes
/// without the rule. runc's list, which callers rely on.
const ALWAYS_ALLOWED: [(&str, Kind, Number, Number, u8); 10] = [
    ("", Kind::Char, None, None, MKNOD),
    ("", Kind::Block, None, None, MKNOD),
    ("/dev/null", Kind::Char, Some(1), Some(3), ALL),
    ("/dev/random", Kind::Char, Some(1), Some(8), ALL),
    ("/dev/full", Kind::Char, Some(1), Some(7), ALL),
    ("/dev/tty", Kind::Char, Some(5), Some(0), ALL),
    ("/dev/zero", Kind::Char, Some(1), Some(5), ALL),
    ("/dev/urandom", Kind::Char, Some(1), Some(9), ALL),
    // The terminals of a devpts, and their /dev/ptmx.
    ("", Kind::Char, Some(136), None, ALL),
    ("", Kind::Char, Some(5), Some(2), ALL),
];

impl Rules {
    pub(super) fn new(rules: &[DeviceRule], own: &[config::Device]) -> Result<Rules> {
        let mut parsed = Rules { default_allow: false, exceptions: Vec::new() };
        for (i, rule) in rules.iter().enumerate() {
            parsed.add(rule).map_err(|e| e.context(format!("linux.resources.devices[{i}]")))?;
        }
        let always =
            ALWAYS_ALLOWED.iter().filter(|(path, ..)| !own.iter().any(|d| !path.is_empty() && d.path == *path));
        parsed.exceptions.extend(always.map(|&(_, kind, major, minor, access)| Rule {
            allow: true,
            kind,
            major,
            minor,
            access,
        }));
        Ok(parsed)
    }

    fn add(&mut self, rule: &DeviceRule) -> Result<()> {
        let mut access = 0;
        for c in rule.access.chars() {
            access |= match c {
                'r' => READ,
                'w' => WRITE,
                'm' => MKNOD,
                _ => {
                    return Err(Error::new(format!("access {:?} is not made of r, w and m", rule.access)));
                }
            };
        }
        if access == 0 {
            return Err(Error::new("device access cannot be empty"));
        }
        let kind = match rule.kind.as_str() {
            // In the kernel's interface this is all devices and every access, whatever else is said.
            "" | "a" => {
                *self = Rules { default_allow: rule.allow, exceptions: Vec::new() };
                return Ok(());
            }
            "b" => Kind::Block,
            "c" => Kind::Char,
            other => return Err(Error::new(format!("invalid cgroup device type {other:?}"))),
        };
        let (major, minor) = (number("major", rule.major)?, number("minor", rule.minor)?);
        self.exceptions.push(Rule { allow: rule.allow, kind, major, minor, access });
        Ok(())
    }

    /// What is not by default, as a set without order. `on_part` is asked where a rule takes back only some of the devices
    /// of an earlier one: without its error, that one stays as it is.
    fn exception_set(&self, on_part: impl Fn(&Rule, &Rule) -> Result<()>) -> Result<Vec<Rule>> {
        let mut set: Vec<Rule> = Vec::new();
        for rule in &self.exceptions {
            if rule.allow != self.default_allow {
                match set.iter_mut().find(|e| e.same_devices(rule)) {
                    Some(same) => same.access |= rule.access,
                    None => set.push(rule.clone()),
                }
                continue;
            }
            for exception in set.iter_mut().filter(|e| e.meets(rule)) {
                match rule.covers(exception) {
                    true => exception.access &= !rule.access,
                    false => on_part(rule, exception)?,
                }
            }
            set.retain(|exception| exception.access != 0);
        }
        Ok(set)
    }

    /// For systemd, which knows only what is allowed: all of that, and where it cannot be said exactly, more. `None`:
    /// everything is allowed but for exceptions.
    pub(super) fn allowed(&self) -> Option<Vec<Rule>> {
        if self.default_allow { None } else { self.exception_set(|_, _| Ok(())).ok() }
    }

    /// For cgroup v1, whose filter is a default and a set of exceptions without order.
    pub(super) fn v1_writes(&self, directory: &Path, optional: bool) -> Result<Vec<Write>> {
        // The kernel would ignore such a rule without a word.
        let set = self.exception_set(|rule, exception| {
            Err(Error::new(format!(
                "linux.resources.devices: {:?} cannot be taken out of the wider rule {:?} in cgroup v1",
                rule.line(),
                exception.line()
            )))
        })?;
        let write = |allow: bool, value: String| Write {
            property: "linux.resources.devices".into(),
            controller: "devices".into(),
            directory: directory.to_path_buf(),
            file: if allow { "devices.allow".into() } else { "devices.deny".into() },
            value,
            missing: Missing::Error,
            optional,
        };
        let mut writes = vec![write(self.default_allow, "a".into())];
        writes.extend(set.iter().map(|exception| write(!self.default_allow, exception.line())));
        Ok(writes)
    }

    /// For cgroup v2: loads the filter and attaches it, in the place of what was there.
    pub(super) fn attach(&self, directory: &Path, cgroup: BorrowedFd<'_>, new: bool) -> Result<()> {
        let program =
            hilum_sys::bpf::load_device_program(&program::assemble(self)).context("load the device filter (bpf)")?;
        let program = program.as_fd();
        let old =
            if new { Vec::new() } else { hilum_sys::bpf::attached(cgroup).at("query device filters of", directory)? };
        // All attached programs must agree, so an old one that stayed would still forbid.
        let replaced = if let [single] = old.as_slice() { Some(single.as_fd()) } else { None };
        hilum_sys::bpf::attach(cgroup, program, replaced).at("attach the device filter to", directory)?;
        if replaced.is_none() {
            for old in &old {
                hilum_sys::bpf::detach(cgroup, old.as_fd()).at("detach an old device filter from", directory)?;
            }
        }
        Ok(())
    }
}

fn number(name: &str, value: Option<i64>) -> Result<Option<u32>> {
    match value {
        None | Some(-1) => Ok(None),
        Some(value) => match u32::try_from(value) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Error::new(format!("invalid {name} {value}"))),
        },
    }
}

impl Rule {
    fn same_devices(&self, other: &Rule) -> bool {
        (self.kind, self.major, self.minor) == (other.kind, other.major, other.minor)
    }

    fn covers(&self, other: &Rule) -> bool {
        let wide = |a: Option<u32>, b: Option<u32>| a.is_none() || a == b;
        self.kind == other.kind && wide(self.major, other.major) && wide(self.minor, other.minor)
    }

    /// Whether some access to some device is in both.
    fn meets(&self, other: &Rule) -> bool {
        let common = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.kind == other.kind
            && common(self.major, other.major)
            && common(self.minor, other.minor)
            && self.access & other.access != 0
    }

    /// `c 1:3 rwm`
    fn line(&self) -> String {
        let number = |n: Option<u32>| n.map_or("*".to_string(), |n| n.to_string());
        let access: String = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
            .iter()
            .filter(|(bit, _)| self.access & bit != 0)
            .map(|p| p.1)
            .collect();
        let kind = if self.kind == Kind::Block { 'b' } else { 'c' };
        format!("{kind} {}:{} {access}", number(self.major), number(self.minor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: bool, kind: &str, major: Option<i64>, minor: Option<i64>, access: &str) -> DeviceRule {
        DeviceRule { allow, kind: kind.into(), major, minor, access: access.into() }
    }

    fn lines(rules: &[DeviceRule]) -> Vec<String> {
        let rules = Rules::new(rules, &[]).unwrap();
        let writes = rules.v1_writes(Path::new("/d"), false).unwrap();
        writes.iter().map(|w| format!("{} {}", w.file.trim_start_matches("devices."), w.value)).collect()
    }

    const ALWAYS: [&str; 10] = [
        "allow c *:* m",
        "allow b *:* m",
        "allow c 1:3 rwm",
        "allow c 1:8 rwm",
        "allow c 1:7 rwm",
        "allow c 5:0 rwm",
        "allow c 1:5 rwm",
        "allow c 1:9 rwm",
        "allow c 136:* rwm",
        "allow c 5:2 rwm",
    ];

    #[test]
    fn without_rules_all_is_denied_but_the_usual() {
        let expected: Vec<_> = ["deny a"].iter().chain(&ALWAYS).map(|s| s.to_string()).collect();
        assert_eq!(lines(&[]), expected);
        assert_eq!(lines(&[rule(false, "", None, None, "rwm")]), expected);
    }

    #[test]
    fn a_rule_for_all_forgets_those_before_it() {
        let all = rule(true, "a", None, None, "rwm");
        assert_eq!(lines(&[rule(true, "c", Some(10), Some(200), "rw"), all.clone()]), ["allow a"]);
        let denied = rule(false, "b", Some(8), None, "w");
        assert_eq!(lines(&[all.clone(), denied]), ["allow a", "deny b 8:* w"]);
        // What is always allowed comes last, so it cannot be denied.
        assert_eq!(lines(&[all, rule(false, "c", Some(1), Some(3), "rwm")]), ["allow a"]);
    }

    #[test]
    fn exceptions_are_merged_and_subtracted() {
        let allow = |access| rule(true, "c", Some(10), Some(200), access);
        let found = lines(&[allow("r"), allow("w"), rule(false, "c", Some(10), None, "w")]);
        assert_eq!(found.get(1).map(String::as_str), Some("allow c 10:200 r"));
        let gone = lines(&[allow("r"), rule(false, "c", None, None, "rwm")]);
        assert_eq!(gone.get(1..), Some(&ALWAYS.map(String::from)[..]));
    }

    #[test]
    fn v1_cannot_take_one_device_out_of_many() {
        let rules = [rule(true, "c", Some(10), None, "rw"), rule(false, "c", Some(10), Some(1), "w")];
        let error = Rules::new(&rules, &[]).unwrap().v1_writes(Path::new("/d"), false).unwrap_err();
        assert!(
            error.to_string().contains("\"c 10:1 w\" cannot be taken out of the wider rule \"c 10:* rw\""),
            "{error}"
        );
    }

    #[test]
    fn the_containers_own_device_replaces_the_usual_one() {
        let own = config::Device { path: "/dev/null".into(), kind: "c".into(), ..Default::default() };
        let rules = Rules::new(&[], &[own]).unwrap();
        assert_eq!(rules.exceptions.len(), 9);
        assert!(rules.exceptions.iter().all(|r| r.minor != Some(3)));
    }

    #[test]
    fn wrong_rules_are_named() {
        let error = |rule| Rules::new(&[rule], &[]).unwrap_err().to_string();
        let start = "linux.resources.devices[0]: ";
        assert_eq!(error(rule(true, "c", None, None, "")), format!("{start}device access cannot be empty"));
        assert_eq!(error(rule(true, "p", None, None, "r")), format!("{start}invalid cgroup device type \"p\""));
        assert_eq!(error(rule(true, "c", None, None, "rx")), format!("{start}access \"rx\" is not made of r, w and m"));
        assert_eq!(error(rule(true, "c", Some(-2), None, "r")), format!("{start}invalid major -2"));
        assert_eq!(error(rule(true, "c", None, Some(1 << 32), "r")), format!("{start}invalid minor 4294967296"));
    }
}
