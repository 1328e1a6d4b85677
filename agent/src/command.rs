//! Privileged changes: verified, classified, proposed, taking effect.
//!
//! The signature is verified before anything is parsed ([`verify`], off the writer). The writer then decides on the
//! staged state: a change that makes nothing looser takes effect at once, in all outages but the store's; one that
//! loosens is proposed, and takes effect only when a checkpoint that covers the proposal is signed, after everything
//! was checked again. Five seconds later it is abandoned.

mod approval;
mod change;
mod freeze;

pub use approval::{MAX_REQUESTS, close};
pub use change::{
    Judge, Outgoing, Pending, Proposals, TAKE_EFFECT_US, abandon, irreversible, policy_freeze, policy_lets,
};

use crate::writer::ask::{Signed, SignedApproval};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::checkpoint::{key_id, verify_minisign};
use conductor_shared::command::{Audience, Command, CommandError, MAX_LIFE_US, MAX_TEXT, Operation};
use conductor_shared::control::{CLOCK, ControlState, command_key};
use conductor_shared::cost::{MAX_CARDS, RateCard};
use conductor_shared::http::SignedText;
use conductor_shared::ids::{NodeId, PersonId, TenantUid, hex};
use conductor_shared::operator::{Approval, OperatorKey, key_statement};
use conductor_shared::reason::{Reason, Reasons};
use conductor_shared::time_range::{from_rfc3339, utc_month};

/// Clocks of console and agent may differ by this much.
pub const SKEW_US: u64 = 60 * 1_000_000;

/// Why a signed text is not a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Too long to look at.
    #[error("a command has at most {MAX_TEXT} bytes")]
    Long,
    /// Not signed by an enrolled key.
    #[error("the text is not signed by an enrolled operator's key")]
    Signature,
    /// Signed, but not a command.
    #[error("the text is signed, but is not a command: {0}")]
    Text(#[from] CommandError),
    /// Signed, but not an approval.
    #[error("the text is signed, but is not an approval (expected conductor/approval/v1)")]
    Approval,
}

/// Verifies the exact bytes under the enrolled key they claim, then reads them.
/// `local`: it came over the agent's own unix socket.
pub fn verify(signed: &SignedText, node: &ControlState, local: bool) -> Result<Signed, VerifyError> {
    let (person, key_id) = verify_key(signed, node)?;
    Ok(Signed {
        command: Command::parse(signed.text.as_bytes())?,
        text: signed.text.clone().into_bytes(),
        signature: signed.signature.clone(),
        person,
        key_id,
        local,
    })
}

/// The same for an approval.
pub fn verify_approval(
    signed: &SignedText,
    node: &ControlState,
    local: bool,
) -> Result<SignedApproval, VerifyError> {
    let (person, key_id) = verify_key(signed, node)?;
    Ok(SignedApproval {
        approval: Approval::parse(signed.text.as_bytes()).ok_or(VerifyError::Approval)?,
        text: signed.text.clone().into_bytes(),
        signature: signed.signature.clone(),
        person,
        key_id,
        local,
    })
}

fn verify_key(signed: &SignedText, node: &ControlState) -> Result<(PersonId, String), VerifyError> {
    if signed.text.len() > MAX_TEXT {
        return Err(VerifyError::Long);
    }
    let id = key_id(&signed.public_key).ok_or(VerifyError::Signature)?;
    // The key that comes with the text only tells which enrolled one to try.
    let key = node.operator(&id).ok_or(VerifyError::Signature)?;
    verify_minisign(&key.public_key, signed.text.as_bytes(), &signed.signature)
        .map_err(|_| VerifyError::Signature)?;
    Ok((key.person, id))
}

/// The role an operation asks for.
pub fn role(op: &Operation) -> &'static str {
    match op {
        // The one that can do all of it.
        Operation::ConfigRollback { changes, .. } => {
            let roles = || changes.iter().map(role);
            if roles().all(|r| r == "operator") { "operator" } else { "admin" }
        }
        Operation::RampSet { .. }
        | Operation::RampCap { .. }
        | Operation::RampClear { .. }
        | Operation::KillSet { .. }
        | Operation::KillClear { .. }
        | Operation::SloSet { .. }
        | Operation::PlanSet { .. }
        | Operation::PlanStop { .. }
        | Operation::RampOverride { .. }
        | Operation::IncidentAck { .. }
        | Operation::IncidentClose { .. }
        | Operation::SinkReplay { .. }
        | Operation::QuotaCap { .. }
        | Operation::TokenRevoke { .. }
        | Operation::PeerDeny { .. }
        | Operation::FreezeSet { .. }
        | Operation::FreezeClear { .. }
        | Operation::BreakGlassClose { .. } => "operator",
        Operation::BreakGlassOpen { .. } => "break-glass",
        Operation::QuotaSet { .. }
        | Operation::WorkflowRegister { .. }
        | Operation::WorkflowRetire { .. }
        | Operation::WorkflowPin { .. }
        | Operation::WorkflowUnpin { .. }
        | Operation::TokenIssue { .. }
        | Operation::PeerAllow { .. }
        | Operation::OperatorEnrol { .. }
        | Operation::OperatorRoles { .. }
        | Operation::OperatorSuspend { .. }
        | Operation::OperatorResume { .. }
        | Operation::OperatorRevoke { .. }
        | Operation::PolicyTrust { .. }
        | Operation::PolicyLoad { .. }
        | Operation::TimeConfirm { .. }
        | Operation::SignerReplace { .. }
        | Operation::TenantCreate { .. }
        | Operation::ProfileCreate { .. }
        | Operation::ProfileSet { .. }
        | Operation::ProfileWindow { .. }
        | Operation::ProfileUnwindow { .. }
        | Operation::ProfileAssign { .. }
        | Operation::UsageCorrect { .. }
        | Operation::RateTrust { .. }
        | Operation::RateLoad { .. }
        | Operation::CostReconcile { .. } => "admin",
    }
}

/// Whoever may open break-glass may close it, an operator or not.
fn closes_what_it_may_open(op: &Operation, key: &OperatorKey, tenant: TenantUid) -> bool {
    matches!(op, Operation::BreakGlassClose { .. }) && key.has_role("break-glass", tenant)
}

fn shuts_out_self(s: &Signed, node: &ControlState) -> bool {
    match &s.command.operation {
        Operation::OperatorSuspend { person } => *person == s.person,
        Operation::OperatorRevoke { key } => node.operators.get(key).is_some_and(|k| k.person == s.person),
        _ => false,
    }
}

/// What stands against a rate card: whose it is, whether it can be read, its version and its unit.
fn against_card(op: &Operation, node: &ControlState) -> Option<Reason> {
    let (text, signature) = op.rate_card()?;
    let Some(Ok(card)) = node.billing_key.as_deref().map(|key| RateCard::verify(&text, &signature, key))
    else {
        return Some(Reason::RateCardInvalid);
    };
    let last = node.rate_cards.last()?;
    if card.version <= last.version {
        return Some(Reason::RateCardOlder);
    }
    let other_unit = (&card.currency, card.decimals) != (&last.currency, last.decimals);
    (other_unit || node.rate_cards.len() >= MAX_CARDS).then_some(Reason::RateCardInvalid)
}

/// What stands against a command, apart from its class: the signer's key and role, audience, time, replay, object.
/// `node` is the node's control state, `log` that of the partition it changes.
/// `tenant` is whose log that is: a command about a tenant that is not here is denied in the node's.
#[allow(clippy::too_many_lines)] // one table: each operation and what may stand against it
pub fn objections(
    s: &Signed,
    node: &ControlState,
    (tenant, log): (TenantUid, &ControlState),
    here: NodeId,
    now_us: u64,
) -> Reasons {
    let c = &s.command;
    let mut reasons = Reasons::default();
    match node.operator(&s.key_id).filter(|k| k.person == s.person) {
        None => reasons.add(Reason::SignatureInvalid),
        // Whoever fears for their own key shuts it out without asking anybody.
        Some(_) if shuts_out_self(s, node) => {}
        Some(k) if closes_what_it_may_open(&c.operation, k, c.tenant) => {}
        Some(k) if !k.has_role(role(&c.operation), c.tenant) => reasons.add(Reason::RoleMissing),
        Some(_) => {}
    }
    if !matches!(&c.audience, Audience::Nodes(ids) if ids.contains(&here)) {
        reasons.add(Reason::CommandAudience);
    }
    let early = c.issued_at_us > now_us.saturating_add(SKEW_US);
    let life = c.expires_at_us.saturating_sub(c.issued_at_us);
    if early || c.expires_at_us <= now_us || c.expires_at_us <= c.issued_at_us || life > MAX_LIFE_US {
        reasons.add(Reason::CommandExpired);
    }
    if log.commands.contains_key(&command_key(s.person, c.command_id)) {
        reasons.add(Reason::CommandReplayed);
    }
    match &c.operation {
        Operation::TokenRevoke { token } if !log.tokens.contains_key(&token.to_string()) => {
            reasons.add(Reason::ObjectUnknown);
        }
        Operation::TokenIssue { token, .. } if log.tokens.contains_key(&token.to_string()) => {
            reasons.add(Reason::ObjectExists);
        }
        Operation::OperatorEnrol { person, name, public_key, proof, .. } => {
            let statement = key_statement(*person, name, public_key);
            let file =
                STANDARD.decode(proof).ok().and_then(|b| String::from_utf8(b).ok()).unwrap_or_default();
            if verify_minisign(public_key, statement.as_bytes(), &file).is_err() {
                reasons.add(Reason::ProofInvalid);
            }
            let id = key_id(public_key).unwrap_or_default();
            let signers = log.signer_key.as_deref().and_then(key_id);
            // One purpose a key, one person a key, one name a person.
            let other_name = log.keys_of(*person).any(|k| k.name != *name);
            let name_taken = log.operators.values().any(|k| k.name == *name && k.person != *person);
            let policys = log.policy_key.as_deref().and_then(key_id);
            let billings = log.billing_key.as_deref().and_then(key_id);
            let other_use = [signers, policys, billings].contains(&Some(id.clone()));
            if log.operators.contains_key(&id) || other_use || other_name || name_taken {
                reasons.add(Reason::ObjectExists);
            }
        }
        Operation::OperatorRoles { person, .. }
        | Operation::OperatorSuspend { person }
        | Operation::OperatorResume { person }
            if log.keys_of(*person).next().is_none() =>
        {
            reasons.add(Reason::ObjectUnknown);
        }
        Operation::RampOverride { selector } if !log.bad.contains_key(selector) => {
            reasons.add(Reason::ObjectUnknown);
        }
        // What is confirmed is the time at which it was signed, and no other.
        Operation::TimeConfirm { now_us, .. } if now_us.abs_diff(c.issued_at_us) > SKEW_US => {
            reasons.add(Reason::CommandExpired);
        }
        Operation::TimeConfirm { incident, .. }
            if log.incidents.get(&hex(incident)).is_none_or(|i| i.cause.as_str() != CLOCK) =>
        {
            reasons.add(Reason::ObjectUnknown);
        }
        // One purpose a key, and a key that was replaced stays replaced.
        Operation::SignerReplace { public_key } => {
            let id = key_id(public_key);
            let policys = log.policy_key.as_deref().and_then(key_id);
            let signers = log.signer_key.as_deref().and_then(key_id);
            let billings = log.billing_key.as_deref().and_then(key_id);
            let used = [policys, signers, billings].contains(&id);
            if used || id.as_ref().is_none_or(|id| log.operators.contains_key(id)) {
                reasons.add(Reason::ObjectExists);
            }
        }
        Operation::IncidentAck { incident, .. } | Operation::IncidentClose { incident, .. }
            if !log.incidents.contains_key(&hex(incident)) =>
        {
            reasons.add(Reason::ObjectUnknown);
        }
        Operation::WorkflowPin { workflow, .. } if !log.workflows.contains(workflow) => {
            reasons.add(Reason::ObjectUnknown);
        }
        // One purpose a key: nobody's own, nor the signer's.
        Operation::PolicyTrust { public_key } => {
            let id = key_id(public_key).unwrap_or_default();
            let others = [log.signer_key.as_deref(), log.billing_key.as_deref()];
            if log.operators.contains_key(&id)
                || others.into_iter().flatten().filter_map(key_id).any(|o| o == id)
            {
                reasons.add(Reason::ObjectExists);
            }
        }
        Operation::UsageCorrect { adjustments } => {
            let known = |w| log.workflows.contains(w);
            if !adjustments.iter().all(|a| known(&a.labels.workflow_type)) {
                reasons.add(Reason::WorkflowUnknown);
            }
            let oldest = now_us.saturating_sub(conductor_shared::time_range::MAX_RANGE_US);
            if !adjustments.iter().all(|a| a.at_us <= now_us && a.at_us >= oldest) {
                reasons.add(Reason::PeriodInvalid);
            }
        }
        // One purpose a key: nobody's own, nor the signer's, nor that of policy.
        Operation::RateTrust { public_key } => {
            let id = key_id(public_key).unwrap_or_default();
            let others = [log.signer_key.as_deref(), log.policy_key.as_deref()];
            if log.operators.contains_key(&id)
                || others.into_iter().flatten().filter_map(key_id).any(|o| o == id)
            {
                reasons.add(Reason::ObjectExists);
            }
        }
        Operation::RateLoad { .. } => {
            if let Some(r) = against_card(&c.operation, log) {
                reasons.add(r);
            }
        }
        Operation::CostReconcile { month, .. } => {
            let over = from_rfc3339(&format!("{month}-01T00:00:00Z")).and_then(utc_month);
            if over.is_none_or(|(_, p)| p.to_us > now_us) {
                reasons.add(Reason::PeriodInvalid);
            }
        }
        Operation::OperatorRevoke { key } if !log.operators.contains_key(key) => {
            reasons.add(Reason::ObjectUnknown);
        }
        Operation::TenantCreate { tenant_uid, tenant_id } => {
            let taken = log.tenants.contains_key(&tenant_uid.to_string())
                || log.tenant_named(tenant_id).is_some()
                || tenant_uid.is_node();
            if taken {
                reasons.add(Reason::ObjectExists);
            }
        }
        _ => {}
    }
    if log.raises_bad(&c.operation) {
        reasons.add(Reason::RevisionBad);
    }
    for r in freeze::objections(&c.operation, node, log).iter() {
        reasons.add(r);
    }
    let elsewhere = c.operation.of_node() != c.tenant.is_node() && !c.operation.of_any_log();
    if elsewhere || tenant != c.tenant {
        reasons.add(Reason::ObjectUnknown);
    }
    reasons
}
