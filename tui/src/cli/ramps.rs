//! Ramps, kill switches and quotas. Lowering is sent as a cap: absolute, so that it is always valid and never loosens.

use super::args::{ChangeArgs, KillArgs, KillCommand, QuotaCommand, RampCommand, RuleArgs, TenantArg};
use super::change::{Change, blind, carry_out};
use super::context::Context;
use super::lookup::tenant_detail;
use super::output::{CliError, Output, table};
use crate::client::error::ClientError;
use crate::client::resolve::Found;
use crate::client::session::ReadSession;
use conductor_shared::basis_points::{BasisPoints, percent};
use conductor_shared::command::{Operation, ops};
use conductor_shared::http::RampRow;
use conductor_shared::quota::QuotaKind;
use conductor_shared::ramp::Selector;
use serde_json::json;

async fn change(
    context: &Context,
    session: &ReadSession,
    tenant: Found,
    operation: Operation,
    tightens: bool,
    args: &ChangeArgs,
) -> Result<Output, CliError> {
    let confirm = tenant.name.clone();
    carry_out(context, session, Change { tenant, confirm, operation, tightens }, args).await
}

pub async fn ramp(context: &Context, command: RampCommand) -> Result<Output, CliError> {
    match command {
        RampCommand::Show(t) => ramp_show(context, &t).await,
        RampCommand::Set { rule, percent } => {
            context.may_change()?;
            let session = context.session().await?;
            let (tenant, detail) = tenant_detail(&session, &rule.tenant).await?;
            let (operation, tightens) =
                ramp_set(detail.control.ramps.get(&rule.rule).map(|r| r.hundredths), rule.rule, percent);
            change(context, &session, tenant, operation, tightens, &rule.change).await
        }
        RampCommand::Cap { rule, percent: hundredths } => {
            bound(context, rule, move |selector| Operation::RampCap(ops::RampCap { selector, hundredths }))
                .await
        }
        RampCommand::Rollback(rule) => {
            context.may_change()?;
            let session = context.session().await?;
            let (tenant, detail) = tenant_detail(&session, &rule.tenant).await?;
            let Some(ramp) = detail.control.ramps.get(&rule.rule) else {
                let known: Vec<String> = detail.control.ramps.keys().map(ToString::to_string).collect();
                let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                return Err(CliError::Input(format!(
                    "{} has no ramp rule {} to roll back; its rules: {known}. To stop the work: conductor kill set",
                    tenant.name, rule.rule
                )));
            };
            let operation =
                Operation::RampCap(ops::RampCap { selector: rule.rule, hundredths: ramp.rollback_to() });
            change(context, &session, tenant, operation, true, &rule.change).await
        }
        RampCommand::Clear(rule) => {
            blind(context, rule, |selector| Operation::RampClear(ops::RampClear { selector }), false).await
        }
        RampCommand::Kill(k) => kill_set(context, k).await,
        RampCommand::Plan(c) => super::incidents::ramp_plan(context, c).await,
        RampCommand::Override(rule) => super::incidents::ramp_override(context, rule).await,
    }
}

/// The operation that sets a ramp, and whether it can only tighten: lowering an existing rule, or leaving it as it is, is
/// a cap. A new rule may loosen, where a broader one is lower.
pub fn ramp_set(now: Option<BasisPoints>, selector: Selector, hundredths: BasisPoints) -> (Operation, bool) {
    if now.is_some_and(|n| hundredths <= n) {
        (Operation::RampCap(ops::RampCap { selector, hundredths }), true)
    } else {
        (Operation::RampSet(ops::RampSet { selector, hundredths }), false)
    }
}

async fn ramp_show(context: &Context, t: &TenantArg) -> Result<Output, CliError> {
    let session = context.session().await?;
    let (tenant, detail) = tenant_detail(&session, &t.tenant).await?;
    let rows: Vec<RampRow> = detail
        .control
        .ramps
        .iter()
        .map(|(s, r)| RampRow {
            selector: s.clone(),
            hundredths: r.hundredths,
            revision: r.revision,
            rollback_to: r.rollback_to(),
        })
        .collect();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|r| {
            vec![
                r.selector.to_string(),
                percent(r.hundredths),
                r.revision.to_string(),
                percent(r.rollback_to),
            ]
        })
        .collect();
    let text = if rows.is_empty() {
        format!("{} has no ramp rules: every workflow is open to all subjects", tenant.name)
    } else {
        table(&["RULE", "RAMP", "REVISION", "ROLLBACK TO"], &cells)
    };
    Ok(Output::ok(text, json!({ "tenant_uid": tenant.uid, "tenant_id": tenant.name, "ramps": rows })))
}

/// `conductor kill set` and `conductor ramp kill`
pub async fn kill_set(context: &Context, k: KillArgs) -> Result<Output, CliError> {
    let drain = k.drain;
    // Draining a killed rule would let steps continue: only a full kill always tightens.
    let operation = move |selector| Operation::KillSet(ops::KillSet { selector, drain });
    if drain {
        blind(context, k.rule, operation, false).await
    } else {
        bound(context, k.rule, operation).await
    }
}

/// Changes a rule in the safer direction, on every agent that was named.
async fn bound(
    context: &Context,
    rule: RuleArgs,
    operation: impl Fn(Selector) -> Operation,
) -> Result<Output, CliError> {
    let everywhere = async || {
        let op = |_| operation(rule.rule.clone());
        super::fanout::everywhere(context, &rule.tenant, op, &rule.change).await
    };
    if context.agents().len() > 1 {
        return everywhere().await;
    }
    match blind(context, rule.clone(), &operation, true).await {
        Err(CliError::Client(ClientError::Unreachable { .. })) => everywhere().await,
        done => done,
    }
}

pub async fn kill(context: &Context, command: KillCommand) -> Result<Output, CliError> {
    match command {
        KillCommand::Set(k) => kill_set(context, k).await,
        KillCommand::Clear(rule) => {
            blind(context, rule, |selector| Operation::KillClear(ops::KillClear { selector }), false).await
        }
        KillCommand::Show(t) => {
            let session = context.session().await?;
            let (tenant, detail) = tenant_detail(&session, &t.tenant).await?;
            let rows: Vec<_> = detail.control.kills.iter().collect();
            let word = |drain| if drain { "drain" } else { "kill" };
            let cells: Vec<Vec<String>> =
                rows.iter().map(|(s, k)| vec![s.to_string(), word(k.drain).to_owned()]).collect();
            let text = if rows.is_empty() {
                format!("{} has no kill switches set", tenant.name)
            } else {
                table(&["RULE", "MODE"], &cells)
            };
            let kills: Vec<_> =
                rows.iter().map(|(s, k)| json!({ "selector": s, "drain": k.drain })).collect();
            Ok(Output::ok(
                text,
                json!({ "tenant_uid": tenant.uid, "tenant_id": tenant.name, "kills": kills }),
            ))
        }
    }
}

pub async fn quota(context: &Context, command: QuotaCommand) -> Result<Output, CliError> {
    match command {
        QuotaCommand::Show(t) => {
            let session = context.session().await?;
            let (tenant, detail) = tenant_detail(&session, &t.tenant).await?;
            let all = QuotaKind::ALL.iter().map(|k| (k.as_str(), detail.control.quotas.get(*k)));
            let all: Vec<_> = all.collect();
            let cells: Vec<Vec<String>> = all
                .iter()
                .map(|(n, g)| vec![(*n).to_owned(), g.limit.to_string(), g.granted.to_string()])
                .collect();
            let quotas: serde_json::Map<_, _> =
                all.iter().map(|(n, g)| ((*n).to_owned(), json!(g))).collect();
            Ok(Output::ok(
                table(&["QUOTA", "LIMIT", "GRANTED HERE"], &cells),
                json!({ "tenant_uid": tenant.uid, "tenant_id": tenant.name, "quotas": quotas }),
            ))
        }
        QuotaCommand::Set { tenant, quota, limit, change: args } => {
            context.may_change()?;
            if limit > quota.max() {
                let (name, max) = (quota.as_str(), quota.max());
                return Err(CliError::Input(format!("{name} is at most {max}, and {limit} was asked for")));
            }
            let session = context.session().await?;
            let (found, detail) = tenant_detail(&session, &tenant).await?;
            let (operation, tightens) = if limit <= detail.control.quotas.get(quota).limit {
                (Operation::QuotaCap(ops::QuotaCap { kind: quota, limit }), true)
            } else {
                (Operation::QuotaSet(ops::QuotaSet { kind: quota, limit }), false)
            };
            change(context, &session, found, operation, tightens, &args).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC 3.1 and invariant 3: lowering is a cap, which needs no confirmation and cannot loosen; all else is a set.
    #[test]
    fn lowering_is_a_cap() {
        let s: Selector = "run/etl".parse().unwrap();
        for (now, want, cap) in [
            (Some(5000), 1000, true),
            (Some(1000), 1000, true),
            (Some(1000), 1001, false),
            (None, 0, false),
            (None, 1000, false),
        ] {
            let (op, tightens) =
                ramp_set(now.map(BasisPoints::saturating), s.clone(), BasisPoints::saturating(want));
            assert_eq!(tightens, cap, "{now:?} -> {want}");
            assert_eq!(op.name(), if cap { "ramp.cap" } else { "ramp.set" });
        }
    }
}
