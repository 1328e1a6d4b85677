//! Tenants, their catalogs and their tokens.
//!
//! The secret of a token is made here and never sent: the command carries its SHA-256.

use super::args::{TenantArg, TenantCommand, TokenCommand, WorkflowArgs, WorkflowCommand};
use super::change::{Change, carry_out, uid_is_enough};
use super::context::Context;
use super::lookup::tenant_detail;
use super::output::{CliError, Output, table};
use crate::client::commands::random;
use crate::client::keys::write_new;
use crate::client::resolve::{self, Found, NODE_WORD};
use conductor_shared::basis_points::percent;
use conductor_shared::command::{Operation, ops};
use conductor_shared::control::ControlState;
use conductor_shared::ids::{Ident, TenantUid, TokenId, hex};
use conductor_shared::routes::WORKLOAD_TOKEN;
use conductor_shared::untrusted::escape;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use zeroize::Zeroizing;

pub async fn tenant(context: &Context, command: TenantCommand) -> Result<Output, CliError> {
    match command {
        TenantCommand::Create { name, uid, change } => {
            context.may_change()?;
            if name.as_str() == NODE_WORD {
                return Err(CliError::Input(format!(
                    "\"{NODE_WORD}\" stands for the node's own log: choose another name"
                )));
            }
            let session = context.session().await?;
            let uid = uid.map_or_else(|| random().map(TenantUid), Ok)?;
            let operation =
                Operation::TenantCreate(ops::TenantCreate { tenant_uid: uid, tenant_id: name.clone() });
            let node = Found::node();
            let change_ = Change { tenant: node, confirm: name.to_string(), operation, tightens: false };
            let mut out = carry_out(context, &session, change_, &change).await?;
            let _ = writeln!(out.text, "tenant     {name} is {uid}");
            if let Some(m) = out.json.as_object_mut() {
                m.insert("tenant_uid".into(), json!(uid));
                m.insert("tenant_id".into(), json!(name));
            }
            Ok(out)
        }
        TenantCommand::List => {
            let session = context.session().await?;
            let bearer = session.bearer().await?;
            let list = session.agent().tenants(&bearer).await?;
            let cells: Vec<Vec<String>> = list
                .tenants
                .iter()
                .map(|t| {
                    vec![
                        t.tenant_id.to_string(),
                        t.tenant_uid.to_string(),
                        t.size.to_string(),
                        t.size.saturating_sub(t.signed).to_string(),
                        t.open_runs.to_string(),
                    ]
                })
                .collect();
            let text = table(&["TENANT", "UID", "RECEIPTS", "UNSIGNED", "OPEN RUNS"], &cells);
            Ok(Output::ok(text, json!(list)))
        }
        TenantCommand::Show(t) => show(context, &t).await,
        TenantCommand::History { tenant, last, before } => {
            super::history::history(context, &tenant, u64::from(last), before).await
        }
        TenantCommand::Diff { tenant, from, to } => super::history::diff(context, &tenant, from, to).await,
        TenantCommand::Rollback { tenant, revision, change } => {
            super::history::rollback(context, &tenant, revision, &change).await
        }
    }
}

async fn show(context: &Context, t: &TenantArg) -> Result<Output, CliError> {
    let session = context.session().await?;
    let (found, detail) = tenant_detail(&session, &t.tenant).await?;
    let mut text = format!("{} ({})\n", found.name, found.uid);
    let _ =
        writeln!(text, "log        {} receipts, root {} (unsigned)", detail.size, escape(&detail.root, 64));
    let signed = detail.checkpoint.as_ref().and_then(|c| c.text.lines().nth(1));
    let _ = writeln!(
        text,
        "signed     {}",
        signed.map_or("no checkpoint yet".into(), |s| format!("up to {}", escape(s, 20)))
    );
    let _ = writeln!(text, "open runs  {}", detail.open_runs);
    control(&mut text, &detail.control);
    Ok(Output::ok(text, json!(detail)))
}

fn control(out: &mut String, c: &ControlState) {
    let _ = writeln!(out, "revision   {}", c.revision);
    if c.newer {
        let _ =
            writeln!(out, "warning    the log holds facts newer than this program: this may be incomplete");
    }
    let words: Vec<&str> = c.workflows.iter().map(conductor_shared::ids::Ident::as_str).collect();
    let _ = writeln!(out, "workflows  {}", if words.is_empty() { "none".into() } else { words.join(" ") });
    for (s, r) in &c.ramps {
        let _ = writeln!(out, "ramp       {s} at {}", percent(r.hundredths));
    }
    for (s, k) in &c.kills {
        let _ = writeln!(out, "killed     {s}{}", if k.drain { " (drains)" } else { "" });
    }
    for i in c.incidents.values() {
        let _ = writeln!(out, "incident   {} since {}", i.cause, super::output::time(i.since_us));
    }
    for (id, p) in &c.pending {
        let _ = writeln!(out, "pending    {} (command {})", super::change::state(&p.change), id.command);
    }
}

pub async fn workflow(context: &Context, command: WorkflowCommand) -> Result<Output, CliError> {
    let (args, make, tightens): (WorkflowArgs, Box<dyn FnOnce(Ident) -> Operation + Send>, bool) =
        match command {
            WorkflowCommand::Register(a) => (
                a,
                Box::new(|workflow| Operation::WorkflowRegister(ops::WorkflowRegister { workflow })),
                false,
            ),
            WorkflowCommand::Retire(a) => {
                (a, Box::new(|workflow| Operation::WorkflowRetire(ops::WorkflowRetire { workflow })), true)
            }
            WorkflowCommand::Unpin(a) => {
                (a, Box::new(|workflow| Operation::WorkflowUnpin(ops::WorkflowUnpin { workflow })), false)
            }
            WorkflowCommand::Pin { workflow, sha256, file } => {
                let prompt_sha256 = match (sha256, file) {
                    (Some(d), _) => d,
                    (None, Some(f)) => digest_of(&f)?,
                    (None, None) => return Err(CliError::Input("give --sha256 or --file".into())),
                };
                (
                    workflow,
                    Box::new(move |workflow| {
                        Operation::WorkflowPin(ops::WorkflowPin { workflow, prompt_sha256 })
                    }),
                    false,
                )
            }
            WorkflowCommand::List(t) => {
                let session = context.session().await?;
                let (found, detail) = tenant_detail(&session, &t.tenant).await?;
                let (list, prompts) = (&detail.control.workflows, &detail.control.prompts);
                let mut text = String::new();
                for w in list {
                    let pin = prompts.get(w).map_or(String::new(), |p| format!("  prompt {p}"));
                    let _ = writeln!(text, "{w}{pin}");
                }
                if list.is_empty() {
                    let _ = writeln!(text, "{} has no workflow types: every run is denied", found.name);
                }
                let json = json!({ "tenant_uid": found.uid, "tenant_id": found.name, "workflows": list, "prompts": prompts });
                return Ok(Output::ok(text, json));
            }
        };
    context.may_change()?;
    let session = context.session().await?;
    let tenant = resolve::tenant(&session, &args.tenant).await?;
    let operation = make(args.workflow);
    let change = Change { confirm: tenant.name.clone(), tenant, operation, tightens };
    carry_out(context, &session, change, &args.change).await
}

/// SHA-256 of a file of any length.
fn digest_of(path: &Path) -> Result<[u8; 32], CliError> {
    let place = || escape(&path.to_string_lossy(), 200);
    let mut file = std::fs::File::open(path).map_err(|e| CliError::Input(format!("{}: {e}", place())))?;
    let (mut h, mut piece) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut piece).map_err(|e| CliError::Input(format!("{}: {e}", place())))? {
            0 => return Ok(h.finalize().into()),
            n => h.update(&piece[..n]),
        }
    }
}

pub async fn token(context: &Context, command: TokenCommand) -> Result<Output, CliError> {
    match command {
        TokenCommand::Issue { tenant, name, out, change } => {
            context.may_change()?;
            let session = context.session().await?;
            let tenant = resolve::tenant(&session, &tenant).await?;
            let secret: Zeroizing<[u8; 32]> = Zeroizing::new(random()?);
            let token = TokenId(random()?);
            let secret_sha256: [u8; 32] = Sha256::digest(secret.as_slice()).into();
            let digits = Zeroizing::new(hex(&*secret));
            let bearer = Zeroizing::new(format!("{WORKLOAD_TOKEN}{}_{token}_{}", tenant.uid, *digits));
            // Written before it is issued: an issued token that was lost would have to be revoked.
            if let (Some(path), false) = (&out, change.dry_run) {
                write_new(path, 0o600, format!("{}\n", *bearer).as_bytes())?;
            }
            let operation =
                Operation::TokenIssue(ops::TokenIssue { token, name: name.clone(), secret_sha256 });
            let change_ = Change { confirm: tenant.name.clone(), tenant, operation, tightens: false };
            let done = carry_out(context, &session, change_, &change).await;
            issued(done, change.dry_run, token, &bearer, out.as_deref())
        }
        TokenCommand::Revoke { tenant, token, change } => {
            context.may_change()?;
            let session = context.session().await?;
            let (found, token) = if let Ok(id) = token.parse::<TokenId>() {
                (uid_is_enough(resolve::tenant(&session, &tenant).await, &tenant)?, id)
            } else {
                let (found, detail) = tenant_detail(&session, &tenant).await?;
                let id = by_name(&detail.control, &token)
                    .map_err(|why| CliError::Input(format!("{}: {why}", found.name)))?;
                (found, id)
            };
            let change_ = Change {
                confirm: found.name.clone(),
                tenant: found,
                operation: Operation::TokenRevoke(ops::TokenRevoke { token }),
                tightens: true,
            };
            carry_out(context, &session, change_, &change).await
        }
        TokenCommand::List(t) => {
            let session = context.session().await?;
            let (found, detail) = tenant_detail(&session, &t.tenant).await?;
            let tokens = &detail.control.tokens;
            let word = |revoked: bool| if revoked { "revoked" } else { "live" };
            let cells: Vec<Vec<String>> = tokens
                .iter()
                .map(|(id, t)| vec![id.to_string(), t.name.to_string(), word(t.revoked).to_owned()])
                .collect();
            let list: Vec<_> = tokens
                .iter()
                .map(|(id, t)| json!({ "token_id": id, "name": t.name, "revoked": t.revoked }))
                .collect();
            let json = json!({ "tenant_uid": found.uid, "tenant_id": found.name, "tokens": list });
            Ok(Output::ok(table(&["TOKEN", "NAME", "STATE"], &cells), json))
        }
    }
}

/// Shows the token once when it was issued, and removes the file when it was not.
fn issued(
    done: Result<Output, CliError>,
    dry_run: bool,
    token: TokenId,
    bearer: &str,
    file: Option<&Path>,
) -> Result<Output, CliError> {
    if dry_run {
        return done;
    }
    let counts = done.as_ref().is_ok_and(|o| o.code == 0);
    // Without an answer it may have been issued: the file stays, so that the token can be used or revoked.
    let surely_not = match &done {
        Ok(o) => o.code != 0,
        Err(CliError::Client(e)) => !e.may_retry(),
        Err(_) => true,
    };
    if surely_not && let Some(path) = file {
        let _ = std::fs::remove_file(path);
    }
    let mut out = done?;
    if counts {
        let place = file.map(|p| escape(&p.to_string_lossy(), 200));
        match &place {
            Some(p) => drop(writeln!(out.text, "token      {token}, written to {p}")),
            None => drop(writeln!(out.text, "token      {token}; it is shown this once:\n{bearer}")),
        }
        if let Some(m) = out.json.as_object_mut() {
            m.insert("token_id".into(), json!(token));
            match place {
                Some(p) => m.insert("token_file".into(), json!(p)),
                None => m.insert("token".into(), json!(bearer)),
            };
        }
    }
    Ok(out)
}

fn by_name(c: &ControlState, name: &str) -> Result<TokenId, String> {
    let live: Vec<&TokenId> =
        c.tokens.iter().filter(|(_, t)| !t.revoked && t.name.as_str() == name).map(|(id, _)| id).collect();
    match live.as_slice() {
        [one] => Ok(**one),
        [] => Err(format!("no live token is named \"{}\" (conductor token list)", escape(name, 80))),
        many => Err(format!(
            "{} live tokens are named {}: give the id (conductor token list)",
            many.len(),
            escape(name, 80)
        )),
    }
}
