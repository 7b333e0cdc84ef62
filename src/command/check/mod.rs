//! `check`: what this host has of what hilum needs, before it is needed. Nothing is made, and nothing is changed.

mod cgroups;
mod host;
mod ids;
mod kernel;
mod namespaces;
mod security;
mod tools;

use clap::ArgMatches;
use serde::Serialize;

use super::{Global, Systemd, text};
use crate::error::Result;

/// Of what is to be seen in /proc alone.
const WITHOUT_PROC: &str = "mount -t proc proc /proc, and check again";

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    detail: String,
    /// What to do about it: of all that are not ok.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// No container can be made without it.
    Missing,
    /// Not there, and some containers only need it.
    Optional,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, detail: detail.into(), advice: None }
    }

    fn missing(name: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, status: Status::Missing, detail: detail.into(), advice: Some(advice.into()) }
    }

    fn optional(name: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { status: Status::Optional, ..Self::missing(name, detail, advice) }
    }

    /// What the code says that would use it. The advice is for an error that has none of its own.
    fn of(name: &'static str, found: Result<String>, otherwise: Status, advice: &str) -> Self {
        match found {
            Ok(detail) => Self::ok(name, detail),
            Err(error) => {
                let advice = error.detail().hint.clone().unwrap_or_else(|| advice.into());
                Self { status: otherwise, ..Self::missing(name, error.message(), advice) }
            }
        }
    }
}

#[derive(Serialize)]
struct Report {
    /// Nothing is missing.
    ok: bool,
    checks: Vec<Check>,
}

pub fn run(global: &Global, systemd: Systemd, args: &ArgMatches) -> Result<u8> {
    let checks: Vec<Check> = kernel::checks()
        .into_iter()
        .chain(host::checks(&global.root))
        .chain(namespaces::checks())
        .chain(cgroups::checks(global.rootless(), systemd))
        .chain(security::checks())
        .chain(ids::checks())
        .chain(tools::checks())
        .collect();
    let report = Report { ok: checks.iter().all(|check| check.status != Status::Missing), checks };
    let text = if text(args, "format") == Some("json") { super::json(&report)? } else { table(&report.checks) };
    super::print(&text)?;
    Ok(u8::from(!report.ok))
}

fn table(checks: &[Check]) -> String {
    let row = |check: &Check| {
        let status = match check.status {
            Status::Ok => "ok",
            Status::Missing => "missing",
            Status::Optional => "optional",
        };
        let advice = check.advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default();
        [check.name.into(), status.into(), format!("{}{advice}", check.detail)]
    };
    super::table(["CHECK", "STATUS", "DETAIL"], checks.iter().map(row))
}
