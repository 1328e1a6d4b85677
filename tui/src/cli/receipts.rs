//! Receipts and checkpoints: shown, and written to files for `conductor verify` and stock `minisign -V`.

use super::args::{CheckpointArgs, ReceiptsCommand};
use super::context::Context;
use super::output::{CliError, Output, in_file, table, time};
use crate::client::error::ClientError;
use crate::client::http::From;
use crate::client::keys::write_new;
use crate::client::resolve;
use crate::client::session::ReadSession;
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::http::{RangeBundle, ReceiptJson};
use conductor_shared::ids::TenantUid;
use conductor_shared::untrusted::escape;
use serde_json::json;
use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub async fn receipts(context: &Context, command: ReceiptsCommand) -> Result<Output, CliError> {
    let session = context.session().await?;
    match command {
        ReceiptsCommand::List { tenant, last, from, limit } => {
            let found = resolve::tenant(&session, &tenant).await?;
            let bearer = session.bearer().await?;
            let (from, limit) = from.map_or((From::Last(last.into()), last), |i| (From::Index(i), limit));
            let page = session.agent().receipts(&bearer, found.uid, from, limit).await?;
            let cells: Vec<Vec<String>> = page.receipts.iter().map(row).collect();
            let mut text = table(&["INDEX", "TIME", "KIND", "ANSWER", "WHAT"], &cells);
            let _ = write!(text, "{} receipts in {}", page.size, page.origin);
            if let Some(next) = page.next {
                let _ = write!(text, "; go on with --from {next}");
            }
            Ok(Output::ok(text, json!(page)))
        }
        ReceiptsCommand::Show { tenant, index, proof, out } => {
            let found = resolve::tenant(&session, &tenant).await?;
            show(&session, found.uid, index, proof, out).await
        }
        ReceiptsCommand::Export { tenant, from, to, out } => {
            let found = resolve::tenant(&session, &tenant).await?;
            let to = match to {
                Some(to) => to,
                None => signed_size(&session, found.uid).await?,
            };
            if from >= to {
                return Err(CliError::Input(format!(
                    "the range {from}..{to} is empty: --from is the first index, --to one after the last"
                )));
            }
            export(&session, found.uid, from, to, &out).await
        }
    }
}

fn row(r: &ReceiptJson) -> Vec<String> {
    vec![
        r.index.to_string(),
        time(r.time_us),
        escape(&r.kind_name, 24),
        r.verdict.map_or("-", |v| v.as_str()).to_owned(),
        escape(&r.summary, 120),
    ]
}

async fn signed_size(session: &ReadSession, tenant: TenantUid) -> Result<u64, CliError> {
    let bearer = session.bearer().await?;
    let head = session.agent().log_head(&bearer, tenant).await?;
    let signed = head.checkpoint.and_then(|c| Checkpoint::parse(&c.text).ok());
    signed.map(|c| c.size).ok_or_else(|| {
        CliError::Failed("no checkpoint is signed yet: give --to, or wait for the signer".into())
    })
}

async fn show(
    session: &ReadSession,
    tenant: TenantUid,
    index: u64,
    proof: bool,
    out: Option<PathBuf>,
) -> Result<Output, CliError> {
    let bearer = session.bearer().await?;
    if proof {
        let bundle = session.agent().receipt_proof(&bearer, tenant, index).await?;
        let mut text = serde_json::to_string_pretty(&bundle).map_err(|e| CliError::Failed(e.to_string()))?;
        text.push('\n');
        let covered = if bundle.checkpoint.is_some() {
            "a signed checkpoint covers it"
        } else {
            "no signed checkpoint covers it yet"
        };
        let Some(path) = out else { return Ok(Output::ok(text, json!(bundle))) };
        write_new(&path, 0o644, text.as_bytes())?;
        let name = escape(&path.to_string_lossy(), 200);
        let said = format!(
            "receipt {index} with its proof: {name} ({covered})\nverify: conductor verify {name} --trust trust.toml"
        );
        return Ok(Output::ok(
            said,
            json!({ "file": name, "index": index, "covered": bundle.checkpoint.is_some() }),
        ));
    }
    let page = session.agent().receipts(&bearer, tenant, From::Index(index), 1).await?;
    let Some(r) = page.receipts.first().filter(|r| r.index == index) else {
        return Err(CliError::Input(format!(
            "{} has {} receipts, and none at index {index}",
            page.origin, page.size
        )));
    };
    Ok(Output::ok(format!("receipt {} of {}\n{}", r.index, page.origin, words(r)), json!(r)))
}

/// What a receipt says.
pub fn words(r: &ReceiptJson) -> String {
    let mut text = format!("time     {}\n", time(r.time_us));
    let _ = writeln!(text, "kind     {} (0x{:04x})", escape(&r.kind_name, 40), r.kind);
    if let Some(v) = r.verdict {
        let _ = writeln!(text, "answer   {}", v.as_str());
    }
    let _ = writeln!(text, "what     {}", escape(&r.summary, 400));
    for f in &r.fields {
        let _ = writeln!(text, "  {} = {}", escape(&f.name, 40), escape(&f.shown, 2000));
    }
    text
}

async fn export(
    session: &ReadSession,
    tenant: TenantUid,
    from: u64,
    to: u64,
    out: &Path,
) -> Result<Output, CliError> {
    let bearer = session.bearer().await?;
    let mut lines = session.agent().export(&bearer, tenant, from, to).await?;
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(out);
    let file = opened.map_err(|e| in_file(out, e))?;
    let written = copy(&mut lines, BufWriter::new(file), from, to).await;
    if written.is_err() {
        // Half an export would look like a whole one.
        let _ = std::fs::remove_file(out);
    }
    let (head, entries) = written.map_err(|e| match e {
        Copy::Client(e) => CliError::Client(e),
        Copy::File(e) => in_file(out, e),
        Copy::Short(why) => CliError::Failed(why),
    })?;
    let name = escape(&out.to_string_lossy(), 200);
    let covered = head.checkpoint.is_some();
    let word =
        if covered { "a signed checkpoint covers them" } else { "no signed checkpoint covers them yet" };
    let text = format!(
        "receipts {from}..{to} ({entries}): {name} ({word})\nverify: conductor verify {name} --trust trust.toml"
    );
    Ok(Output::ok(
        text,
        json!({ "file": name, "from": from, "to": to, "entries": entries, "covered": covered }),
    ))
}

enum Copy {
    Client(ClientError),
    File(std::io::Error),
    Short(String),
}

async fn copy(
    lines: &mut crate::client::export::Lines,
    mut file: BufWriter<std::fs::File>,
    from: u64,
    to: u64,
) -> Result<(RangeBundle, u64), Copy> {
    let short = |why: &str| Copy::Short(format!("the export broke off, and its file was removed: {why}"));
    let first = lines.next().await.map_err(Copy::Client)?.ok_or_else(|| short("it is empty"))?;
    let head: RangeBundle =
        serde_json::from_slice(&first).map_err(|e| short(&escape(&e.to_string(), 200)))?;
    if (head.from, head.to) != (from, to) {
        return Err(short("the agent sent another range"));
    }
    let mut entries = 0u64;
    let mut line = Some(first);
    while let Some(l) = line {
        file.write_all(&l).and_then(|()| file.write_all(b"\n")).map_err(Copy::File)?;
        line = lines.next().await.map_err(Copy::Client)?;
        entries += u64::from(line.is_some());
    }
    file.flush().and_then(|()| file.get_ref().sync_all()).map_err(Copy::File)?;
    if entries != to - from {
        return Err(short(&format!("{} entries were announced and {entries} came", to - from)));
    }
    Ok((head, entries))
}

pub async fn checkpoint(context: &Context, args: CheckpointArgs) -> Result<Output, CliError> {
    let session = context.session().await?;
    let found = resolve::tenant(&session, &args.tenant).await?;
    let bearer = session.bearer().await?;
    let head = session.agent().log_head(&bearer, found.uid).await?;
    let Some(signed) = &head.checkpoint else {
        return Err(CliError::Failed(format!(
            "{} has {} receipts and no signed checkpoint yet: is the signer up?",
            found.name, head.size
        )));
    };
    let c = Checkpoint::parse(&signed.text)
        .map_err(|e| CliError::Failed(format!("the agent's checkpoint cannot be read: {e}")))?;
    let mut text = format!("{}signed {} of {} receipts\n", c.text(), c.size, head.size);
    let mut json = json!(head);
    if let Some(out) = args.out {
        let signature = write_checkpoint(&out, signed)?;
        let (a, b) = (escape(&out.to_string_lossy(), 200), escape(&signature.to_string_lossy(), 200));
        let _ = write!(text, "written to {a} and {b}\nverify: minisign -V -p signer.pub -m {a}");
        if let Some(m) = json.as_object_mut() {
            m.insert("file".into(), json!(a));
            m.insert("signature_file".into(), json!(b));
        }
    }
    Ok(Output::ok(text, json))
}

/// Writes the exact text and its minisign file beside it.
fn write_checkpoint(out: &Path, signed: &SignedCheckpoint) -> Result<PathBuf, CliError> {
    let mut signature = out.as_os_str().to_owned();
    signature.push(".minisig");
    let signature = PathBuf::from(signature);
    write_new(out, 0o644, signed.text.as_bytes())?;
    write_new(&signature, 0o644, signed.signature.as_bytes())?;
    Ok(signature)
}
