//! Files of evidence: whatever a person can read in them is refuted when it was changed.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::ops;
use conductor_shared::verify::EXIT_VERIFIED;
use conductor_tests::prng::Prng;
use conductor_tests::{Node, Tenant};
use conductor_tui::cli::args::VerifyArgs;
use conductor_tui::cli::verify::verify;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Bytes changed at random in each of the files.
const RANDOM: u64 = 3_000;

/// A file of evidence of a real node, and what verifies it.
struct Evidence {
    folder: tempfile::TempDir,
    trust: PathBuf,
    /// As it was written.
    honest: Vec<Value>,
    tried: u64,
    /// Changed files that were verified all the same.
    wrong: Vec<String>,
}

impl Evidence {
    fn of(node: &Node, file: &str) -> Self {
        let text = std::fs::read_to_string(node.path(file)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let trust = folder.path().join("trust.toml");
        std::fs::copy(node.path("trust.toml"), &trust).unwrap();
        let mut e = Self { folder, trust, honest: read(&text).unwrap(), tried: 0, wrong: vec![] };
        assert_eq!(e.exit(text.as_bytes()), EXIT_VERIFIED, "the honest file: {file}");
        e
    }

    fn exit(&mut self, bytes: &[u8]) -> u8 {
        let file = self.folder.path().join("changed");
        std::fs::write(&file, bytes).unwrap();
        self.tried += 1;
        let done = verify(&VerifyArgs { file, trust: self.trust.clone(), show: true });
        done.map_or_else(|e| e.code(), |o| o.code)
    }

    /// A changed file may be verified only if it says the same.
    fn attempt(&mut self, what: &str, bytes: &[u8]) {
        let said = std::str::from_utf8(bytes).ok().and_then(read);
        if said.as_ref() != Some(&self.honest) && self.exit(bytes) == EXIT_VERIFIED {
            self.wrong.push(what.to_owned());
        }
    }

    fn lines(&mut self, what: &str, lines: &[Value]) {
        let text: Vec<String> = lines.iter().map(Value::to_string).collect();
        self.attempt(what, (text.join("\n") + "\n").as_bytes());
    }

    /// Every part of one line changed, renamed, removed, doubled or added to.
    fn each_part(&mut self, at: usize) {
        let honest = self.honest.clone();
        for (what, line) in mutants(&honest[at]) {
            let mut lines = honest.clone();
            lines[at] = line;
            self.lines(&format!("line {}: {what}", at + 1), &lines);
        }
    }

    /// Bytes changed, removed and put in at random.
    fn random_bytes(&mut self, seed: u64) {
        const PUT: &[u8] = b"0123456789abcdefXYZ\"{}[]:,\\ \n-+.eE";
        let text: Vec<String> = self.honest.iter().map(Value::to_string).collect();
        let text = (text.join("\n") + "\n").into_bytes();
        let mut chance = Prng(seed);
        for _ in 0..RANDOM {
            let at = usize::try_from(chance.below(text.len() as u64)).unwrap();
            let mut changed = text.clone();
            match chance.below(4) {
                0 => drop(changed.remove(at)),
                1 => changed.insert(at, chance.any(PUT)),
                _ => changed[at] = chance.any(PUT),
            }
            let around = &text[at.saturating_sub(40)..(at + 20).min(text.len())];
            self.attempt(&format!("byte {at}, in {}", String::from_utf8_lossy(around)), &changed);
        }
    }

    fn held(self) -> u64 {
        assert!(self.wrong.is_empty(), "verified though changed: {:#?}", self.wrong);
        self.tried
    }
}

/// What a reader of the file sees: its JSON documents. `None` when a byte of it is none.
fn read(text: &str) -> Option<Vec<Value>> {
    let documents = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    documents.collect::<Result<_, _>>().ok()
}

/// Each way to change one part of a document.
fn mutants(v: &Value) -> Vec<(String, Value)> {
    let mut out = vec![];
    let inside =
        |out: &mut Vec<(String, Value)>, name: String, part: &Value, put: &dyn Fn(Value) -> Value| {
            out.extend(mutants(part).into_iter().map(|(what, m)| (format!("{name}.{what}"), put(m))));
        };
    match v {
        Value::Object(members) => {
            let with = |change: &dyn Fn(&mut Map<String, Value>)| {
                let mut m = members.clone();
                change(&mut m);
                Value::Object(m)
            };
            out.push(("added".into(), with(&|m| drop(m.insert("note".into(), json!("approved by ana"))))));
            for (name, part) in members {
                out.push((format!("{name} removed"), with(&|m| drop(m.remove(name)))));
                out.push((
                    format!("{name} renamed"),
                    with(&|m| drop(m.remove(name).map(|v| m.insert(format!("{name}s"), v)))),
                ));
                inside(&mut out, name.clone(), part, &|v| with(&|m| drop(m.insert(name.clone(), v.clone()))));
            }
        }
        Value::Array(items) => {
            for (n, part) in items.iter().enumerate() {
                let with = |change: &dyn Fn(&mut Vec<Value>)| {
                    let mut a = items.clone();
                    change(&mut a);
                    Value::Array(a)
                };
                out.push((format!("{n} removed"), with(&|a| drop(a.remove(n)))));
                out.push((format!("{n} twice"), with(&|a| a.insert(n, part.clone()))));
                inside(&mut out, n.to_string(), part, &|v| with(&|a| a[n] = v.clone()));
            }
        }
        Value::String(s) => out.extend(strings(s).into_iter().map(|s| ("changed".to_owned(), json!(s)))),
        Value::Number(n) => {
            let n = n.as_u64().unwrap_or(0);
            out.extend([json!(n + 1), json!(0), json!(null)].map(|n| ("changed".to_owned(), n)));
        }
        Value::Bool(b) => out.push(("changed".into(), json!(!b))),
        Value::Null => out.push(("changed".into(), json!("said"))),
    }
    out
}

fn strings(s: &str) -> Vec<String> {
    let mut out = vec![format!("{s} "), format!(" {s}"), format!("{s}\napproved by ana\n"), String::new()];
    for at in [0, s.len() / 3, s.len() / 2, s.len().saturating_sub(2)] {
        let mut bytes = s.as_bytes().to_vec();
        if let Some(b) = bytes.get_mut(at) {
            *b = if *b == b'A' { b'B' } else { b'A' };
        }
        out.extend(String::from_utf8(bytes));
    }
    out
}

fn with_work() -> (Node, Tenant) {
    let node = Node::start();
    let acme = node.tenant("acme");
    conductor_tests::workload::work(&node, &acme, 1);
    let cap = ops::RampCap { selector: "run/etl".parse().unwrap(), hundredths: BasisPoints::saturating(0) };
    node.command(acme.uid, cap);
    node.client(&acme.token).start_run(&acme, Some("customer \u{1b}[2J"));
    node.all_signed(acme.uid);
    (node, acme)
}

fn written(node: &Node, args: &[&str], file: &str) {
    let (good, _, said) = node.cli(&[args, &["--out", node.path(file).to_str().unwrap()]].concat());
    assert!(good, "{said}");
}

/// Invariant 6: an export and a receipt with its proof hold no word that can be changed unnoticed, and none can be
/// added, taken away or moved.
#[test]
fn every_changed_word_of_evidence_is_refuted() {
    let (node, acme) = with_work();
    written(&node, &["receipts", "export", "acme"], "export.jsonl");
    let mut export = Evidence::of(&node, "export.jsonl");
    let lines = export.honest.clone();
    for at in 0..lines.len() {
        export.each_part(at);
        let without: Vec<_> = [&lines[..at], &lines[at + 1..]].concat();
        export.lines(&format!("line {at} left out"), &without);
        let twice: Vec<_> = [&lines[..=at], &lines[at..]].concat();
        export.lines(&format!("line {at} twice"), &twice);
        let mut swapped = lines.clone();
        swapped.swap(at, lines.len() - 1);
        export.lines(&format!("line {at} moved"), &swapped);
    }
    export.random_bytes(1);

    let size = node.all_signed(acme.uid);
    let mut tried = export.held();
    for index in [0, size / 2, size - 1] {
        let file = format!("receipt-{index}.json");
        written(&node, &["receipts", "show", "acme", &index.to_string(), "--proof"], &file);
        let mut receipt = Evidence::of(&node, &file);
        receipt.each_part(0);
        receipt.random_bytes(2 + index);
        tried += receipt.held();
    }
    assert!(tried > 10_000, "{tried}");
}

/// Invariant 6: of a checkpoint and its signature file no byte can be changed at all.
#[test]
fn every_changed_byte_of_a_checkpoint_is_refuted() {
    let (node, _) = with_work();
    written(&node, &["checkpoint", "acme"], "cp");
    let trust = node.path("trust.toml");
    for name in ["cp", "cp.minisig"] {
        let honest = std::fs::read(node.path(name)).unwrap();
        let verified = |bytes: &[u8]| {
            std::fs::write(node.path(name), bytes).unwrap();
            let args = VerifyArgs { file: node.path("cp"), trust: trust.clone(), show: false };
            verify(&args).is_ok_and(|o| o.code == EXIT_VERIFIED)
        };
        assert!(verified(&honest));
        for at in 0..=honest.len() {
            for put in [b'A', b'9', b' ', b'\n', b'\r'] {
                let mut more = honest.clone();
                more.insert(at, put);
                let mut other = honest.clone();
                other.get_mut(at).into_iter().for_each(|b| *b = put);
                for changed in [more, other] {
                    assert!(changed == honest || !verified(&changed), "{name}: {put} at {at}");
                }
            }
        }
        assert!(verified(&honest));
    }
}
