//! What an operation changes, as it stands: for receipts, and for the base of a command.

use super::{ControlState, profiles};
use crate::checkpoint::key_id;
use crate::command::Operation;
use crate::ids::{GrantId, Ident, IncidentId, KeyId, PersonId, TenantUid, TokenId};
use crate::operator::roles_text;
use crate::profile::Setting;
use crate::quota::QuotaKind;
use crate::ramp::Selector;
use sha2::{Digest, Sha256};

/// Names and values in turn.
type Object = Vec<String>;

fn pairs<const N: usize>(each: [(&str, String); N]) -> Object {
    each.into_iter().flat_map(|(k, v)| [k.to_owned(), v]).collect()
}

/// One pair, or nothing where there is no such thing.
fn pair(name: &str, value: Option<String>) -> Object {
    value.map_or(vec![], |v| pairs([(name, v)]))
}

impl ControlState {
    /// The state of one object, as receipts show it under `before` and `after`. Empty when it does not exist.
    pub fn object(&self, op: &Operation) -> Object {
        match op {
            Operation::ConfigRollback(op) => self.config_object(&op.changes),
            Operation::RampSet(op) => self.ramp_object(&op.selector),
            Operation::RampCap(op) => self.ramp_object(&op.selector),
            Operation::RampClear(op) => self.ramp_object(&op.selector),
            Operation::RampOverride(op) => self.bad_object(&op.selector),
            Operation::SloSet(op) => self.slo_object(&op.selector),
            Operation::PlanSet(op) => self.plan_object(&op.selector),
            Operation::PlanStop(op) => self.plan_object(&op.selector),
            Operation::KillSet(op) => self.kill_object(&op.selector),
            Operation::KillClear(op) => self.kill_object(&op.selector),
            Operation::QuotaSet(op) => self.quota_object(op.kind),
            Operation::QuotaCap(op) => self.quota_object(op.kind),
            Operation::WorkflowRegister(op) => self.workflow_object(&op.workflow),
            Operation::WorkflowRetire(op) => self.workflow_object(&op.workflow),
            Operation::WorkflowPin(op) => self.prompt_object(&op.workflow),
            Operation::WorkflowUnpin(op) => self.prompt_object(&op.workflow),
            Operation::TokenIssue(op) => self.token_object(op.token),
            Operation::TokenRevoke(op) => self.token_object(op.token),
            Operation::PeerAllow(op) => self.peer_object(op.uid),
            Operation::PeerDeny(op) => self.peer_object(op.uid),
            Operation::OperatorEnrol(op) => key_id(&op.public_key).map_or(vec![], |id| self.key_object(id)),
            Operation::OperatorRevoke(op) => self.key_object(op.key),
            Operation::OperatorRoles(op) => self.person_object(op.person),
            Operation::OperatorSuspend(op) => self.person_object(op.person),
            Operation::OperatorResume(op) => self.person_object(op.person),
            Operation::PolicyTrust(_) => pair("public_key", self.policy_key.clone()),
            Operation::PolicyLoad(_) => self.policy_object(),
            Operation::IncidentAck(op) => self.incident_object(&op.incident),
            Operation::IncidentClose(op) => self.incident_object(&op.incident),
            // What it stands at is no state: a clock is doubted or it is not.
            Operation::TimeConfirm(_) => pairs([("doubted", self.clock_doubted().to_string())]),
            Operation::SignerReplace(_) => pair("public_key", self.signer_key.clone()),
            Operation::TenantCreate(op) => self.tenant_object(op.tenant_uid),
            Operation::ProfileCreate(op) => self.profile_object(&op.profile),
            Operation::ProfileSet(op) => self.profile_object(&op.profile),
            Operation::ProfileWindow(op) => self.window_object(&op.profile, &op.window),
            Operation::ProfileUnwindow(op) => self.window_object(&op.profile, &op.window),
            Operation::ProfileAssign(_) => pairs([("profile", profiles::name_of(self).to_owned())]),
            Operation::FreezeSet(op) => self.freeze_object(&op.freeze),
            Operation::FreezeClear(op) => self.freeze_object(&op.freeze),
            Operation::BreakGlassOpen(op) => self.break_glass_object(op.grant),
            Operation::BreakGlassClose(op) => self.break_glass_object(op.grant),
            Operation::UsageCorrect(_) => pairs([("corrections", self.corrections.to_string())]),
            Operation::RateTrust(_) => pair("public_key", self.billing_key.clone()),
            Operation::RateLoad(_) => pair("version", self.rate_cards.last().map(|c| c.version.to_string())),
            Operation::CostReconcile(op) => self.cost_object(&op.month),
            Operation::SinkRedeliver(op) => {
                let newest = self.sink_redeliveries.get(&op.sink).and_then(|ranges| ranges.all().last());
                pair("redeliveries", newest.map(|r| r.number.to_string()))
            }
            Operation::SinkReplay(op) => pair("replays", self.sink_replays.get(&op.sink).map(u64::to_string)),
        }
    }

    /// Digest of one object's state and of the revision that changed it last: the `base` of a command that loosens it. So
    /// what was changed and changed back is another base, and a command signed before does not fit it.
    pub fn object_digest(&self, op: &Operation) -> [u8; 32] {
        let mut h = Sha256::new();
        h.update(b"conductor/object/v2\0");
        h.update(self.object_revision(op).to_be_bytes());
        for part in std::iter::once(op.object()).chain(self.object(op)) {
            h.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            h.update(part.as_bytes());
        }
        h.finalize().into()
    }

    /// All of it must be as it was shown, what is changed and what is not.
    fn config_object(&self, changes: &[Operation]) -> Object {
        let each = changes.iter().flat_map(|c| [c.object(), self.object(c).join(" ")]);
        pairs([("revision", self.revision.to_string())]).into_iter().chain(each).collect()
    }

    fn ramp_object(&self, selector: &Selector) -> Object {
        self.ramps.get(selector).map_or(vec![], |r| {
            pairs([("hundredths", r.hundredths.get().to_string()), ("revision", r.revision.to_string())])
        })
    }

    fn bad_object(&self, selector: &Selector) -> Object {
        pair("rolled_back_from", self.bad.get(selector).map(|h| h.get().to_string()))
    }

    fn slo_object(&self, selector: &Selector) -> Object {
        let t = self.thresholds(selector);
        pairs([
            ("errors_hundredths", t.errors_hundredths.get().to_string()),
            ("p99_us", t.p99_us.to_string()),
            ("backlog", t.backlog.to_string()),
            ("min_settled", t.min_settled.to_string()),
        ])
    }

    fn plan_object(&self, selector: &Selector) -> Object {
        let mut out = pair("hundredths", self.ramps.get(selector).map(|r| r.hundredths.get().to_string()));
        if let Some(p) = self.plans.get(selector) {
            out.extend(pairs([("steps", p.steps.clone()), ("at", p.at.to_string())]));
        }
        out
    }

    fn kill_object(&self, selector: &Selector) -> Object {
        pair("drain", self.kills.get(selector).map(|k| k.drain.to_string()))
    }

    fn quota_object(&self, kind: QuotaKind) -> Object {
        let g = self.quotas.get(kind);
        pairs([("limit", g.limit.to_string()), ("granted", g.granted.to_string())])
    }

    fn workflow_object(&self, workflow: &Ident) -> Object {
        pair("registered", self.workflows.contains(workflow).then(|| "true".to_owned()))
    }

    fn prompt_object(&self, workflow: &Ident) -> Object {
        pair("prompt_sha256", self.prompts.get(workflow).map(ToString::to_string))
    }

    fn token_object(&self, token: TokenId) -> Object {
        self.tokens
            .get(&token)
            .map_or(vec![], |t| pairs([("name", t.name.to_string()), ("revoked", t.revoked.to_string())]))
    }

    fn peer_object(&self, uid: u32) -> Object {
        pair("allowed", self.peers.contains(&uid).then(|| "true".to_owned()))
    }

    fn key_object(&self, id: KeyId) -> Object {
        self.operators.get(&id).map_or(vec![], |k| {
            let state = if k.revoked.is_some() { "revoked" } else { "enrolled" };
            pairs([
                ("name", k.name.to_string()),
                ("person", k.person.to_string()),
                ("state", state.to_owned()),
            ])
        })
    }

    fn person_object(&self, person: PersonId) -> Object {
        self.keys_of(person).next().map_or(vec![], |k| {
            pairs([
                ("name", k.name.to_string()),
                ("roles", roles_text(&k.roles)),
                ("suspended", k.suspended.to_string()),
            ])
        })
    }

    fn policy_object(&self) -> Object {
        self.policy.as_ref().map_or(vec![], |p| {
            pairs([
                ("revision", p.revision.to_string()),
                ("digest", p.digest.to_string()),
                ("expires_at_us", p.expires_at_us.to_string()),
            ])
        })
    }

    fn incident_object(&self, incident: &[u8; 16]) -> Object {
        pair("cause", self.incidents.get(&IncidentId(*incident)).map(|i| i.cause.to_string()))
    }

    fn tenant_object(&self, uid: TenantUid) -> Object {
        self.tenants
            .get(&uid)
            .map_or(vec![], |t| pairs([("name", t.name.to_string()), ("epoch", t.epoch.to_string())]))
    }

    fn profile_object(&self, profile: &Ident) -> Object {
        profiles::profile(self, profile.as_str()).map_or(vec![], |p| {
            let settings = [
                Setting::BreakGlassAlone(p.break_glass_alone),
                Setting::PolicyOutage(p.policy_outage),
                Setting::LastKnownS(p.last_known_s),
            ];
            pairs(settings.map(|s| (s.name(), s.value())))
        })
    }

    fn window_object(&self, profile: &Ident, window: &Ident) -> Object {
        let found = self.profiles.get(profile).and_then(|p| p.windows.get(window));
        pair("when", found.map(ToString::to_string))
    }

    fn freeze_object(&self, freeze: &Ident) -> Object {
        let end = |us: Option<u64>| us.map_or("none".to_owned(), |u| u.to_string());
        pair("until_us", self.freezes.get(freeze).map(|f| end(f.until_us)))
    }

    fn break_glass_object(&self, grant: GrantId) -> Object {
        self.break_glass
            .as_ref()
            .filter(|g| g.grant == grant)
            .map_or(vec![], |g| pairs([("ticket", g.ticket.clone()), ("minutes", g.minutes.to_string())]))
    }

    fn cost_object(&self, month: &str) -> Object {
        self.reconciled.get(month).map_or(vec![], |r| {
            pairs([("total", r.amounts.total.to_string()), ("invoice_sha256", r.invoice_sha256.to_string())])
        })
    }
}
