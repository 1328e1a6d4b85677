//! What each fact, and each operation that takes effect, makes of the state.

use super::{
    Acknowledged, At, ControlState, Incident, PLATFORM, Pending, PlanState, Request, TenantEntry,
    TimeConfirmed, Token, command_key,
};
use crate::command::Operation;
use crate::cost::{Amounts, MAX_CARDS, RateCard, Reconciled};
use crate::fact::{ControlFact, Fact};
use crate::ids::{CommandId, Ident, PersonId, hex};
use crate::operator::OperatorKey;
use crate::policy::LoadedBundle;
use crate::profile::{BreakGlass, DAY_US, Freeze};
use crate::quota::Grant;
use crate::ramp::{HISTORY, Kill, Ramp, Selector};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

impl ControlState {
    /// Folds one fact of this log.
    #[allow(clippy::too_many_lines)] // one arm for each kind of fact
    pub fn apply(&mut self, at: At, fact: &ControlFact) {
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
                    roles: f.roles.0.iter().cloned().collect(),
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
                self.tenants.insert(
                    f.tenant_uid.to_string(),
                    TenantEntry { name: f.tenant_id.clone(), epoch: f.epoch },
                );
                self.revision += 1;
            }
            ControlFact::Changed(f) => {
                self.note_command(at, f.person, f.command_id, f.expires_at_us);
                self.requests.remove(&f.command_id.to_string());
                self.take_effect(at.index, &f.change.0);
                if let Some(Operation::IncidentAck { incident, comment }) = Operation::from_list(&f.change.0)
                    && let Some(i) = self.incidents.get_mut(&hex(&incident))
                {
                    i.acknowledged = Some(Acknowledged { person: f.person, at_us: at.time_us, comment });
                }
                if let Some(Operation::TimeConfirm { now_us, .. }) = Operation::from_list(&f.change.0) {
                    self.time_confirmed = Some(TimeConfirmed { logged_us: at.time_us, said_us: now_us });
                }
            }
            ControlFact::Requested(f) => {
                self.note_command(at, f.person, f.command_id, f.expires_at_us);
                let r = Request {
                    index: at.index,
                    change: f.change.0.clone(),
                    class: f.class,
                    person: f.person,
                    digest: hex(&Sha256::digest(&f.text)),
                    node_size: f.node_size,
                    needed: f.needed,
                    expires_at_us: f.expires_at_us,
                    approvals: BTreeMap::new(),
                };
                self.requests.insert(f.command_id.to_string(), r);
            }
            ControlFact::Approved(f) => {
                if let Some(r) = self.requests.get_mut(&f.command_id.to_string()) {
                    r.approvals.insert(f.person, f.key_id.clone());
                }
            }
            ControlFact::RequestClosed(f) => {
                self.requests.remove(&f.command_id.to_string());
            }
            ControlFact::Proposed(f) => {
                self.note_command(at, f.person, f.command_id, f.expires_at_us);
                let request = self.requests.remove(&f.command_id.to_string());
                let approved = request.map_or(vec![], |r| r.approvals.into_keys().collect());
                let p = Pending { index: at.index, change: f.change.0.clone(), person: f.person, approved };
                self.pending.insert(f.command_id.to_string(), p);
            }
            ControlFact::Effective(f) => {
                if let Some(p) = self.pending.remove(&f.command_id.to_string()) {
                    let before = self.break_glass.as_ref().map(|g| g.grant);
                    self.take_effect(at.index, &p.change);
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
            }
            ControlFact::BreakGlassUsed(f) => {
                if let Some(g) = self.break_glass.as_mut().filter(|g| g.grant == f.grant) {
                    g.used += 1;
                }
            }
            ControlFact::BreakGlassOver(f) => {
                self.break_glass.take_if(|g| g.grant == f.grant);
            }
            ControlFact::Abandoned(f) => {
                self.pending.remove(&f.command_id.to_string());
            }
            ControlFact::IncidentOpened(f) => {
                let i = Incident {
                    cause: f.cause.clone(),
                    index: at.index,
                    since_us: at.time_us,
                    began_us: None,
                    detected_us: None,
                    receipts: vec![],
                    acknowledged: None,
                };
                self.incidents.insert(hex(&f.incident), i);
            }
            ControlFact::IncidentClosed(f) => {
                self.incidents.remove(&hex(&f.incident));
            }
            ControlFact::IncidentEvidence(f) => {
                if let Some(i) = self.incidents.get_mut(&hex(&f.incident)) {
                    i.began_us = Some(f.began_us);
                    i.detected_us = Some(f.detected_us);
                    i.receipts.clone_from(&f.receipts.0);
                }
            }
            ControlFact::RampAdvanced(f) => {
                match (f.selector.parse::<Selector>(), u16::try_from(f.hundredths)) {
                    (Ok(selector), Ok(hundredths)) => self.ramp_advanced(selector, hundredths),
                    _ => self.newer = true,
                }
            }
            ControlFact::RampRolledBack(f) => {
                match (f.selector.parse::<Selector>(), u16::try_from(f.from), u16::try_from(f.to)) {
                    (Ok(s), Ok(from), Ok(to)) => {
                        self.ramp_rolled_back(s, from, to, f.cause.as_str() == PLATFORM);
                    }
                    _ => self.newer = true,
                }
            }
            ControlFact::AgentStarted(_) | ControlFact::CommandDenied(_) => {}
        }
    }

    /// Folds one receipt of this log as it was read: traffic changes nothing, an unknown control kind marks the state.
    pub fn apply_receipt(&mut self, at: At, kind: u16, fact: Option<&Fact>) {
        match fact {
            Some(Fact::Control(f)) => self.apply(at, f),
            Some(Fact::Traffic(_)) => {}
            None if crate::fact::is_control(kind) => {
                self.last = Some(at.index);
                self.newer = true;
            }
            None => {}
        }
    }

    /// What the state would be were this operation to take effect.
    #[must_use]
    pub fn after(&self, op: &Operation) -> Self {
        let mut s = self.clone();
        s.take_effect(self.last.map_or(0, |l| l + 1), &op.to_list());
        s
    }

    fn note_command(&mut self, at: At, person: PersonId, command: CommandId, expires: u64) {
        self.commands.retain(|_, e| *e >= at.time_us);
        self.commands.insert(command_key(person, command), expires);
    }

    fn take_effect(&mut self, index: u64, change: &[String]) {
        let Some(op) = Operation::from_list(change) else {
            self.newer = true;
            return;
        };
        self.revision += 1;
        self.carry_out(index, op);
    }

    #[allow(clippy::too_many_lines)] // one table: each operation and what it does
    fn carry_out(&mut self, index: u64, op: Operation) {
        let card = op.rate_card().and_then(|(text, _)| RateCard::parse(&text).ok());
        match op {
            Operation::ConfigRollback { changes, .. } => {
                for c in changes {
                    self.carry_out(index, c);
                }
            }
            Operation::RampSet { selector, hundredths } => {
                // Whoever sets it by hand takes it out of its plan.
                self.plans.remove(&selector);
                self.set_ramp(selector, hundredths);
            }
            Operation::RampCap { selector, hundredths } => {
                // A cap on a rule that is not there makes it, so that what it covers stays at or below.
                let now = self.ramps.get(&selector).map(|r| r.hundredths);
                if now.is_none_or(|n| n > hundredths) {
                    self.plans.remove(&selector);
                    self.set_ramp(selector, hundredths);
                }
            }
            Operation::RampClear { selector } => {
                self.plans.remove(&selector);
                self.ramps.remove(&selector);
            }
            Operation::SloSet { selector, thresholds } => {
                self.slos.insert(selector, thresholds);
            }
            Operation::PlanSet { selector, plan } => {
                let first = plan.steps().first().map_or(0, |s| s.hundredths);
                self.plans.remove(&selector);
                if plan.steps().len() > 1 {
                    let p = PlanState { steps: plan.to_string(), at: 0, revision: self.revision };
                    self.plans.insert(selector.clone(), p);
                }
                self.set_ramp(selector, first);
            }
            Operation::PlanStop { selector } => {
                self.plans.remove(&selector);
            }
            Operation::RampOverride { selector } => {
                self.bad.remove(&selector);
            }
            // Who acknowledged it, and when, is in the fact and not in the operation.
            Operation::IncidentAck { .. } => {}
            Operation::IncidentClose { incident, .. } => {
                self.incidents.remove(&hex(&incident));
            }
            Operation::TimeConfirm { incident, .. } => {
                self.incidents.remove(&hex(&incident));
            }
            Operation::SignerReplace { public_key } => self.signer_key = Some(public_key),
            Operation::KillSet { selector, drain } => {
                self.kills.insert(selector, Kill { drain });
            }
            Operation::KillClear { selector } => {
                self.kills.remove(&selector);
            }
            Operation::QuotaSet { kind, limit } => *self.quotas.get_mut(kind) = Grant::local(limit),
            Operation::QuotaCap { kind, limit } => {
                let g = self.quotas.get_mut(kind);
                *g = Grant { limit: g.limit.min(limit), granted: g.granted.min(limit) };
            }
            Operation::WorkflowRegister { workflow } => {
                self.workflows.insert(workflow);
            }
            Operation::WorkflowRetire { workflow } => {
                self.workflows.remove(&workflow);
                self.prompts.remove(&workflow);
            }
            Operation::WorkflowPin { workflow, prompt_sha256 } => {
                self.prompts.insert(workflow, hex(&prompt_sha256));
            }
            Operation::WorkflowUnpin { workflow } => {
                self.prompts.remove(&workflow);
            }
            Operation::TokenIssue { token, name, secret_sha256 } => {
                let t = Token { name, secret_sha256: hex(&secret_sha256), revoked: false };
                // A token id is used once: issuing it again must not revive a revoked one.
                self.tokens.entry(token.to_string()).or_insert(t);
            }
            Operation::TokenRevoke { token } => {
                if let Some(t) = self.tokens.get_mut(&token.to_string()) {
                    t.revoked = true;
                }
            }
            Operation::PeerAllow { uid } => {
                self.peers.insert(uid);
            }
            Operation::PeerDeny { uid } => {
                self.peers.remove(&uid);
            }
            Operation::OperatorEnrol { person, name, public_key, roles, .. } => {
                let Some(id) = crate::checkpoint::key_id(&public_key) else { return };
                let key = OperatorKey {
                    person,
                    name,
                    public_key,
                    roles,
                    since: index,
                    roles_since: None,
                    suspended: false,
                    revoked: None,
                };
                // A key is enrolled once: doing it again must not revive a revoked one, or give it to another person.
                self.operators.entry(id).or_insert(key);
            }
            Operation::OperatorRoles { person, roles } => {
                for k in self.keys_of_mut(person) {
                    k.roles.clone_from(&roles);
                    k.roles_since = Some(index);
                }
            }
            Operation::OperatorSuspend { person } => {
                self.keys_of_mut(person).for_each(|k| k.suspended = true);
            }
            Operation::OperatorResume { person } => self.keys_of_mut(person).for_each(|k| {
                k.suspended = false;
                // Whoever comes back cannot approve what was asked for while they were out.
                k.roles_since = Some(index);
            }),
            Operation::OperatorRevoke { key } => {
                if let Some(k) = self.operators.get_mut(&key) {
                    k.revoked.get_or_insert(index);
                }
            }
            Operation::PolicyTrust { public_key } => self.policy_key = Some(public_key),
            Operation::PolicyLoad { statement, .. } => {
                // Revisions only rise, whatever stands in a log.
                if self.policy.as_ref().is_none_or(|p| p.revision < statement.revision) {
                    self.policy = Some(LoadedBundle {
                        revision: statement.revision,
                        digest: hex(&statement.digest),
                        expires_at_us: statement.expires_at_us,
                    });
                }
            }
            Operation::TenantCreate { tenant_uid, tenant_id } => {
                self.tenants
                    .entry(tenant_uid.to_string())
                    .or_insert(TenantEntry { name: tenant_id, epoch: 1 });
            }
            Operation::ProfileCreate { profile } => {
                self.profiles.entry(profile).or_default();
            }
            Operation::ProfileSet { profile, setting } => {
                self.profiles.entry(profile).or_default().set(setting);
            }
            Operation::ProfileWindow { profile, window, when } => {
                let windows = &mut self.profiles.entry(profile.clone()).or_default().windows;
                if windows.get(&window) != Some(&when) {
                    windows.insert(window.clone(), when);
                    // Whether the new one is open is for the next fact to say.
                    self.window_closed(&profile, &window);
                }
            }
            Operation::ProfileUnwindow { profile, window } => {
                if let Some(p) = self.profiles.get_mut(&profile) {
                    p.windows.remove(&window);
                }
                self.window_closed(&profile, &window);
            }
            Operation::ProfileAssign { profile } => self.profile = Some(profile),
            Operation::FreezeSet { freeze, until_us } => {
                let new = Freeze { until_us };
                let f = self.freezes.entry(freeze).or_insert(new);
                if new.lasts(*f) {
                    *f = new;
                }
            }
            Operation::FreezeClear { freeze } => {
                self.freezes.remove(&freeze);
            }
            Operation::BreakGlassOpen { grant, ticket, minutes } => {
                // It is never prolonged: while one is open no other opens.
                self.break_glass.get_or_insert(BreakGlass {
                    grant,
                    ticket,
                    minutes,
                    person: None,
                    alone: false,
                    opened_us: 0,
                    used: 0,
                });
            }
            Operation::BreakGlassClose { grant } => {
                self.break_glass.take_if(|g| g.grant == grant);
            }
            Operation::UsageCorrect { adjustments } => self.corrections += adjustments.len() as u64,
            Operation::SinkReplay { sink } => *self.sink_replays.entry(sink).or_default() += 1,
            Operation::RateTrust { public_key } => self.billing_key = Some(public_key),
            Operation::RateLoad { .. } => {
                // Versions only rise, whatever stands in a log.
                let newest = self.rate_cards.last().map_or(0, |c| c.version);
                if let Some(card) = card.filter(|c| c.version > newest && self.rate_cards.len() < MAX_CARDS) {
                    self.rate_cards.push(card);
                }
            }
            Operation::CostReconcile { month, amounts: [compute, storage, signing], invoice_sha256 } => {
                let total = compute.saturating_add(storage).saturating_add(signing);
                let amounts = Amounts { compute, storage, signing, total };
                let invoice_sha256 = hex(&invoice_sha256);
                self.reconciled.insert(month, Reconciled { amounts, invoice_sha256, index });
            }
        }
    }

    fn window_closed(&mut self, profile: &Ident, window: &Ident) {
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

    fn ramp_advanced(&mut self, selector: Selector, hundredths: u16) {
        self.revision += 1;
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
    fn ramp_rolled_back(&mut self, selector: Selector, from: u16, to: u16, platform: bool) {
        self.revision += 1;
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

    pub(super) fn set_ramp(&mut self, selector: Selector, hundredths: u16) {
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

    fn keys_of_mut(&mut self, person: PersonId) -> impl Iterator<Item = &mut OperatorKey> {
        self.operators.values_mut().filter(move |k| k.person == person)
    }
}
