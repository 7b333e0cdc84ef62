//! `pod stats`: what a pod uses, and each of its containers, once or at intervals.

use std::time::{Duration, Instant};

use clap::ArgMatches;
use serde::Serialize;

use super::inspect::REAPER;
use super::{pod_name, text};
use crate::command::events::interval;
use crate::command::{Global, json, print, show, table};
use crate::error::{Kind, Result};
use crate::pod::{Amount, PodUsage, Usage};

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let name = pod_name(args)?;
    let interval = text(args, "interval").map(interval).transpose()?;
    let as_json = text(args, "format") == Some("json");
    let mut before = Sample::take(global, name)?;
    let Some(interval) = interval else {
        print(&before.show(name, None, as_json)?)?;
        return Ok(0);
    };
    loop {
        std::thread::sleep(interval);
        let now = match Sample::take(global, name) {
            // Removed meanwhile.
            Err(e) if e.kind() == Kind::NotFound => return Ok(0),
            other => other?,
        };
        print(&now.show(name, Some(&before), as_json)?)?;
        before = now;
    }
}

struct Sample {
    at: Instant,
    usage: PodUsage,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'s> {
    #[serde(flatten)]
    usage: &'s Usage,
    /// Of one processor, since the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_percent: Option<f64>,
}

#[derive(Serialize)]
struct Document<'s> {
    name: &'s str,
    pod: Row<'s>,
    containers: std::collections::BTreeMap<&'s str, Row<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reaper: Option<Row<'s>>,
}

impl Sample {
    fn take(global: &Global, name: &str) -> Result<Self> {
        let pod = global.pods().look(name)?;
        let members = global.pods().members(name)?;
        Ok(Self { at: Instant::now(), usage: PodUsage::of(&pod, &members)? })
    }

    fn show(&self, name: &str, before: Option<&Sample>, as_json: bool) -> Result<String> {
        let document = self.document(name, before);
        if as_json {
            return json(&document);
        }
        let containers = document.containers.iter().map(|(id, row)| (*id, row));
        let reaper = document.reaper.iter().map(|row| (REAPER, row));
        let rows: Vec<_> = containers.chain(reaper).chain([("(pod)", &document.pod)]).collect();
        let cells = |(name, row): &(&str, &Row<'_>)| {
            let Usage { memory, cpu, pids, read, written } = row.usage;
            let cpu = row.cpu_percent.map_or_else(|| show::time(*cpu), |percent| format!("{percent:.1} %"));
            let (memory, pids) = (of_limit(memory, show::bytes), of_limit(pids, |number| number.to_string()));
            [name.to_string(), cpu, memory, pids, show::bytes(*read), show::bytes(*written)]
        };
        let text = table(["CONTAINER", "CPU", "MEMORY", "PIDS", "READ", "WRITTEN"], rows.iter().map(cells));
        Ok(if before.is_some() { text + "\n" } else { text })
    }

    fn document<'s>(&'s self, name: &'s str, before: Option<&'s Sample>) -> Document<'s> {
        let elapsed = before.map(|before| self.at - before.at).filter(|time| *time > Duration::ZERO);
        let row = |usage: &'s Usage, earlier: Option<&'s Usage>| {
            let part = |time: Duration| {
                let used = usage.cpu.saturating_sub(earlier.map_or(0, |earlier| earlier.cpu));
                let percent = used as f64 * 100.0 / time.as_nanos() as f64;
                (percent * 10.0).round() / 10.0
            };
            Row { usage, cpu_percent: elapsed.map(part) }
        };
        let earlier = before.map(|before| &before.usage);
        let containers = self.usage.containers.iter();
        let containers =
            containers.map(|(id, usage)| (id.as_str(), row(usage, earlier.and_then(|it| it.containers.get(id)))));
        Document {
            name,
            pod: row(&self.usage.pod, earlier.map(|it| &it.pod)),
            containers: containers.collect(),
            reaper: self.usage.reaper.as_ref().map(|usage| row(usage, earlier.and_then(|it| it.reaper.as_ref()))),
        }
    }
}

fn of_limit(amount: &Amount, text: impl Fn(u64) -> String) -> String {
    match amount.limit {
        Some(limit) => format!("{} / {}", text(amount.usage), text(limit)),
        None => text(amount.usage),
    }
}
