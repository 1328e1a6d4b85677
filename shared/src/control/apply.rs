//! What each fact makes of the state; what each operation that takes effect makes of it stands in `effect`.

use super::{
    Acknowledged, At, CommandKey, ControlState, FoldError, Incident, MAX_OBJECTS, Pending, PlanState,
    Request, TenantEntry, TimeConfirmed,
};
use crate::basis_points::BasisPoints;
use crate::cause::{IncidentCause, RollbackCause};
use crate::command::{Operation, ops};
use crate::fact::{Approved, ControlFact, Fact};
use crate::ids::{CommandId, Digest, Ident, IncidentId, KeyId, PersonId};
use crate::operator::{GrantedRole, OperatorKey};
use crate::profile::DAY_US;
use crate::ramp::{HISTORY, Ramp, Selector};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// A command is remembered for so long after it expired.
const KEPT_US: u64 = 3_600_000_000;

impl ControlState {
    /// Folds one fact of this log. An error says that the log is not what its facts make of it, and from then on the state
    /// counts as not fully understood.
    pub fn apply(&mut self, at: At, fact: &ControlFact) -> Result<(), FoldError> {
        let fits = match fact {
            ControlFact::StateSnapshot(f) => self.is_of_this(f),
            _ => Ok(true),
        };
        self.newer |= !matches!(fits, Ok(true));
        self.change(at, fact);
        fits.map(drop)
    }

    #[allow(clippy::too_many_lines)] // one arm for each kind of fact
    fn change(&mut self, at: At, fact: &ControlFact) {
        self.last = Some(at.index);
        match fact {
            ControlFact::LogOpened(f) => self.name = Some(f.name.clone()),
            ControlFact::OperatorEnrolled(f) => {
                let Some(id) = crate::checkpoint::key_id(&f.public_key) else {
                    self.newer = true;
                    return;
                };
                let key = OperatorKey {
                    person: f.person,
                    name: f.name.clone(),
                    public_key: f.public_key.clone(),
                    roles: f.roles.0.iter().map(|r| GrantedRole::read(r)).collect(),
                    since: at.index,
                    roles_since: None,
                    suspended: false,
                    revoked: None,
                };
                self.operators.insert(id, key);
                self.revision += 1;
            }
            ControlFact::BootstrapClosed(_) => self.bootstrap_closed = true,
            ControlFact::SignerPinned(f) => self.signer_key = Some(f.public_key.clone()),
            ControlFact::TenantCreated(f) => {
                self.tenants.insert(f.tenant_uid, TenantEntry { name: f.tenant_id.clone(), epoch: f.epoch });
                self.revision += 1;
            }
            ControlFact::Changed(f) => {
                let key = CommandKey { person: f.person, command: f.command_id };
                self.note_command(key, f.expires_at_us, f.judged_at_us);
                self.requests.remove(&key);
                self.take_effect(at.index, &f.change.0);
                self.note_plans(&f.change.0, crate::checkpoint::signature_key_id(&f.signature));
                if let Some(Operation::IncidentAck(ops::IncidentAck { incident, .. })) =
                    Operation::from_list(&f.change.0)
                    && let Some(i) = self.incidents.get_mut(&IncidentId(incident))
                {
                    i.acknowledged =
                        Some(Acknowledged { person: f.person, at_us: at.time_us, receipt: at.index });
                }
                if let Some(Operation::TimeConfirm(ops::TimeConfirm { now_us, .. })) =
                    Operation::from_list(&f.change.0)
                {
                    self.time_confirmed = Some(TimeConfirmed { logged_us: at.time_us, said_us: now_us });
                }
            }
            ControlFact::Requested(f) => {
                let key = CommandKey { person: f.person, command: f.command_id };
                self.note_command(key, f.expires_at_us, f.judged_at_us);
                let r = Request {
                    index: at.index,
                    change: without_comment(&f.change.0),
                    class: f.class,
                    person: f.person,
                    digest: Digest(Sha256::digest(&f.text).into()),
                    node_size: f.node_size,
                    needed: f.needed,
                    expires_at_us: f.expires_at_us,
                    approvals: BTreeMap::new(),
                };
                self.requests.insert(key, r);
            }
            ControlFact::Approved(f) => match (f.key_id.parse(), self.request_of(f)) {
                (Ok(key), Some(r)) => drop(r.approvals.insert(f.person, key)),
                _ => self.newer = true,
            },
            ControlFact::RequestClosed(f) => {
                let key = CommandKey { person: f.author, command: f.command_id };
                let named = |r: &Request| (r.index, r.digest.0) == (f.request, f.digest);
                self.newer |= take_named(&mut self.requests, key, named).is_none();
            }
            ControlFact::Proposed(f) => {
                let key = CommandKey { person: f.person, command: f.command_id };
                self.note_command(key, f.expires_at_us, f.judged_at_us);
                let request = self.requests.remove(&key);
                let approved = request.map_or(vec![], |r| r.approvals.into_keys().collect());
                let digest = Digest(Sha256::digest(&f.text).into());
                let change = without_comment(&f.change.0);
                let signed_by = crate::checkpoint::signature_key_id(&f.signature);
                let p =
                    Pending { index: at.index, change, person: f.person, digest, approved, key: signed_by };
                self.pending.insert(key, p);
            }
            ControlFact::Effective(f) => {
                let found = self.take_proposal(f.author, f.command_id, (f.proposal, f.digest));
                if let Some(p) = found {
                    let before = self.break_glass.as_ref().map(|g| g.grant);
                    self.take_effect(at.index, &p.change);
                    self.note_plans(&p.change, p.key);
                    self.note_break_glass(at, before, &p);
                }
            }
            ControlFact::FreezeBegan(f) => {
                self.active_windows
                    .entry(f.profile.clone())
                    .or_default()
                    .insert(f.window.clone(), f.until_us);
            }
            ControlFact::FreezeEnded(f) => self.window_closed(&f.profile, &f.window),
            ControlFact::FreezeOver(f) => {
                self.freezes.remove(&f.freeze);
                self.revise(&ops::FreezeClear { freeze: f.freeze.clone() }.into());
            }
            ControlFact::BreakGlassUsed(f) => {
                if let Some(g) = self.break_glass.as_mut().filter(|g| g.grant == f.grant) {
                    g.used += 1;
                }
            }
            ControlFact::BreakGlassOver(f) => {
                self.break_glass.take_if(|g| g.grant == f.grant);
                self.revise(&ops::BreakGlassClose { grant: f.grant }.into());
            }
            ControlFact::Abandoned(f) => {
                self.take_proposal(f.author, f.command_id, (f.proposal, f.digest));
            }
            ControlFact::IncidentOpened(f) => {
                let alone = self.break_glass.as_ref().filter(|g| g.alone).and_then(|g| g.person);
                let i = Incident {
                    cause: f.cause.clone(),
                    index: at.index,
                    since_us: at.time_us,
                    began_us: None,
                    detected_us: None,
                    receipts: vec![],
                    acknowledged: None,
                    review_of: alone.filter(|_| f.cause == IncidentCause::BreakGlass),
                };
                self.incidents.insert(IncidentId(f.incident), i);
            }
            ControlFact::IncidentClosed(f) => {
                self.incidents.remove(&IncidentId(f.incident));
            }
            ControlFact::IncidentEvidence(f) => {
                if let Some(i) = self.incidents.get_mut(&IncidentId(f.incident)) {
                    i.began_us = Some(f.began_us);
                    i.detected_us = Some(f.detected_us);
                    i.receipts.clone_from(&f.receipts.0);
                }
            }
            ControlFact::RampAdvanced(f) => {
                match (f.selector.parse::<Selector>(), BasisPoints::try_from(f.hundredths)) {
                    (Ok(selector), Ok(hundredths)) => self.ramp_advanced(selector, hundredths),
                    _ => self.newer = true,
                }
            }
            ControlFact::RampRolledBack(f) => {
                match (
                    f.selector.parse::<Selector>(),
                    BasisPoints::try_from(f.from),
                    BasisPoints::try_from(f.to),
                ) {
                    (Ok(s), Ok(from), Ok(to)) => {
                        self.ramp_rolled_back(s, from, to, f.cause == RollbackCause::Platform);
                    }
                    _ => self.newer = true,
                }
            }
            ControlFact::AgentStarted(_) | ControlFact::StateSnapshot(_) => {}
        }
    }

    /// Folds one receipt of this log as it was read: traffic changes nothing, an unknown control kind marks the state. A
    /// snapshot that is erased or withheld is none: it said only what the state is.
    pub fn apply_receipt(&mut self, at: At, kind: u16, fact: Option<&Fact>) -> Result<(), FoldError> {
        match fact {
            Some(Fact::Control(f)) => return self.apply(at, f),
            None if crate::fact::is_control(kind) => {
                self.last = Some(at.index);
                self.newer |= kind != crate::fact::SNAPSHOT;
            }
            Some(Fact::Traffic(_)) | None => {}
        }
        Ok(())
    }

    /// What the state would be were this operation to take effect.
    #[must_use]
    pub fn after(&self, op: &Operation) -> Self {
        let mut s = self.clone();
        s.take_effect(self.last.map_or(0, |l| l + 1), &op.to_list());
        s
    }

    /// A command is forgotten once it has expired by the clock that judges whether one has, and a while later: that clock
    /// may be put back a little.
    fn note_command(&mut self, key: CommandKey, expires_at_us: u64, judged_at_us: u64) {
        self.commands.retain(|_, e| e.saturating_add(KEPT_US) > judged_at_us);
        self.commands.insert(key, expires_at_us);
    }

    fn request_of(&mut self, f: &Approved) -> Option<&mut Request> {
        let key = CommandKey { person: f.author, command: f.command_id };
        self.requests.get_mut(&key).filter(|r| (r.index, r.digest.0) == (f.request, f.digest))
    }

    /// Takes out the proposal that a fact names. Where none is as it says, the log is not what this program writes.
    fn take_proposal(
        &mut self,
        author: PersonId,
        command: CommandId,
        named: (u64, [u8; 32]),
    ) -> Option<Pending> {
        let key = CommandKey { person: author, command };
        let found = take_named(&mut self.pending, key, |p| (p.index, p.digest.0) == named);
        self.newer |= found.is_none();
        found
    }

    /// The object of an operation changes with this revision.
    pub(super) fn revise(&mut self, op: &Operation) {
        self.objects.insert(op.object(), self.revision);
        if self.objects.len() > MAX_OBJECTS
            && let Some((object, revision)) = self.objects.iter().min_by_key(|(_, r)| **r)
        {
            self.objects_before = self.objects_before.max(*revision);
            let object = object.clone();
            self.objects.remove(&object);
        }
    }

    /// The plans that a change set go on while the key that signed it may sign them.
    fn note_plans(&mut self, change: &[String], key: Option<KeyId>) {
        let Some(op) = Operation::from_list(change) else { return };
        for step in op.steps() {
            if let Operation::PlanSet(op) = step
                && let Some(plan) = self.plans.get_mut(&op.selector)
            {
                plan.key = key;
            }
        }
    }

    fn take_effect(&mut self, index: u64, change: &[String]) {
        let Some(op) = Operation::from_list(change) else {
            self.newer = true;
            return;
        };
        self.revision += 1;
        self.apply_operation(index, op);
    }

    pub(super) fn window_closed(&mut self, profile: &Ident, window: &Ident) {
        if let Some(open) = self.active_windows.get_mut(profile) {
            open.remove(window);
            if open.is_empty() {
                self.active_windows.remove(profile);
            }
        }
    }

    /// Who opened break-glass, when, and whether alone: what an operation by itself does not say.
    fn note_break_glass(&mut self, at: At, before: Option<crate::ids::GrantId>, p: &Pending) {
        let Some(g) = self.break_glass.as_mut().filter(|g| Some(g.grant) != before) else { return };
        (g.person, g.opened_us, g.alone) = (Some(p.person), at.time_us, p.approved.is_empty());
        if g.alone {
            self.opened_alone.retain(|_, times| {
                times.retain(|t| t / DAY_US == at.time_us / DAY_US);
                !times.is_empty()
            });
            self.opened_alone.entry(p.person).or_default().push(at.time_us);
        }
    }

    fn revise_rule(&mut self, selector: &Selector) {
        let selector = || selector.clone();
        self.revise(&ops::RampClear { selector: selector() }.into());
        self.revise(&ops::PlanStop { selector: selector() }.into());
    }

    fn ramp_advanced(&mut self, selector: Selector, hundredths: BasisPoints) {
        self.revision += 1;
        self.revise_rule(&selector);
        if let Some(p) = self.plans.get_mut(&selector) {
            p.at += 1;
            let last = p.plan().is_none_or(|plan| p.at + 1 >= plan.steps().len() as u64);
            if last {
                self.plans.remove(&selector);
            }
        }
        self.set_ramp(selector, hundredths);
    }

    /// A fault of the platform says nothing about the revision: its plan bakes again where it was healthy last. All
    /// others end the plan, and the value is remembered.
    fn ramp_rolled_back(&mut self, selector: Selector, from: BasisPoints, to: BasisPoints, platform: bool) {
        self.revision += 1;
        self.revise_rule(&selector);
        let step = |p: &PlanState| p.plan()?.steps().iter().position(|s| s.hundredths == to);
        match self.plans.get(&selector).and_then(step).filter(|_| platform) {
            Some(at) => self.plans.get_mut(&selector).into_iter().for_each(|p| p.at = at as u64),
            None => drop(self.plans.remove(&selector)),
        }
        if !platform {
            let bad = self.bad.entry(selector.clone()).or_insert(from);
            *bad = from.min(*bad);
        }
        self.set_ramp(selector, to);
    }

    pub(super) fn set_ramp(&mut self, selector: Selector, hundredths: BasisPoints) {
        let ramp = self.ramps.entry(selector).or_insert(Ramp { hundredths, revision: 0, history: vec![] });
        if ramp.revision > 0 {
            ramp.history.push(ramp.hundredths);
            if ramp.history.len() > HISTORY {
                ramp.history.remove(0);
            }
        }
        ramp.hundredths = hundredths;
        ramp.revision += 1;
    }
}

/// The argument of operations that is free text.
const COMMENT: &str = "comment";
/// What stands in its place in the state, which holds no free text: snapshots of it outlive their receipts.
const IN_ITS_RECEIPT: &str = "in its receipt";

/// A change as it is kept while it waits.
fn without_comment(change: &[String]) -> Vec<String> {
    let mut kept = change.to_vec();
    // Name of the operation, then names and values in turn.
    for pair in kept.get_mut(1..).unwrap_or_default().chunks_exact_mut(2) {
        if pair[0] == COMMENT {
            IN_ITS_RECEIPT.clone_into(&mut pair[1]);
        }
    }
    kept
}

/// Takes out what a fact names, if it is as the fact says.
fn take_named<T>(
    map: &mut BTreeMap<CommandKey, T>,
    key: CommandKey,
    named: impl FnOnce(&T) -> bool,
) -> Option<T> {
    map.get(&key).is_some_and(named).then(|| map.remove(&key)).flatten()
}
