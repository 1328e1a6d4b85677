//! What freezes and break-glass add to the evaluation of a command.

use super::facts::incident;
use crate::keys::KeyError;
use crate::partition::state::PartitionState;
use crate::staging::BatchBuilder;
use conductor_shared::cause::IncidentCause;
use conductor_shared::command::Operation;
use conductor_shared::control::profiles;
use conductor_shared::control::{CommandKey, ControlState};
use conductor_shared::fact::{BreakGlassUsed, Fact};
use conductor_shared::ids::{GrantId, PersonId};

/// What a freeze says to a change that loosens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FreezeCheck {
    /// No freeze is on.
    Free,
    /// A freeze is on, and break-glass lifts it: to be cited.
    UnderGrant(GrantId),
    /// A freeze is on.
    Frozen,
}

impl FreezeCheck {
    /// Of a change that does not tighten. What tightens always passes: a freeze never makes a site less safe.
    pub(super) fn of(op: &Operation, log: &ControlState, node: &ControlState) -> Self {
        if !profiles::forbids(log, node, op) {
            return Self::Free;
        }
        log.break_glass.as_ref().map_or(Self::Frozen, |g| Self::UnderGrant(g.grant))
    }

    pub(super) fn grant(self) -> Option<GrantId> {
        match self {
            Self::UnderGrant(grant) => Some(grant),
            Self::Free | Self::Frozen => None,
        }
    }
}

/// Puts on record that the command whose receipt follows passes under break-glass.
pub(super) fn cite(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    grant: GrantId,
    command: CommandKey,
) -> Result<(), KeyError> {
    live.control_fact(
        st,
        Fact::from(BreakGlassUsed { grant, author: command.person, command_id: command.command }),
    )
    .map(drop)
}

/// Somebody opened break-glass alone: others are to look at it.
pub(super) fn open_incident(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    person: PersonId,
) -> Result<(), KeyError> {
    let Some(g) = live.control.break_glass.clone().filter(|g| g.alone && g.person == Some(person)) else {
        return Ok(());
    };
    let detail = format!(
        "break-glass {} opened by {person} alone for {} minutes, ticket {}: to be reviewed",
        g.grant, g.minutes, g.ticket
    );
    incident(live, st, IncidentCause::BreakGlass, &detail)
}
