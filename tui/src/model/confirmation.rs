//! Privileged actions as types: unconfirmed and confirmed.
//!
//! A [`ConfirmAction`] holds the exact text that will be signed; dialogs show what is parsed back from it. Only
//! [`ConfirmAction::confirm`] makes a [`ConfirmedAction`], and only that can be sent. Nothing here signs or sends.

use crate::client::commands::{Draft, REQUEST_LIFE};
use crate::model::tenants::RowKey;
use conductor_shared::basis_points::{BasisPoints, percent};
use conductor_shared::change_class::class_of;
use conductor_shared::clock::WallTime;
use conductor_shared::command::{Command, MAX_AUDIENCE, MAX_REASON, Operation, ops};
use conductor_shared::control::ControlState;
use conductor_shared::fact::ChangeClass;
use conductor_shared::ids::{Ident, NodeId};
use conductor_shared::untrusted::{UntrustedText, is_unshowable};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// Life of a command from composing to taking effect.
pub(crate) const LIFE: Duration = Duration::from_secs(300);
/// A dialog that stays open longer than this composes its command again.
pub(crate) const REDRAW: Duration = Duration::from_secs(120);

/// Random numbers for command ids and nonces, from a seed: the update function stays pure.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    seed: [u8; 32],
    next: u64,
}

impl Ids {
    /// From 32 random bytes.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed, next: 0 }
    }

    pub(crate) fn draw(&mut self) -> [u8; 16] {
        let digest = Sha256::new().chain_update(self.seed).chain_update(self.next.to_be_bytes()).finalize();
        self.next += 1;
        let mut out = [0; 16];
        out.copy_from_slice(&digest[..16]);
        out
    }
}

/// The target of an action: names for people, ids for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) key: RowKey,
    /// Display id of the tenant.
    pub(crate) name: Ident,
    pub(crate) node_id: NodeId,
    pub(crate) node: Ident,
    pub(crate) environment: Ident,
    /// Other nodes that the action is also for, with their agents.
    pub(crate) also: Vec<(NodeId, Ident, usize)>,
    /// One of the nodes is offline.
    pub(crate) offline: bool,
}

impl Target {
    /// All nodes that the action is for, with their agents.
    pub(crate) fn nodes(&self) -> Vec<(NodeId, Ident, usize)> {
        let mut all = vec![(self.node_id, self.node.clone(), self.key.agent)];
        all.extend(self.also.iter().take(MAX_AUDIENCE - 1).cloned());
        all
    }
}

/// An action that nobody has confirmed yet, with the text that would be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfirmAction {
    pub(crate) target: Target,
    text: String,
    command: Command,
    /// State of the object as the console knows it.
    pub(crate) before: Option<Vec<String>>,
}

/// An action that a person confirmed. Only [`ConfirmAction::confirm`] makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfirmedAction {
    target: Target,
    text: String,
}

impl ConfirmAction {
    /// Composes the command. `None` if its text does not parse back, which would be a bug: better found here than at
    /// the agent.
    pub(crate) fn compose(
        target: Target,
        operation: Operation,
        base: Option<[u8; 32]>,
        reason: &str,
        agent_now: WallTime,
        ids: &mut Ids,
    ) -> Option<Self> {
        // A command kept for an offline node lives as long as a command can.
        let life = if target.offline && operation.is_absolute() { REQUEST_LIFE } else { LIFE };
        let reason: String = reason.chars().filter(|c| !is_unshowable(*c)).take(MAX_REASON).collect();
        let draft = Draft {
            nodes: target.nodes().into_iter().map(|n| n.0).collect(),
            tenant: target.key.tenant,
            base,
            operation,
            reason: UntrustedText::new(reason),
            now: agent_now,
            life,
        };
        let text = draft.command(ids.draw(), ids.draw()).text();
        let command = Command::parse(text.as_bytes()).ok()?;
        Some(Self { target, text, command, before: None })
    }

    /// The command as read back from the text that will be signed.
    pub(crate) fn command(&self) -> &Command {
        &self.command
    }

    /// A person confirmed it.
    pub(crate) fn confirm(self) -> ConfirmedAction {
        ConfirmedAction { target: self.target, text: self.text }
    }
}

impl ConfirmedAction {
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The text to sign, byte for byte as it was shown.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// The direction of an operation. Unknown counts as loosening; kills and freezes always tighten.
pub(crate) fn direction(state: Option<&ControlState>, op: &Operation) -> ChangeClass {
    match (state, op) {
        (Some(s), op) => class_of(s, op).into(),
        (None, Operation::KillSet(ops::KillSet { drain: false, .. }) | Operation::FreezeSet(_)) => {
            ChangeClass::Tighten
        }
        (None, _) => ChangeClass::Loosen,
    }
}

/// Names and values in turn, as they stand in receipts, in one line: `hundredths 5000, revision 3`.
pub(crate) fn object_words(list: &[String]) -> String {
    if list.is_empty() {
        return "not there".into();
    }
    let pairs = list.chunks(2).map(|p| match p {
        [k, v] if k == "hundredths" => v
            .parse::<u64>()
            .ok()
            .and_then(|n| BasisPoints::try_from(n).ok())
            .map_or_else(|| v.clone(), percent),
        [k, v] => format!("{k} {v}"),
        other => other.join(" "),
    });
    conductor_shared::untrusted::escape(&pairs.collect::<Vec<_>>().join(", "), 120)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    /// DESIGN, Signed texts: a confirmation is drawn by parsing the very bytes that will be signed.
    #[test]
    fn what_is_shown_is_what_is_sent() {
        let op = Operation::KillSet(ops::KillSet { selector: "*/*".parse().unwrap(), drain: false });
        let mut ids = Ids::new([7; 32]);
        let compose = |ids: &mut Ids| {
            ConfirmAction::compose(
                sample::target("acme"),
                op.clone(),
                None,
                "why\nnot\u{202e}",
                WallTime::from_micros(5),
                ids,
            )
            .unwrap()
        };
        let (a, b) = (compose(&mut ids), compose(&mut ids));
        assert_ne!(a.command().command_id, b.command().command_id);
        assert_eq!(a.command().reason.raw(), "whynot");
        assert_eq!((a.command().issued_at_us, a.command().expires_at_us), (5, 300_000_005));
        let shown = a.command().clone();
        let sent = a.confirm();
        assert_eq!(Command::parse(sent.text().as_bytes()), Ok(shown));
    }

    /// SPEC invariant 3: the direction comes from the state, and what is unknown loosens.
    #[test]
    fn direction_is_computed() {
        let s = sample::control("acme", 5_000);
        let set = |h| {
            Operation::RampSet(ops::RampSet {
                selector: "run/etl".parse().unwrap(),
                hundredths: BasisPoints::saturating(h),
            })
        };
        assert_eq!(direction(Some(&s), &set(4_000)), ChangeClass::Tighten);
        assert_eq!(direction(Some(&s), &set(6_000)), ChangeClass::Loosen);
        assert_eq!(direction(None, &set(0)), ChangeClass::Loosen);
    }
}
