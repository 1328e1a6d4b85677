//! Incidents, the timeline of a log, and the SLOs of ramps: thresholds, plans, overrides.

use super::args::{IncidentCommand, PlanCommand, RuleArgs, SloCommand, TenantArg, TimelineArgs};
use super::change::{Change, blind, carry_out};
use super::context::Context;
use super::lookup::tenant_detail;
use super::output::{CliError, Output, table, time};
use crate::client::resolve;
use crate::client::session::ReadSession;
use conductor_shared::basis_points::percent;
use conductor_shared::command::{Operation, ops};
use conductor_shared::http::{IncidentRow, SloStatus, TimelineRow};
use conductor_shared::ids::{TenantUid, unhex};
use conductor_shared::untrusted::{UntrustedText, escape, markdown};
use serde_json::json;
use std::fmt::Write as _;

/// Pages of a timeline that one command reads.
const PAGES: usize = 500;

pub async fn incident(context: &Context, command: IncidentCommand) -> Result<Output, CliError> {
    match command {
        IncidentCommand::List { tenant } => {
            let session = context.session().await?;
            let log = match &tenant {
                Some(t) => Some(resolve::tenant(&session, t).await?.uid),
                None => None,
            };
            let rows = open(&session, log).await?;
            Ok(Output::ok(list(&rows), json!({ "incidents": rows })))
        }
        IncidentCommand::Show { incident } => {
            let session = context.session().await?;
            let row = find(&session, &incident).await?;
            Ok(Output::ok(detail(&row), json!(row)))
        }
        IncidentCommand::Ack { incident, comment, change } => {
            let op = |incident, comment| Operation::IncidentAck(ops::IncidentAck { incident, comment });
            look_after(context, &incident, comment, change, op).await
        }
        IncidentCommand::Close { incident, comment, change } => {
            let op = |incident, comment| Operation::IncidentClose(ops::IncidentClose { incident, comment });
            look_after(context, &incident, comment, change, op).await
        }
    }
}

async fn open(session: &ReadSession, log: Option<TenantUid>) -> Result<Vec<IncidentRow>, CliError> {
    let bearer = session.bearer().await?;
    Ok(session.agent().incidents(&bearer, log).await?.incidents)
}

/// Finds an incident by its id or a unique prefix.
async fn find(session: &ReadSession, id: &str) -> Result<IncidentRow, CliError> {
    let mut found: Vec<_> =
        open(session, None).await?.into_iter().filter(|r| r.incident.starts_with(id)).collect();
    match (found.pop(), found.len()) {
        (Some(r), 0) => Ok(r),
        (None, _) => {
            Err(CliError::Input(format!("no open incident begins with {id}; see: conductor incident list")))
        }
        (_, n) => Err(CliError::Input(format!("{} open incidents begin with {id}: give more of it", n + 1))),
    }
}

async fn look_after(
    context: &Context,
    id: &str,
    comment: String,
    mut change: super::args::ChangeArgs,
    op: fn([u8; 16], UntrustedText) -> Operation,
) -> Result<Output, CliError> {
    context.may_change()?;
    let comment = crate::client::commands::reason(&comment)?;
    let session = context.session().await?;
    let row = find(&session, id).await?;
    let incident = unhex(&row.incident)
        .ok_or_else(|| CliError::Failed("the agent's id of this incident is not 32 hex digits".into()))?;
    change.reason.get_or_insert_with(|| comment.raw().to_owned());
    let name = if row.tenant_uid.is_node() { "node".to_owned() } else { row.tenant_id.to_string() };
    let tenant = resolve::Found { uid: row.tenant_uid, name: name.clone() };
    let change_ = Change { tenant, confirm: name, operation: op(incident, comment), tightens: true };
    carry_out(context, &session, change_, &change).await
}

fn list(rows: &[IncidentRow]) -> String {
    if rows.is_empty() {
        return "no incident is open".into();
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|r| {
            vec![
                escape(&r.incident.chars().take(8).collect::<String>(), 8),
                time(r.since_us),
                r.tenant_id.to_string(),
                r.cause.to_string(),
                r.acknowledged_by.as_ref().map_or("-".to_owned(), ToString::to_string),
                r.detail.escaped(80),
            ]
        })
        .collect();
    table(&["INCIDENT", "SINCE", "LOG", "CAUSE", "ACKNOWLEDGED BY", "WHAT"], &cells)
}

fn millis(us: u64) -> String {
    format!("{}.{:03} s", us / 1_000_000, us / 1_000 % 1_000)
}

fn detail(r: &IncidentRow) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "incident   {}", escape(&r.incident, 32));
    let _ = writeln!(out, "log        {} ({})", r.tenant_id, r.tenant_uid);
    let _ = writeln!(out, "cause      {}", r.cause);
    let _ = writeln!(out, "what       {}", r.detail.escaped(300));
    if let (Some(began), Some(seen)) = (r.began_us, r.detected_us) {
        let _ = writeln!(out, "began      {}", time(began));
        let unnoticed = millis(seen.saturating_sub(began));
        let _ = writeln!(out, "noticed    {}, {unnoticed} after it began", time(seen));
    }
    let _ = writeln!(out, "receipt    {} in {}", r.receipt.index, r.receipt.origin);
    let cited: Vec<String> = r.receipts.iter().map(u64::to_string).collect();
    let cited = if cited.is_empty() { "none".to_owned() } else { cited.join(" ") };
    let _ = writeln!(out, "proved by  receipts {cited}");
    if let Some(at) = r.acknowledged_us {
        let by = r.acknowledged_by.as_ref().map_or("unknown", |b| b.as_str());
        let said = r.comment.as_ref().map_or(String::new(), |c| c.escaped(200));
        let _ = writeln!(out, "looked at  by {by} since {}: {said}", time(at));
    } else {
        let id = escape(&r.incident, 32);
        let _ = writeln!(out, "looked at  by nobody yet: conductor incident ack {id} --comment TEXT");
    }
    out
}

pub async fn timeline(context: &Context, args: TimelineArgs) -> Result<Output, CliError> {
    let session = context.session().await?;
    let found = resolve::tenant(&session, &args.tenant).await?;
    let mut rows: Vec<TimelineRow> = Vec::new();
    let mut after = None;
    let mut origin = None;
    for _ in 0..PAGES {
        let bearer = session.bearer().await?;
        let page = session.agent().timeline(&bearer, found.uid, (args.from, args.to), after).await?;
        origin = Some(page.origin);
        rows.extend(page.rows);
        // Ends even if an agent sends the same page for ever.
        after = page.next.filter(|n| after.is_none_or(|a| *n > a));
        if after.is_none() {
            break;
        }
    }
    let origin = origin.map_or(String::new(), |o| o.to_string());
    let text = if args.markdown { report(&found.name, &origin, &rows) } else { plain(&rows) };
    let whole = after.is_none();
    let text = if whole { text } else { text + "\nThere is more: give --from.\n" };
    let json = json!({ "tenant_uid": found.uid, "tenant_id": found.name, "origin": origin, "rows": rows, "whole": whole });
    Ok(Output::ok(text, json))
}

fn unnoticed(r: &TimelineRow) -> String {
    r.unnoticed_us.map_or(String::new(), millis)
}

fn plain(rows: &[TimelineRow]) -> String {
    if rows.is_empty() {
        return "nothing happened in that time".into();
    }
    let who = |r: &TimelineRow| r.person.as_ref().map_or("-".to_owned(), ToString::to_string);
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|r| vec![time(r.time_us), r.index.to_string(), who(r), unnoticed(r), escape(&r.words, 200)])
        .collect();
    table(&["TIME", "RECEIPT", "WHO", "UNNOTICED FOR", "WHAT"], &cells)
}

/// A report in Markdown. What came from outside can be neither markup nor a link in it.
fn report(name: &str, origin: &str, rows: &[TimelineRow]) -> String {
    let mut out = format!("# Timeline of {}\n\nLog `{origin}`.\n\n", markdown(&escape(name, 63)));
    out.push_str("| time (UTC) | receipt | who | unnoticed for | what |\n|---|---|---|---|---|\n");
    for r in rows {
        let who = r.person.as_ref().map_or("", |p| p.as_str());
        let words = markdown(&escape(&r.words, 300));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {words} |",
            time(r.time_us),
            r.index,
            markdown(who),
            unnoticed(r)
        );
    }
    out
}

pub async fn ramp_plan(context: &Context, command: PlanCommand) -> Result<Output, CliError> {
    match command {
        PlanCommand::Set { rule, steps } => {
            blind(context, rule, |selector| Operation::PlanSet(ops::PlanSet { selector, plan: steps }), false)
                .await
        }
        PlanCommand::Stop(rule) => {
            blind(context, rule, |selector| Operation::PlanStop(ops::PlanStop { selector }), true).await
        }
        PlanCommand::Show(t) => {
            let (name, rows) = watched(context, &t).await?;
            let rows: Vec<_> = rows.into_iter().filter(|r| r.plan.is_some()).collect();
            let cells: Vec<Vec<String>> = rows.iter().map(plan_cells).collect();
            let text = if rows.is_empty() {
                format!("{name} has no plan that is carried on")
            } else {
                table(&["RULE", "RAMP", "STEP", "BAKED", "VERDICT", "PLAN"], &cells)
            };
            Ok(Output::ok(text, json!({ "tenant_id": name, "ramps": rows })))
        }
    }
}

fn plan_cells(r: &SloStatus) -> Vec<String> {
    vec![
        r.selector.to_string(),
        percent(r.hundredths),
        r.step.map_or("-".into(), |s| (s + 1).to_string()),
        format!("{} of {} s", r.up_us / 1_000_000, r.bake_us / 1_000_000),
        escape(&r.verdict, 20),
        escape(r.plan.as_deref().unwrap_or("-"), 300),
    ]
}

pub async fn ramp_override(context: &Context, rule: RuleArgs) -> Result<Output, CliError> {
    blind(context, rule, |selector| Operation::RampOverride(ops::RampOverride { selector }), false).await
}

async fn watched(context: &Context, t: &TenantArg) -> Result<(String, Vec<SloStatus>), CliError> {
    let session = context.session().await?;
    let found = resolve::tenant(&session, &t.tenant).await?;
    let bearer = session.bearer().await?;
    Ok((found.name, session.agent().slo(&bearer, found.uid).await?.ramps))
}

pub async fn slo(context: &Context, command: SloCommand) -> Result<Output, CliError> {
    match command {
        SloCommand::Show(t) => {
            let (name, rows) = watched(context, &t).await?;
            let cells: Vec<Vec<String>> = rows.iter().map(slo_cells).collect();
            let text = if rows.is_empty() {
                format!("{name} has no ramp rule that was judged yet: only what a rule lets in is watched")
            } else {
                table(
                    &[
                        "RULE",
                        "RAMP",
                        "VERDICT",
                        "SETTLED",
                        "FAILED",
                        "P99",
                        "ERRORS UP TO",
                        "P99 UP TO",
                        "NOT ABOVE",
                    ],
                    &cells,
                )
            };
            Ok(Output::ok(text, json!({ "tenant_id": name, "ramps": rows })))
        }
        SloCommand::Set { rule, errors, p99_ms, backlog, min_settled } => {
            context.may_change()?;
            let session = context.session().await?;
            let (tenant, detail) = tenant_detail(&session, &rule.tenant).await?;
            let mut t = detail.control.thresholds(&rule.rule);
            let before = t;
            t.errors_hundredths = errors.unwrap_or(t.errors_hundredths);
            t.p99_us = p99_ms.map_or(t.p99_us, |ms| ms.saturating_mul(1_000));
            t.backlog = backlog.unwrap_or(t.backlog);
            t.min_settled = min_settled.unwrap_or(t.min_settled);
            let confirm = tenant.name.clone();
            let operation = Operation::SloSet(ops::SloSet { selector: rule.rule, thresholds: t });
            let change = Change { tenant, confirm, operation, tightens: !t.looser_than(&before) };
            carry_out(context, &session, change, &rule.change).await
        }
    }
}

fn slo_cells(r: &SloStatus) -> Vec<String> {
    let us = |us: u64| if us == 0 { "not watched".to_owned() } else { format!("{} ms", us / 1_000) };
    vec![
        r.selector.to_string(),
        percent(r.hundredths),
        escape(&r.verdict, 20),
        r.settled.to_string(),
        r.failed.to_string(),
        r.p99_us.map_or("-".into(), |p| format!("{} ms", p / 1_000)),
        percent(r.thresholds.errors_hundredths),
        us(r.thresholds.p99_us),
        r.rolled_back_from.map_or("-".into(), |h| format!("below {}", percent(h))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC, Bad input and hostile text: a tenant's words become neither markup nor escape sequences in a report.
    #[test]
    fn a_report_holds_no_markup_of_others() {
        let row = TimelineRow {
            index: 7,
            time_us: 1_700_000_000_000_000,
            kind: "Changed".into(),
            words: "a | b <script> [x](http://y) `c` *d* _e_ \u{1b}[2J\n# h \u{202e}".into(),
            person: None,
            incident: None,
            unnoticed_us: Some(1_234_567),
        };
        let text = report("acme", "o", std::slice::from_ref(&row));
        insta::assert_snapshot!("timeline-markdown", text);
        let last = text.lines().last().unwrap();
        assert_eq!(last.replace("\\|", "").matches('|').count(), 6, "{last}");
        for hostile in ["<script>", "[x](", "\u{1b}", "\u{202e}", " *d*"] {
            assert!(!text.contains(hostile), "{hostile:?}");
        }
        assert!(!plain(&[row]).chars().any(|c| c != '\n' && conductor_shared::untrusted::is_unshowable(c)));
    }
}
