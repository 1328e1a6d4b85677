//! The one spelling of each operation: its name, its object, its values in order, and the way back. Every other is
//! refused.

use super::{MAX_REASON, Operation};
use crate::checkpoint::key_id;
use crate::cost;
use crate::ids::{Ident, hex, parse_decimal, unhex};
use crate::meter::Adjustment;
use crate::operator::{parse_roles, roles_text};
use crate::policy::Statement;
use crate::profile::{MAX_MINUTES, Setting, is_ticket};
use crate::quota::QuotaKind;
use crate::ramp::{FULL, Selector};
use crate::slo::Thresholds;
use crate::untrusted::{UntrustedText, is_unshowable};
use std::collections::BTreeSet;

/// How no end is written.
const NO_END: &str = "none";
/// How no roles are written.
const NO_ROLES: &str = "none";
/// No proof of possession is longer, in base64.
const MAX_PROOF: usize = 1024;

/// A month such as `2026-10`.
fn month(text: &str) -> Option<String> {
    let (y, m) = text.split_once('-')?;
    let digits = |t: &str, n: usize| t.len() == n && t.bytes().all(|c| c.is_ascii_digit());
    let fits = digits(y, 4) && digits(m, 2) && (1..=12).contains(&m.parse::<u8>().ok()?);
    fits.then(|| text.to_owned())
}

/// UntrustedText in base64.
fn base64_text(text: &str) -> Option<String> {
    use base64::Engine as _;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).ok()?).ok()
}

fn is_base64(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'='))
}

/// One visible line, as long as a reason.
fn comment(text: &str) -> Option<UntrustedText> {
    let fits = text.chars().count() <= MAX_REASON && !text.chars().any(is_unshowable);
    (fits && !text.trim().is_empty()).then(|| UntrustedText::new(text))
}

impl Operation {
    /// The rate card and signature that a [`Operation::RateLoad`] carries, as text.
    pub fn rate_card(&self) -> Option<(String, String)> {
        let Self::RateLoad { card, signature } = self else { return None };
        Some((base64_text(card)?, base64_text(signature)?))
    }

    /// Name and values, separated by spaces. For those of [`Operation::of_config`], whose values have none in them.
    fn words(&self) -> String {
        let values = self.args().into_iter().map(|(_, v)| v);
        std::iter::once(self.name().to_owned()).chain(values).collect::<Vec<_>>().join(" ")
    }

    fn from_words(text: &str) -> Option<Self> {
        let (name, values) = text.split_once(' ')?;
        let op = Self::from_values(name, &values.split(' ').collect::<Vec<_>>())?;
        (op.of_config() && op.words() == text).then_some(op)
    }

    /// The public name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RampSet { .. } => "ramp.set",
            Self::RampCap { .. } => "ramp.cap",
            Self::RampClear { .. } => "ramp.clear",
            Self::KillSet { .. } => "kill.set",
            Self::KillClear { .. } => "kill.clear",
            Self::QuotaSet { .. } => "quota.set",
            Self::QuotaCap { .. } => "quota.cap",
            Self::WorkflowRegister { .. } => "workflow.register",
            Self::WorkflowRetire { .. } => "workflow.retire",
            Self::WorkflowPin { .. } => "workflow.pin",
            Self::WorkflowUnpin { .. } => "workflow.unpin",
            Self::TokenIssue { .. } => "token.issue",
            Self::TokenRevoke { .. } => "token.revoke",
            Self::PeerAllow { .. } => "peer.allow",
            Self::PeerDeny { .. } => "peer.deny",
            Self::OperatorEnrol { .. } => "operator.enrol",
            Self::OperatorRoles { .. } => "operator.roles",
            Self::OperatorSuspend { .. } => "operator.suspend",
            Self::OperatorResume { .. } => "operator.resume",
            Self::OperatorRevoke { .. } => "operator.revoke",
            Self::PolicyTrust { .. } => "policy.trust",
            Self::PolicyLoad { .. } => "policy.load",
            Self::SloSet { .. } => "slo.set",
            Self::PlanSet { .. } => "plan.set",
            Self::PlanStop { .. } => "plan.stop",
            Self::RampOverride { .. } => "ramp.override",
            Self::IncidentAck { .. } => "incident.ack",
            Self::IncidentClose { .. } => "incident.close",
            Self::TimeConfirm { .. } => "time.confirm",
            Self::SignerReplace { .. } => "signer.replace",
            Self::ConfigRollback { .. } => "config.rollback",
            Self::TenantCreate { .. } => "tenant.create",
            Self::ProfileCreate { .. } => "profile.create",
            Self::ProfileSet { .. } => "profile.set",
            Self::ProfileWindow { .. } => "profile.window",
            Self::ProfileUnwindow { .. } => "profile.unwindow",
            Self::ProfileAssign { .. } => "profile.assign",
            Self::FreezeSet { .. } => "freeze.set",
            Self::FreezeClear { .. } => "freeze.clear",
            Self::BreakGlassOpen { .. } => "breakglass.open",
            Self::BreakGlassClose { .. } => "breakglass.close",
            Self::UsageCorrect { .. } => "usage.correct",
            Self::RateTrust { .. } => "rate.trust",
            Self::RateLoad { .. } => "rate.load",
            Self::CostReconcile { .. } => "cost.reconcile",
            Self::SinkReplay { .. } => "sink.replay",
        }
    }

    /// What it changes: kind and name, separated by a space.
    pub fn object(&self) -> String {
        match self {
            Self::RampSet { selector, .. }
            | Self::RampCap { selector, .. }
            | Self::RampClear { selector } => {
                format!("ramp {selector}")
            }
            Self::KillSet { selector, .. } | Self::KillClear { selector } => format!("kill {selector}"),
            Self::QuotaSet { kind, .. } | Self::QuotaCap { kind, .. } => format!("quota {}", kind.name()),
            Self::WorkflowRegister { workflow } | Self::WorkflowRetire { workflow } => {
                format!("workflow {workflow}")
            }
            Self::WorkflowPin { workflow, .. } | Self::WorkflowUnpin { workflow } => {
                format!("prompt {workflow}")
            }
            Self::TokenIssue { token, .. } | Self::TokenRevoke { token } => format!("token {token}"),
            Self::PeerAllow { uid } | Self::PeerDeny { uid } => format!("peer {uid}"),
            Self::OperatorEnrol { public_key, .. } => {
                format!("key {}", key_id(public_key).unwrap_or_default())
            }
            Self::OperatorRevoke { key } => format!("key {key}"),
            Self::OperatorRoles { person, .. }
            | Self::OperatorSuspend { person }
            | Self::OperatorResume { person } => format!("person {person}"),
            Self::PolicyTrust { .. } => "policy key".to_owned(),
            Self::PolicyLoad { .. } => "policy bundle".to_owned(),
            Self::SloSet { selector, .. } => format!("slo {selector}"),
            Self::PlanSet { selector, .. } | Self::PlanStop { selector } => format!("plan {selector}"),
            Self::RampOverride { selector } => format!("override {selector}"),
            Self::IncidentAck { incident, .. } | Self::IncidentClose { incident, .. } => {
                format!("incident {}", hex(incident))
            }
            Self::TimeConfirm { .. } => "clock".to_owned(),
            Self::SignerReplace { .. } => "signer key".to_owned(),
            Self::ConfigRollback { .. } => "config".to_owned(),
            Self::TenantCreate { tenant_uid, .. } => format!("tenant {tenant_uid}"),
            Self::ProfileCreate { profile } | Self::ProfileSet { profile, .. } => {
                format!("profile {profile}")
            }
            Self::ProfileWindow { profile, window, .. } | Self::ProfileUnwindow { profile, window } => {
                format!("window {profile}/{window}")
            }
            Self::ProfileAssign { .. } => "assignment profile".into(),
            Self::FreezeSet { freeze, .. } | Self::FreezeClear { freeze } => format!("freeze {freeze}"),
            Self::BreakGlassOpen { grant, .. } | Self::BreakGlassClose { grant } => {
                format!("break-glass {grant}")
            }
            Self::UsageCorrect { .. } => "usage".to_owned(),
            Self::RateTrust { .. } => "billing key".to_owned(),
            Self::RateLoad { .. } => "rate cards".to_owned(),
            Self::CostReconcile { month, .. } => format!("cost {month}"),
            Self::SinkReplay { sink } => format!("sink {sink}"),
        }
    }

    /// Name and arguments in order, as they stand in the text and in receipts.
    #[allow(clippy::too_many_lines)] // one table: each operation and its arguments
    pub fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::RampSet { selector, hundredths } | Self::RampCap { selector, hundredths } => {
                vec![("selector", selector.to_string()), ("hundredths", hundredths.to_string())]
            }
            Self::RampClear { selector } | Self::KillClear { selector } => {
                vec![("selector", selector.to_string())]
            }
            Self::KillSet { selector, drain } => {
                vec![("selector", selector.to_string()), ("drain", drain.to_string())]
            }
            Self::QuotaSet { kind, limit } | Self::QuotaCap { kind, limit } => {
                vec![("quota", kind.name().to_owned()), ("limit", limit.to_string())]
            }
            Self::WorkflowRegister { workflow }
            | Self::WorkflowRetire { workflow }
            | Self::WorkflowUnpin { workflow } => {
                vec![("workflow", workflow.to_string())]
            }
            Self::WorkflowPin { workflow, prompt_sha256 } => {
                vec![("workflow", workflow.to_string()), ("prompt_sha256", hex(prompt_sha256))]
            }
            Self::TokenIssue { token, name, secret_sha256 } => vec![
                ("token", token.to_string()),
                ("name", name.to_string()),
                ("secret_sha256", hex(secret_sha256)),
            ],
            Self::TokenRevoke { token } => vec![("token", token.to_string())],
            Self::PeerAllow { uid } | Self::PeerDeny { uid } => vec![("uid", uid.to_string())],
            Self::OperatorEnrol { person, name, public_key, roles, proof } => vec![
                ("person", person.to_string()),
                ("name", name.to_string()),
                ("public_key", public_key.clone()),
                ("roles", roles_text(roles)),
                ("proof", proof.clone()),
            ],
            Self::OperatorRoles { person, roles } => {
                let roles = if roles.is_empty() { NO_ROLES.to_owned() } else { roles_text(roles) };
                vec![("person", person.to_string()), ("roles", roles)]
            }
            Self::OperatorSuspend { person } | Self::OperatorResume { person } => {
                vec![("person", person.to_string())]
            }
            Self::OperatorRevoke { key } => vec![("key", key.clone())],
            Self::PolicyTrust { public_key }
            | Self::SignerReplace { public_key }
            | Self::RateTrust { public_key } => {
                vec![("public_key", public_key.clone())]
            }
            Self::UsageCorrect { adjustments } => {
                adjustments.iter().map(|a| ("adjustment", a.to_string())).collect()
            }
            Self::SinkReplay { sink } => vec![("sink", sink.to_string())],
            Self::RateLoad { card, signature } => {
                vec![("card", card.clone()), ("signature", signature.clone())]
            }
            Self::CostReconcile { month, amounts: [compute, storage, signing], invoice_sha256 } => vec![
                ("month", month.clone()),
                ("compute", compute.to_string()),
                ("storage", storage.to_string()),
                ("signing", signing.to_string()),
                ("invoice_sha256", hex(invoice_sha256)),
            ],
            Self::ConfigRollback { revision, changes } => {
                let each = changes.iter().map(|c| ("change", c.words()));
                std::iter::once(("revision", revision.to_string())).chain(each).collect()
            }
            Self::TimeConfirm { incident, now_us } => {
                vec![("incident", hex(incident)), ("now_us", now_us.to_string())]
            }
            Self::PolicyLoad { statement, signature } => vec![
                ("revision", statement.revision.to_string()),
                ("digest", hex(&statement.digest)),
                ("built_at_us", statement.built_at_us.to_string()),
                ("expires_at_us", statement.expires_at_us.to_string()),
                ("signature", signature.clone()),
            ],
            Self::SloSet { selector, thresholds: t } => vec![
                ("selector", selector.to_string()),
                ("errors_hundredths", t.errors_hundredths.to_string()),
                ("p99_us", t.p99_us.to_string()),
                ("backlog", t.backlog.to_string()),
                ("min_settled", t.min_settled.to_string()),
            ],
            Self::PlanSet { selector, plan } => {
                vec![("selector", selector.to_string()), ("steps", plan.to_string())]
            }
            Self::PlanStop { selector } | Self::RampOverride { selector } => {
                vec![("selector", selector.to_string())]
            }
            Self::IncidentAck { incident, comment } | Self::IncidentClose { incident, comment } => {
                vec![("incident", hex(incident)), ("comment", comment.raw().to_owned())]
            }
            Self::TenantCreate { tenant_uid, tenant_id } => {
                vec![("tenant_uid", tenant_uid.to_string()), ("tenant_id", tenant_id.to_string())]
            }
            Self::ProfileCreate { profile } | Self::ProfileAssign { profile } => {
                vec![("profile", profile.to_string())]
            }
            Self::ProfileSet { profile, setting } => vec![
                ("profile", profile.to_string()),
                ("setting", setting.name().to_owned()),
                ("value", setting.value()),
            ],
            Self::ProfileWindow { profile, window, when } => vec![
                ("profile", profile.to_string()),
                ("window", window.to_string()),
                ("when", when.to_string()),
            ],
            Self::ProfileUnwindow { profile, window } => {
                vec![("profile", profile.to_string()), ("window", window.to_string())]
            }
            Self::FreezeSet { freeze, until_us } => vec![
                ("freeze", freeze.to_string()),
                ("until_us", until_us.map_or(NO_END.to_owned(), |u| u.to_string())),
            ],
            Self::FreezeClear { freeze } => vec![("freeze", freeze.to_string())],
            Self::BreakGlassOpen { grant, ticket, minutes } => vec![
                ("grant", grant.to_string()),
                ("ticket", ticket.clone()),
                ("minutes", minutes.to_string()),
            ],
            Self::BreakGlassClose { grant } => vec![("grant", grant.to_string())],
        }
    }

    /// The form in receipts: name, then argument names and values in turn.
    pub fn to_list(&self) -> Vec<String> {
        let mut out = vec![self.name().to_owned()];
        for (k, v) in self.args() {
            out.push(k.to_owned());
            out.push(v);
        }
        out
    }

    /// Reads [`Operation::to_list`]; refuses every other spelling. `None` when it is not an operation of this version.
    pub fn from_list(list: &[String]) -> Option<Self> {
        let (name, rest) = list.split_first()?;
        let values: Vec<&str> = rest.chunks(2).filter_map(|c| Some(c.get(1)?.as_str())).collect();
        let op = Self::from_values(name, &values)?;
        // One spelling: what was read must be written the same.
        (op.to_list() == list).then_some(op)
    }

    #[allow(clippy::too_many_lines)] // one table: each name and its values
    fn from_values(name: &str, values: &[&str]) -> Option<Self> {
        let arg = |i: usize| values.get(i).copied();
        let sel = || arg(0)?.parse::<Selector>().ok();
        let hundredths = || u16::try_from(parse_decimal(arg(1)?)?).ok().filter(|h| *h <= FULL);
        let quota = || QuotaKind::from_name(arg(0)?);
        let limit = || Some(parse_decimal(arg(1)?)?).filter(|l| quota().is_some_and(|k| *l <= k.max()));
        let ident = |i: usize| Ident::new(arg(i)?).ok();
        let uid = || u32::try_from(parse_decimal(arg(0)?)?).ok();
        Some(match name {
            "ramp.set" => Self::RampSet { selector: sel()?, hundredths: hundredths()? },
            "ramp.cap" => Self::RampCap { selector: sel()?, hundredths: hundredths()? },
            "ramp.clear" => Self::RampClear { selector: sel()? },
            "kill.set" => Self::KillSet { selector: sel()?, drain: arg(1)?.parse().ok()? },
            "kill.clear" => Self::KillClear { selector: sel()? },
            "quota.set" => Self::QuotaSet { kind: quota()?, limit: limit()? },
            "quota.cap" => Self::QuotaCap { kind: quota()?, limit: limit()? },
            "workflow.register" => Self::WorkflowRegister { workflow: ident(0)? },
            "workflow.retire" => Self::WorkflowRetire { workflow: ident(0)? },
            "workflow.pin" => Self::WorkflowPin { workflow: ident(0)?, prompt_sha256: unhex(arg(1)?)? },
            "workflow.unpin" => Self::WorkflowUnpin { workflow: ident(0)? },
            "token.issue" => Self::TokenIssue {
                token: arg(0)?.parse().ok()?,
                name: ident(1)?,
                secret_sha256: unhex(arg(2)?)?,
            },
            "token.revoke" => Self::TokenRevoke { token: arg(0)?.parse().ok()? },
            "peer.allow" => Self::PeerAllow { uid: uid()? },
            "peer.deny" => Self::PeerDeny { uid: uid()? },
            "operator.enrol" => Self::OperatorEnrol {
                person: arg(0)?.parse().ok()?,
                name: ident(1)?,
                public_key: arg(2).filter(|k| key_id(k).is_some())?.to_owned(),
                roles: parse_roles(arg(3)?)?,
                proof: arg(4).filter(|p| p.len() <= MAX_PROOF && is_base64(p))?.to_owned(),
            },
            "operator.roles" => Self::OperatorRoles {
                person: arg(0)?.parse().ok()?,
                roles: match arg(1)? {
                    NO_ROLES => BTreeSet::new(),
                    some => parse_roles(some)?,
                },
            },
            "operator.suspend" => Self::OperatorSuspend { person: arg(0)?.parse().ok()? },
            "operator.resume" => Self::OperatorResume { person: arg(0)?.parse().ok()? },
            "operator.revoke" => Self::OperatorRevoke {
                key: arg(0).filter(|k| k.len() == 16 && k.bytes().all(|c| c.is_ascii_hexdigit()))?.to_owned(),
            },
            "policy.trust" => {
                Self::PolicyTrust { public_key: arg(0).filter(|k| key_id(k).is_some())?.to_owned() }
            }
            "policy.load" => Self::PolicyLoad {
                statement: Statement {
                    revision: parse_decimal(arg(0)?).filter(|r| *r > 0)?,
                    digest: unhex(arg(1)?)?,
                    built_at_us: parse_decimal(arg(2)?)?,
                    expires_at_us: parse_decimal(arg(3)?)?,
                },
                signature: arg(4).filter(|p| p.len() <= MAX_PROOF && is_base64(p))?.to_owned(),
            },
            "slo.set" => Self::SloSet {
                selector: sel()?,
                thresholds: Thresholds {
                    errors_hundredths: hundredths().filter(|h| *h > 0 && *h < FULL)?,
                    p99_us: parse_decimal(arg(2)?)?,
                    backlog: parse_decimal(arg(3)?)?,
                    min_settled: parse_decimal(arg(4)?).filter(|n| *n > 0)?,
                },
            },
            "plan.set" => Self::PlanSet { selector: sel()?, plan: arg(1)?.parse().ok()? },
            "plan.stop" => Self::PlanStop { selector: sel()? },
            "ramp.override" => Self::RampOverride { selector: sel()? },
            "incident.ack" => Self::IncidentAck { incident: unhex(arg(0)?)?, comment: comment(arg(1)?)? },
            "incident.close" => Self::IncidentClose { incident: unhex(arg(0)?)?, comment: comment(arg(1)?)? },
            "time.confirm" => {
                Self::TimeConfirm { incident: unhex(arg(0)?)?, now_us: parse_decimal(arg(1)?)? }
            }
            "signer.replace" => {
                Self::SignerReplace { public_key: arg(0).filter(|k| key_id(k).is_some())?.to_owned() }
            }
            "tenant.create" => Self::TenantCreate { tenant_uid: arg(0)?.parse().ok()?, tenant_id: ident(1)? },
            "profile.create" => Self::ProfileCreate { profile: ident(0)? },
            "profile.set" => {
                Self::ProfileSet { profile: ident(0)?, setting: Setting::parse(arg(1)?, arg(2)?)? }
            }
            "profile.window" => {
                Self::ProfileWindow { profile: ident(0)?, window: ident(1)?, when: arg(2)?.parse().ok()? }
            }
            "profile.unwindow" => Self::ProfileUnwindow { profile: ident(0)?, window: ident(1)? },
            "profile.assign" => Self::ProfileAssign { profile: ident(0)? },
            "freeze.set" => Self::FreezeSet {
                freeze: ident(0)?,
                until_us: match arg(1)? {
                    NO_END => None,
                    us => Some(parse_decimal(us)?),
                },
            },
            "freeze.clear" => Self::FreezeClear { freeze: ident(0)? },
            "breakglass.open" => Self::BreakGlassOpen {
                grant: arg(0)?.parse().ok()?,
                ticket: arg(1).filter(|t| is_ticket(t))?.to_owned(),
                minutes: parse_decimal(arg(2)?).filter(|m| (1..=MAX_MINUTES).contains(m))?,
            },
            "usage.correct" => {
                let adjustments: Vec<Adjustment> =
                    values.iter().map(|v| v.parse().ok()).collect::<Option<_>>()?;
                (!adjustments.is_empty()).then_some(Self::UsageCorrect { adjustments })?
            }
            "rate.trust" => {
                Self::RateTrust { public_key: arg(0).filter(|k| key_id(k).is_some())?.to_owned() }
            }
            "rate.load" => {
                let op = Self::RateLoad { card: arg(0)?.to_owned(), signature: arg(1)?.to_owned() };
                let (card, _) = op.rate_card()?;
                cost::RateCard::parse(&card).ok()?;
                op
            }
            "sink.replay" => Self::SinkReplay { sink: ident(0)? },
            "cost.reconcile" => {
                let number = |i: usize| arg(i)?.parse::<i64>().ok();
                Self::CostReconcile {
                    month: month(arg(0)?)?,
                    amounts: [number(1)?, number(2)?, number(3)?],
                    invoice_sha256: unhex(arg(4)?)?,
                }
            }
            "breakglass.close" => Self::BreakGlassClose { grant: arg(0)?.parse().ok()? },
            "config.rollback" => Self::ConfigRollback {
                revision: parse_decimal(arg(0)?)?,
                changes: Some(values.get(1..)?)
                    .filter(|c| !c.is_empty())?
                    .iter()
                    .map(|c| Self::from_words(c))
                    .collect::<Option<_>>()?,
            },
            _ => return None,
        })
    }
}
