//! Exports, receipts and checkpoints made here and then verified as files; and what a trust file may not say.

use super::*;
use crate::client::keys::{KeyFile, create};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::checkpoint::{key_id, untrusted_comment};
use conductor_shared::codec::Listed;
use conductor_shared::fact::{ActorType, Env, Fact, RunDecided, schema};
use conductor_shared::http::FieldEvidence;
use conductor_shared::ids::{Ident, NodeId, Origin, RunId, TenantUid};
use conductor_shared::merkle::{self, Hash};
use conductor_shared::record::{Body, Disclosed, Header, PolicyVersion, Sealed, salt};
use conductor_shared::untrusted::UntrustedText;
use std::collections::BTreeMap;
use std::path::PathBuf;

const ORIGIN: Origin = Origin { node: NodeId([1; 16]), tenant: TenantUid([2; 16]), epoch: 1 };

fn entry(index: u64) -> ReceiptEvidence {
    let fact: Fact = RunDecided {
        principal: "token:00".into(),
        run: RunId([1; 16]),
        workflow: Ident::new("etl").unwrap(),
        env: Env::Production,
        actor: ActorType::Service,
        action: Ident::new("run").unwrap(),
        subject: UntrustedText::new(format!("customer-{index} \u{1b}[2J")),
        verdict: conductor_shared::fact::Verdict::Deny,
        reasons: Listed(vec!["killed".into()]),
        rule: "*/etl".into(),
        bucket: index,
        ramp: 1000,
        lease_us: 60_000_000,
    }
    .into();
    let names = schema(fact.kind()).unwrap().fields;
    let body = Body { seed: [u8::try_from(index % 251).unwrap(); 32], values: fact.values() };
    let header = Header {
        origin: ORIGIN,
        index,
        time_us: 1000 + index,
        kind: fact.kind(),
        policy: PolicyVersion::built_in(),
        commitments: 3,
    };
    let sealed = Sealed { header, digests: body.digests(names) };
    let field = |(n, v): (&&str, &_)| {
        let d = Disclosed { name: (*n).into(), value: Clone::clone(v), salt: salt(&body.seed, n) };
        FieldEvidence { name: (*n).into(), disclosure: STANDARD.encode(d.to_bytes()) }
    };
    ReceiptEvidence {
        index,
        time_us: header.time_us,
        kind: header.kind,
        sealed: STANDARD.encode(sealed.to_bytes()),
        fields: names.iter().zip(&body.values).map(field).collect(),
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
    entries: Vec<ReceiptEvidence>,
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
        // As the signer writes it: the line that no signature covers is his too.
        let comment = untrusted_comment(key_id(&s.public_key).unwrap());
        let lines: Vec<&str> = s.signature.lines().skip(1).collect();
        let signature = format!("untrusted comment: {comment}\n{}\n", lines.join("\n"));
        let signed = SignedCheckpoint { text: s.text, signature };
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
        verify(&VerifyArgs { file, trust: self.trust(origin), show: false })
    }
}

fn node() -> String {
    format!("conductor-log/{}/", ORIGIN.node)
}

/// SPEC invariant 6: whole and partial exports verify.
#[test]
fn exports_verify() {
    for size in [1u64, 2, 3, 7, 8, 13] {
        let log = Log::new(size);
        for (from, to) in [(0, size), (0, 1), (size / 2, size), (size - 1, size)] {
            let full = log.export(from, to, log.path(from));
            let out = log.verify(log.write("x.jsonl", full), &node()).unwrap();
            assert_eq!(out.code, EXIT_VERIFIED, "{from}..{to} of {size}: {}", out.text);
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

/// Each value of a JSON document by its place, but for the elements of proofs: some of those follow from others, and nobody
/// reads them.
fn readable(text: &str) -> Option<BTreeMap<String, String>> {
    fn walk(place: &str, value: &serde_json::Value, out: &mut BTreeMap<String, String>) {
        match value {
            serde_json::Value::Object(fields) => {
                let read = fields.iter().filter(|(name, _)| !name.ends_with("proof"));
                read.for_each(|(name, value)| walk(&format!("{place}.{name}"), value, out));
            }
            serde_json::Value::Array(list) => {
                list.iter().enumerate().for_each(|(i, value)| walk(&format!("{place}.{i}"), value, out));
            }
            leaf => drop(out.insert(place.to_owned(), leaf.to_string())),
        }
    }
    let mut out = BTreeMap::new();
    for (i, line) in text.lines().enumerate() {
        walk(&i.to_string(), &serde_json::from_str(line).ok()?, &mut out);
    }
    Some(out)
}

/// SPEC invariant 6: 10,000 changed files. Whatever a person could read in one is what was signed, or it is refused; and none
/// ends the program.
#[test]
fn no_changed_word_is_verified() {
    const WORDS: &[&str] = &[
        "0", "7", "a", "F", "=", "/", "\"", "\\", "{", "}", ",", ":", " ", "\n", "é", "\u{202e}", "null",
        "1e3",
    ];
    let log = Log::new(4);
    let good = log.export(1, 4, log.path(1));
    let meant = readable(&good).unwrap();
    let (trust, file) = (log.trust(&node()), log.dir.path().join("changed.jsonl"));
    let places: Vec<usize> = good.char_indices().map(|(at, _)| at).collect();
    let change = (0..places.len(), 0..8usize, proptest::sample::select(WORDS));
    let config =
        proptest::test_runner::Config { cases: 10_000, failure_persistence: None, ..Default::default() };
    let done = proptest::test_runner::TestRunner::new(config).run(&change, |(at, removed, added)| {
        let (from, to) = (places[at], places.get(at + removed).copied().unwrap_or(good.len()));
        let changed = format!("{}{added}{}", &good[..from], &good[to..]);
        std::fs::write(&file, &changed).unwrap();
        let out = verify(&VerifyArgs { file: file.clone(), trust: trust.clone(), show: false });
        if out.is_ok_and(|out| out.code == EXIT_VERIFIED) {
            let as_meant = readable(&changed).as_ref() == Some(&meant);
            proptest::prop_assert!(as_meant, "verified, and reads otherwise:\n{changed}");
        }
        Ok(())
    });
    done.unwrap();
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

/// SPEC invariant 6: what the file says is shown in words made from the bytes that were verified, and not at all when
/// they were refuted.
#[test]
fn words_are_made_from_what_was_verified() {
    let log = Log::new(4);
    let good = log.export(1, 3, log.path(1));
    assert!(!good.contains("customer") && !good.contains("killed"), "{good}");
    let show = |text: &str| {
        let (file, trust) = (log.write("x.jsonl", text), log.trust(&node()));
        verify(&VerifyArgs { file, trust, show: true }).unwrap()
    };
    insta::assert_snapshot!("shown", show(&good).text);
    assert_eq!(
        show(&good).json["receipts"][1]["summary"],
        "run of etl (production) denied: killed (ramp */etl at 10 %, bucket 2)"
    );
    let bad = show(&good.replacen("\"time_us\":1001", "\"time_us\":1002", 1));
    assert_eq!((bad.code, bad.text.contains("customer")), (EXIT_REFUTED, false), "{}", bad.text);
    let mut fewer = log.entries[1].clone();
    fewer.fields.remove(0);
    let withheld = good.replacen(
        &serde_json::to_string(&log.entries[1]).unwrap(),
        &serde_json::to_string(&fewer).unwrap(),
        1,
    );
    let withheld = show(&withheld);
    assert_eq!(withheld.code, EXIT_UNCONFIRMED, "{}", withheld.text);
    assert!(withheld.text.contains("withheld or erased: 1, in 1 receipts"), "{}", withheld.text);
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
        ("another type", head.replace("receipts/v2", "receipts/v9\u{202e}")),
        ("an empty range", head.replace("\"to\":3", "\"to\":0")),
        ("a broken line", format!("{head}\n{{\"index\":\n")),
        ("an endless line", format!("{head}\n{}", "x".repeat(MAX_LINE + 10))),
        ("a checkpoint alone", log.signed.text.clone()),
    ] {
        say(name, log.verify(log.write("bad", text), &node()));
    }
    let args = |trust| VerifyArgs { file: log.write("good.jsonl", &good), trust, show: false };
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
    say(
        "no file",
        verify(&VerifyArgs { file: log.dir.path().join("none"), trust: log.trust(&node()), show: false }),
    );
    say(
        "a folder",
        verify(&VerifyArgs { file: log.dir.path().into(), trust: log.trust(&node()), show: false }),
    );
    insta::assert_snapshot!(said);
}
