//! What the writer does with a verified command.

use super::approval::{Approvers, Carried, MAX_REQUESTS, request};
use super::freeze::{self, Passage};
use super::objections;
use crate::keys::KeyError;
use crate::policy::{Lookup, Policy, Query, about_command};
use crate::writer::ask::{CommandReply, Denial, Signed};
use crate::writer::live::{Live, Stage};
use conductor_shared::change_class;
use conductor_shared::checkpoint::key_id;
use conductor_shared::clock::{Micros, Now, SECOND};
use conductor_shared::codec::Listed;
use conductor_shared::command::Operation;
use conductor_shared::control::ControlState;
use conductor_shared::fact::{
    Abandoned, ChangeClass, Changed, CommandDenied, Effective, IncidentOpened, Proposed,
};
use conductor_shared::fail_closed::{self, Class, Outage, OutageRule};
use conductor_shared::http::{CommandOutcome, CommandStatus, ReceiptRef};
use conductor_shared::ids::{CommandId, GrantId, Ident, NodeId, PersonId, TenantUid};
use conductor_shared::policy::Freeze;
use conductor_shared::profile;
use conductor_shared::reason::{Reason, Reasons};
use conductor_shared::untrusted::UntrustedText;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use tokio::sync::oneshot;

/// A loosening that has not taken effect after this long never will.
pub const TAKE_EFFECT_US: Micros = 5 * SECOND;
/// Proposals that may wait at a time.
const MAX_PENDING: usize = 256;

/// A loosening that waits for its checkpoint.
pub struct Pending {
    /// Whose log.
    pub tenant: TenantUid,
    /// Index of the proposal.
    pub proposal: u64,
    /// When it is abandoned, on the monotonic clock.
    pub deadline: Micros,
    /// The command.
    pub signed: Box<Signed>,
    before: Vec<String>,
    after: Vec<String>,
    /// Who approved it, where it took more than one person.
    approvers: Approvers,
    /// Break-glass that its proposal cited.
    cited: Option<GrantId>,
    reply: oneshot::Sender<CommandReply>,
}

/// All that wait.
#[derive(Default)]
pub struct Proposals {
    /// For their checkpoint.
    pub pending: Vec<Pending>,
    /// Requests that came over the agent's own unix socket. In memory only: after a restart they are asked for again.
    pub(super) local: BTreeSet<CommandId>,
}

/// What the writer must know to judge a command.
pub struct Judge<'a> {
    /// This node.
    pub here: NodeId,
    /// The node's control state.
    pub node: &'a ControlState,
    /// What is out.
    pub outage: Outage,
    /// The agent's time.
    pub now_us: u64,
    /// Size of the node's log.
    pub node_size: u64,
    /// Policy.
    pub policy: &'a Policy,
    /// Whoever asks has tightened so many tenants of late that one more takes a second person.
    pub over_limit: bool,
    /// How often whoever asks has opened break-glass alone today.
    pub alone_today: u64,
}

/// The reason why an outage forbids a change, or a clock that nobody believes, if one does. The law's class of an
/// enrolment is irreversible.
pub(super) fn outage_denies(op: &Operation, class: ChangeClass, judge: &Judge<'_>) -> Option<Reason> {
    if class == ChangeClass::Loosen && judge.node.clock_doubted() {
        return Some(Reason::ClockUntrusted);
    }
    let class = match (class, op) {
        (ChangeClass::Tighten, _) => Class::Tighten,
        (ChangeClass::Loosen, op) if irreversible(op) => Class::Irreversible,
        (ChangeClass::Loosen, _) => Class::Loosen,
    };
    match fail_closed::rule(class, judge.outage) {
        OutageRule::Deny(r) => Some(r),
        _ => None,
    }
}

/// Is it, in the law's words, something that cannot be taken back?
pub fn irreversible(op: &Operation) -> bool {
    matches!(op, Operation::OperatorEnrol { .. })
}

/// The way out of a signer that is lost, of a clock that was stepped, and of a policy that is gone or that denies its own
/// replacement: SPEC, invariant 3. Decided here and by no policy.
pub(super) fn recovers(live: &Live, st: &Stage, judge: &Judge<'_>, op: &Operation) -> bool {
    match op {
        Operation::TimeConfirm { .. } | Operation::SignerReplace { .. } => true,
        Operation::PolicyLoad { .. } => matches!(
            policy_denies(live, st, judge, op),
            Some(Reason::PolicyDenied | Reason::PolicyUnavailable)
        ),
        _ => false,
    }
}

/// The incident that recovering opens: its cause, and what happened.
fn recovered(op: &Operation, node: &ControlState) -> (&'static str, String) {
    let by = "by two admins on the node itself";
    match op {
        Operation::TimeConfirm { .. } => ("time-confirmed", format!("the time was confirmed {by}")),
        Operation::SignerReplace { public_key } => {
            let id = |k: &str| key_id(k).unwrap_or_default();
            let old = node.signer_key.as_deref().map_or_else(String::new, id);
            let new = id(public_key);
            (
                "signer-replaced",
                format!(
                    "signer {old} was replaced by {new} {by}: nothing that {old} signs counts from here on"
                ),
            )
        }
        _ => ("policy-recovered", format!("{} {by} while policy was out", op.name())),
    }
}

/// All who asked and approved are admins.
fn admins(signed: &Signed, approved: Option<&Approvers>, node: &ControlState) -> bool {
    let admin = |key: &str| node.operator(key).is_some_and(|k| k.has_role("admin", TenantUid::NODE));
    admin(&signed.key_id) && approved.is_none_or(|a| a.given.iter().all(|(_, key)| admin(key)))
}

fn incident(live: &mut Live, st: &mut Stage, cause: &str, detail: &str) -> Result<(), KeyError> {
    let Ok(cause) = Ident::new(cause) else { return Ok(()) };
    let incident = crate::platform::random::bytes(&*st.random);
    let fact = IncidentOpened { incident, cause, detail: UntrustedText::new(detail) };
    live.control_fact(st, fact).map(|_| ())
}

/// What policy is told about freezes and a loosening.
pub fn policy_freeze(op: &Operation, log: &ControlState, node: &ControlState) -> Freeze {
    match freeze::passage(op, ChangeClass::Loosen, log, node) {
        Passage::Free => Freeze { active: false, break_glass: false },
        Passage::Under(_) => Freeze { active: true, break_glass: true },
        Passage::Frozen => Freeze { active: true, break_glass: false },
    }
}

/// Policy's word on a step that a plan takes by itself. What it has not said yet it is asked, for the next time.
pub fn policy_lets(policy: &Policy, live: &Live, node: &ControlState, now: Now, op: &Operation) -> bool {
    let names = (live.shared.name.as_str(), profile::name_of(&live.control));
    let input = about_command(op.name(), irreversible(op), names, policy_freeze(op, &live.control, node));
    match policy.lookup(live.p.id.tenant, &input, now, None) {
        Lookup::Allow | Lookup::Aging => true,
        Lookup::Unknown => {
            policy.ask_ahead(Query::of(live.p.id.tenant, &input));
            false
        }
        Lookup::Deny | Lookup::Down | Lookup::LastKnown => false,
    }
}

/// Policy's word on a loosening, asked for beforehand by whoever took the command in.
fn policy_denies(live: &Live, st: &Stage, judge: &Judge<'_>, op: &Operation) -> Option<Reason> {
    let names = (live.shared.name.as_str(), profile::name_of(&live.control));
    let freeze = policy_freeze(op, &live.control, judge.node);
    let input = about_command(op.name(), irreversible(op), names, freeze);
    match judge.policy.lookup(live.p.id.tenant, &input, st.now, None) {
        Lookup::Allow | Lookup::Aging => None,
        Lookup::Deny => Some(Reason::PolicyDenied),
        Lookup::Unknown => Some(Reason::PolicyContention),
        Lookup::Down | Lookup::LastKnown => Some(Reason::PolicyUnavailable),
    }
}

/// An answer and where it goes, once what it rests on is durable.
pub type Outgoing = (oneshot::Sender<CommandReply>, CommandReply);

impl Proposals {
    /// Judges a command: it takes effect, is proposed, or is denied, each with a receipt.
    pub fn judge(
        &mut self,
        live: &mut Live,
        st: &mut Stage,
        judge: &Judge<'_>,
        signed: Box<Signed>,
        reply: oneshot::Sender<CommandReply>,
    ) -> Result<Option<Outgoing>, KeyError> {
        let reasons =
            objections(&signed, judge.node, (live.p.id.tenant, &live.control), judge.here, judge.now_us);
        let id = (signed.command.command_id, signed.person, Sha256::digest(&signed.text).into());
        match self.carry_out(live, st, judge, signed, reasons, None, reply)? {
            Carried::Waits => Ok(None),
            Carried::Done(reply, outcome) => Ok(Some((reply, Ok(*outcome)))),
            Carried::Objected(reply, reasons) => {
                let denial = deny(live, st, id, reasons)?;
                Ok(Some((reply, Err(denial))))
            }
        }
    }

    /// From a command that was verified to its receipt: at once, proposed, or put on record for other persons, who have
    /// all `approved` when they are given.
    #[allow(clippy::too_many_arguments)] // the command, what stands against it, who approved, and where the answer goes
    #[allow(clippy::too_many_lines)] // one way, in order: what objects, who is asked, what is put on record
    pub(super) fn carry_out(
        &mut self,
        live: &mut Live,
        st: &mut Stage,
        judge: &Judge<'_>,
        signed: Box<Signed>,
        mut reasons: Reasons,
        approved: Option<Approvers>,
        reply: oneshot::Sender<CommandReply>,
    ) -> Result<Carried, KeyError> {
        let c = &signed.command;
        let after_state = live.control.after(&c.operation);
        let class = change_class::of_change(&live.control, &after_state);
        let needed = match class {
            ChangeClass::Loosen => freeze::approvals(&c.operation, &live.control, judge),
            // To look after an incident or a sink switches nothing off.
            ChangeClass::Tighten => {
                let harmless =
                    c.operation.of_any_log() || matches!(c.operation, Operation::SinkReplay { .. });
                u64::from(judge.over_limit && !harmless)
            }
        };
        let recovers = class == ChangeClass::Loosen && recovers(live, st, judge, &c.operation);
        if c.operation.of_node()
            && after_state.persons_with("admin").is_empty()
            && !live.control.persons_with("admin").is_empty()
        {
            reasons.add(Reason::LastAdmin);
        }
        let passage = freeze::passage(&c.operation, class, &live.control, judge.node);
        // A freeze holds back what loosens; recovering is decided by its own rule.
        if passage == Passage::Frozen && !recovers {
            reasons.add(Reason::Frozen);
        }
        if class == ChangeClass::Loosen {
            match c.base {
                // Without a base it says that it only tightens.
                None => reasons.add(Reason::WouldLoosen),
                Some(b) if b != live.control.object_digest(&c.operation) => reasons.add(Reason::BaseStale),
                Some(_) => {}
            }
            if let Some(r) = outage_denies(&c.operation, class, judge).filter(|_| !recovers) {
                reasons.add(r);
            }
            if self.pending.len() >= MAX_PENDING {
                reasons.add(Reason::QueueFull);
            }
        }
        if let Operation::PolicyLoad { statement, signature } = &c.operation
            && let Some(r) = judge.policy.against(statement, signature, &live.control, judge.now_us)
        {
            reasons.add(r);
        }
        if approved.is_none() && needed > 0 && live.control.requests.len() >= MAX_REQUESTS {
            reasons.add(Reason::QueueFull);
        }
        if approved.as_ref().is_some_and(|a| (a.given.len() as u64) < needed) {
            reasons.add(Reason::RoleMissing);
        }
        if !reasons.is_empty() {
            return Ok(Carried::Objected(reply, reasons));
        }
        let (before, after) = (live.control.object(&c.operation), after_state.object(&c.operation));
        if recovers && !(signed.local && admins(&signed, approved.as_ref(), judge.node)) {
            return Ok(Carried::Objected(reply, Reason::RecoverLocal.into()));
        }
        // A request has no effect: policy is asked when it would have one.
        if class == ChangeClass::Loosen
            && !recovers
            && (needed == 0 || approved.is_some())
            && let Some(r) = policy_denies(live, st, judge, &c.operation)
        {
            return Ok(Carried::Objected(reply, r.into()));
        }
        if needed > 0 && approved.is_none() {
            if signed.local && self.local.len() < MAX_REQUESTS {
                self.local.insert(c.command_id);
            }
            let outcome = request(live, st, &signed, (class, needed, judge.node_size), (before, after))?;
            return Ok(Carried::Done(reply, Box::new(outcome)));
        }
        if recovers {
            let (cause, text) = recovered(&c.operation, judge.node);
            incident(live, st, cause, &text)?;
        }
        // Recovering waits for no checkpoint: the signer may be out as well.
        if class == ChangeClass::Tighten || recovers {
            let outcome = at_once(live, st, &signed, class, (before, after))?;
            return Ok(Carried::Done(reply, Box::new(outcome)));
        }
        let cited = match passage {
            Passage::Under(grant) => Some(grant),
            _ => None,
        };
        if let Some(grant) = cited {
            freeze::cite(live, st, grant, c.command_id)?;
        }
        let fact = Proposed {
            change: Listed(c.operation.to_list()),
            before: Listed(before.clone()),
            after: Listed(after.clone()),
            class,
            person: signed.person,
            why: c.reason.clone(),
            command_id: c.command_id,
            expires_at_us: c.expires_at_us,
            text: signed.text.clone(),
            signature: signed.signature.clone(),
        };
        let a = live.control_fact(st, conductor_shared::fact::Fact::from(fact))?;
        self.pending.push(Pending {
            tenant: live.p.id.tenant,
            proposal: a.index,
            deadline: st.now.mono_us + TAKE_EFFECT_US,
            signed,
            before,
            after,
            approvers: approved.unwrap_or_default(),
            cited,
            reply,
        });
        Ok(Carried::Waits)
    }

    /// True when a proposal of this log waits.
    pub fn waits(&self, tenant: TenantUid) -> bool {
        self.pending.iter().any(|p| p.tenant == tenant)
    }

    /// Takes out the proposals of a log that a checkpoint of this size covers.
    pub fn covered(&mut self, tenant: TenantUid, size: u64) -> Vec<Pending> {
        self.pending.extract_if(.., |p| p.tenant == tenant && p.proposal < size).collect()
    }

    /// Takes out those whose time is over.
    pub fn overdue(&mut self, mono_us: Micros) -> Vec<Pending> {
        self.pending.extract_if(.., |p| p.deadline <= mono_us).collect()
    }
}

/// Puts a change on record that takes effect with its receipt.
fn at_once(
    live: &mut Live,
    st: &mut Stage,
    signed: &Signed,
    class: ChangeClass,
    (before, after): (Vec<String>, Vec<String>),
) -> Result<CommandOutcome, KeyError> {
    let c = &signed.command;
    let fact = Changed {
        change: Listed(c.operation.to_list()),
        before: Listed(before.clone()),
        after: Listed(after.clone()),
        class,
        person: signed.person,
        why: c.reason.clone(),
        command_id: c.command_id,
        expires_at_us: c.expires_at_us,
        text: signed.text.clone(),
        signature: signed.signature.clone(),
    };
    let a = live.control_fact(st, conductor_shared::fact::Fact::from(fact))?;
    Ok(CommandOutcome {
        command_id: c.command_id,
        status: CommandStatus::Effective,
        class,
        receipt: ReceiptRef { origin: live.p.origin, index: a.index },
        proposal: None,
        reasons: vec![],
        before,
        after,
    })
}

impl Pending {
    /// Its checkpoint is there: everything is checked again, and it takes effect or never will.
    pub fn take_effect(
        self,
        live: &mut Live,
        st: &mut Stage,
        judge: &Judge<'_>,
        (size, root): (u64, [u8; 32]),
    ) -> Result<Outgoing, KeyError> {
        let c = &self.signed.command;
        let mut again = live.control.as_ref().clone();
        // Its own proposal remembered the command; that is no replay.
        again.commands.remove(&conductor_shared::control::command_key(self.signed.person, c.command_id));
        let mut reasons =
            objections(&self.signed, judge.node, (self.tenant, &again), judge.here, judge.now_us);
        if c.base != Some(live.control.object_digest(&c.operation)) {
            reasons.add(Reason::BaseStale);
        }
        if self.deadline <= st.now.mono_us {
            reasons.add(Reason::CheckpointTimeout);
        }
        if let Operation::PolicyLoad { statement, signature } = &c.operation
            && let Some(r) = judge.policy.against(statement, signature, &live.control, judge.now_us)
        {
            reasons.add(r);
        }
        if self.approvers.needed < freeze::approvals(&c.operation, &live.control, judge) {
            reasons.add(Reason::RoleMissing);
        }
        // A freeze may have begun since, or break-glass ended.
        let passage = freeze::passage(&c.operation, ChangeClass::Loosen, &live.control, judge.node);
        if passage == Passage::Frozen {
            reasons.add(Reason::Frozen);
        }
        for r in self.approvers.objections(self.signed.person, self.tenant, judge.node).iter() {
            reasons.add(r);
        }
        // Asked again, of what nothing else stands against: the bundle may have changed while the proposal waited.
        if reasons.is_empty()
            && let Some(r) = outage_denies(&c.operation, ChangeClass::Loosen, judge)
                .filter(|r| *r != Reason::SignerUnavailable)
                .or_else(|| policy_denies(live, st, judge, &c.operation))
        {
            reasons.add(r);
        }
        if !reasons.is_empty() {
            return self.abandon(live, st, reasons);
        }
        match passage {
            Passage::Under(grant) if self.cited != Some(grant) => {
                freeze::cite(live, st, grant, c.command_id)?;
            }
            _ => {}
        }
        let fact = Effective {
            command_id: c.command_id,
            proposal: self.proposal,
            checkpoint_size: size,
            checkpoint_root: root,
        };
        let a = live.control_fact(st, conductor_shared::fact::Fact::from(fact))?;
        if matches!(c.operation, Operation::BreakGlassOpen { .. }) {
            freeze::open_incident(live, st, self.signed.person)?;
        }
        Ok(self.outcome(live, CommandStatus::Effective, a.index, Reasons::default()))
    }

    /// The store failed: whether the proposal is there is not known; it will be abandoned when the store is back.
    pub fn lost(self) {
        let _ = self.reply.send(Err(Denial::bare(Reason::StoreUnavailable)));
    }

    /// It never takes effect.
    pub fn abandon(self, live: &mut Live, st: &mut Stage, reasons: Reasons) -> Result<Outgoing, KeyError> {
        let a = abandon(live, st, self.signed.command.command_id, self.proposal, reasons)?;
        Ok(self.outcome(live, CommandStatus::Abandoned, a, reasons))
    }

    fn outcome(self, live: &Live, status: CommandStatus, index: u64, reasons: Reasons) -> Outgoing {
        let origin = live.p.origin;
        let outcome = CommandOutcome {
            command_id: self.signed.command.command_id,
            status,
            class: ChangeClass::Loosen,
            receipt: ReceiptRef { origin, index },
            proposal: Some(ReceiptRef { origin, index: self.proposal }),
            reasons: reasons.iter().collect(),
            before: self.before,
            after: self.after,
        };
        (self.reply, Ok(outcome))
    }
}

/// Stages the end of a proposal without effect.
pub fn abandon(
    live: &mut Live,
    st: &mut Stage,
    command_id: conductor_shared::ids::CommandId,
    proposal: u64,
    reasons: Reasons,
) -> Result<u64, KeyError> {
    let fact = Abandoned { command_id, proposal, why: reasons.codes().join(" ") };
    Ok(live.control_fact(st, conductor_shared::fact::Fact::from(fact))?.index)
}

/// Stages the denial of a command or an approval: which command, who signed, and the digest of what they signed.
pub(super) fn deny(
    live: &mut Live,
    st: &mut Stage,
    (command_id, person, text_digest): (CommandId, PersonId, [u8; 32]),
    reasons: Reasons,
) -> Result<Denial, KeyError> {
    let fact =
        CommandDenied { command_id, person: Some(person), reasons: Listed(reasons.codes()), text_digest };
    let a = live.control_fact(st, conductor_shared::fact::Fact::from(fact))?;
    live.denied += 1;
    let receipt = Some(ReceiptRef { origin: live.p.origin, index: a.index });
    Ok(Denial { reasons, receipt, folded: false, held: false, retry_after_us: None })
}
