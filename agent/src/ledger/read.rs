//! Reading receipts back: opened, checked against their own commitments, and made fit for people.

use super::Partition;
use crate::keys::{self, KeyError};
use crate::store::{Row, Store, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::codec::{Reader, Value};
use conductor_shared::fact::{ControlFact, Fact, TrafficFact, Verdict, schema};
use conductor_shared::http::{FieldJson, ReceiptJson};
use conductor_shared::ramp::percent;
use conductor_shared::record::{Body, Disclosed, Sealed, salt};
use std::ops::Range;

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key store.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

/// A receipt as stored.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Header and digests.
    pub sealed: Sealed,
    /// Seed and values; `None` when its unit key was destroyed.
    pub body: Option<Body>,
    /// The fact; `None` when erased, or of a kind this program does not know.
    pub fact: Option<Fact>,
    /// Sealed bytes.
    pub stored: u64,
}

/// One receipt. It must be there.
pub fn read_receipt(store: &Store, p: &Partition, index: u64) -> Result<Receipt, ReadError> {
    let key = Row::Receipt(index).key();
    let row = store.get(&p.family, &key)?.ok_or_else(|| p.damaged(&key, "a receipt is missing"))?;
    decode(p, index, &row)
}

/// Indexes of control facts in a range, in order, so many at most.
pub fn control_facts(
    store: &Store,
    p: &Partition,
    range: Range<u64>,
    most: usize,
) -> Result<Vec<u64>, ReadError> {
    let mut out = Vec::new();
    store.scan(&p.family, &Row::Control(range.start).scan_from(), |row, _| {
        match row {
            Row::Control(index) if index < range.end && out.len() < most => out.push(index),
            _ => return false,
        }
        true
    })?;
    Ok(out)
}

/// Opens and checks the row of a receipt.
pub(super) fn decode(p: &Partition, index: u64, row: &[u8]) -> Result<Receipt, ReadError> {
    let key = Row::Receipt(index).key();
    let bad = |what: &str| p.damaged(&key, what);
    let mut r = Reader(row);
    let head = r.prefixed().map_err(|e| bad(&e.to_string()))?;
    let sealed = Sealed::from_bytes(&p.open(&key, head)?).map_err(|e| bad(&e.to_string()))?;
    if sealed.header.origin != p.origin || sealed.header.index != index {
        return Err(bad("a receipt of another place"));
    }
    let number = keys::key_number(r.0).map_err(|e| bad(&e.to_string()))?;
    let body = match p.open(&key, r.0) {
        Ok(plain) => {
            Some(Body::from_bytes(&plain, sealed.header.commitments).map_err(|e| bad(&e.to_string()))?)
        }
        Err(ReadError::Keys(KeyError::Gone { unit, .. })) if unit == number => None,
        Err(e) => return Err(e),
    };
    let fact = match (&body, schema(sealed.header.kind)) {
        (Some(body), Some(s)) => {
            if body.digests(s.fields) != sealed.digests {
                return Err(bad("values differ from what was committed to"));
            }
            Fact::from_values(sealed.header.kind, &body.values).map_err(|e| bad(&e.to_string()))?
        }
        _ => None,
    };
    Ok(Receipt { sealed, body, fact, stored: row.len() as u64 })
}

/// A receipt as the API gives it.
pub fn read_json(r: &Receipt) -> ReceiptJson {
    let h = &r.sealed.header;
    let known = schema(h.kind);
    let fields = match (&r.body, known) {
        (Some(body), Some(s)) => s
            .fields
            .iter()
            .zip(&body.values)
            .enumerate()
            .map(|(n, (name, value))| {
                let d = Disclosed {
                    name: (*name).to_owned(),
                    value: value.clone(),
                    salt: salt(&body.seed, name),
                };
                FieldJson {
                    name: (*name).to_owned(),
                    disclosure: STANDARD.encode(d.to_bytes()),
                    shown: escape(value, s.groups.and_then(|g| g.get(n).copied())),
                }
            })
            .collect(),
        _ => Vec::new(),
    };
    let verdict = match &r.fact {
        Some(Fact::Traffic(TrafficFact::RunDecided(f))) => Some(f.verdict),
        Some(Fact::Traffic(TrafficFact::StepDecided(f))) => Some(f.verdict),
        Some(
            Fact::Traffic(TrafficFact::RequestDenied(_) | TrafficFact::DenialsFolded(_))
            | Fact::Control(ControlFact::CommandDenied(_) | ControlFact::Abandoned(_)),
        ) => Some(Verdict::Deny),
        _ => None,
    };
    ReceiptJson {
        index: h.index,
        time_us: h.time_us,
        kind: h.kind,
        kind_name: known.map_or("unknown", |s| s.name).to_owned(),
        sealed: STANDARD.encode(r.sealed.to_bytes()),
        fields,
        summary: summary(r),
        verdict,
    }
}

fn escape(value: &Value, names: Option<&[&str]>) -> String {
    match (value, names) {
        (Value::List(items), Some(names)) => {
            items.iter().zip(names).map(|(v, n)| format!("{n}={v}")).collect::<Vec<_>>().join(" ")
        }
        (Value::Bytes(b), None) if b.starts_with(b"conductor/") => {
            Value::Text(String::from_utf8_lossy(b).into_owned()).to_string()
        }
        (v, _) => v.to_string(),
    }
}

/// One line that says what happened, safe to show.
#[allow(clippy::too_many_lines)] // one arm for each kind of fact
pub fn summary(r: &Receipt) -> String {
    let Some(fact) = &r.fact else {
        return if r.body.is_none() { "erased" } else { "a fact newer than this agent" }.to_owned();
    };
    let short = |id: &[u8]| conductor_shared::ids::hex(&id[..4]);
    let because = |reasons: &[String]| reasons.join(", ");
    match fact {
        Fact::Traffic(t) => match t {
            TrafficFact::RunDecided(f) if f.verdict == Verdict::Allow => {
                format!("run {} of {} ({}) allowed", short(&f.run.0), f.workflow, f.env)
            }
            TrafficFact::RunDecided(f) => {
                let ramp = if f.rule.is_empty() {
                    String::new()
                } else {
                    format!(
                        " (ramp {} at {}, bucket {})",
                        f.rule,
                        percent(u16::try_from(f.ramp).unwrap_or(0)),
                        f.bucket
                    )
                };
                format!("run of {} ({}) denied: {}{ramp}", f.workflow, f.env, because(&f.reasons.0))
            }
            TrafficFact::StepDecided(f) if f.verdict == Verdict::Allow => {
                format!("step {} {} of run {} allowed", f.step, f.name.escaped(60), short(&f.run.0))
            }
            TrafficFact::StepDecided(f) => {
                format!(
                    "step {} of run {} denied: {}",
                    f.name.escaped(60),
                    short(&f.run.0),
                    because(&f.reasons.0)
                )
            }
            TrafficFact::StepFinished(f) => {
                format!("step {} of run {} {} after {} us", f.step, short(&f.run.0), f.outcome, f.claimed_us)
            }
            TrafficFact::RunFinished(f) => format!("run {} of {} {}", short(&f.run.0), f.workflow, f.outcome),
            TrafficFact::LeaseRenewed(f) => format!("run {} is alive", short(&f.run.0)),
            TrafficFact::ApprovalDecided(f) => format!(
                "{} {} by {} in run {}",
                f.name.escaped(60),
                if f.approved { "approved" } else { "rejected" },
                f.approver.escaped(60),
                short(&f.run.0)
            ),
            TrafficFact::LateSettle(f) => {
                format!("run {} said {} too late: it is {}", short(&f.run.0), f.outcome, f.ended_as)
            }
            TrafficFact::RequestDenied(f) => format!(
                "{} by {} denied: {} (named tenant {})",
                conductor_shared::untrusted::escape(&f.operation, 40),
                conductor_shared::untrusted::escape(&f.principal, 60),
                because(&f.reasons.0),
                f.named_tenant.escaped(63)
            ),
            TrafficFact::DenialsFolded(f) => {
                let least = if f.count_lower_bound { "at least " } else { "" };
                format!("the denial at {} came {least}{} more times", f.first, f.count)
            }
        },
        Fact::Control(c) => match c {
            ControlFact::LogOpened(f) => {
                format!("log opened: {}", conductor_shared::untrusted::escape(&f.reason, 60))
            }
            ControlFact::OperatorEnrolled(f) => format!("operator {} enrolled", f.name),
            ControlFact::BootstrapClosed(f) => format!("bootstrap closed with {} persons", f.persons),
            ControlFact::SignerPinned(_) => "signer's key pinned".to_owned(),
            ControlFact::TenantCreated(f) => format!("tenant {} created", f.tenant_id),
            ControlFact::Changed(f) => {
                format!("{} ({}): {}", change(&f.change.0), f.class, f.why.escaped(100))
            }
            ControlFact::Proposed(f) => format!("proposed: {}: {}", change(&f.change.0), f.why.escaped(100)),
            ControlFact::Effective(f) => format!("the proposal at {} took effect", f.proposal),
            ControlFact::Abandoned(f) => format!(
                "the proposal at {} was abandoned: {}",
                f.proposal,
                conductor_shared::untrusted::escape(&f.why, 60)
            ),
            ControlFact::Requested(f) => {
                format!("asked for, needs {} more: {}: {}", f.needed, change(&f.change.0), f.why.escaped(100))
            }
            ControlFact::Approved(f) => format!("the request at {} was approved by {}", f.request, f.person),
            ControlFact::RequestClosed(f) => {
                let why = conductor_shared::untrusted::escape(&f.why, 60);
                format!("the request at {} was closed: {why}", f.request)
            }
            ControlFact::FreezeBegan(f) => format!("freeze window {}/{} opened", f.profile, f.window),
            ControlFact::FreezeEnded(f) => format!("freeze window {}/{} closed", f.profile, f.window),
            ControlFact::FreezeOver(f) => format!("the time of freeze {} is over", f.freeze),
            ControlFact::BreakGlassUsed(f) => {
                format!("under break-glass {}: command {}", short(&f.grant.0), f.command_id)
            }
            ControlFact::BreakGlassOver(f) => {
                format!("the time of break-glass {} is over", short(&f.grant.0))
            }
            ControlFact::IncidentOpened(f) => format!("incident {}: {}", f.cause, f.detail.escaped(100)),
            ControlFact::IncidentClosed(f) => format!("incident closed: {}", f.detail.escaped(100)),
            ControlFact::IncidentEvidence(f) => {
                let unnoticed = f.detected_us.saturating_sub(f.began_us) / 1_000;
                format!("incident noticed {unnoticed} ms after it began; {} receipts", f.receipts.0.len())
            }
            ControlFact::RampAdvanced(f) => format!(
                "the plan of {} went on to {}: {} runs, {} failed",
                conductor_shared::untrusted::escape(&f.selector, 130),
                percent(u16::try_from(f.hundredths).unwrap_or(0)),
                f.settled,
                f.failed
            ),
            ControlFact::RampRolledBack(f) => format!(
                "{} rolled back from {} to {} ({}): {} runs, {} failed",
                conductor_shared::untrusted::escape(&f.selector, 130),
                percent(u16::try_from(f.from).unwrap_or(0)),
                percent(u16::try_from(f.to).unwrap_or(0)),
                f.cause,
                f.settled,
                f.failed
            ),
            ControlFact::AgentStarted(f) => {
                format!(
                    "agent {} started with {} open runs",
                    conductor_shared::untrusted::escape(&f.version, 20),
                    f.open_runs
                )
            }
            ControlFact::CommandDenied(f) => format!("command denied: {}", because(&f.reasons.0)),
        },
    }
}

fn change(list: &[String]) -> String {
    let (name, args) = list.split_first().map_or(("", &[][..]), |(n, a)| (n.as_str(), a));
    let values: Vec<String> =
        args.chunks(2).filter_map(|c| c.get(1)).map(|v| conductor_shared::untrusted::escape(v, 63)).collect();
    format!("{} {}", conductor_shared::untrusted::escape(name, 40), values.join(" "))
}
