//! Snapshots: the state as a fact of its own log, so that who reads the log begins there. A snapshot changes nothing. It is
//! compared with what the facts before it make of the state.

use super::canonical::{MAX_STATE, StateError};
use super::{At, ControlState};
use crate::fact::StateSnapshot;
use crate::ids::hex;
use sha2::{Digest as _, Sha256};

/// Why the facts of a log do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// A snapshot is of another state than the facts before it make.
    #[error("the snapshot is of state {snapshot}, and the facts before it make {facts}: the log is damaged")]
    Differs {
        /// Digest that the snapshot names.
        snapshot: String,
        /// Digest of the state.
        facts: String,
    },
    /// The bytes of a snapshot are not the state that its digest names.
    #[error("the snapshot's bytes do not have the digest that it names: the log is damaged")]
    Digest,
    /// They are no state.
    #[error("the snapshot cannot be read: {0}")]
    State(#[from] StateError),
}

/// Why no snapshot is made of a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSnapshot {
    /// Who reads it later may understand what this program does not, and would not hear of it.
    #[error("the log holds facts of a newer program")]
    Newer,
    /// It would have so many bytes.
    #[error("the state has {0} bytes, more than {MAX_STATE}")]
    TooLarge(usize),
}

impl ControlState {
    /// The snapshot of this state.
    pub fn snapshot(&self) -> Result<StateSnapshot, NoSnapshot> {
        if self.newer {
            return Err(NoSnapshot::Newer);
        }
        let state = self.to_bytes();
        if state.len() > MAX_STATE {
            return Err(NoSnapshot::TooLarge(state.len()));
        }
        Ok(StateSnapshot { digest: Sha256::digest(&state).into(), state })
    }

    /// The state after a snapshot, read from nothing else.
    pub fn restored(at: At, snapshot: &StateSnapshot) -> Result<Self, FoldError> {
        if snapshot.digest[..] != Sha256::digest(&snapshot.state)[..] {
            return Err(FoldError::Digest);
        }
        let mut state = Self::from_bytes(&snapshot.state)?;
        state.last = Some(at.index);
        Ok(state)
    }

    /// True when the snapshot is of this state. False: it may be of more than this program understands.
    pub(super) fn is_of_this(&self, snapshot: &StateSnapshot) -> Result<bool, FoldError> {
        if snapshot.digest[..] != Sha256::digest(&snapshot.state)[..] {
            return Err(FoldError::Digest);
        }
        let facts = self.digest();
        if facts == snapshot.digest {
            return Ok(true);
        }
        if self.newer || Self::from_bytes(&snapshot.state).is_err() {
            return Ok(false);
        }
        Err(FoldError::Differs { snapshot: hex(&snapshot.digest), facts: hex(&facts) })
    }
}

#[cfg(test)]
mod tests;
