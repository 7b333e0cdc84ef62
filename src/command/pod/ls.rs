//! `pod ls`.

use clap::ArgMatches;
use serde::Serialize;

use super::text;
use crate::command::{Global, json, print, table};
use crate::error::Result;
use crate::log;
use crate::pod::{Status, alive, status};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    status: Status,
    containers: usize,
    running: usize,
    shared: Vec<String>,
    created: String,
}

pub fn run(global: &Global, args: &ArgMatches) -> Result<u8> {
    let mut rows = Vec::new();
    for name in global.pods().names()? {
        match row(global, &name) {
            Ok(row) => rows.push(row),
            Err(e) => log::complain(&format!("pod {name}: {e}")),
        }
    }
    let text = if args.get_flag("quiet") {
        rows.iter().map(|row| format!("{}\n", row.name)).collect()
    } else if text(args, "format") == Some("json") {
        json(&rows)?
    } else {
        let lines = rows.iter().map(|row| {
            let containers = format!("{}/{}", row.running, row.containers);
            [row.name.clone(), row.status.name().into(), containers, row.shared.join(","), row.created.clone()]
        });
        table(["NAME", "STATUS", "RUNNING", "SHARED", "CREATED"], lines)
    };
    print(&text)?;
    Ok(0)
}

fn row(global: &Global, name: &str) -> Result<Row> {
    let (pod, members) = (global.pods().read(name)?, global.pods().members(name)?);
    let status = status(pod.as_ref(), &members)?;
    let running = alive(&members)?.len();
    let containers = members.iter().filter(|member| member.state.is_some()).count();
    let shared = pod.iter().flat_map(|pod| pod.kinds()).map(|kind| kind.proc_name().to_string()).collect();
    let created = pod.map(|pod| pod.created).unwrap_or_default();
    Ok(Row { name: name.into(), status, containers, running, shared, created })
}
