//! Where metered events go.

use super::args::{ChangeArgs, SinkCommand};
use super::change::{Change, carry_out};
use super::context::Context;
use super::output::{CliError, Output, table};
use crate::client::resolve::{self, TenantName};
use crate::client::session::ReadSession;
use conductor_shared::command::{Operation, ops};
use conductor_shared::http::SinkStatus;
use conductor_shared::ids::Ident;
use conductor_shared::untrusted::escape;
use serde_json::json;

/// Dead letters asked for at a time.
const PAGE: u64 = 200;
/// Dead letters shown at most.
const MOST: usize = 10_000;

pub async fn sink(context: &Context, command: SinkCommand) -> Result<Output, CliError> {
    let session = context.session().await?;
    match command {
        SinkCommand::List => {
            let list = session.agent().sinks(&session.bearer().await?).await?;
            let rows: Vec<_> = list.sinks.iter().map(row).collect();
            if rows.is_empty() {
                let text = "no sink is configured ([[sink]] in the agent's configuration)";
                return Ok(Output::ok(text, json!(list)));
            }
            let head = ["SINK", "TARGET", "DELIVERED", "WAITING", "LAG", "DEAD", "STATE"];
            Ok(Output::ok(table(&head, &rows), json!(list)))
        }
        SinkCommand::Dead { tenant, sink } => {
            let found = resolve::tenant(&session, &tenant).await?;
            let (mut letters, mut after) = (vec![], None);
            loop {
                let bearer = session.bearer().await?;
                let page = session.agent().dead_letters(&bearer, found.uid, &sink, after, PAGE).await?;
                after = page.letters.last().map(|l| l.number);
                let last = (page.letters.len() as u64) < PAGE;
                letters.extend(page.letters);
                if last || letters.len() >= MOST {
                    break;
                }
            }
            let mut text = String::new();
            for l in &letters {
                text += &format!("{}  {}\n", l.why.escaped(200), escape(&l.event.to_string(), 600));
            }
            if letters.is_empty() {
                text = format!("{sink} took all events of {}", found.name);
            }
            Ok(Output::ok(text, json!({ "tenant": found.name, "sink": sink, "letters": letters })))
        }
        SinkCommand::Replay { tenant, sink, change } => {
            let operation = Operation::SinkReplay(ops::SinkReplay { sink: sink.clone() });
            order(context, &session, (&tenant, &sink), operation, &change).await
        }
        SinkCommand::Redeliver { tenant, sink, from, to, change } => {
            if from > to {
                return Err(CliError::Input(
                    "the last receipt is before the first one: name them the other way round".into(),
                ));
            }
            let operation = Operation::SinkRedeliver(ops::SinkRedeliver { sink: sink.clone(), from, to });
            order(context, &session, (&tenant, &sink), operation, &change).await
        }
    }
}

/// Signs and sends what a sink shall do for a tenant.
async fn order(
    context: &Context,
    session: &ReadSession,
    (tenant, sink): (&TenantName, &Ident),
    operation: Operation,
    change: &ChangeArgs,
) -> Result<Output, CliError> {
    context.may_change()?;
    let list = session.agent().sinks(&session.bearer().await?).await?;
    if list.sinks.iter().all(|s| s.name != *sink) {
        let names: Vec<_> = list.sinks.iter().map(|s| s.name.to_string()).collect();
        let told = if names.is_empty() { "none".into() } else { names.join(", ") };
        return Err(CliError::Input(format!("no sink {sink} is configured; there are: {told}")));
    }
    let tenant = resolve::tenant(session, tenant).await?;
    let c = Change { confirm: tenant.name.clone(), tenant, operation, tightens: true };
    carry_out(context, session, c, change).await
}

fn row(s: &SinkStatus) -> Vec<String> {
    let trouble = if s.trouble.is_empty() { "delivers".into() } else { escape(&s.trouble, 200) };
    vec![
        s.name.to_string(),
        escape(&s.target, 80),
        s.delivered.to_string(),
        s.waiting_receipts.to_string(),
        format!("{} s", s.lag_us / 1_000_000),
        s.dead_letters.to_string(),
        trouble,
    ]
}
