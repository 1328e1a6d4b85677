//! Facts about a command, put on record, and the answers that go with them.

use crate::intake::request::{CommandReply, Denial, Signed};
use crate::keys::KeyError;
use crate::partition::deny::{By, Denied};
use crate::partition::state::PartitionState;
use crate::staging::BatchBuilder;
use conductor_shared::cause::IncidentCause;
use conductor_shared::codec::Listed;
use conductor_shared::control::CommandKey;
use conductor_shared::fact::{
    Abandoned, ChangeClass, Changed, CommandDenied, Fact, IncidentOpened, Proposed, Requested,
};
use conductor_shared::fail_closed::Class;
use conductor_shared::http::{CommandOutcome, CommandStatus, ReceiptRef};
use conductor_shared::reason::Reasons;
use conductor_shared::untrusted::UntrustedText;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

/// An answer and where it goes, once what it rests on is durable.
pub type Outgoing = (oneshot::Sender<CommandReply>, CommandReply);

/// The object of a command before and after: names and values in turn.
#[derive(Debug, Clone, Default)]
pub(super) struct Objects {
    pub(super) before: Vec<String>,
    pub(super) after: Vec<String>,
}

/// What all facts of a change say alike, and what one says besides.
macro_rules! change {
    ($fact:ident { $st:expr, $signed:expr, $class:expr, $objects:expr $(, $more:ident: $value:expr)* }) => {
        $fact {
            change: Listed($signed.content.operation.to_list()),
            before: Listed($objects.before.clone()),
            after: Listed($objects.after.clone()),
            class: ChangeClass::from($class),
            person: $signed.person,
            why: $signed.content.reason.clone(),
            command_id: $signed.content.command_id,
            expires_at_us: $signed.content.expires_at_us,
            judged_at_us: $st.now.wall.as_micros(),
            text: $signed.text.clone(),
            signature: $signed.signature.clone(),
            $($more: $value,)*
        }
    };
}

/// Puts a change on record that takes effect with its receipt.
pub(super) fn changed(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    signed: &Signed,
    class: Class,
    objects: Objects,
) -> Result<CommandOutcome, KeyError> {
    let a = live.control_fact(st, Fact::from(change!(Changed { st, signed, class, objects })))?;
    Ok(outcome(live, signed, class, objects, (CommandStatus::Effective, a.index)))
}

/// Puts a change on record that waits for `needed` other persons.
pub(super) fn requested(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    signed: &Signed,
    class: Class,
    objects: Objects,
    (needed, node_size): (u64, u64),
) -> Result<CommandOutcome, KeyError> {
    let fact = change!(Requested { st, signed, class, objects, needed: needed, node_size: node_size });
    let a = live.control_fact(st, Fact::from(fact))?;
    Ok(outcome(live, signed, class, objects, (CommandStatus::Requested, a.index)))
}

/// Puts a change on record that waits for its checkpoint: the index of its receipt.
pub(super) fn proposed(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    signed: &Signed,
    class: Class,
    objects: &Objects,
) -> Result<u64, KeyError> {
    Ok(live.control_fact(st, Fact::from(change!(Proposed { st, signed, class, objects })))?.index)
}

fn outcome(
    live: &PartitionState,
    signed: &Signed,
    class: Class,
    objects: Objects,
    (status, index): (CommandStatus, u64),
) -> CommandOutcome {
    CommandOutcome {
        command_id: signed.content.command_id,
        status,
        class: class.into(),
        receipt: ReceiptRef { origin: live.p.origin, index },
        proposal: None,
        reasons: vec![],
        before: objects.before,
        after: objects.after,
    }
}

/// What a person signed: a command, or an answer to a request.
pub(super) struct Said<'a> {
    /// Who signed, and the id of the command that it is or that it answers.
    pub(super) command: CommandKey,
    /// Name of the operation, or `approval`.
    pub(super) operation: &'a str,
    pub(super) object: String,
    /// Exact bytes.
    pub(super) text: &'a [u8],
}

/// A proposal as facts name it: whose command, and where it stands.
pub struct Named {
    /// Whose command.
    pub command: CommandKey,
    /// Index of its proposal.
    pub proposal: u64,
    /// SHA-256 of the command's exact text.
    pub digest: [u8; 32],
}

/// Stages the end of a proposal without effect.
pub fn abandon(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    named: &Named,
    reasons: Reasons,
) -> Result<u64, KeyError> {
    let fact = Abandoned {
        author: named.command.person,
        command_id: named.command.command,
        proposal: named.proposal,
        digest: named.digest,
        why: reasons.codes().join(" "),
    };
    Ok(live.control_fact(st, Fact::from(fact))?.index)
}

/// Stages the denial of what a person signed. The same from one person within a second leaves one receipt.
pub(super) fn deny(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    said: &Said<'_>,
    reasons: Reasons,
) -> Result<Denial, KeyError> {
    let denied = Denied {
        by: By::Person(said.command.person),
        about: format!("{} {}", said.operation, said.object),
        reasons,
        retry_after: None,
    };
    live.deny(st, denied, || {
        let fact = CommandDenied {
            person: said.command.person,
            command_id: said.command.command,
            operation: said.operation.to_owned(),
            object: UntrustedText::new(said.object.as_str()),
            reasons: Listed(reasons.codes()),
            text_digest: Sha256::digest(said.text).into(),
        };
        fact.into()
    })
}

/// Opens an incident.
pub(super) fn incident(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    cause: IncidentCause,
    detail: &str,
) -> Result<(), KeyError> {
    let incident = crate::platform::random::bytes(&*st.random);
    let fact = IncidentOpened { incident, cause: cause.into(), detail: UntrustedText::new(detail) };
    live.control_fact(st, Fact::from(fact)).map(drop)
}
