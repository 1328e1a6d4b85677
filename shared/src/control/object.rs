//! What an operation changes, as it stands: for receipts, and for the base of a command.

use super::ControlState;
use crate::command::Operation;
use crate::ids::hex;
use crate::operator::roles_text;
use crate::profile::{self, Setting};
use sha2::{Digest, Sha256};

impl ControlState {
    /// The state of one object, as it stands in receipts under `before` and `after`. Empty when it does not exist.
    #[allow(clippy::too_many_lines)] // one table: each operation and its object
    pub fn object(&self, op: &Operation) -> Vec<String> {
        let pair = |k: &str, v: String| vec![k.to_owned(), v];
        match op {
            Operation::RampSet { selector, .. }
            | Operation::RampCap { selector, .. }
            | Operation::RampClear { selector } => self.ramps.get(selector).map_or(vec![], |r| {
                [pair("hundredths", r.hundredths.to_string()), pair("revision", r.revision.to_string())]
                    .concat()
            }),
            Operation::SloSet { selector, .. } => {
                let t = self.thresholds(selector);
                [
                    pair("errors_hundredths", t.errors_hundredths.to_string()),
                    pair("p99_us", t.p99_us.to_string()),
                    pair("backlog", t.backlog.to_string()),
                    pair("min_settled", t.min_settled.to_string()),
                ]
                .concat()
            }
            Operation::PlanSet { selector, .. } | Operation::PlanStop { selector } => {
                let ramp = self.ramps.get(selector).map(|r| pair("hundredths", r.hundredths.to_string()));
                let plan = self
                    .plans
                    .get(selector)
                    .map(|p| [pair("steps", p.steps.clone()), pair("at", p.at.to_string())].concat());
                [ramp.unwrap_or_default(), plan.unwrap_or_default()].concat()
            }
            Operation::RampOverride { selector } => {
                self.bad.get(selector).map_or(vec![], |h| pair("rolled_back_from", h.to_string()))
            }
            Operation::IncidentAck { incident, .. } | Operation::IncidentClose { incident, .. } => {
                self.incidents.get(&hex(incident)).map_or(vec![], |i| pair("cause", i.cause.to_string()))
            }
            // All of it must be as it was shown, what is changed and what is not.
            Operation::ConfigRollback { changes, .. } => {
                let each = changes.iter().flat_map(|c| pair(&c.object(), self.object(c).join(" ")));
                pair("revision", self.revision.to_string()).into_iter().chain(each).collect()
            }
            // What it stands at is no state: a clock is doubted or it is not.
            Operation::TimeConfirm { .. } => pair("doubted", self.clock_doubted().to_string()),
            Operation::SignerReplace { .. } => {
                self.signer_key.as_ref().map_or(vec![], |k| pair("public_key", k.clone()))
            }
            Operation::KillSet { selector, .. } | Operation::KillClear { selector } => {
                self.kills.get(selector).map_or(vec![], |k| pair("drain", k.drain.to_string()))
            }
            Operation::QuotaSet { kind, .. } | Operation::QuotaCap { kind, .. } => {
                let g = self.quotas.get(*kind);
                [pair("limit", g.limit.to_string()), pair("granted", g.granted.to_string())].concat()
            }
            Operation::WorkflowRegister { workflow } | Operation::WorkflowRetire { workflow } => {
                if self.workflows.contains(workflow) { pair("registered", "true".into()) } else { vec![] }
            }
            Operation::WorkflowPin { workflow, .. } | Operation::WorkflowUnpin { workflow } => {
                self.prompts.get(workflow).map_or(vec![], |p| pair("prompt_sha256", p.clone()))
            }
            Operation::TokenIssue { token, .. } | Operation::TokenRevoke { token } => {
                self.tokens.get(&token.to_string()).map_or(vec![], |t| {
                    [pair("name", t.name.to_string()), pair("revoked", t.revoked.to_string())].concat()
                })
            }
            Operation::PeerAllow { uid } | Operation::PeerDeny { uid } => {
                if self.peers.contains(uid) {
                    pair("allowed", "true".into())
                } else {
                    vec![]
                }
            }
            Operation::OperatorEnrol { public_key, .. } => {
                crate::checkpoint::key_id(public_key).map_or(vec![], |id| self.key_object(&id))
            }
            Operation::OperatorRevoke { key } => self.key_object(key),
            Operation::OperatorRoles { person, .. }
            | Operation::OperatorSuspend { person }
            | Operation::OperatorResume { person } => self.keys_of(*person).next().map_or(vec![], |k| {
                [
                    pair("name", k.name.to_string()),
                    pair("roles", roles_text(&k.roles)),
                    pair("suspended", k.suspended.to_string()),
                ]
                .concat()
            }),
            Operation::PolicyTrust { .. } => {
                self.policy_key.as_ref().map_or(vec![], |k| pair("public_key", k.clone()))
            }
            Operation::PolicyLoad { .. } => self.policy.as_ref().map_or(vec![], |p| {
                [
                    pair("revision", p.revision.to_string()),
                    pair("digest", p.digest.clone()),
                    pair("expires_at_us", p.expires_at_us.to_string()),
                ]
                .concat()
            }),
            Operation::TenantCreate { tenant_uid, .. } => {
                self.tenants.get(&tenant_uid.to_string()).map_or(vec![], |t| {
                    [pair("name", t.name.to_string()), pair("epoch", t.epoch.to_string())].concat()
                })
            }
            Operation::ProfileCreate { profile } | Operation::ProfileSet { profile, .. } => {
                profile::profile(self, profile.as_str()).map_or(vec![], |p| {
                    [
                        Setting::BreakGlassAlone(p.break_glass_alone),
                        Setting::PolicyOutage(p.policy_outage),
                        Setting::LastKnownS(p.last_known_s),
                    ]
                    .into_iter()
                    .flat_map(|s| pair(s.name(), s.value()))
                    .collect()
                })
            }
            Operation::ProfileWindow { profile, window, .. }
            | Operation::ProfileUnwindow { profile, window } => {
                let found = self.profiles.get(profile).and_then(|p| p.windows.get(window));
                found.map_or(vec![], |w| pair("when", w.to_string()))
            }
            Operation::ProfileAssign { .. } => pair("profile", profile::name_of(self).to_owned()),
            Operation::FreezeSet { freeze, .. } | Operation::FreezeClear { freeze } => {
                self.freezes.get(freeze).map_or(vec![], |f| {
                    pair("until_us", f.until_us.map_or("none".to_owned(), |u| u.to_string()))
                })
            }
            Operation::SinkReplay { sink } => {
                self.sink_replays.get(sink).map_or(vec![], |n| pair("replays", n.to_string()))
            }
            Operation::UsageCorrect { .. } => pair("corrections", self.corrections.to_string()),
            Operation::RateTrust { .. } => {
                self.billing_key.as_ref().map_or(vec![], |k| pair("public_key", k.clone()))
            }
            Operation::RateLoad { .. } => {
                self.rate_cards.last().map_or(vec![], |c| pair("version", c.version.to_string()))
            }
            Operation::CostReconcile { month, .. } => self.reconciled.get(month).map_or(vec![], |r| {
                [pair("total", r.amounts.total.to_string()), pair("invoice_sha256", r.invoice_sha256.clone())]
                    .concat()
            }),
            Operation::BreakGlassOpen { grant, .. } | Operation::BreakGlassClose { grant } => {
                self.break_glass.as_ref().filter(|g| g.grant == *grant).map_or(vec![], |g| {
                    [pair("ticket", g.ticket.clone()), pair("minutes", g.minutes.to_string())].concat()
                })
            }
        }
    }

    fn key_object(&self, id: &str) -> Vec<String> {
        self.operators.get(id).map_or(vec![], |k| {
            let state = if k.revoked.is_some() { "revoked" } else { "enrolled" };
            ["name", k.name.as_str(), "person", &k.person.to_string(), "state", state]
                .map(str::to_owned)
                .to_vec()
        })
    }

    /// Digest of one object's state: the `base` of a command that loosens it.
    pub fn object_digest(&self, op: &Operation) -> [u8; 32] {
        let mut h = Sha256::new();
        h.update(b"conductor/object/v1\0");
        for part in std::iter::once(op.object()).chain(self.object(op)) {
            h.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            h.update(part.as_bytes());
        }
        h.finalize().into()
    }
}
