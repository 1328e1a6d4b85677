//! The one path of all changes: plan, show, confirm a loosening, sign, send, report.
//!
//! What is shown for confirmation is parsed back from the bytes that are signed. A tightening never waits for a
//! question, a failed preview or a missing reason.

use super::args::{ChangeArgs, RuleArgs};
use super::context::Context;
use super::output::{CliError, EXIT_FAILED, Output};
use super::rate_card::card_text;
use crate::client::commands::{self, PlannedChange};
use crate::client::error::ClientError;
use crate::client::resolve::{self, Found};
use crate::client::session::ReadSession;
use conductor_shared::command::{Command, Operation};
use conductor_shared::fact::ChangeClass;
use conductor_shared::http::{CommandOutcome, CommandStatus, Preview};
use conductor_shared::ramp::Selector;
use conductor_shared::untrusted::{UntrustedText, escape};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write as _};

#[derive(Debug, Clone)]
pub struct Change {
    pub tenant: Found,
    /// What a person types to confirm it: the tenant's name, or that of a new one.
    pub confirm: String,
    pub operation: Operation,
    /// It can only tighten, whatever the state: it is sent even without a preview.
    pub tightens: bool,
}

/// The reason of a tightening when none is given.
const NO_REASON: &str = "no reason given";

pub(super) fn why(args: &ChangeArgs) -> Result<UntrustedText, CliError> {
    Ok(match &args.reason {
        Some(r) => commands::reason(r)?,
        None => UntrustedText::new(NO_REASON),
    })
}

/// Changes a rule without reading its state first.
pub(super) async fn blind(
    context: &Context,
    rule: RuleArgs,
    operation: impl FnOnce(Selector) -> Operation,
    tightens: bool,
) -> Result<Output, CliError> {
    context.may_change()?;
    let session = context.session().await?;
    let found = resolve::tenant(&session, &rule.tenant).await;
    let tenant = if tightens { uid_is_enough(found, &rule.tenant)? } else { found? };
    let confirm = tenant.name.clone();
    let change = Change { tenant, confirm, operation: operation(rule.rule), tightens };
    carry_out(context, &session, change, &rule.change).await
}

/// Makes a change, or shows it with `--dry-run`.
pub async fn carry_out(
    context: &Context,
    session: &ReadSession,
    change: Change,
    args: &ChangeArgs,
) -> Result<Output, CliError> {
    context.may_change()?;
    let why = why(args)?;
    let plan = commands::plan(session, change.tenant.uid, change.operation, why, change.tightens).await?;
    let command = plan.prepared.parsed()?;
    let shown = describe(&command, &change.tenant.name, &plan);
    if args.dry_run {
        let text =
            format!("{shown}\nThis text would be signed (nothing was sent):\n\n{}", plan.prepared.text());
        let json = json!({ "dry_run": true, "tenant": change.tenant.name, "text": plan.prepared.text(), "preview": plan.preview });
        return Ok(Output::ok(text, json));
    }
    if plan.needs_confirmation() {
        if args.reason.is_none() {
            return Err(CliError::Input(
                "this makes something looser, and needs a reason: --reason \"why\"".into(),
            ));
        }
        if !args.yes {
            confirm(&shown, &change.confirm)?;
        } else if !context.json {
            let _ = writeln!(std::io::stderr(), "{shown}");
        }
    }
    let outcome = plan.prepared.sign_and_send(session).await?;
    Ok(report(&outcome, &command, &change.tenant.name))
}

/// Asks at the terminal. Only the exact name confirms.
fn confirm(shown: &str, name: &str) -> Result<(), CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::Input(format!(
            "{shown}\nthis makes something looser, and there is no terminal to ask at: look at it with --dry-run, then add --yes"
        )));
    }
    let mut err = std::io::stderr();
    let _ = write!(err, "{shown}\nType {name} to go on: ").and_then(|()| err.flush());
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if read.is_ok() && line.trim_end_matches(['\r', '\n']) == name {
        return Ok(());
    }
    Err(CliError::Failed("not confirmed: nothing was sent".into()))
}

/// A change for people, from the bytes that will be signed and from what the agent says it would do.
pub fn describe(c: &Command, tenant: &str, plan: &PlannedChange) -> String {
    let mut out = String::new();
    let class = match &plan.preview {
        Some(p) => p.class.as_str(),
        None => "tighten (no preview available; it makes nothing looser)",
    };
    let _ = writeln!(out, "node       {} ({}, {})", plan.node.name, plan.node.environment, plan.node.node_id);
    let _ = writeln!(out, "tenant     {tenant} ({})", c.tenant);
    let _ = writeln!(out, "operation  {}", c.operation.name());
    // The bytes of the card are signed; a person reads what they say.
    let card = match &c.operation {
        Operation::RateLoad(load) => load.rate_card(),
        _ => None,
    };
    if let Some(card) = &card {
        for line in card_text(card).lines() {
            let _ = writeln!(out, "           {line}");
        }
    }
    for (k, v) in c.operation.args().into_iter().filter(|_| card.is_none()) {
        let _ = writeln!(out, "           {k} = {}", escape(&v, 100));
    }
    let _ = writeln!(out, "reason     {}", c.reason.escaped(200));
    let _ = writeln!(out, "class      {class}");
    if let Some(p) = &plan.preview {
        blast_radius(&mut out, p);
    }
    out
}

fn blast_radius(out: &mut String, p: &Preview) {
    let _ = writeln!(out, "before     {}", state(&p.before));
    let _ = writeln!(out, "after      {}", state(&p.after));
    let _ = writeln!(
        out,
        "last hour  {} run requests: {} denied would be allowed, {} allowed would be denied",
        p.requests, p.newly_allowed, p.newly_denied
    );
    for row in p.by_workflow.iter().take(10) {
        let _ = writeln!(
            out,
            "           {}: {} requests, +{} allowed, +{} denied",
            row.workflow_type, row.requests, row.newly_allowed, row.newly_denied
        );
    }
    if p.approvals > 0 {
        let _ = writeln!(out, "approvals  {} by other persons, before it takes effect", p.approvals);
    }
    if p.open_runs_stopped > 0 {
        let _ = writeln!(out, "open runs  {} would be stopped at their next step", p.open_runs_stopped);
    }
}

/// Names and values in turn, for people.
pub fn state(pairs: &[String]) -> String {
    if pairs.is_empty() {
        return "(does not exist)".into();
    }
    let each = pairs.chunks(2).map(|p| match p {
        [k, v] => format!("{}={}", escape(k, 40), escape(v, 100)),
        rest => rest.iter().map(|t| escape(t, 100)).collect(),
    });
    each.collect::<Vec<_>>().join(" ")
}

/// The outcome of a command, as text and JSON.
fn report(o: &CommandOutcome, c: &Command, tenant: &str) -> Output {
    let done = matches!(o.status, CommandStatus::Effective | CommandStatus::Requested);
    let mut text = String::new();
    let word = match o.status {
        CommandStatus::Effective => "effective".to_owned(),
        CommandStatus::Requested => {
            format!("waits for another person: conductor approval give {}", c.command_id)
        }
        CommandStatus::Refused => "refused: it never takes effect".to_owned(),
        CommandStatus::Abandoned => "abandoned: it never takes effect".to_owned(),
    };
    let _ = writeln!(text, "{} {} for {tenant}: {word}", c.operation.name(), c.operation.object());
    let _ = writeln!(text, "class      {}", o.class.as_str());
    let _ = writeln!(text, "before     {}", state(&o.before));
    let _ = writeln!(text, "after      {}", state(&o.after));
    for r in &o.reasons {
        let _ = writeln!(text, "reason     {}: {} {}", r.code(), r.description().trim(), r.remedy());
    }
    if let Some(p) = &o.proposal {
        let _ = writeln!(text, "proposal   receipt {} in {}", p.index, p.origin);
    }
    let _ = writeln!(text, "receipt    {} in {}", o.receipt.index, o.receipt.origin);
    let mut json = serde_json::to_value(o).unwrap_or(Value::Null);
    if let Some(m) = json.as_object_mut() {
        m.insert("tenant".into(), json!(tenant));
        m.insert("operation".into(), json!(c.operation.to_list()));
    }
    Output { text, json, code: if done { 0 } else { EXIT_FAILED } }
}

/// True when the agent found the class to be a loosening.
pub fn loosens(p: &Preview) -> bool {
    p.class == ChangeClass::Loosen
}

/// A lookup that failed, for a tightening named by uid: the uid is enough.
pub fn uid_is_enough(
    found: Result<Found, ClientError>,
    name: &resolve::TenantName,
) -> Result<Found, ClientError> {
    use crate::client::resolve::TenantName;
    match (found, name) {
        (Err(e), TenantName::Uid(uid)) if !matches!(e, ClientError::Usage(_)) => {
            Ok(Found { uid: *uid, name: uid.to_string() })
        }
        (found, _) => found,
    }
}
