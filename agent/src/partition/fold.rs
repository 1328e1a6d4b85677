//! Control state read back: the newest snapshot of its log, and the facts after it. What lies before is not read, so that a
//! start does not grow with the log.

use super::cuts::{Cuts, alone};
use crate::ledger::{self, Partition, ReadError, read_receipt};
use crate::store::{Row, Store};
use conductor_shared::clock::WallTime;
use conductor_shared::control::{At, ControlState, FoldError, StateError};
use conductor_shared::fact::{ControlFact, Fact, SNAPSHOT};

/// A snapshot of control state is due after so many control facts of a log.
pub const SNAPSHOT_EVERY: u64 = 4_096;

/// Control state as it was read back.
#[derive(Default)]
pub(super) struct Folded {
    pub state: ControlState,
    /// What persons took away alone.
    pub cuts: Cuts,
    /// Control facts that were read for it, snapshots included.
    pub read: u64,
    /// Those after the last snapshot.
    pub since_snapshot: u64,
}

/// Folds the control facts of a log, and tells what persons took away alone since a moment: it begins with the newest
/// snapshot that is older than that.
pub(super) fn read_control(store: &Store, p: &Partition, since: WallTime) -> Result<Folded, ReadError> {
    let (mut f, mut next) = (Folded::default(), 0);
    if let Some(index) = newest_before(store, p, since, &mut f)? {
        next = index + 1;
    }
    for index in ledger::control_facts(store, p, next..u64::MAX, usize::MAX)? {
        let r = read_receipt(store, p, index)?;
        let h = &r.sealed.header;
        f.read += 1;
        f.since_snapshot = if h.kind == SNAPSHOT { 0 } else { f.since_snapshot + 1 };
        let (at, time) = (At { index, time_us: h.time_us }, WallTime::from_micros(h.time_us));
        // A copy for each fact would take quadratic time on a node where thousands of tenants were created of late.
        let noted = time > since && matches!(&r.fact, Some(Fact::Control(c)) if alone(c, &f.state).is_some());
        let before = noted.then(|| f.state.clone());
        let fits = f.state.apply_receipt(at, h.kind, r.fact.as_ref());
        fits.map_err(|e| p.damaged(&Row::Receipt(index).key(), &e.to_string()))?;
        if let (Some(before), Some(Fact::Control(c))) = (before, &r.fact) {
            f.cuts.note(p.id.tenant, c, (&before, &f.state), time);
        }
    }
    Ok(f)
}

/// Begins with the newest snapshot that was written by a moment, and tells which it is. One that cannot be used, since a
/// newer program wrote it or it was erased, is passed over. `None`: the log is folded from its beginning.
fn newest_before(
    store: &Store,
    p: &Partition,
    moment: WallTime,
    f: &mut Folded,
) -> Result<Option<u64>, ReadError> {
    let mut before = u64::MAX;
    while let Some((Row::Snapshot(index), _)) = store.last(&p.family, &Row::Snapshot(before).scan_before())? {
        before = index;
        let key = Row::Receipt(index).key();
        let r = read_receipt(store, p, index)?;
        f.read += 1;
        let h = &r.sealed.header;
        if WallTime::from_micros(h.time_us) > moment {
            continue;
        }
        let snapshot = match &r.fact {
            Some(Fact::Control(ControlFact::StateSnapshot(snapshot))) => snapshot,
            None if h.kind == SNAPSHOT => continue,
            _ => return Err(p.damaged(&key, "it is marked as a snapshot of control state and is none")),
        };
        match ControlState::restored(At { index, time_us: h.time_us }, snapshot) {
            Ok(state) => {
                f.state = state;
                return Ok(Some(index));
            }
            Err(FoldError::State(StateError::Version)) => {}
            Err(e) => return Err(p.damaged(&key, &e.to_string())),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
