//! Exports, receipts and checkpoints made here and then verified as files; and what a trust file may not say.

use super::*;
use crate::client::keys::{KeyFile, create};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::codec::Value;
use conductor_shared::http::FieldJson;
use conductor_shared::ids::{NodeId, Origin, TenantUid};
use conductor_shared::merkle;
use conductor_shared::record::{Body, Disclosed, Header, PolicyVersion, Sealed, salt};
use std::path::PathBuf;

const ORIGIN: Origin = Origin { node: NodeId([1; 16]), tenant: TenantUid([2; 16]), epoch: 1 };

fn entry(index: u64) -> ReceiptJson {
    let names = conductor_shared::fact::GROUPS;
    let values: Vec<Value> = (0..3).map(|g| Value::List(vec![Value::U64(index * 3 + g)])).collect();
    let body = Body { seed: [u8::try_from(index % 251).unwrap(); 32], values };
    let header = Header {
        origin: ORIGIN,
        index,
        time_us: 1000 + index,
        kind: 0x1005,
        policy: PolicyVersion::built_in(),
        commitments: 3,
    };
    let sealed = Sealed { header, digests: body.digests(names) };
    let field = |(n, v): (&&str, &Value)| {
        let d = Disclosed { name: (*n).into(), value: v.clone(), salt: salt(&body.seed, n) };
        FieldJson { name: (*n).into(), disclosure: STANDARD.encode(d.to_bytes()), shown: String::new() }
    };
    ReceiptJson {
        index,
        time_us: header.time_us,
        kind: header.kind,
        kind_name: String::new(),
        sealed: STANDARD.encode(sealed.to_bytes()),
        fields: names.iter().zip(&body.values).map(field).collect(),
        summary: String::new(),
        verdict: None,
    }
}

struct Leaves(Vec<Hash>);
impl merkle::Nodes for Leaves {
    type Error = std::convert::Infallible;
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let w = 1usize << level;
        let at = usize::try_from(index).unwrap() * w;
        Ok(verify::root_of(self.0[at..at + w].iter().copied()))
    }
}

/// A log of some size with a signed checkpoint, and a folder for its files.
struct Log {
    dir: tempfile::TempDir,
    entries: Vec<ReceiptJson>,
    leaves: Leaves,
    signed: SignedCheckpoint,
    public_key: String,
}

impl Log {
    fn new(size: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signer");
        create(&path, None).unwrap();
        let key = KeyFile::load(&path).unwrap().unlock(None).unwrap();
        let entries: Vec<_> = (0..size).map(entry).collect();
        let leaves = Leaves(entries.iter().map(|e| verify::receipt(e).unwrap().leaf()).collect());
        let root = merkle::root_at(&leaves, size).unwrap();
        let c = Checkpoint { origin: ORIGIN, size, root };
        let s = key.sign(&c.text(), &c.trusted_comment()).unwrap();
        let signed = SignedCheckpoint { text: s.text, signature: s.signature };
        Self { dir, entries, leaves, signed, public_key: s.public_key }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn trust(&self, origin: &str) -> PathBuf {
        let key = &self.public_key;
        self.write(
            "trust.toml",
            format!("[[key]]\npublic_key = \"{key}\"\npurpose = \"checkpoint\"\norigin = \"{origin}\"\n"),
        )
    }

    fn path(&self, index: u64) -> Vec<String> {
        let size = self.entries.len() as u64;
        let proof = merkle::inclusion_proof(&self.leaves, index, size).unwrap();
        proof.iter().map(|h| STANDARD.encode(h)).collect()
    }

    fn export(&self, from: u64, to: u64, first_proof: Vec<String>) -> String {
        let head = RangeBundle {
            kind: BUNDLE_TYPE.into(),
            from,
            to,
            first_proof,
            last_proof: self.path(to - 1),
            checkpoint: Some(self.signed.clone()),
        };
        let mut out = serde_json::to_string(&head).unwrap() + "\n";
        for e in &self.entries[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()] {
            out += &(serde_json::to_string(e).unwrap() + "\n");
        }
        out
    }

    fn verify(&self, file: PathBuf, origin: &str) -> Result<Output, CliError> {
        verify(&VerifyArgs { file, trust: self.trust(origin) })
    }
}

fn node() -> String {
    format!("conductor-log/{}/", ORIGIN.node)
}

/// SPEC invariant 6: whole and partial exports verify, with and without the path that entry 0 does not need.
#[test]
fn exports_verify() {
    for size in [1u64, 2, 3, 7, 8, 13] {
        let log = Log::new(size);
        for (from, to) in [(0, size), (0, 1), (size / 2, size), (size - 1, size)] {
            let full = log.export(from, to, log.path(from));
            let out = log.verify(log.write("x.jsonl", full), &node()).unwrap();
            assert_eq!(out.code, EXIT_VERIFIED, "{from}..{to} of {size}: {}", out.text);
            if from == 0 {
                let short = log.export(from, to, vec![]);
                assert_eq!(log.verify(log.write("x.jsonl", short), &node()).unwrap().code, EXIT_VERIFIED);
            }
        }
    }
}

/// SPEC invariant 6: omitted, added, altered and untrusted receipts are distinguished.
#[test]
fn exports_that_lie() {
    let log = Log::new(9);
    let good = log.export(2, 7, log.path(2));
    let lines: Vec<&str> = good.lines().collect();
    let join = |l: &[&str]| l.join("\n") + "\n";
    let mut left_out = lines.clone();
    left_out.remove(3);
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    let mut added = lines.clone();
    let more = serde_json::to_string(&log.entries[7]).unwrap();
    added.push(&more);
    let cut = &lines[..4];
    let altered = good.replacen("\"time_us\":1003", "\"time_us\":1004", 1);
    let resized = good.replacen("\\n9\\n", "\\n8\\n", 1);
    let mut said = String::new();
    for (name, text) in [
        ("left out", join(&left_out)),
        ("swapped", join(&swapped)),
        ("added", join(&added)),
        ("cut", join(cut)),
        ("altered", altered),
        ("checkpoint altered", resized),
    ] {
        let out = log.verify(log.write("x.jsonl", text), &node()).unwrap();
        assert_eq!(out.code, EXIT_REFUTED, "{name}: {}", out.text);
        let _ = writeln!(said, "--- {name}\n{}", out.text);
    }
    let other = log.verify(log.write("x.jsonl", &good), "conductor-log/00/").unwrap();
    assert_eq!(other.code, EXIT_UNCONFIRMED);
    let _ = writeln!(said, "--- nobody trusted\n{}", other.text);
    insta::assert_snapshot!(said);
}

/// SPEC invariant 6 and DESIGN, Sign roots: a receipt with its proof, and a checkpoint with its minisign file.
#[test]
fn receipts_and_checkpoints_verify() {
    let log = Log::new(6);
    let bundle = |index: u64, proof: Vec<String>| ReceiptBundle {
        kind: BUNDLE_TYPE.into(),
        receipt: log.entries[usize::try_from(index).unwrap()].clone(),
        proof,
        checkpoint: Some(log.signed.clone()),
    };
    let text = |b: &ReceiptBundle| serde_json::to_string_pretty(b).unwrap();
    let code = |t: String| log.verify(log.write("r.json", t), &node()).unwrap().code;
    assert_eq!(code(text(&bundle(4, log.path(4)))), EXIT_VERIFIED);
    assert_eq!(code(text(&bundle(4, log.path(3)))), EXIT_REFUTED);
    let unsigned = ReceiptBundle { checkpoint: None, ..bundle(4, vec![]) };
    assert_eq!(code(text(&unsigned)), EXIT_UNCONFIRMED);

    let file = log.write("cp", &log.signed.text);
    log.write("cp.minisig", &log.signed.signature);
    let out = log.verify(file.clone(), &node()).unwrap();
    assert_eq!((out.code, out.json["size"].as_u64()), (EXIT_VERIFIED, Some(6)));
    log.write("cp", log.signed.text.replace("\n6\n", "\n5\n"));
    assert_eq!(log.verify(file, &node()).unwrap().code, EXIT_REFUTED);
}

/// SPEC, Bad input: what cannot be read is named with its place and how to fix it, and exits with 2.
#[test]
fn unreadable_input() {
    let log = Log::new(3);
    let good = log.export(0, 3, log.path(0));
    let head = good.lines().next().unwrap();
    let key = &log.public_key;
    let field = |name: &str, value: &str| format!("[[key]]\npublic_key = \"{key}\"\n{name} = {value}\n");
    let mut said = String::new();
    let mut say = |name: &str, e: Result<Output, CliError>| {
        let e = e.expect_err(name);
        assert_eq!(e.code(), 2, "{name}");
        let text = e.to_string().replace(&*log.dir.path().to_string_lossy(), "DIR");
        assert!(!text.replace('\n', "").chars().any(char::is_control), "{text:?}");
        let _ = writeln!(said, "{name}: {text}");
    };
    for (name, text) in [
        ("empty", String::new()),
        ("not JSON", "hello \u{1b}[2J\n".into()),
        ("another type", head.replace("receipts/v1", "receipts/v9\u{202e}")),
        ("an empty range", head.replace("\"to\":3", "\"to\":0")),
        ("a broken line", format!("{head}\n{{\"index\":\n")),
        ("an endless line", format!("{head}\n{}", "x".repeat(MAX_LINE + 10))),
        ("a checkpoint alone", log.signed.text.clone()),
    ] {
        say(name, log.verify(log.write("bad", text), &node()));
    }
    let args = |trust| VerifyArgs { file: log.write("good.jsonl", &good), trust };
    for (name, text) in [
        ("trust: unknown field", field("  pupose", "\"checkpoint\"")),
        ("trust: unknown table", "[[keys]]\n".into()),
        ("trust: wrong type", field("purpose", "7")),
        ("trust: not TOML", "[[key\n".into()),
        ("trust: no key", String::new()),
        ("trust: another purpose", field("purpose", "\"checkpiont\"\norigin = \"x\"")),
        (
            "trust: no public key",
            "[[key]]\npublic_key = \"abc\"\npurpose = \"checkpoint\"\norigin = \"x\"\n".into(),
        ),
        ("trust: sizes", field("purpose", "\"checkpoint\"\norigin = \"x\"\nsizes = [5, 2]")),
    ] {
        say(name, verify(&args(log.write("bad.toml", text))));
    }
    say("no file", verify(&VerifyArgs { file: log.dir.path().join("none"), trust: log.trust(&node()) }));
    say("a folder", verify(&VerifyArgs { file: log.dir.path().into(), trust: log.trust(&node()) }));
    insta::assert_snapshot!(said);
}
