//! The rollout controller: evaluates each ramp revision, advances its plan when it is healthy and rolls it back when it is
//! breached. It also opens and closes the incidents of health and quotas. It decides on staged state and blocks on nothing.
//!
//! The counts of a revision are stored in the batch of the receipts they count, so a restart loses none. Advancing a plan
//! loosens, so it needs a signed checkpoint that was requested after the revision was found healthy.

use crate::command::policy_lets;
use crate::health::Health;
use crate::incident::{self, open_incident};
use crate::keys::KeyError;
use crate::partition::ramp_stats::Proof;
use crate::partition::{PartitionState, Partitions};
use crate::policy::Policy;
use crate::staging::BatchBuilder;
use conductor_shared::basis_points::{BasisPoints, percent};
use conductor_shared::cause::{IncidentCause, RollbackCause};
use conductor_shared::clock::{MonoTime, WallTime, micros};
use conductor_shared::command::{Operation, OperationSpec as _, ops};
use conductor_shared::control::{ControlState, PlanState, profiles};
use conductor_shared::fact::{Fact, RampAdvanced, RampRolledBack};
use conductor_shared::fail_closed::{self, Class, Outage, OutageRule};
use conductor_shared::http::SloStatus;
use conductor_shared::ids::TenantUid;
use conductor_shared::ramp::Selector;
use conductor_shared::slo::{self, Verdict, Why};
use conductor_shared::untrusted::UntrustedText;
use std::sync::Arc;
use std::time::Duration;

/// How often ramps are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Interval between two evaluations.
    pub every: Duration,
    /// Bake of a ramp without a plan: observed uptime before it can be healthy.
    pub bake: Duration,
}

/// State kept between two evaluations.
#[derive(Debug, Default)]
pub struct EvalState {
    last: MonoTime,
    signer_was_up: bool,
    /// Signer, policy or disk failed at some time since the last evaluation.
    outage_seen: bool,
}

/// Inputs of an evaluation that are the same for all tenants.
#[derive(Clone, Copy)]
pub struct Tick<'a> {
    pub pace: Pace,
    pub outage: Outage,
    /// The disk is nearly full, and admissions are denied.
    pub disk_critical: bool,
    /// Time since the last round.
    pub since: Duration,
    pub health: &'a Health,
}

/// How all ramps of the node are evaluated in one round. A round may take several steps, see [`Judgement::now`].
#[derive(Debug, Clone, Copy)]
pub struct Judgement {
    pace: Pace,
    since: Duration,
    /// Ramps are evaluated in this round. Otherwise it only counts uptime.
    due: bool,
    /// No plan may advance.
    held: bool,
    /// An outage explains a breach, so it marks no revision as bad.
    platform: bool,
}

impl EvalState {
    /// Begins a round: opens and closes health incidents, and fixes what holds for the whole round.
    pub fn begin_round(
        &mut self,
        partitions: &mut Partitions,
        st: &mut BatchBuilder,
        tick: Tick<'_>,
    ) -> Result<Judgement, KeyError> {
        let outage = tick.outage;
        self.outage_seen |= outage.policy || (outage.signer && self.signer_was_up) || tick.disk_critical;
        self.signer_was_up |= !outage.signer;
        let due = st.now.mono >= self.last + tick.pace.every;
        let platform = outage.signer || self.outage_seen;
        if due {
            self.last = st.now.mono;
            self.outage_seen = false;
        }
        if let Some(node) = partitions.node_mut().filter(|n| n.status.serves()) {
            incident::of_health(node, st, tick.health)?;
        }
        Ok(Judgement { pace: tick.pace, since: tick.since, due, held: true, platform })
    }
}

impl Judgement {
    /// Updates it for the next step. An outage or a clock step that begins during a round holds for the rest of it.
    pub fn now(&mut self, outage: Outage, node: &ControlState, node_doubted: bool) {
        // Advancing a plan loosens.
        let denied = matches!(fail_closed::rule(Class::Loosen, outage), OutageRule::Deny(_));
        self.held = denied || node_doubted || node.clock_doubted();
        self.platform |= outage.signer || outage.policy;
    }
}

/// Counts uptime, evaluates the ramps of a tenant if they are due, and opens and closes its quota incidents.
pub fn evaluate(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    j: Judgement,
    (policy, node): (&Policy, &ControlState),
) -> Result<(), KeyError> {
    incident::of_quota(live, st)?;
    if live.ramp_stats.ramps.is_empty() {
        return Ok(());
    }
    // A bake counts observed uptime: a stalled writer observes nothing, so one round adds a second at most.
    let up_us = micros(j.since.min(Duration::from_secs(1)));
    live.ramp_stats.ramps.values_mut().for_each(|w| w.row.up_us += up_us);
    if j.due {
        judge(live, st, &RolloutCtx { pace: j.pace, held: j.held, platform: j.platform, policy, node })?;
    }
    Ok(())
}

/// Inputs of an evaluation that are the same for all ramps of a tenant.
struct RolloutCtx<'a> {
    pace: Pace,
    /// As in [`Judgement`].
    held: bool,
    platform: bool,
    policy: &'a Policy,
    node: &'a ControlState,
}

/// Evaluates every ramp of a tenant: rolls back breached revisions, advances healthy plans, and publishes the verdicts.
fn judge(live: &mut PartitionState, st: &mut BatchBuilder, ctx: &RolloutCtx<'_>) -> Result<(), KeyError> {
    let selectors: Vec<Selector> = live.ramp_stats.ramps.keys().cloned().collect();
    let mut seen = Vec::with_capacity(selectors.len());
    for s in selectors {
        let control = Arc::clone(&live.control);
        let (backlog, size) = (live.unsigned(), live.log.size());
        let Some(w) = live.ramp_stats.ramps.get_mut(&s) else { continue };
        let t = control.thresholds(&s);
        let plan = control.plans.get(&s);
        let steps = plan.and_then(|p| Some((p, p.plan()?)));
        let place =
            |n: u64| steps.as_ref().and_then(|(_, p)| p.steps().get(usize::try_from(n).ok()?).copied());
        let bake_us = micros(plan.and_then(|p| place(p.at)).map_or(ctx.pace.bake, |x| x.bake()));
        w.began_over &= backlog > t.backlog;
        let mut verdict = slo::verdict(&w.row.counts, backlog, &t, w.row.up_us >= bake_us);
        if verdict == Verdict::Breached(Why::Backlog) && w.began_over {
            verdict = Verdict::NoData;
        }
        if w.row.up_us < bake_us {
            live.ramp_stats.changed = true;
        }
        live.ramp_stats.changed |= w.row.healthy != (verdict == Verdict::Healthy);
        w.row.healthy = verdict == Verdict::Healthy;
        let revision = w.row.revision;
        let next = plan.filter(|_| w.row.healthy).and_then(|p| place(p.at + 1));
        match (verdict, next) {
            (Verdict::Breached(why), _) if w.row.hundredths > BasisPoints::ZERO => {
                roll_back(live, st, &s, why, ctx.platform)?;
            }
            (Verdict::Healthy, Some(next)) => {
                let op =
                    Operation::RampSet(ops::RampSet { selector: s.clone(), hundredths: next.hundredths });
                // A freeze pauses plans even under break-glass, which lifts it for people only.
                let frozen = profiles::frozen_by(&control, ctx.node).next().is_some();
                let signed = plan.is_some_and(|p| author_stands(p, live.p.id.tenant, ctx.node));
                let paused = ctx.held || frozen || !signed || control.raises_bad(&op);
                if paused || !policy_lets(ctx.policy, live, ctx.node, st.now, &op) {
                    live.ramp_stats.forget_proof(&s);
                    seen.extend(status(live, &s, revision, verdict, bake_us));
                    continue;
                }
                let Some(w) = live.ramp_stats.ramps.get_mut(&s) else { continue };
                if let Some(proof) = w.proof.take() {
                    advance(live, st, &s, next.hundredths, &proof)?;
                } else if w.asked.is_none() && !live.signing {
                    // Requests a checkpoint now that it is healthy, even if no receipt is unsigned.
                    w.asked = Some(size);
                    live.unproved = true;
                }
            }
            _ => (w.asked, w.proof) = (None, None),
        }
        seen.extend(status(live, &s, revision, verdict, bake_us));
    }
    if *live.ramp_stats.published != seen {
        live.ramp_stats.published = Arc::new(seen);
        live.touch(st);
    }
    Ok(())
}

/// True while the key that signed a plan could sign it today: it is not revoked, and its person is not suspended and still
/// has the role.
fn author_stands(plan: &PlanState, tenant: TenantUid, node: &ControlState) -> bool {
    let key = plan.key.and_then(|id| node.operator(id));
    key.is_some_and(|k| ops::PlanSet::ROLES.iter().any(|role| k.has_role(*role, tenant)))
}

/// The published status of a ramp after its evaluation. A revision that the evaluation itself began has no data yet.
fn status(
    live: &PartitionState,
    s: &Selector,
    judged: u64,
    verdict: Verdict,
    bake_us: u64,
) -> Option<SloStatus> {
    let (control, w) = (&live.control, live.ramp_stats.ramps.get(s)?);
    let (c, plan) = (&w.row.counts, control.plans.get(s));
    let verdict = if w.row.revision == judged { verdict } else { Verdict::NoData };
    Some(SloStatus {
        selector: s.clone(),
        hundredths: w.row.hundredths,
        revision: w.row.revision,
        verdict: verdict.as_str().to_owned(),
        settled: c.all.settled,
        failed: c.all.errors,
        steps: c.steps.count(),
        p99_us: c.steps.p99().map(micros),
        up_us: w.row.up_us.min(bake_us),
        bake_us,
        thresholds: control.thresholds(s),
        plan: plan.map(|p| p.steps.clone()),
        step: plan.map(|p| p.at),
        rolled_back_from: control.bad.get(s).copied(),
    })
}

fn advance(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    s: &Selector,
    to: BasisPoints,
    proof: &Proof,
) -> Result<(), KeyError> {
    let (cp, signed) = proof;
    let (Some(w), Some(plan)) = (live.ramp_stats.ramps.get(s), live.control.plans.get(s)) else {
        return Ok(());
    };
    let fact = RampAdvanced {
        selector: s.to_string(),
        hundredths: u64::from(to),
        plan: plan.revision,
        settled: w.row.counts.all.settled,
        failed: w.row.counts.all.errors,
        checkpoint_size: cp.size,
        checkpoint_root: cp.root,
    };
    live.control_fact(st, Fact::from(fact))?;
    // A cited checkpoint is never deleted: it proves that the change was allowed.
    let key = crate::store::Row::CitedCheckpoint(cp.size).key();
    let plain = serde_json::to_vec(signed).unwrap_or_default();
    st.rows.put(&live.p, &key, &plain);
    Ok(())
}

fn roll_back(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    s: &Selector,
    why: Why,
    platform: bool,
) -> Result<(), KeyError> {
    let backlog = live.unsigned();
    let Some(w) = live.ramp_stats.ramps.get_mut(s) else { return Ok(()) };
    let from = w.row.hundredths;
    w.row.healthy = false;
    w.row.good.retain(|h| *h < from);
    let to = w.row.good.last().copied().unwrap_or_default();
    let cause = match why {
        _ if platform => RollbackCause::Platform,
        Why::Backlog => RollbackCause::Platform,
        Why::Errors => RollbackCause::Errors,
        Why::Latency => RollbackCause::Latency,
    };
    let c = &w.row.counts;
    let p99_us = c.steps.p99().map_or(0, micros);
    let fact = RampRolledBack {
        selector: s.to_string(),
        from: u64::from(from),
        to: u64::from(to),
        cause: cause.into(),
        revision: w.row.revision,
        settled: c.all.settled,
        failed: c.all.errors,
        steps: c.steps.count(),
        p99_us,
        backlog,
    };
    let (mut receipts, first) = (w.row.errors.clone(), w.row.first_error);
    let what = match why {
        Why::Errors => format!("{} of {} runs failed", c.all.errors, c.all.settled),
        Why::Latency => format!("99 % of {} steps take up to {p99_us} us or more", c.steps.count()),
        Why::Backlog => format!("{backlog} receipts wait for a signature"),
    };
    let cause: &str = cause.into();
    let detail = format!("{s} fell from {} to {} ({cause}): {what}", percent(from), percent(to));
    tracing::warn!("{}: {detail}", live.p.origin);
    let a = live.control_fact(st, Fact::from(fact))?;
    receipts.insert(0, a.index);
    let began = if why == Why::Errors && first > WallTime::EPOCH { first } else { st.now.wall };
    let times = (began, st.now.wall.max(began));
    open_incident(live, st, IncidentCause::AutoRollback, UntrustedText::new(detail), times, receipts)
}
