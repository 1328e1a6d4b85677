//! Open runs of a partition, in memory, and how they are read back at start.

use crate::keys::Key;
use crate::ledger::{Partition, ReadError};
use crate::rows::{RunRow, StepRow, decode};
use crate::store::{Row, RowKind, Store};
use conductor_shared::clock::{MonoTime, WallTime};
use conductor_shared::ids::RunId;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// An open run.
pub struct Run {
    /// Its row.
    pub row: RunRow,
    /// The unit key of everything about it.
    pub unit: (u64, Key),
    /// Open steps.
    pub steps: BTreeMap<u64, StepRow>,
    /// Number of the next step.
    pub next_step: u64,
    /// When its lease ends, on the monotonic clock.
    pub lease_until: MonoTime,
    /// Heartbeats.
    pub beats: Beats,
}

/// Heartbeats of an open run: one in each window has a receipt, those after it are counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beats {
    /// Index of the receipt of this window, and when the window ends.
    pub window: Option<(u64, MonoTime)>,
    /// How many left no receipt since the run began, or the agent.
    pub folded: u64,
    /// When the last one of those came.
    pub last: WallTime,
    /// The run began before the agent was started.
    pub since_start: bool,
}

pub(super) fn load_runs(
    store: &Store,
    p: &Partition,
    lease_until: MonoTime,
) -> Result<FxHashMap<RunId, Run>, ReadError> {
    let mut runs = FxHashMap::default();
    for (row, value) in store.rows(&p.family, &Row::scan_of(RowKind::OpenRun))? {
        let Row::OpenRun(id) = row else { continue };
        let (id, key) = (RunId(id), row.key());
        let row: RunRow = decode(&p.open(&key, &value)?).map_err(|e| p.damaged(&key, &e))?;
        let number = crate::keys::key_number(&value).map_err(|e| p.damaged(&key, &e.to_string()))?;
        let unit = (number, p.units.get(number)?);
        let mut steps = BTreeMap::new();
        let mut last = 0;
        for (row, value) in store.rows(&p.family, &Row::scan_ids(RowKind::OpenStep, id.0, 0))? {
            let Row::OpenStep(_, n) = row else { continue };
            let key = row.key();
            steps.insert(n, decode::<StepRow>(&p.open(&key, &value)?).map_err(|e| p.damaged(&key, &e))?);
            last = last.max(n);
        }
        if let Some((Row::EndedStep(_, n), _)) =
            store.last(&p.family, &Row::scan_ids(RowKind::EndedStep, id.0, 0))?
        {
            last = last.max(n);
        }
        let beats = Beats { since_start: true, ..Beats::default() };
        runs.insert(id, Run { row, unit, steps, next_step: last + 1, lease_until, beats });
    }
    Ok(runs)
}
