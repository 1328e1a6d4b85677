//! The watch over ramps: counts what settles under each revision, judges it, carries plans on and rolls ramps back. And
//! the incidents that the agent opens and closes by itself. All of it by facts; nothing here asks anybody.
//!
//! Counts are kept in a row that is written in the batch of the receipts they come from, so a restart loses none. Going
//! on with a plan loosens: it waits for a checkpoint that the signer was asked for after the counts were found healthy.

use super::Writer;
use super::live::{Live, Stage};
use super::rows::{RunRow, SloRow, WatchRow};
use crate::command::policy_lets;
use crate::keys::KeyError;
use crate::ledger::Appended;
use crate::policy::Policy;
use conductor_shared::basis_points::{BasisPoints, percent};
use conductor_shared::cause::{IncidentCause, RollbackCause};
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::clock::{Micros, Now, SECOND};
use conductor_shared::codec::Listed;
use conductor_shared::command::{Operation, ops};
use conductor_shared::control::ControlState;
use conductor_shared::fact::{
    Fact, IncidentClosed, IncidentEvidence, IncidentOpened, Outcome, RampAdvanced, RampRolledBack,
};
use conductor_shared::fail_closed::{self, Class, Outage, OutageRule};
use conductor_shared::http::SloStatus;
use conductor_shared::ids::TenantUid;
use conductor_shared::ramp::{HISTORY, Selector, deciding};
use conductor_shared::slo::{self, Verdict, Why};
use conductor_shared::untrusted::UntrustedText;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Receipts of errors that an incident cites.
const CITED: usize = 5;
/// A signer that is out for longer is an incident.
const SIGNER_OUT_US: Micros = 5 * SECOND;
/// So many folded denials by quota within [`FLOOD_WINDOW_US`] are a flood.
const FLOOD: u64 = 1_000;
const FLOOD_WINDOW_US: Micros = 10 * SECOND;
/// A flood is over when there was none for so long.
const FLOOD_QUIET_US: Micros = 60 * SECOND;
/// Words of incidents.

/// How often ramps are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two judgements.
    pub every_us: Micros,
    /// Observed uptime after which a ramp without a plan may be healthy.
    pub bake_us: Micros,
}

/// What the writer remembers between judgements.
#[derive(Debug, Default)]
pub(super) struct Judging {
    last: Micros,
    signer_was_up: bool,
    /// Something was out since the last judgement.
    outage_seen: bool,
    signer_down: Option<Now>,
}

/// A signed checkpoint with what it says.
type Proof = (Checkpoint, SignedCheckpoint);

/// What was seen under one revision, and how far its advance has come.
#[derive(Debug)]
struct Watch {
    row: WatchRow,
    /// Too many receipts waited already when the revision began: that is no fault of it.
    began_over: bool,
    /// Size of the log when the signer was asked, after it was found healthy.
    asked: Option<u64>,
    /// What the signer answered.
    proof: Option<Box<Proof>>,
}

impl Watch {
    fn new(row: WatchRow) -> Self {
        Self { row, began_over: true, asked: None, proof: None }
    }
}

/// What was seen under the ramps of a tenant.
#[derive(Debug, Default)]
pub struct Watches {
    ramps: BTreeMap<Selector, Watch>,
    changed: bool,
    published: Arc<Vec<SloStatus>>,
}

impl Watches {
    /// As they were written last.
    pub fn restored(row: SloRow, control: &ControlState, size: u64) -> Self {
        let ramps = row.ramps.into_iter().filter_map(|(s, w)| Some((s.parse().ok()?, Watch::new(w))));
        let mut this = Self { ramps: ramps.collect(), ..Self::default() };
        this.follow(control, size.saturating_sub(1));
        this
    }

    /// Control state changed with the receipt at this index: revisions that are new begin at nothing.
    pub fn follow(&mut self, control: &ControlState, index: u64) {
        let known = self.ramps.len();
        self.ramps.retain(|s, _| control.ramps.contains_key(s));
        if self.ramps.len() < known {
            // Runs that another rule let in do not count for those that are left.
            self.ramps.values_mut().for_each(|w| w.row.since = index);
            self.changed = true;
        }
        for (selector, ramp) in &control.ramps {
            let before = self.ramps.get(selector).map(|w| &w.row);
            if before.is_some_and(|w| w.revision == ramp.revision) {
                continue;
            }
            let mut good = before.map_or(vec![], |w| w.good.clone());
            good.extend(before.filter(|w| w.healthy).map(|w| w.hundredths));
            let from = good.len().saturating_sub(HISTORY);
            let row = WatchRow {
                revision: ramp.revision,
                hundredths: ramp.hundredths,
                since: index,
                good: good.split_off(from),
                ..WatchRow::default()
            };
            self.ramps.insert(selector.clone(), Watch::new(row));
            self.changed = true;
        }
    }

    /// The watch whose revision let this run in.
    fn of_run(&mut self, control: &ControlState, run: &RunRow) -> Option<&mut WatchRow> {
        if self.ramps.is_empty() {
            return None;
        }
        let (selector, _) = deciding(&control.ramps, run.action.as_str(), run.workflow.as_str())?;
        let w = self.ramps.get_mut(selector).filter(|w| run.started_at > w.row.since)?;
        self.changed = true;
        Some(&mut w.row)
    }

    /// A run ended.
    pub fn run_settled(&mut self, control: &ControlState, run: &RunRow, outcome: Outcome, at: Appended) {
        let error = match outcome {
            Outcome::Succeeded => false,
            Outcome::Failed | Outcome::Lost => true,
            Outcome::Cancelled => return,
        };
        let Some(w) = self.of_run(control, run) else { return };
        w.counts.run(error);
        if error {
            if w.errors.is_empty() {
                w.first_error_us = at.time_us;
            }
            w.errors.push(at.index);
            if w.errors.len() > CITED {
                w.errors.remove(0);
            }
        }
    }

    /// A step ended.
    pub fn step_settled(&mut self, control: &ControlState, run: &RunRow, outcome: Outcome, seen_us: Micros) {
        if matches!(outcome, Outcome::Succeeded | Outcome::Failed)
            && let Some(w) = self.of_run(control, run)
        {
            w.counts.steps.add(seen_us);
        }
    }

    /// A plan that pauses asks the signer anew when it goes on.
    fn forget_proof(&mut self, s: &Selector) {
        if let Some(w) = self.ramps.get_mut(s) {
            (w.asked, w.proof) = (None, None);
        }
    }

    /// The signer signed this much of the log.
    pub fn covered(&mut self, cp: &Checkpoint, signed: &SignedCheckpoint) {
        for w in self.ramps.values_mut().filter(|w| w.asked.is_some_and(|size| cp.size >= size)) {
            w.asked = None;
            w.proof = Some(Box::new((*cp, signed.clone())));
        }
    }

    /// As of the last judgement.
    pub fn published(&self) -> Arc<Vec<SloStatus>> {
        Arc::clone(&self.published)
    }

    /// What must be written with the next batch.
    pub fn row_if_changed(&mut self) -> Option<SloRow> {
        std::mem::take(&mut self.changed).then(|| SloRow {
            ramps: self.ramps.iter().map(|(s, w)| (s.to_string(), w.row.clone())).collect(),
        })
    }
}

/// Denials by quota that were folded of late.
#[derive(Debug, Default)]
pub struct Flood {
    from: Micros,
    from_wall: Micros,
    first: u64,
    count: u64,
    last: Option<Micros>,
}

impl Flood {
    /// One more was folded into the receipt at `first`.
    pub fn note(&mut self, first: u64, now: Now) {
        if now.mono_us >= self.from + FLOOD_WINDOW_US {
            (self.from, self.from_wall, self.first, self.count) = (now.mono_us, now.wall_us, first, 0);
        }
        self.count += 1;
        if self.count >= FLOOD {
            self.last = Some(now.mono_us);
        }
    }
}

/// Opens an incident with what proves it.
pub(super) fn open_incident(
    live: &mut Live,
    st: &mut Stage,
    cause: IncidentCause,
    detail: UntrustedText,
    (began_us, detected_us): (Micros, Micros),
    receipts: Vec<u64>,
) -> Result<(), KeyError> {
    let incident = crate::platform::random::bytes(&*st.random);
    live.control_fact(st, Fact::from(IncidentOpened { incident, cause: cause.into(), detail }))?;
    let evidence = IncidentEvidence { incident, began_us, detected_us, receipts: Listed(receipts) };
    live.control_fact(st, Fact::from(evidence))?;
    Ok(())
}

/// Open incidents of this cause, as ids.
fn open_by(live: &Live, cause: IncidentCause) -> Vec<[u8; 16]> {
    let of = live.control.incidents.iter().filter(|(_, i)| i.cause == cause);
    of.map(|(id, _)| id.0).collect()
}

fn close_incidents(live: &mut Live, st: &mut Stage, cause: IncidentCause, how: &str) -> Result<(), KeyError> {
    for incident in open_by(live, cause) {
        live.control_fact(st, Fact::from(IncidentClosed { incident, detail: UntrustedText::new(how) }))?;
    }
    Ok(())
}

impl Writer {
    /// Judges ramps when it is time, and opens and closes incidents. `since_us` ago it was called last.
    pub(super) fn look_after(&mut self, st: &mut Stage, since_us: Micros) -> Result<(), String> {
        let outage = self.outage();
        let pace = self.parts.slo;
        let j = &mut self.judging;
        j.outage_seen |= outage.policy
            || (outage.signer && j.signer_was_up)
            || self.space == crate::store::Space::Critical;
        j.signer_was_up |= !outage.signer;
        let due = st.now.mono_us >= j.last + pace.every_us;
        let platform = outage.signer || j.outage_seen;
        if due {
            j.last = st.now.mono_us;
            j.outage_seen = false;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        // Going on with a plan loosens.
        let mut held = matches!(fail_closed::rule(Class::Loosen, outage), OutageRule::Deny(_));
        if let Some(node) = open.partitions.get_mut(&TenantUid::NODE).filter(|n| !n.rolled_back) {
            signer_incident(node, st, &mut j.signer_down, outage)?;
            held |= node.control.clock_doubted();
        }
        let node = open.partitions.get(&TenantUid::NODE).map(|n| Arc::clone(&n.control)).unwrap_or_default();
        let over = Over { pace, held, platform, policy: &self.parts.policy, node: &node };
        for live in open.partitions.values_mut().filter(|l| !l.rolled_back) {
            flood_incident(live, st)?;
            if live.watches.ramps.is_empty() {
                continue;
            }
            // Only uptime that was watched counts: a stall is none.
            live.watches.ramps.values_mut().for_each(|w| w.row.up_us += since_us.min(SECOND));
            if due {
                judge(live, st, &over)?;
            }
        }
        Ok(())
    }
}

fn signer_incident(
    node: &mut Live,
    st: &mut Stage,
    down: &mut Option<Now>,
    outage: Outage,
) -> Result<(), String> {
    if !outage.signer {
        *down = None;
        return close_incidents(node, st, IncidentCause::SignerOutage, "the signer signs again")
            .map_err(|e| e.to_string());
    }
    let since = *down.get_or_insert(st.now);
    if st.now.mono_us > since.mono_us + SIGNER_OUT_US && open_by(node, IncidentCause::SignerOutage).is_empty()
    {
        let detail = UntrustedText::new(
            "the signer does not sign: nothing can be loosened, and receipts wait unsigned",
        );
        let times = (since.wall_us, st.now.wall_us);
        open_incident(node, st, IncidentCause::SignerOutage, detail, times, vec![])
            .map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn flood_incident(live: &mut Live, st: &mut Stage) -> Result<(), String> {
    let mono = st.now.mono_us;
    let loud = live.flood.last.is_some_and(|t| mono < t + FLOOD_QUIET_US);
    if !loud && live.control.incidents.is_empty() {
        return Ok(());
    }
    let open = !open_by(live, IncidentCause::QuotaFlood).is_empty();
    if loud && !open {
        let detail = UntrustedText::new(format!("at least {FLOOD} denials by quota within 10 s"));
        let (times, first) = ((live.flood.from_wall, st.now.wall_us), live.flood.first);
        return open_incident(live, st, IncidentCause::QuotaFlood, detail, times, vec![first])
            .map_err(|e| e.to_string());
    }
    if open && live.flood.last.is_none() {
        // Found open at start: it is over when it stays quiet from here on.
        live.flood.last = Some(mono);
    } else if open && !loud {
        close_incidents(live, st, IncidentCause::QuotaFlood, "quiet for 60 s").map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// What holds for all ramps of the node while they are judged.
struct Over<'a> {
    pace: Pace,
    /// No plan goes on.
    held: bool,
    /// What is breached now says nothing about a revision.
    platform: bool,
    policy: &'a Policy,
    node: &'a ControlState,
}

/// Judges every ramp of a tenant: rolls back what is breached, carries on what is healthy, and publishes what it saw.
fn judge(live: &mut Live, st: &mut Stage, over: &Over<'_>) -> Result<(), String> {
    let selectors: Vec<Selector> = live.watches.ramps.keys().cloned().collect();
    let mut seen = Vec::with_capacity(selectors.len());
    for s in selectors {
        let control = Arc::clone(&live.control);
        let (backlog, size) = (live.unsigned(), live.log.size());
        let Some(w) = live.watches.ramps.get_mut(&s) else { continue };
        let t = control.thresholds(&s);
        let plan = control.plans.get(&s);
        let steps = plan.and_then(|p| Some((p, p.plan()?)));
        let place =
            |n: u64| steps.as_ref().and_then(|(_, p)| p.steps().get(usize::try_from(n).ok()?).copied());
        let bake_us = plan.and_then(|p| place(p.at)).map_or(over.pace.bake_us, |x| x.bake_us());
        w.began_over &= backlog > t.backlog;
        let mut verdict = slo::verdict(&w.row.counts, backlog, &t, w.row.up_us >= bake_us);
        if verdict == Verdict::Breached(Why::Backlog) && w.began_over {
            verdict = Verdict::NoData;
        }
        if w.row.up_us < bake_us {
            live.watches.changed = true;
        }
        live.watches.changed |= w.row.healthy != (verdict == Verdict::Healthy);
        w.row.healthy = verdict == Verdict::Healthy;
        let revision = w.row.revision;
        let next = plan.filter(|_| w.row.healthy).and_then(|p| place(p.at + 1));
        match (verdict, next) {
            (Verdict::Breached(why), _) if w.row.hundredths > BasisPoints::ZERO => {
                roll_back(live, st, &s, why, over.platform)?;
            }
            (Verdict::Healthy, Some(next)) => {
                let op =
                    Operation::RampSet(ops::RampSet { selector: s.clone(), hundredths: next.hundredths });
                // A plan pauses in a freeze, under break-glass too: that lifts it for persons.
                let paused = over.held || live.frozen || control.raises_bad(&op);
                if paused || !policy_lets(over.policy, live, over.node, st.now, &op) {
                    live.watches.forget_proof(&s);
                    seen.extend(status(live, &s, revision, verdict, bake_us));
                    continue;
                }
                let Some(w) = live.watches.ramps.get_mut(&s) else { continue };
                if let Some(proof) = w.proof.take() {
                    advance(live, st, &s, next.hundredths, &proof)?;
                } else if w.asked.is_none() && !live.signing {
                    // Asked after it was found healthy, whether or not anything waits to be signed.
                    w.asked = Some(size);
                    live.unproved = true;
                }
            }
            _ => (w.asked, w.proof) = (None, None),
        }
        seen.extend(status(live, &s, revision, verdict, bake_us));
    }
    if *live.watches.published != seen {
        live.watches.published = Arc::new(seen);
        live.touch(st);
    }
    Ok(())
}

/// What people are told of a ramp after it was judged: of a revision that began just now, that nothing is known yet.
fn status(live: &Live, s: &Selector, judged: u64, verdict: Verdict, bake_us: Micros) -> Option<SloStatus> {
    let (control, w) = (&live.control, live.watches.ramps.get(s)?);
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
        p99_us: c.steps.p99(),
        up_us: w.row.up_us.min(bake_us),
        bake_us,
        thresholds: control.thresholds(s),
        plan: plan.map(|p| p.steps.clone()),
        step: plan.map(|p| p.at),
        rolled_back_from: control.bad.get(s).copied(),
    })
}

fn advance(
    live: &mut Live,
    st: &mut Stage,
    s: &Selector,
    to: BasisPoints,
    proof: &Proof,
) -> Result<(), String> {
    let (cp, signed) = proof;
    let (Some(w), Some(plan)) = (live.watches.ramps.get(s), live.control.plans.get(s)) else { return Ok(()) };
    let fact = RampAdvanced {
        selector: s.to_string(),
        hundredths: u64::from(to),
        plan: plan.revision,
        settled: w.row.counts.all.settled,
        failed: w.row.counts.all.errors,
        checkpoint_size: cp.size,
        checkpoint_root: cp.root,
    };
    live.control_fact(st, Fact::from(fact)).map_err(|e| e.to_string())?;
    // What a change rests on is kept for ever.
    let key = crate::store::Row::CitedCheckpoint(cp.size).key();
    let plain = serde_json::to_vec(signed).unwrap_or_default();
    st.rows.put(&live.p, &key, &plain);
    Ok(())
}

fn roll_back(live: &mut Live, st: &mut Stage, s: &Selector, why: Why, platform: bool) -> Result<(), String> {
    let backlog = live.unsigned();
    let Some(w) = live.watches.ramps.get_mut(s) else { return Ok(()) };
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
    let p99_us = c.steps.p99().unwrap_or(0);
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
    let (mut receipts, first) = (w.row.errors.clone(), w.row.first_error_us);
    let what = match why {
        Why::Errors => format!("{} of {} runs failed", c.all.errors, c.all.settled),
        Why::Latency => format!("99 % of {} steps take up to {p99_us} us or more", c.steps.count()),
        Why::Backlog => format!("{backlog} receipts wait for a signature"),
    };
    let cause: &str = cause.into();
    let detail = format!("{s} fell from {} to {} ({cause}): {what}", percent(from), percent(to));
    tracing::warn!("{}: {detail}", live.p.origin);
    let a = live.control_fact(st, Fact::from(fact)).map_err(|e| e.to_string())?;
    receipts.insert(0, a.index);
    let began = if why == Why::Errors && first > 0 { first } else { st.now.wall_us };
    let times = (began, st.now.wall_us.max(began));
    open_incident(live, st, IncidentCause::AutoRollback, UntrustedText::new(detail), times, receipts)
        .map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::fact::{ActorType, Env};
    use conductor_shared::ids::Ident;

    fn control(ops: &[(&str, u16)]) -> ControlState {
        ops.iter().fold(ControlState::default(), |s, (rule, h)| {
            s.after(&Operation::RampSet(ops::RampSet {
                selector: rule.parse().unwrap(),
                hundredths: BasisPoints::saturating(*h),
            }))
        })
    }
    fn run(started_at: u64) -> RunRow {
        RunRow {
            workflow: Ident::new("etl").unwrap(),
            env: Env::Rehearsal,
            actor: ActorType::Service,
            action: Ident::new("run").unwrap(),
            started_us: 0,
            started_at,
            steps: 0,
            outcome: None,
            last: 0,
        }
    }
    fn settle(w: &mut Watches, c: &ControlState, started_at: u64, outcome: Outcome) -> u64 {
        w.run_settled(c, &run(started_at), outcome, Appended { index: 99, time_us: 7, stored: 0 });
        w.ramps[&"*/etl".parse().unwrap()].row.counts.all.settled
    }

    /// SPEC 3.2: only runs that started and settled under the current revision count, and cancelled ones do not.
    #[test]
    fn the_population_is_that_of_the_revision() {
        let mut c = control(&[("*/etl", 1_000)]);
        let mut w = Watches::default();
        w.follow(&c, 10);
        assert_eq!(settle(&mut w, &c, 9, Outcome::Failed), 0, "started before it");
        assert_eq!(settle(&mut w, &c, 11, Outcome::Failed), 1);
        assert_eq!(settle(&mut w, &c, 12, Outcome::Lost), 2);
        assert_eq!(settle(&mut w, &c, 13, Outcome::Cancelled), 2);
        let row = w.row_if_changed().unwrap();
        assert!(w.row_if_changed().is_none());
        assert_eq!(Watches::restored(row, &c, 20).ramps[&"*/etl".parse().unwrap()].row.counts.all.errors, 2);
        c = c.after(&Operation::RampSet(ops::RampSet {
            selector: "*/etl".parse().unwrap(),
            hundredths: BasisPoints::saturating(2_000),
        }));
        w.follow(&c, 20);
        assert_eq!(settle(&mut w, &c, 15, Outcome::Failed), 0, "a new revision begins at nothing");
        c = c.after(&Operation::RampSet(ops::RampSet {
            selector: "run/etl".parse().unwrap(),
            hundredths: BasisPoints::saturating(500),
        }));
        w.follow(&c, 30);
        assert_eq!(settle(&mut w, &c, 31, Outcome::Failed), 0, "a more exact rule decides");
        c = c.after(&Operation::RampClear(ops::RampClear { selector: "run/etl".parse().unwrap() }));
        w.follow(&c, 40);
        assert_eq!(settle(&mut w, &c, 31, Outcome::Failed), 0, "it was let in by a rule that is gone");
    }
}
