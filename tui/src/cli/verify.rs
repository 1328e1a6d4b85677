//! `conductor verify`: receipts and checkpoints, offline, under keys that the verifier had beforehand.
//!
//! It opens no connection and takes no key from the files it verifies. Exports of any length are read line by line; each
//! check has its own verdict. Exit codes: 0 verified, 3 refuted, 4 unconfirmed, 2 when the input is unreadable.
//!
//! These files hold no word that a signature does not cover. The words for people are made here, and never for what was
//! refuted.

use super::args::VerifyArgs;
use super::output::{CliError, Output, in_file};
use super::receipts::words;
use crate::client::export::MAX_LINE;
use crate::client::resolve::nearest;
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::http::{BUNDLE_TYPE, RangeBundle, ReceiptBundle, ReceiptEvidence, ReceiptJson};
use conductor_shared::untrusted::escape;
use conductor_shared::verify::{
    self, EXIT_REFUTED, EXIT_UNCONFIRMED, EXIT_VERIFIED, RangeCheck, Report, Trust, Verdict,
};
use serde_json::json;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Largest trust file, checkpoint or single receipt, bytes.
const MAX_SMALL: u64 = 8 * 1024 * 1024;
/// With `--show`: bytes of receipts that are shown at most.
const MAX_SHOWN: usize = 16 * 1024 * 1024;

/// Receipts to show, in words made from the bytes that are verified.
struct Shown {
    wanted: bool,
    bytes: usize,
    receipts: Vec<ReceiptJson>,
    /// How many more there are.
    more: u64,
}

impl Shown {
    fn new(wanted: bool) -> Self {
        Self { wanted, bytes: 0, receipts: vec![], more: 0 }
    }

    fn add(&mut self, r: &ReceiptEvidence) {
        let fields = r.fields.iter().map(|f| f.disclosure.len()).sum::<usize>();
        self.bytes = self.bytes.saturating_add(r.sealed.len() + fields);
        if !self.wanted || self.bytes > MAX_SHOWN {
            self.more += u64::from(self.wanted);
        } else if let Ok(r) = verify::read(r) {
            self.receipts.push(r);
        }
    }

    /// Puts them below what was found; nothing when that is a refutation.
    fn below(self, mut out: Output) -> Output {
        if !self.wanted || out.code == EXIT_REFUTED {
            return out;
        }
        for r in &self.receipts {
            let _ = write!(out.text, "\nreceipt {}\n{}", r.index, words(r));
        }
        if self.more > 0 {
            let _ = writeln!(out.text, "\n{} more are not shown: export a smaller range", self.more);
        }
        if let Some(m) = out.json.as_object_mut() {
            m.insert("receipts".into(), json!(self.receipts));
            m.insert("not_shown".into(), json!(self.more));
        }
        out
    }
}

pub fn verify(args: &VerifyArgs) -> Result<Output, CliError> {
    let trust = trust(&args.trust)?;
    let path = args.file.as_path();
    let mut input = BufReader::new(open(path)?);
    let first = line(&mut input).map_err(|e| in_file(path, format!("line 1: {e}")))?.unwrap_or_default();
    if first.starts_with(b"conductor-log/") {
        return checkpoint(path, &trust);
    }
    let mut shown = Shown::new(args.show);
    if is_range(&first) {
        let head: RangeBundle = serde_json::from_slice(&first).map_err(|e| {
            let what = "expected the first line of an export";
            in_file(path, format!("line 1, column {}: {what}: {}", e.column(), reason(&e)))
        })?;
        let report = range(path, &head, &mut input, &trust, &mut shown)?;
        return Ok(shown.below(verdict(&report, "export")));
    }
    let text = small(path)?;
    let bundle: ReceiptBundle = serde_json::from_str(&text).map_err(|e| {
        let what = "expected a receipt with its proof, an export (JSON lines) or a checkpoint";
        in_file(path, format!("line {}, column {}: {what}: {}", e.line(), e.column().max(1), reason(&e)))
    })?;
    known_type(path, &bundle.kind)?;
    shown.add(&bundle.receipt);
    let report = verify::one(&bundle.receipt, &bundle.proof, bundle.checkpoint.as_ref(), &trust);
    Ok(shown.below(verdict(&report, "receipt")))
}

fn open(path: &Path) -> Result<File, CliError> {
    let file = File::open(path).map_err(|e| in_file(path, e))?;
    let meta = file.metadata().map_err(|e| in_file(path, e))?;
    if meta.is_file() { Ok(file) } else { Err(in_file(path, "it is not a regular file")) }
}

fn small(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    open(path)?.take(MAX_SMALL + 1).read_to_string(&mut text).map_err(|e| in_file(path, e))?;
    if text.len() as u64 > MAX_SMALL {
        return Err(in_file(path, format!("it is longer than {MAX_SMALL} bytes")));
    }
    Ok(text)
}

/// The next line without its newline, bounded; `None` at the end.
fn line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>, String> {
    let mut out = vec![];
    let max = MAX_LINE as u64 + 1;
    let n = input.by_ref().take(max).read_until(b'\n', &mut out).map_err(|e| e.to_string())?;
    if n == 0 {
        return Ok(None);
    }
    if out.last() == Some(&b'\n') {
        out.pop();
    } else if n as u64 == max {
        return Err(format!("it is longer than {MAX_LINE} bytes"));
    }
    Ok(Some(out))
}

/// What `serde_json` says, without the place it appends.
fn reason(e: &serde_json::Error) -> String {
    escape(e.to_string().split(" at line ").next().unwrap_or(""), 200)
}

/// Whether a first line is that of an export, well formed or not.
fn is_range(first: &[u8]) -> bool {
    let line = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(first);
    line.is_ok_and(|m| m.contains_key("type") && !m.contains_key("receipt"))
}

fn known_type(path: &Path, kind: &str) -> Result<(), CliError> {
    if kind == BUNDLE_TYPE {
        return Ok(());
    }
    Err(in_file(path, format!("its type is \"{}\", and this verifies {BUNDLE_TYPE}", escape(kind, 60))))
}

fn range(
    path: &Path,
    head: &RangeBundle,
    input: &mut impl BufRead,
    trust: &Trust,
    shown: &mut Shown,
) -> Result<Report, CliError> {
    known_type(path, &head.kind)?;
    if head.from >= head.to {
        return Err(in_file(path, format!("line 1: the range {}..{} is empty", head.from, head.to)));
    }
    let (signature, cp) = match &head.checkpoint {
        Some(signed) => verify::checkpoint(signed, trust),
        None => (Verdict::Unconfirmed("no checkpoint covers it yet".into()), None),
    };
    let mut check = RangeCheck::new(head.from, cp.map(|c| c.origin));
    let mut number = 1u64;
    let mut origin = cp.map(|c| c.origin);
    while let Some(bytes) = line(input).map_err(|e| in_file(path, format!("line {}: {e}", number + 1)))? {
        number += 1;
        let entry: ReceiptEvidence = serde_json::from_slice(&bytes).map_err(|e| {
            in_file(path, format!("line {number}, column {}: expected a receipt: {}", e.column(), reason(&e)))
        })?;
        if number - 1 > head.to - head.from {
            let why = format!("{} entries were announced and more came", head.to - head.from);
            return Ok(refuted(signature, cp.as_ref(), why, check.entries()));
        }
        if origin.is_none() {
            origin = verify::receipt(&entry).ok().map(|s| s.header.origin);
        }
        check.push(&entry);
        shown.add(&entry);
    }
    let entries = check.entries();
    let proofs = (verify::hashes(&head.first_proof), verify::hashes(&head.last_proof));
    let (Some(first), Some(last)) = proofs else {
        return Ok(refuted(signature, cp.as_ref(), "an audit path is not base64 of hashes".into(), entries));
    };
    let (inclusion, completeness) = check.finish(head.to, &first, &last, cp.as_ref());
    Ok(Report { signature, inclusion, completeness, origin, size: cp.map(|c| c.size), entries })
}

fn refuted(signature: Verdict, cp: Option<&Checkpoint>, why: String, entries: u64) -> Report {
    Report {
        signature,
        inclusion: Verdict::Refuted(why.clone()),
        completeness: Verdict::Refuted(why),
        origin: cp.map(|c| c.origin),
        size: cp.map(|c| c.size),
        entries,
    }
}

fn checkpoint(path: &Path, trust: &Trust) -> Result<Output, CliError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".minisig");
    let signature = small(Path::new(&beside)).map_err(|e| {
        CliError::Input(format!("{e}: the signature of a checkpoint stands beside it, in FILE.minisig"))
    })?;
    let signed = SignedCheckpoint { text: small(path)?, signature };
    let (verdict, c) = verify::checkpoint(&signed, trust);
    let code = match &verdict {
        Verdict::Verified => EXIT_VERIFIED,
        Verdict::Refuted(_) => EXIT_REFUTED,
        Verdict::Unconfirmed(_) => EXIT_UNCONFIRMED,
    };
    let mut text = format!("{}\nsignature     {}\n", word(code), said(&verdict));
    if let Some(c) = &c {
        let _ = writeln!(text, "log           {}\nsize          {}", c.origin, c.size);
    }
    let json = json!({
        "file": "checkpoint", "signature": verdict, "origin": c.map(|c| c.origin), "size": c.map(|c| c.size), "exit_code": code
    });
    Ok(Output { text, json, code })
}

fn word(code: u8) -> &'static str {
    match code {
        EXIT_VERIFIED => "VERIFIED",
        EXIT_REFUTED => "REFUTED",
        _ => "UNCONFIRMED",
    }
}

fn said(v: &Verdict) -> String {
    match v {
        Verdict::Verified => "verified".into(),
        Verdict::Refuted(why) => format!("REFUTED: {}", escape(why, 300)),
        Verdict::Unconfirmed(why) => format!("unconfirmed: {}", escape(why, 300)),
    }
}

fn verdict(r: &Report, file: &str) -> Output {
    let code = r.exit_code();
    let mut text = format!("{}\n", word(code));
    let _ = writeln!(text, "signature     {}", said(&r.signature));
    let _ = writeln!(text, "inclusion     {}", said(&r.inclusion));
    let _ = writeln!(text, "completeness  {}", said(&r.completeness));
    if let Some(o) = &r.origin {
        let _ = writeln!(text, "log           {o}");
    }
    if let Some(n) = r.size {
        let _ = writeln!(text, "checkpoint    at size {n}");
    }
    let _ = writeln!(text, "entries       {}", r.entries);
    let mut json = json!(r);
    if let Some(m) = json.as_object_mut() {
        m.insert("file".into(), json!(file));
        m.insert("exit_code".into(), json!(code));
    }
    Output { text, json, code }
}

/// Reads a trust file. An unknown field is named with its place and what was probably meant.
pub fn trust(path: &Path) -> Result<Trust, CliError> {
    let text = small(path)?;
    let trust: Trust = toml::from_str(&text).map_err(|e| in_file(path, place(&text, &e)))?;
    if trust.keys.is_empty() {
        return Err(in_file(path, "it trusts no key: expected at least one [[key]]"));
    }
    for (n, k) in trust.keys.iter().enumerate() {
        let bad = |what: &str| in_file(path, format!("key {}: {what}", n + 1));
        if conductor_shared::checkpoint::key_id(&k.public_key).is_none() {
            return Err(bad("public_key is not the base64 line of a minisign public key"));
        }
        if k.purpose != "checkpoint" {
            let near = if nearest(&k.purpose, ["checkpoint"].into_iter()).is_some() {
                ": did you mean checkpoint?"
            } else {
                ""
            };
            return Err(bad(&format!("the purpose \"{}\" is not known{near}", escape(&k.purpose, 60))));
        }
        if k.sizes.is_some_and(|[from, to]| from > to) {
            return Err(bad("sizes are first and last, in this order"));
        }
    }
    Ok(trust)
}

fn place(text: &str, e: &toml::de::Error) -> String {
    let at = e.span().map_or(0, |s| s.start.min(text.len()));
    let before = text.get(..at).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    let message = escape(e.message().lines().next().unwrap_or(""), 200);
    let meant = unknown_field(e.message()).and_then(|field| {
        let known = ["key", "public_key", "purpose", "origin", "sizes"];
        nearest(&field, known.into_iter())
    });
    let meant = meant.map_or_else(String::new, |m| format!(": did you mean {m}?"));
    format!("line {line}, column {column}: {message}{meant}")
}

/// The field that serde names in backquotes.
fn unknown_field(message: &str) -> Option<String> {
    let rest = message.split("unknown field `").nth(1)?;
    Some(rest.split('`').next()?.to_owned())
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
