//! `conductord check`: recomputes every row, counter, rollup, leaf, tile and root from the receipts and reports each
//! difference. Checks invariant 5. The agent must not be running.

use crate::keys::KeyStore;
use crate::ledger::{DiskNodes, Partition, read_receipt};
use crate::node::init::{InitError, node_id};
use crate::partition::{Loader, PartitionState};
use crate::store::{Row, RowKind, SpaceLimits, Store};
use conductor_shared::clock::Clock as _;
use conductor_shared::control::{At, ControlState};
use conductor_shared::fact::{ControlFact, Fact, SNAPSHOT, TrafficFact, Verdict, is_control};
use conductor_shared::ids::RunId;
use conductor_shared::merkle::{Frontier, root_at};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What the receipts of a log say its rows must be.
#[derive(Default)]
struct Recount {
    frontier: Frontier,
    control: ControlState,
    allowed: u64,
    denied: u64,
    open: BTreeMap<RunId, BTreeSet<u64>>,
    ended: BTreeSet<RunId>,
    last_us: u64,
    /// Indices of control facts, and of those that are snapshots.
    facts: BTreeSet<u64>,
    snapshots: BTreeSet<u64>,
    /// A control fact is erased: what the state is shows with the next snapshot.
    gone: bool,
}

impl Recount {
    fn add(&mut self, r: &crate::ledger::Receipt, wrong: &mut Vec<String>) {
        let h = &r.sealed.header;
        if h.time_us < self.last_us {
            wrong.push(format!("{} entry {}: time goes back", h.origin, h.index));
        }
        self.last_us = h.time_us;
        self.frontier.push(r.sealed.leaf(), |_, _, _| {});
        if is_control(h.kind) {
            self.control(r, wrong);
        }
        let Some(fact) = &r.fact else { return };
        match fact {
            Fact::Traffic(t) => self.traffic(t),
            Fact::Control(_) => {}
        }
    }

    fn control(&mut self, r: &crate::ledger::Receipt, wrong: &mut Vec<String>) {
        let h = &r.sealed.header;
        let at = At { index: h.index, time_us: h.time_us };
        self.facts.insert(h.index);
        if h.kind == SNAPSHOT {
            self.snapshots.insert(h.index);
        }
        let snapshot = match &r.fact {
            Some(Fact::Control(ControlFact::StateSnapshot(f))) => Some(f),
            _ => None,
        };
        let known = !self.control.newer;
        let fits = match snapshot.filter(|_| self.gone).map(|f| ControlState::restored(at, f)) {
            Some(restored) => restored.map(|state| (self.control, self.gone) = (state, false)),
            None => self.control.apply_receipt(at, h.kind, r.fact.as_ref()),
        };
        self.gone |= r.body.is_none() && h.kind != SNAPSHOT;
        match fits {
            Err(e) => wrong.push(format!("{} entry {}: {e}", h.origin, h.index)),
            Ok(()) if known && self.control.newer && !self.gone => wrong.push(format!(
                "{} entry {}: this program does not write it so: it names a change that does not wait, or is newer",
                h.origin, h.index
            )),
            Ok(()) => {}
        }
    }

    fn traffic(&mut self, t: &TrafficFact) {
        match t {
            TrafficFact::RunDecided(f) if f.verdict == Verdict::Allow => {
                self.allowed += 1;
                self.open.insert(f.run, BTreeSet::new());
            }
            TrafficFact::StepDecided(f) if f.verdict == Verdict::Allow => {
                self.allowed += 1;
                self.open.entry(f.run).or_default().insert(f.step);
            }
            TrafficFact::RunDecided(_)
            | TrafficFact::StepDecided(_)
            | TrafficFact::RequestDenied(_)
            | TrafficFact::CommandDenied(_) => self.denied += 1,
            TrafficFact::StepFinished(f) => {
                self.open.entry(f.run).or_default().remove(&f.step);
            }
            TrafficFact::RunFinished(f) => {
                self.open.remove(&f.run);
                self.ended.insert(f.run);
            }
            TrafficFact::DenialsFolded(f) => self.denied += f.count,
            TrafficFact::LeaseRenewed(_)
            | TrafficFact::HeartbeatsFolded(_)
            | TrafficFact::ApprovalDecided(_)
            | TrafficFact::LateSettle(_) => {}
        }
    }
}

/// All differences, as text.
pub fn check(data: &Path, keys: &Path, limits: SpaceLimits) -> Result<Vec<String>, InitError> {
    let node = node_id(data, keys, limits)?;
    let mut keys = KeyStore::open(keys)?;
    let store = Arc::new(Store::open(&data.join("db"), limits)?);
    let now = crate::platform::clock::RealClock::default().now();
    let mut wrong = Vec::new();
    for id in store.family_ids() {
        // A crash may leave the family of a tenant that was never created; it is empty.
        let ctx =
            Loader { store: &store, keys: &mut keys, node, now, lease: Duration::ZERO, cuts_since: now.wall };
        let Ok(live) = PartitionState::load(ctx, id, None) else {
            wrong.push(format!("partition {} cannot be read back", id.tenant));
            continue;
        };
        check_partition(&store, &live, &mut wrong)?;
    }
    Ok(wrong)
}

fn check_partition(store: &Store, live: &PartitionState, wrong: &mut Vec<String>) -> Result<(), InitError> {
    let p = &live.p;
    let mut r = Recount::default();
    for index in 0..live.log.size() {
        match read_receipt(store, p, index) {
            Ok(receipt) => r.add(&receipt, wrong),
            Err(e) => {
                wrong.push(e.to_string());
                return Ok(());
            }
        }
    }
    let mut differ = |what: &str, row: String, receipts: String| {
        if row != receipts {
            wrong.push(format!("{} {what}: row {row}, receipts {receipts}", p.origin));
        }
    };
    let hex = |h: [u8; 32]| conductor_shared::ids::hex(&h);
    differ("root", hex(live.log.root()), hex(r.frontier.root()));
    let size = live.log.size();
    differ("root from tiles", hex(root_at(&DiskNodes::new(store, p, size), size)?), hex(r.frontier.root()));
    for (what, kind, receipts) in [
        ("control facts", RowKind::Control, &r.facts),
        ("snapshots of control state", RowKind::Snapshot, &r.snapshots),
    ] {
        differ(what, format!("{:?}", marked(store, p, kind)?), format!("{receipts:?}"));
    }
    differ("control state", hex(live.control.digest()), hex(r.control.digest()));
    differ("allowed", live.allowed.to_string(), r.allowed.to_string());
    // Open folds count denials that have no receipt yet.
    let folding: u64 = live.open_folds().iter().map(|f| f.count).sum();
    differ("denied", live.denied.to_string(), (r.denied + folding).to_string());
    let rows: BTreeMap<RunId, BTreeSet<u64>> =
        live.runs.iter().map(|(id, run)| (*id, run.steps.keys().copied().collect())).collect();
    differ("open runs", format!("{rows:?}"), format!("{:?}", r.open));
    differ("ended runs", format!("{:?}", ended_runs(store, p)?), format!("{:?}", r.ended));
    let recounted = crate::metering::recount(store, p, live.log.signed)?;
    let waiting: u64 = live.meters.unsigned().iter().map(|(_, _, n)| n).sum();
    differ("metered receipts that are not signed", waiting.to_string(), recounted.unsigned.to_string());
    for d in recounted.differences {
        let labels =
            d.labels.map_or(String::new(), |l| format!(" {} {} {}", l.workflow_type, l.env, l.actor_type));
        let what = format!("{} {}{labels}", d.what, d.number);
        differ(&what, d.rollups, d.receipts);
    }
    if r.gone {
        wrong.push(format!(
            "{}: control facts are erased, and no snapshot of the control state is after them",
            p.origin
        ));
    }
    if live.log.signed > size {
        wrong.push(format!("{}: {} entries were signed and {size} are here", p.origin, live.log.signed));
    }
    Ok(())
}

fn ended_runs(store: &Store, p: &Partition) -> Result<BTreeSet<RunId>, InitError> {
    let mut out = BTreeSet::new();
    store.scan(&p.family, &Row::scan_of(RowKind::EndedRun), |row, _| {
        if let Row::EndedRun(id) = row {
            out.insert(RunId(id));
        }
        true
    })?;
    Ok(out)
}

/// Indices of the receipts that rows of a kind mark.
fn marked(store: &Store, p: &Partition, kind: RowKind) -> Result<BTreeSet<u64>, InitError> {
    let mut out = BTreeSet::new();
    store.scan(&p.family, &Row::scan_of(kind), |row, _| {
        if let Row::Control(index) | Row::Snapshot(index) = row {
            out.insert(index);
        }
        true
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Receipt;
    use conductor_shared::cause::IncidentCause;
    use conductor_shared::fact::{IncidentOpened, StateSnapshot};
    use conductor_shared::ids::{NodeId, Origin, TenantUid};
    use conductor_shared::record::{Body, Header, PolicyVersion, Sealed};
    use conductor_shared::untrusted::UntrustedText;

    fn opened(n: u8) -> Fact {
        let (cause, detail) = (IncidentCause::Clock.into(), UntrustedText::new("said"));
        IncidentOpened { incident: [n; 16], cause, detail }.into()
    }

    fn erased(r: Receipt) -> Receipt {
        Receipt { body: None, fact: None, ..r }
    }

    fn receipt(index: u64, fact: impl Into<Fact>) -> Receipt {
        let fact = fact.into();
        let origin = Origin { node: NodeId([1; 16]), tenant: TenantUid([2; 16]), epoch: 1 };
        let policy = PolicyVersion::built_in();
        let header = Header { origin, index, time_us: index, kind: fact.kind(), policy, commitments: 0 };
        let body = Some(Body { seed: [0; 32], values: fact.values() });
        Receipt { sealed: Sealed { header, digests: vec![] }, body, fact: Some(fact), stored: 0 }
    }

    fn snapshot_after(facts: &[Fact]) -> StateSnapshot {
        let mut state = ControlState::default();
        for (index, fact) in (0..).zip(facts) {
            state.apply_receipt(At { index, time_us: index }, fact.kind(), Some(fact)).unwrap();
        }
        state.snapshot().unwrap()
    }

    /// docs/adr/0030: each snapshot is compared with the fold from the first fact; where that is erased, from the first
    /// snapshot after it. What no snapshot covers is said.
    #[test]
    fn a_fold_begins_at_what_is_left() {
        let facts = [opened(0), opened(1)];
        let snapshot = snapshot_after(&facts);
        let said = |receipts: Vec<Receipt>| {
            let (mut r, mut wrong) = (Recount::default(), vec![]);
            for receipt in &receipts {
                r.add(receipt, &mut wrong);
            }
            (r, wrong)
        };
        let [a, b] = [0, 1].map(|n: usize| receipt(n as u64, facts[n].clone()));
        let [s, c] = [receipt(2, snapshot.clone()), receipt(3, opened(3))];
        let (whole, wrong) = said(vec![a.clone(), b.clone(), s.clone(), c.clone()]);
        assert_eq!((whole.gone, wrong), (false, vec![]));
        let (rest, wrong) = said(vec![erased(a.clone()), erased(b.clone()), s, c]);
        assert_eq!((&rest.control, rest.gone, wrong), (&whole.control, false, vec![]));
        let (lost, wrong) = said(vec![a.clone(), erased(b.clone())]);
        assert_eq!((lost.gone, wrong), (true, vec![]));
        let other = receipt(2, snapshot_after(&[opened(0), opened(7)]));
        let (_, wrong) = said(vec![a, b, other]);
        assert!(wrong.len() == 1 && wrong[0].contains("the facts before it make"), "{wrong:?}");
    }
}
