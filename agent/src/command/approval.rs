//! What one person asked for and another approves. A request has no effect; when the last approval it takes is on
//! record, the command goes the same way as any other, and everything is checked again, the approvers too.

use super::change::{Judge, Outgoing, Proposals, deny};
use super::freeze::{self, Passage};
use super::objections;
use crate::ledger::{ReadError, read_receipt};
use crate::store::Store;
use crate::writer::ask::{CommandReply, Signed, SignedApproval};
use crate::writer::live::{Live, Stage};
use conductor_shared::checkpoint::signature_key_id;
use conductor_shared::codec::Listed;
use conductor_shared::command::{Command, MAX_LIFE_US};
use conductor_shared::control::{ControlState, Request, command_key};
use conductor_shared::fact::{Approved, ChangeClass, ControlFact, Fact, RequestClosed, Requested};
use conductor_shared::http::{CommandOutcome, CommandStatus, ReceiptRef};
use conductor_shared::ids::{CommandId, PersonId, TenantUid, hex};
use conductor_shared::operator::Answer;
use conductor_shared::reason::{Reason, Reasons};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

/// Requests that may wait in one log.
pub const MAX_REQUESTS: usize = 64;

/// Who approved, and how old their keys must be.
#[derive(Debug, Clone, Default)]
pub(super) struct Approvers {
    /// Person and key.
    pub(super) given: Vec<(PersonId, String)>,
    /// Size of the node's log when it was asked for.
    pub(super) node_size: u64,
    /// How many it takes.
    pub(super) needed: u64,
}

impl Approvers {
    /// What stands against them now: SPEC, invariant 4.
    pub(super) fn objections(&self, requester: PersonId, tenant: TenantUid, node: &ControlState) -> Reasons {
        let mut reasons = Reasons::default();
        let mut persons = std::collections::BTreeSet::new();
        for (person, key) in &self.given {
            if *person == requester {
                reasons.add(Reason::SelfApproval);
            }
            match node.operator(key).filter(|k| k.person == *person) {
                Some(k) if !k.has_role("approver", tenant) => reasons.add(Reason::RoleMissing),
                Some(k) if !k.older_than(self.node_size) => reasons.add(Reason::ApproverTooNew),
                Some(_) => drop(persons.insert(*person)),
                None => reasons.add(Reason::SignatureInvalid),
            }
        }
        if (persons.len() as u64) < self.needed && reasons.is_empty() {
            reasons.add(Reason::RoleMissing);
        }
        reasons
    }
}

/// Puts a change on record that waits for other persons.
pub(super) fn request(
    live: &mut Live,
    st: &mut Stage,
    signed: &Signed,
    (class, needed, node_size): (ChangeClass, u64, u64),
    (before, after): (Vec<String>, Vec<String>),
) -> Result<CommandOutcome, crate::keys::KeyError> {
    let c = &signed.command;
    let fact = Requested {
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
        needed,
        node_size,
    };
    let a = live.control_fact(st, fact)?;
    Ok(CommandOutcome {
        command_id: c.command_id,
        status: CommandStatus::Requested,
        class,
        receipt: ReceiptRef { origin: live.p.origin, index: a.index },
        proposal: None,
        reasons: vec![],
        before,
        after,
    })
}

/// Closes a request that will never take effect.
pub fn close(
    live: &mut Live,
    st: &mut Stage,
    command_id: CommandId,
    request: u64,
    why: Reasons,
    refusal: Option<&SignedApproval>,
) -> Result<u64, crate::keys::KeyError> {
    let fact = RequestClosed {
        command_id,
        request,
        person: refusal.map_or(PersonId([0; 16]), |r| r.person),
        why: why.codes().join(" "),
        text: refusal.map_or(vec![], |r| r.text.clone()),
        signature: refusal.map_or(String::new(), |r| r.signature.clone()),
    };
    Ok(live.control_fact(st, fact)?.index)
}

/// The command that waits, read back from its receipt.
fn command_of(
    store: &Store,
    live: &Live,
    request: &Request,
    local: bool,
) -> Result<Option<Signed>, ReadError> {
    let receipt = read_receipt(store, &live.p, request.index)?;
    let Some(Fact::Control(ControlFact::Requested(f))) = receipt.fact else { return Ok(None) };
    let command = Command::parse(&f.text).ok();
    Ok(command.zip(signature_key_id(&f.signature)).map(|(command, key_id)| Signed {
        command,
        text: f.text,
        signature: f.signature,
        person: f.person,
        key_id,
        local,
    }))
}

/// What stands against an approval itself.
fn against(a: &SignedApproval, r: &Request, tenant: TenantUid, judge: &Judge<'_>) -> Reasons {
    let (text, mut reasons) = (&a.approval, Reasons::default());
    let withdraws = text.verdict == Answer::Refuse && a.person == r.person;
    match judge.node.operator(&a.key_id).filter(|k| k.person == a.person) {
        None => reasons.add(Reason::SignatureInvalid),
        Some(k) if !withdraws && !k.has_role("approver", tenant) => reasons.add(Reason::RoleMissing),
        Some(k) if text.verdict == Answer::Approve && !k.older_than(r.node_size) => {
            reasons.add(Reason::ApproverTooNew);
        }
        Some(_) => {}
    }
    if text.verdict == Answer::Approve {
        if a.person == r.person {
            reasons.add(Reason::SelfApproval);
        }
        if r.approvals.contains_key(&a.person) {
            reasons.add(Reason::CommandReplayed);
        }
    }
    if text.node != judge.here || text.tenant != tenant {
        reasons.add(Reason::CommandAudience);
    }
    if hex(&text.command_digest) != r.digest {
        reasons.add(Reason::BaseStale);
    }
    let early = text.issued_at_us > judge.now_us.saturating_add(super::SKEW_US);
    let life = text.expires_at_us.saturating_sub(text.issued_at_us);
    let late = text.expires_at_us.min(r.expires_at_us) <= judge.now_us;
    if early || late || life == 0 || life > MAX_LIFE_US {
        reasons.add(Reason::CommandExpired);
    }
    reasons
}

impl Proposals {
    /// Judges an approval or a refusal. The answer comes at once, or when the command that it lets go ahead took effect.
    pub fn approve(
        &mut self,
        live: &mut Live,
        st: &mut Stage,
        store: &Store,
        judge: &Judge<'_>,
        a: &SignedApproval,
        reply: oneshot::Sender<CommandReply>,
    ) -> Result<Option<Outgoing>, ReadError> {
        let (id, tenant) = (a.approval.command_id, live.p.id.tenant);
        let denied = |live: &mut Live, st: &mut Stage, reasons: Reasons| {
            deny(live, st, (id, a.person, Sha256::digest(&a.text).into()), reasons)
        };
        let Some(r) = live.control.requests.get(&id.to_string()).cloned() else {
            let denial = denied(live, st, Reason::ObjectUnknown.into())?;
            return Ok(Some((reply, Err(denial))));
        };
        let reasons = against(a, &r, tenant, judge);
        if !reasons.is_empty() {
            let denial = denied(live, st, reasons)?;
            return Ok(Some((reply, Err(denial))));
        }
        let outcome = |live: &Live, status, index, reasons: Reasons| CommandOutcome {
            command_id: id,
            status,
            class: r.class,
            receipt: ReceiptRef { origin: live.p.origin, index },
            proposal: Some(ReceiptRef { origin: live.p.origin, index: r.index }),
            reasons: reasons.iter().collect(),
            before: vec![],
            after: vec![],
        };
        if a.approval.verdict == Answer::Refuse {
            let index = close(live, st, id, r.index, Reason::RequestRefused.into(), Some(a))?;
            return Ok(Some((reply, Ok(outcome(live, CommandStatus::Refused, index, Reasons::default())))));
        }
        // Asked for and approved in one batch: the request is not in the store yet. Whoever retries finds it there.
        let local = a.local && self.local.contains(&id);
        let Some(signed) = command_of(store, live, &r, local).ok().flatten() else {
            let denial = denied(live, st, Reason::ObjectUnknown.into())?;
            return Ok(Some((reply, Err(denial))));
        };
        // While the signer or policy is out nothing is put on record either: approve again when it is back.
        let class = conductor_shared::change_class::of_change(
            &live.control,
            &live.control.after(&signed.command.operation),
        );
        let op = &signed.command.operation;
        let recovers = super::change::recovers(live, st, judge, op);
        if let Some(r) = super::change::outage_denies(op, class, judge).filter(|_| !recovers) {
            let denial = denied(live, st, r.into())?;
            return Ok(Some((reply, Err(denial))));
        }
        // Likewise in a freeze: the request goes on waiting.
        let passage = freeze::passage(&signed.command.operation, class, &live.control, judge.node);
        if passage == Passage::Frozen && !recovers {
            let denial = denied(live, st, Reason::Frozen.into())?;
            return Ok(Some((reply, Err(denial))));
        }
        let fact = Approved {
            command_id: id,
            request: r.index,
            person: a.person,
            key_id: a.key_id.clone(),
            text: a.text.clone(),
            signature: a.signature.clone(),
        };
        let on_record = live.control_fact(st, fact)?.index;
        let mut given: Vec<(PersonId, String)> = r.approvals.iter().map(|(p, k)| (*p, k.clone())).collect();
        given.push((a.person, a.key_id.clone()));
        if (given.len() as u64) < r.needed {
            return Ok(Some((
                reply,
                Ok(outcome(live, CommandStatus::Requested, on_record, Reasons::default())),
            )));
        }
        let approvers = Approvers { given, node_size: r.node_size, needed: r.needed };
        // Its own request remembered the command; that is no replay.
        let mut again = live.control.as_ref().clone();
        again.commands.remove(&command_key(signed.person, id));
        let mut reasons = objections(&signed, judge.node, (tenant, &again), judge.here, judge.now_us);
        for reason in approvers.objections(signed.person, tenant, judge.node).iter() {
            reasons.add(reason);
        }
        match self.carry_out(live, st, judge, Box::new(signed), reasons, Some(approvers), reply)? {
            Carried::Waits => Ok(None),
            Carried::Done(reply, done) => Ok(Some((reply, Ok(*done)))),
            Carried::Objected(reply, reasons) => {
                let index = close(live, st, id, r.index, reasons, None)?;
                Ok(Some((reply, Ok(outcome(live, CommandStatus::Abandoned, index, reasons)))))
            }
        }
    }
}

/// How far a command came that nothing stood against at first.
pub(super) enum Carried {
    /// It waits for its checkpoint.
    Waits,
    /// It took effect, or waits for other persons.
    Done(oneshot::Sender<CommandReply>, Box<CommandOutcome>),
    /// Something stands against it; nothing was put on record.
    Objected(oneshot::Sender<CommandReply>, Reasons),
}
