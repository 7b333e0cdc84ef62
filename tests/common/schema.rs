//! The JSON schema of the runtime specification: what properties there are, whether a document is valid, and random
//! documents that are.

use super::{Value, json, skip};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

/// The files of the specification's folder `schema`, which are not this project's own.
pub struct Schema(BTreeMap<String, Value>);

/// A part of it, in the file in which its references are to be looked up.
#[derive(Clone, Copy)]
pub struct Part<'s> {
    file: &'s str,
    node: &'s Value,
}

impl Schema {
    /// `None`, with the reason: they are not on this host.
    pub fn load() -> Option<Schema> {
        let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/runtime-spec");
        let dir = std::env::var_os("HILUM_SPEC_SCHEMA").map_or(beside, PathBuf::from);
        if !dir.join("config-schema.json").exists() {
            skip("HILUM_SPEC_SCHEMA does not name the folder schema of runtime-spec 1.3");
            return None;
        }
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = fs::read_to_string(&path).unwrap();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                files.insert(name, serde_json::from_str(&text).unwrap());
            }
        }
        Some(Schema(files))
    }

    pub fn document(&self, file: &str) -> Part<'_> {
        let (file, node) = self.0.get_key_value(file).unwrap_or_else(|| panic!("no {file}"));
        Part { file, node }
    }

    /// What a `$ref` leads to; none where that is in a file of another platform.
    fn resolve<'s>(&'s self, part: Part<'s>) -> Option<Part<'s>> {
        let Some(reference) = part.node["$ref"].as_str() else { return Some(part) };
        let (file, pointer) = reference.split_once('#').unwrap();
        let file = if file.is_empty() { part.file } else { file };
        let (file, root) = self.0.get_key_value(file)?;
        // One of them lacks the first slash.
        let node = root.pointer(&format!("/{}", pointer.trim_start_matches('/')));
        self.resolve(Part { file, node: node.unwrap_or_else(|| panic!("no {reference}")) })
    }

    /// The part itself and those that it is put together of.
    fn all<'s>(&'s self, part: Part<'s>) -> Vec<Part<'s>> {
        let Some(part) = self.resolve(part) else { return Vec::new() };
        let mut all = vec![part];
        for key in ["allOf", "anyOf"] {
            for node in part.node[key].as_array().into_iter().flatten() {
                all.extend(self.all(Part { node, ..part }));
            }
        }
        all
    }

    /// The properties of an object; the part of its values for a map; the part of its items for a list.
    fn below<'s>(&'s self, part: Part<'s>) -> Below<'s> {
        let mut below = Below::default();
        for part in self.all(part) {
            let child = |node| Part { node, ..part };
            for (name, node) in part.node["properties"].as_object().into_iter().flatten() {
                below.properties.insert(name.as_str(), child(node));
            }
            let patterns = part.node["patternProperties"].as_object().and_then(|patterns| patterns.values().next());
            let values = Some(&part.node["additionalProperties"]).filter(|node| node.is_object()).or(patterns);
            below.values = below.values.or(values.map(child));
            let items = &part.node["items"];
            let items = items.as_array().and_then(|items| items.first()).unwrap_or(items);
            below.items = below.items.or(Some(items).filter(|node| node.is_object()).map(child));
            below.required.extend(part.node["required"].as_array().into_iter().flatten().filter_map(Value::as_str));
        }
        below
    }

    /// The path of every property below: `a.b`, `list[].a`, `map{}.a`.
    pub fn paths<'s>(&'s self, part: Part<'s>, path: &str, found: &mut BTreeSet<String>) {
        let below = self.below(part);
        for (name, child) in below.properties {
            let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
            self.paths(child, &path, found);
            found.insert(path);
        }
        below.items.iter().for_each(|items| self.paths(*items, &format!("{path}[]"), found));
        below.values.iter().for_each(|values| self.paths(*values, &format!("{path}{{}}"), found));
    }

    /// What is wrong with a document.
    pub fn errors<'s>(&'s self, part: Part<'s>, path: &str, value: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        for Part { node, .. } in self.all(part) {
            let is_valid = match node["type"].as_str() {
                Some("object") => value.is_object(),
                Some("array") => value.is_array(),
                Some("string") => value.is_string(),
                Some("boolean") => value.is_boolean(),
                Some("integer") => value.is_i64() || value.is_u64(),
                _ => true,
            };
            if !is_valid {
                errors.push(format!("{path}: {value} is not of type {}", node["type"]));
            }
            if node["enum"].as_array().is_some_and(|list| !list.contains(value)) {
                errors.push(format!("{path}: {value} is not one of {}", node["enum"]));
            }
            if node["minimum"].as_f64().zip(value.as_f64()).is_some_and(|(minimum, value)| value < minimum)
                || node["maximum"].as_f64().zip(value.as_f64()).is_some_and(|(maximum, value)| value > maximum)
            {
                errors.push(format!("{path}: {value} is out of range"));
            }
        }
        let below = self.below(part);
        for name in below.required.iter().filter(|name| value.is_object() && value[name].is_null()) {
            errors.push(format!("{path}: no {name}"));
        }
        for (name, value) in value.as_object().into_iter().flatten() {
            let child = below.properties.get(name.as_str()).or(below.values.as_ref());
            errors.extend(child.iter().flat_map(|child| self.errors(**child, &format!("{path}.{name}"), value)));
        }
        for (index, value) in value.as_array().into_iter().flatten().enumerate() {
            let child = below.items.iter();
            errors.extend(child.flat_map(|child| self.errors(*child, &format!("{path}[{index}]"), value)));
        }
        errors
    }

    /// The part that a path, as `paths` gives it, leads to.
    pub fn at<'s>(&'s self, part: Part<'s>, path: &str) -> Part<'s> {
        path.split('.').fold(part, |part, step| {
            let name = step.trim_end_matches(['[', ']', '{', '}']);
            let child = self.below(part).properties[name];
            match step.strip_prefix(name).unwrap() {
                "[]" => self.below(child).items.unwrap(),
                "{}" => self.below(child).values.unwrap(),
                _ => child,
            }
        })
    }

    /// A value that is valid there. `text` gives a text for a path; lists and maps are short.
    pub fn random<'s>(&'s self, part: Part<'s>, path: &str, random: &mut Random, text: &Texts) -> Value {
        let below = self.below(part);
        let parts = self.all(part);
        let find = |key: &str| parts.iter().map(|part| &part.node[key]).find(|node| !node.is_null());
        if let Some(list) = find("enum").and_then(Value::as_array) {
            return random.one(list).clone();
        }
        match find("type").and_then(Value::as_str) {
            Some("boolean") => json!(random.below(2) == 1),
            Some("integer") => {
                let minimum = find("minimum").and_then(Value::as_i64).unwrap_or(-2000);
                let maximum = find("maximum").and_then(Value::as_u64).unwrap_or(2000);
                let small = random.below(2000);
                match random.below(8) {
                    0 => json!(minimum),
                    1 => json!(maximum),
                    2 if minimum < 0 => json!(-1),
                    3 => json!(minimum.max(0)),
                    _ => json!(small.min(maximum).max(minimum.max(0).unsigned_abs())),
                }
            }
            Some("string") => json!(text(path, random)),
            Some("array") => {
                let Some(items) = below.items else { return json!([]) };
                let path = format!("{path}[]");
                (0..random.below(4)).map(|_| self.random(items, &path, random, text)).collect()
            }
            _ => {
                let mut object = serde_json::Map::new();
                for (name, child) in &below.properties {
                    if below.required.contains(name) || random.below(3) > 0 {
                        let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
                        object.insert(name.to_string(), self.random(*child, &path, random, text));
                    }
                }
                if let Some(values) = below.values {
                    for _ in 0..random.below(3) {
                        let path = format!("{path}{{}}");
                        let key = text(&format!("{path} key"), random);
                        object.insert(key, self.random(values, &path, random, text));
                    }
                }
                Value::Object(object)
            }
        }
    }
}

/// A text for the path of a property.
pub type Texts = dyn Fn(&str, &mut Random) -> String;

#[derive(Default)]
struct Below<'s> {
    properties: BTreeMap<&'s str, Part<'s>>,
    values: Option<Part<'s>>,
    items: Option<Part<'s>>,
    required: BTreeSet<&'s str>,
}

/// SplitMix64: the same numbers for the same seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        &list[self.below(list.len() as u64) as usize]
    }
}
