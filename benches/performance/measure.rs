//! Times and numbers, and where they are kept.

use crate::target;
use crate::tool::{Tool, quiet};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

/// A tool's name, and its number.
pub type Numbers = BTreeMap<String, f64>;

/// What was measured of one operation.
#[derive(Debug, Clone)]
pub struct Row {
    pub layout: String,
    pub what: String,
    pub unit: String,
    pub numbers: Numbers,
}

#[derive(Debug, Default)]
pub struct Results {
    pub layout: String,
    pub versions: BTreeMap<String, String>,
    pub rows: Vec<Row>,
    /// What all had to do without.
    pub without: String,
}

impl Results {
    pub fn new(layout: &str, tools: &[Tool]) -> Results {
        let versions = tools.iter().map(|tool| (tool.name.to_owned(), tool.version())).collect();
        Results { layout: layout.to_owned(), versions, ..Results::default() }
    }

    pub fn add(&mut self, what: &str, unit: &str, numbers: Numbers) {
        println!("{} {what}: {numbers:.3?} {unit}", self.layout);
        self.rows.push(Row { layout: self.layout.clone(), what: what.to_owned(), unit: unit.to_owned(), numbers });
    }

    /// The medians of times.
    pub fn add_times(&mut self, what: &str, times: Times) {
        let median = |mut list: Vec<Duration>| {
            list.sort_unstable();
            list[list.len() / 2].as_secs_f64() * 1e3
        };
        self.add(what, "ms", times.0.into_iter().map(|(name, list)| (name, median(list))).collect());
    }

    pub fn save(&self) {
        let rows: Vec<Value> = self.rows.iter().map(|row| json!([row.what, row.unit, row.numbers])).collect();
        let text = json!({ "versions": self.versions, "rows": rows, "without": self.without });
        std::fs::write(target().join(format!("bench/{}.json", self.layout)), format!("{text:#}\n")).unwrap();
    }

    /// All that was ever measured here; the layouts one after another.
    pub fn load_all() -> Results {
        let mut all = Results::default();
        for layout in ["v2", "v1", "clients"] {
            let Ok(text) = std::fs::read(target().join(format!("bench/{layout}.json"))) else { continue };
            let value: Value = serde_json::from_slice(&text).unwrap();
            let versions: BTreeMap<String, String> = serde_json::from_value(value["versions"].clone()).unwrap();
            all.versions.extend(versions);
            match value["without"].as_str() {
                None | Some("") => {}
                Some(without) => all.without = format!("{without} ({layout})"),
            }
            let rows: Vec<(String, String, Numbers)> = serde_json::from_value(value["rows"].clone()).unwrap();
            all.rows.extend(rows.into_iter().map(|(what, unit, numbers)| Row {
                layout: layout.to_owned(),
                what,
                unit,
                numbers,
            }));
        }
        all
    }
}

/// By tool.
#[derive(Default)]
pub struct Times(BTreeMap<String, Vec<Duration>>);

impl Times {
    pub fn add(&mut self, tool: &Tool, time: Duration) {
        self.0.entry(tool.name.to_owned()).or_default().push(time);
    }
}

/// How long a command takes, which must succeed.
pub fn time(command: Command) -> Duration {
    time_all(vec![command])
}

/// How long commands take that are started at once.
pub fn time_all(commands: Vec<Command>) -> Duration {
    let mut commands: Vec<Command> = commands.into_iter().map(quiet).collect();
    let start = Instant::now();
    let mut children: Vec<_> = commands.iter_mut().map(|command| command.spawn().unwrap()).collect();
    let ends: Vec<_> = children.iter_mut().map(|child| child.wait().unwrap()).collect();
    let time = start.elapsed();
    for (command, end) in commands.iter().zip(ends) {
        assert!(end.success(), "{command:?}: {end}");
    }
    time
}
