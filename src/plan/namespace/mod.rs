//! linux.namespaces: which are new, which are the host's, and which are joined by `path`. Every path is opened and
//! verified here, before anything exists; from then on only the descriptor is used.

mod holder;
mod join;
mod shared;

use std::os::fd::{AsFd, OwnedFd};

use hilum_sys::namespace::{self, Kind};

use crate::conflict::Conflicts;
use crate::error::{Error, Result};
use crate::proc::Namespace;
use crate::spec::{Written, config};
pub use join::Join;

#[derive(Debug, Default)]
pub struct Namespaces {
    new: Vec<Kind>,
    joins: Vec<Join>,
    /// Asked for, and refused: nothing else is to be wrong because of it.
    refused: Vec<Kind>,
    /// What the new mount namespace is copied from, if that is not the host's.
    pub bare: Option<OwnedFd>,
}

/// Where the container's namespace of a kind comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    New,
    Joined {
        path: String,
        inode: u64,
    },
    Host,
    /// What was asked for is refused.
    Unknown,
}

impl Namespaces {
    /// `written`: when the list was, as far as that is known.
    pub fn plan(list: &[config::Namespace], written: Option<Written>, conflicts: &mut Conflicts) -> Self {
        let mut it = Self::default();
        let mut seen = Vec::new();
        for (index, entry) in list.iter().enumerate() {
            let kind = kind_of(entry, index, &seen);
            let Some(kind) = conflicts.note(format_args!("linux.namespaces[{index}]"), kind) else { continue };
            seen.push(kind);
            let opened = join::open_verified(kind, entry, index, written);
            match (entry.path.is_empty(), conflicts.note(format_args!("linux.namespaces[{index}]"), opened)) {
                (true, Some(_)) => it.new.push(kind),
                (false, Some(join)) => it.joins.extend(join),
                (_, None) => it.refused.push(kind),
            }
        }
        it.verify_owners(conflicts);
        conflicts.note("linux.namespaces", it.verify_pid_namespace());
        it
    }

    pub fn is_new(&self, kind: Kind) -> bool {
        self.new.contains(&kind)
    }

    pub fn join(&self, kind: Kind) -> Option<&Join> {
        self.joins.iter().find(|join| join.kind == kind)
    }

    /// Whether the container's namespace of this kind is not the runtime's own.
    pub fn is_private(&self, kind: Kind) -> bool {
        self.is_new(kind) || self.join(kind).is_some() || self.refused.contains(&kind)
    }

    pub fn origins(&self) -> Vec<(Kind, Origin)> {
        let origin = |kind| match self.join(kind) {
            Some(join) => Origin::Joined { path: join.path.clone(), inode: join.identity.inode },
            None if self.is_new(kind) => Origin::New,
            None if self.refused.contains(&kind) => Origin::Unknown,
            None => Origin::Host,
        };
        Kind::ALL.into_iter().map(|kind| (kind, origin(kind))).collect()
    }

    pub fn new_flags(&self, without: &[Kind]) -> u32 {
        self.new.iter().filter(|kind| !without.contains(kind)).fold(0, |flags, kind| flags | kind.flag())
    }

    /// Whether something must happen in a process of its own before the container's first process can be cloned:
    /// a joined pid namespace and a new time namespace take in children only, and the offsets of the latter are written
    /// before there are any. A user namespace, joined or new, comes before the namespaces that it is to own: the parent's
    /// clone would make those the runtime's. (A joined time namespace is entered at once; it is there to have one rule.)
    pub fn needs_stage_one(&self) -> bool {
        [Kind::User, Kind::Pid, Kind::Time].iter().any(|kind| self.join(*kind).is_some())
            || self.is_new(Kind::User)
            || self.is_new(Kind::Time)
    }

    /// In the order in which the kernel lets them be entered: setns(2) wants CAP_SYS_ADMIN in the user namespace that
    /// owns the target, so what the joined user namespace owns comes behind it, and all else before.
    pub fn into_joins(self) -> Vec<Join> {
        let user = self.join(Kind::User).map(|join| join.identity);
        let mut joins = self.joins;
        joins.sort_by_key(|join| match join.kind {
            Kind::User => 1,
            _ if Some(join.owner) == user => 2,
            _ => 0,
        });
        joins
    }

    /// Who owns a namespace decides what may be done in it: mounting proc, sysfs and mqueue, and setting sysctls, need
    /// capabilities in its owner.
    pub fn owned_by_container(&self, kind: Kind) -> bool {
        if self.refused.contains(&kind) || self.refused.contains(&Kind::User) {
            return true;
        }
        match (self.is_new(Kind::User), self.join(Kind::User)) {
            (true, _) => self.is_new(kind),
            (false, None) => true,
            (false, Some(user)) => match self.join(kind) {
                Some(join) => join.owner == user.identity,
                None => self.is_new(kind),
            },
        }
    }

    fn verify_owners(&self, conflicts: &mut Conflicts) {
        let privileged = crate::privilege::user().is_root();
        let user = self.join(Kind::User).map(|join| join.identity);
        for join in self.joins.iter().filter(|join| join.kind != Kind::User && !privileged) {
            // Root reaches what its own user namespace owns and what any of its descendants does: the ioctl that found
            // the owner has shown that it is one of those. Anybody else needs to have become its owner's root.
            let reachable =
                Namespace::own(Kind::User).and_then(|own| match Some(join.owner) != user && join.owner == own {
                    false => Ok(()),
                    true => Err(Error::new(format!(
                        "linux.namespaces[{}].path: {} is owned by the host's user namespace: only root may join it",
                        join.index, join.path
                    ))
                    .hint("join the user namespace that owns it, too, or run as root")),
                });
            conflicts.note(format_args!("linux.namespaces[{}]", join.index), reachable);
        }
    }

    /// A pid namespace whose PID 1 has ended takes no new process: clone would fail with a bare ENOMEM.
    fn verify_pid_namespace(&self) -> Result<()> {
        let Some(join) = self.join(Kind::Pid) else {
            return Ok(());
        };
        match namespace::has_init(join.ns.as_fd()) {
            Ok(false) => Err(Error::new(format!(
                "linux.namespaces[{}].path: sandbox gone: PID 1 of the pid namespace {} has ended",
                join.index, join.path
            ))
            .hint(join::SANDBOX_GONE)),
            // Linux before 6.11 cannot say.
            Ok(true) | Err(_) => Ok(()),
        }
    }
}

fn kind_of(entry: &config::Namespace, index: usize, seen: &[Kind]) -> Result<Kind> {
    let refuse =
        |why, hint| Err(Error::new(format!("linux.namespaces[{index}].type: {why} {:?}", entry.kind)).hint(hint));
    match Kind::ALL.into_iter().find(|kind| kind.spec_name() == entry.kind) {
        None => refuse("unknown namespace", "hilum features lists those that are known"),
        Some(kind) if seen.contains(&kind) => refuse("malformed spec file: duplicated ns", "remove one of the two"),
        Some(kind) => Ok(kind),
    }
}
