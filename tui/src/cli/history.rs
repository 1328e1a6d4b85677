//! The history of a tenant's configuration, and rolling it back to a revision.

use super::args::{ChangeArgs, TenantArg};
use super::change::{Change, carry_out};
use super::context::Context;
use super::lookup::tenant_detail;
use super::output::{CliError, Output, time};
use crate::client::resolve::{self, Found};
use crate::client::session::ReadSession;
use conductor_shared::change_class::class_of;
use conductor_shared::command::{MAX_TEXT, Operation, ops};
use conductor_shared::config::{Difference, config, differences, way_back};
use conductor_shared::control::ControlState;
use conductor_shared::fail_closed::Class;
use conductor_shared::untrusted::escape;
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write as _;

/// What a command needs besides the changes of a rollback, in bytes.
const REST: usize = 2 * 1024;

pub async fn history(
    context: &Context,
    tenant: &TenantArg,
    last: u64,
    before: Option<u64>,
) -> Result<Output, CliError> {
    let session = context.session().await?;
    let found = resolve::tenant(&session, &tenant.tenant).await?;
    let bearer = session.bearer().await?;
    let h = session.agent().config_history(&bearer, found.uid, last, before).await?;
    let mut text = String::new();
    for r in &h.rows {
        let who = r.person.as_ref().map_or("-", |p| p.as_str());
        let why = r.why.as_ref().map_or_else(String::new, |w| format!("  {}", w.escaped(100)));
        let _ = writeln!(text, "{:>6}  {}  {who:<12}  receipt {}{why}", r.revision, time(r.time_us), r.index);
        if r.differences.is_empty() {
            let _ = writeln!(text, "        {}", escape(&r.words, 150));
        }
        lines(&mut text, &r.differences);
    }
    if h.rows.is_empty() {
        text.push_str("nothing was changed\n");
    }
    if let Some(next) = h.next {
        let _ = writeln!(text, "there are older ones: --before {next}");
    }
    Ok(Output::ok(text, json!(h)))
}

fn lines(text: &mut String, differences: &[Difference]) {
    let value = |v: &Option<String>| v.as_ref().map_or_else(|| "(not set)".to_owned(), |v| escape(v, 100));
    for d in differences {
        let _ =
            writeln!(text, "        {}: {} -> {}", escape(&d.name, 150), value(&d.before), value(&d.after));
    }
}

/// The state at a revision.
async fn at(session: &ReadSession, found: &Found, revision: u64) -> Result<ControlState, CliError> {
    let bearer = session.bearer().await?;
    Ok(session.agent().config_revision(&bearer, found.uid, revision).await?.control)
}

pub async fn diff(
    context: &Context,
    tenant: &TenantArg,
    from: u64,
    to: Option<u64>,
) -> Result<Output, CliError> {
    let session = context.session().await?;
    let (found, now) = tenant_detail(&session, &tenant.tenant).await?;
    let before = at(&session, &found, from).await?;
    let after = match to {
        Some(to) => at(&session, &found, to).await?,
        None => now.control,
    };
    let list = differences(&config(&before), &config(&after));
    let mut text = format!("{}: revision {from} -> {}\n", found.name, after.revision);
    lines(&mut text, &list);
    if list.is_empty() {
        text.push_str("        no difference\n");
    }
    let json = json!({ "tenant_uid": found.uid, "from": from, "to": after.revision, "differences": list });
    Ok(Output::ok(text, json))
}

pub async fn rollback(
    context: &Context,
    tenant: &TenantArg,
    revision: u64,
    change: &ChangeArgs,
) -> Result<Output, CliError> {
    context.may_change()?;
    let session = context.session().await?;
    let (found, now) = tenant_detail(&session, &tenant.tenant).await?;
    let then = at(&session, &found, revision).await?;
    let changes = way_back(&now.control, &then);
    if changes.is_empty() {
        let text = format!("{} has the configuration of revision {revision} already\n", found.name);
        return Ok(Output::ok(text, json!({ "tenant_uid": found.uid, "changes": 0 })));
    }
    let operation = Operation::ConfigRollback(ops::ConfigRollback { revision, changes });
    let size: usize = operation.args().iter().map(|(k, v)| k.len() + v.len() + 7).sum();
    if size > MAX_TEXT - REST {
        return Err(CliError::Input(format!(
            "revision {revision} differs in so much that it does not fit into one command: go back to a nearer one first \
             (conductor tenant history {})",
            found.name
        )));
    }
    let after = now.control.after(&operation);
    if !context.json {
        let mut text = format!("back to revision {revision}:\n");
        lines(&mut text, &differences(&config(&now.control), &config(&after)));
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    let tightens = class_of(&now.control, &operation) == Class::Tighten;
    let confirm = found.name.clone();
    carry_out(context, &session, Change { tenant: found, confirm, operation, tightens }, change).await
}
