//! The node, a tenant's sums, and operator keys.

use super::args::TenantArg;
use super::context::Context;
use super::output::{CliError, Output, table, time};
use super::policy::read_file;
use crate::client::error::seconds;
use crate::client::keys::{self, KeyError, KeyFile, public_file};
use crate::client::resolve;
use conductor_shared::checkpoint::key_id;
use conductor_shared::health::{Severity, Trouble};
use conductor_shared::untrusted::escape;
use serde_json::json;
use std::path::PathBuf;

/// No file of a public key is longer, bytes.
const MAX_PUBLIC_KEY: u64 = 4 << 10;

pub async fn node(context: &Context) -> Result<Output, CliError> {
    let session = context.session().await?;
    let opened = session.get().await?;
    let node = session.agent().node(&opened.bearer).await?;
    let state = match node.troubles.first() {
        None => "ready",
        Some(worst) => worst.severity.as_str(),
    };
    let ready = node.troubles.iter().all(|t| t.severity != Severity::Down);
    let trouble = |t: &Trouble| {
        let (name, since) = (escape(&t.subsystem, 40), time(t.since_us));
        let line = |label: &str, text: &str| format!("             {label} {}\n", escape(text, 300));
        let detail = format!("  {name:<10} since {since}: {}\n", escape(&t.detail, 300));
        detail + &line("it stops", &t.stops) + &line("remedy:", &t.remedy)
    };
    let troubles: String = node.troubles.iter().map(trouble).collect();
    let roles: Vec<String> = opened.roles.iter().map(|r| escape(r, 40)).collect();
    let text = format!(
        "node         {} ({})\nenvironment  {}\nversion      {}\ntime         {}\nstate        {state}\n{troubles}you          {} ({})\n",
        node.name,
        node.node_id,
        node.environment,
        escape(&node.version, 40),
        time(node.now_us),
        opened.person,
        roles.join(", ")
    );
    let json = json!({ "node": node, "ready": ready, "person": opened.person, "roles": opened.roles });
    Ok(Output::ok(text, json))
}

pub async fn totals(context: &Context, args: TenantArg) -> Result<Output, CliError> {
    let session = context.session().await?;
    let found = resolve::tenant(&session, &args.tenant).await?;
    let bearer = session.bearer().await?;
    let totals = session.agent().totals(&bearer, found.uid).await?;
    let row = |name: String, s: &conductor_shared::meter::Sums| {
        vec![
            name,
            s.runs_started.to_string(),
            s.steps_executed.to_string(),
            u64::try_from(s.step_us).map_or_else(|_| format!("{} us", s.step_us), seconds),
            s.bytes_in.to_string(),
            s.bytes_out.to_string(),
            s.receipts_emitted.to_string(),
            s.storage_bytes.to_string(),
        ]
    };
    let mut rows: Vec<Vec<String>> = totals
        .by_labels
        .iter()
        .map(|r| {
            let l = &r.labels;
            row(format!("{}/{}/{}", l.workflow_type, l.env.as_str(), l.actor_type.as_str()), &r.sums)
        })
        .collect();
    rows.push(row("all".into(), &totals.total));
    let head = ["WORK", "RUNS", "STEPS", "STEP SECONDS", "BYTES IN", "BYTES OUT", "RECEIPTS", "STORED BYTES"];
    Ok(Output::ok(table(&head, &rows), json!(totals)))
}

pub async fn key_new(out: PathBuf, unencrypted: bool) -> Result<Output, CliError> {
    let made = if unencrypted { keys::create(&out, None)? } else { keys::create_at_terminal(out).await? };
    let (secret, public) = (made.secret_file.to_string_lossy(), made.public_file.to_string_lossy());
    let warning =
        if made.encrypted { "" } else { "\nno password protects it: for demos and rehearsals only" };
    let text = format!(
        "key id      {}\npublic key  {}\nsecret key  {} (mode 0600; keep a copy of it somewhere safe){warning}\nan admin enrols {}",
        made.key_id,
        made.public_key,
        escape(&secret, 200),
        escape(&public, 200),
    );
    Ok(Output::ok(text, json!(made)))
}

pub async fn key_show(context: &Context, file: Option<PathBuf>) -> Result<Output, CliError> {
    let path = file.or_else(|| context.key.clone()).ok_or(KeyError::Missing)?;
    let key = KeyFile::load(&path)?;
    let encrypted = key.is_encrypted();
    // Reading the public file needs no password. It is checked when the key is used.
    let beside = read_file(&public_file(&path), MAX_PUBLIC_KEY).ok().and_then(|b| String::from_utf8(b).ok());
    let beside =
        beside.and_then(|t| t.lines().nth(1).map(|l| l.trim().to_owned())).filter(|k| key_id(k).is_some());
    let public = match beside {
        Some(k) if encrypted => k,
        _ => key.unlock_at_terminal().await?.public_key().to_owned(),
    };
    let id = key_id(&public).map_or_else(String::new, |id| id.to_string());
    let text = format!(
        "key id      {id}\npublic key  {public}\nencrypted   {}",
        if encrypted { "yes" } else { "no" }
    );
    Ok(Output::ok(text, json!({ "key_id": id, "public_key": public, "encrypted": encrypted })))
}
