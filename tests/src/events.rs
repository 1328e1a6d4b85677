//! Metered events as they arrived.

use crate::Node;
use serde_json::Value;
use std::collections::BTreeMap;

/// By id; two events with one id must be the same event.
pub fn by_id(events: &[Value]) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    for e in events {
        let id = e["id"].as_str().unwrap().to_owned();
        let before = out.insert(id.clone(), e.clone());
        assert!(before.is_none_or(|b| b == *e), "{id} says two things");
    }
    out
}

/// What the sink `tape` wrote into its files.
pub fn on_tape(node: &Node) -> Vec<Value> {
    let Ok(dir) = std::fs::read_dir(node.path("tape")) else { return vec![] };
    let mut files: Vec<_> = dir.map(|f| f.unwrap().path()).collect();
    files.sort();
    let text: String = files.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}
