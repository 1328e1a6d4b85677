//! Labels of series and of receipts.

use crate::ledger::{Partition, ReadError};
use crate::rows::{RunRow, decode};
use crate::store::{Row, RowKind, Store};
use conductor_shared::fact::Fact;
use conductor_shared::meter::{Labels, Metered, metered};

/// Labels of the series of a partition, by number.
pub fn series(store: &Store, p: &Partition) -> Result<Vec<Labels>, ReadError> {
    let open = |(row, value): (Row, Vec<u8>)| {
        let key = row.key();
        decode(&p.open(&key, &value)?).map_err(|e| p.damaged(&key, &e))
    };
    store.rows(&p.family, &Row::scan_of(RowKind::Series))?.into_iter().map(open).collect()
}

/// The labels that a receipt is metered under. If it names only a run, those of the run.
pub fn labels_of(store: &Store, p: &Partition, fact: &Fact) -> Result<Option<Labels>, ReadError> {
    match metered(fact) {
        None => Ok(None),
        Some(Metered::As(labels)) => Ok(Some(labels)),
        Some(Metered::AsRun(run)) => {
            for key in [Row::OpenRun(run.0).key(), Row::EndedRun(run.0).key()] {
                if let Some(row) = store.get(&p.family, &key)? {
                    let run: RunRow = decode(&p.open(&key, &row)?).map_err(|e| p.damaged(&key, &e))?;
                    return Ok(Some(run.labels()));
                }
            }
            Ok(None)
        }
    }
}
