//! The metrics page, read by the reference parsers of both of its forms.

use conductor_tests::Node;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The families of a page, by the reference parser.
fn parsed(page: &[u8], form: &str) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let packages = Command::new(root.join("scripts/prometheus.sh")).output().unwrap();
    assert!(packages.status.success(), "{}", String::from_utf8_lossy(&packages.stderr));
    let mut child = Command::new("python3")
        .arg(root.join("tests/prometheus/read.py"))
        .arg(form)
        .env("PYTHONPATH", String::from_utf8(packages.stdout).unwrap().trim())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    child.stdin.take().unwrap().write_all(page).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "refused as {form}:\n{}", String::from_utf8_lossy(page));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn names(families: &Value) -> BTreeSet<String> {
    families.as_object().unwrap().keys().cloned().collect()
}

/// The page is valid whatever is configured (no sink, two, as many as there may be), and each client gets the form it
/// accepts, with that form's media type.
#[test]
fn metrics_are_valid_for_any_configuration() {
    let mut node = Node::start();
    for count in [0, 2, 8] {
        let folder = node.path("out").display().to_string();
        node.reconfigure(|c| {
            let before = c.split("[[sink]]").next().unwrap().to_owned();
            let sink = |n: usize| format!("\n[[sink]]\nname = \"s-{n}\"\nfolder = \"{folder}\"\n");
            before + &(0..count).map(sink).collect::<String>()
        });
        let mut client = node.client("");
        let mut get = |accept: &[(&str, &str)]| client.send("GET", "/metrics", b"", accept).unwrap();
        let open_metrics = get(&[("accept", "application/openmetrics-text;version=1.0.0;q=0.6,*/*;q=0.2")]);
        assert_eq!(open_metrics.header("content-type"), Some(OPEN_METRICS));
        let text = get(&[]);
        assert_eq!(text.header("content-type"), Some(TEXT));
        let (new, old) = (parsed(&open_metrics.body, "openmetrics"), parsed(&text.body, "text"));
        assert_eq!(names(&new), names(&old));
        for family in ["conductor_decisions_allowed", "conductor_commits"] {
            assert_eq!((&new[family]["type"], &old[family]["type"]), (&"counter".into(), &"counter".into()));
        }
        if count > 0 {
            assert_eq!(new["conductor_sink_dead_letters"]["samples"].as_array().unwrap().len(), count);
        }
    }
}
