//! Receipts for people: every field in words, and one line that says what happened. Agent, console and verifier make
//! these words here, each from the bytes that it has.

use crate::basis_points::{BasisPoints, percent};
use crate::codec::Value;
use crate::fact::{ControlFact, Fact, RampRolledBack, RunDecided, StepDecided, TrafficFact, Verdict, schema};
use crate::http::{FieldJson, ReceiptJson};
use crate::record::{Disclosed, Sealed};
use crate::untrusted::escape;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The argument of an operation that holds the digest of a token's secret.
pub const TOKEN_DIGEST: &str = "secret_sha256";

/// A receipt in words, from its sealed part and the fields that are disclosed, in schema order.
pub fn receipt(sealed: &Sealed, fields: &[Disclosed]) -> ReceiptJson {
    let h = &sealed.header;
    let known = schema(h.kind);
    let whole = fields.len() == sealed.digests.len();
    let values: Vec<Value> = if whole { fields.iter().map(|d| d.value.clone()).collect() } else { vec![] };
    let fact = whole.then(|| Fact::from_values(h.kind, &values).ok().flatten()).flatten();
    let group = |name: &str| {
        let at = known?.fields.iter().position(|f| *f == name)?;
        known?.groups?.get(at).copied()
    };
    ReceiptJson {
        index: h.index,
        time_us: h.time_us,
        kind: h.kind,
        kind_name: known.map_or("unknown", |s| s.name).to_owned(),
        sealed: STANDARD.encode(sealed.to_bytes()),
        fields: fields
            .iter()
            .map(|d| FieldJson {
                name: d.name.clone(),
                disclosure: STANDARD.encode(d.to_bytes()),
                shown: field_text(&d.value, group(&d.name)),
            })
            .collect(),
        summary: match &fact {
            Some(fact) => summary(fact),
            None if known.is_none() || whole => "a fact newer than this program".to_owned(),
            None if fields.is_empty() => "erased".to_owned(),
            None => "parts of it are withheld".to_owned(),
        },
        verdict: fact.as_ref().and_then(verdict),
    }
}

/// What was decided, where something was.
pub fn verdict(fact: &Fact) -> Option<Verdict> {
    match fact {
        Fact::Traffic(TrafficFact::RunDecided(f)) => Some(f.verdict),
        Fact::Traffic(TrafficFact::StepDecided(f)) => Some(f.verdict),
        Fact::Traffic(
            TrafficFact::RequestDenied(_) | TrafficFact::DenialsFolded(_) | TrafficFact::CommandDenied(_),
        )
        | Fact::Control(ControlFact::Abandoned(_)) => Some(Verdict::Deny),
        _ => None,
    }
}

fn field_text(value: &Value, names: Option<&[&str]>) -> String {
    match (value, names) {
        (Value::List(items), Some(names)) => {
            items.iter().zip(names).map(|(v, n)| format!("{n}={v}")).collect::<Vec<_>>().join(" ")
        }
        (Value::Bytes(b), None) if is_signed_text(b) => {
            Value::Text(String::from_utf8_lossy(b).into_owned()).to_string()
        }
        (v, _) => v.to_string(),
    }
}

/// A snapshot begins like a text, and is none.
fn is_signed_text(bytes: &[u8]) -> bool {
    bytes.starts_with(b"conductor/") && !bytes.contains(&0)
}

/// One line that says what happened, safe to show.
pub fn summary(fact: &Fact) -> String {
    match fact {
        Fact::Traffic(t) => traffic(t),
        Fact::Control(c) => control(c),
    }
}

fn short(id: &[u8]) -> String {
    crate::ids::hex(&id[..4])
}

fn traffic(fact: &TrafficFact) -> String {
    match fact {
        TrafficFact::RunDecided(f) => run_decided(f),
        TrafficFact::StepDecided(f) => step_decided(f),
        TrafficFact::StepFinished(f) => {
            format!("step {} of run {} {} after {} us", f.step, short(&f.run.0), f.outcome, f.claimed_us)
        }
        TrafficFact::RunFinished(f) => format!("run {} of {} {}", short(&f.run.0), f.workflow, f.outcome),
        TrafficFact::LeaseRenewed(f) => format!("run {} is alive", short(&f.run.0)),
        TrafficFact::HeartbeatsFolded(f) => {
            let least = if f.count_lower_bound { "at least " } else { "" };
            format!(
                "run {} was lost after {least}{} heartbeats without receipts of their own",
                short(&f.run.0),
                f.count
            )
        }
        TrafficFact::ApprovalDecided(f) => {
            let (name, by) = (f.name.escaped(60), f.approver.escaped(60));
            let answer = if f.approved { "approved" } else { "rejected" };
            format!("{name} {answer} by {by} in run {}", short(&f.run.0))
        }
        TrafficFact::LateSettle(f) => {
            format!("run {} said {} too late: it is {}", short(&f.run.0), f.outcome, f.ended_as)
        }
        TrafficFact::RequestDenied(f) => {
            let (operation, principal) = (escape(&f.operation, 40), escape(&f.principal, 60));
            let (why, named) = (f.reasons.0.join(", "), f.named_tenant.escaped(63));
            format!("{operation} by {principal} denied: {why} (named tenant {named})")
        }
        TrafficFact::CommandDenied(f) => {
            let (operation, object) = (escape(&f.operation, 40), f.object.escaped(80));
            let why = f.reasons.0.join(", ");
            format!("{operation} by person {} about {object} denied: {why}", short(&f.person.0))
        }
        TrafficFact::DenialsFolded(f) => {
            let least = if f.count_lower_bound { "at least " } else { "" };
            format!("the denial at {} came {least}{} more times", f.first, f.count)
        }
    }
}

fn run_decided(f: &RunDecided) -> String {
    if f.verdict == Verdict::Allow {
        return format!("run {} of {} ({}) allowed", short(&f.run.0), f.workflow, f.env);
    }
    let ramp = match f.rule.as_str() {
        "" => String::new(),
        rule => format!(" (ramp {rule} at {}, bucket {})", basis_points(f.ramp), f.bucket),
    };
    format!("run of {} ({}) denied: {}{ramp}", f.workflow, f.env, f.reasons.0.join(", "))
}

fn step_decided(f: &StepDecided) -> String {
    let (name, run) = (f.name.escaped(60), short(&f.run.0));
    match f.verdict {
        Verdict::Allow => format!("step {} {name} of run {run} allowed", f.step),
        Verdict::Deny => format!("step {name} of run {run} denied: {}", f.reasons.0.join(", ")),
    }
}

fn control(fact: &ControlFact) -> String {
    match fact {
        ControlFact::LogOpened(f) => format!("log opened: {}", escape(&f.reason, 60)),
        ControlFact::OperatorEnrolled(f) => format!("operator {} enrolled", f.name),
        ControlFact::BootstrapClosed(f) => format!("bootstrap closed with {} persons", f.persons),
        ControlFact::SignerPinned(_) => "signer's key pinned".to_owned(),
        ControlFact::TenantCreated(f) => format!("tenant {} created", f.tenant_id),
        ControlFact::Changed(f) => format!("{} ({}): {}", change(&f.change.0), f.class, f.why.escaped(100)),
        ControlFact::Proposed(f) => format!("proposed: {}: {}", change(&f.change.0), f.why.escaped(100)),
        ControlFact::Effective(f) => format!("the proposal at {} took effect", f.proposal),
        ControlFact::Abandoned(f) => {
            format!("the proposal at {} was abandoned: {}", f.proposal, escape(&f.why, 60))
        }
        ControlFact::Requested(f) => {
            format!("asked for, needs {} more: {}: {}", f.needed, change(&f.change.0), f.why.escaped(100))
        }
        ControlFact::Approved(f) => format!("the request at {} was approved by {}", f.request, f.person),
        ControlFact::RequestClosed(f) => {
            format!("the request at {} was closed: {}", f.request, escape(&f.why, 60))
        }
        ControlFact::FreezeBegan(f) => format!("freeze window {}/{} opened", f.profile, f.window),
        ControlFact::FreezeEnded(f) => format!("freeze window {}/{} closed", f.profile, f.window),
        ControlFact::FreezeOver(f) => format!("the time of freeze {} is over", f.freeze),
        ControlFact::BreakGlassUsed(f) => {
            format!("under break-glass {}: command {}", short(&f.grant.0), f.command_id)
        }
        ControlFact::BreakGlassOver(f) => format!("the time of break-glass {} is over", short(&f.grant.0)),
        ControlFact::StateSnapshot(f) => {
            format!("snapshot of the control state, digest {}, {} bytes", short(&f.digest), f.state.len())
        }
        ControlFact::IncidentOpened(f) => format!("incident {}: {}", f.cause, f.detail.escaped(100)),
        ControlFact::IncidentClosed(f) => format!("incident closed: {}", f.detail.escaped(100)),
        ControlFact::IncidentEvidence(f) => {
            let unnoticed = f.detected_us.saturating_sub(f.began_us) / 1_000;
            format!("incident noticed {unnoticed} ms after it began; {} receipts", f.receipts.0.len())
        }
        ControlFact::RampAdvanced(f) => {
            let (selector, to) = (escape(&f.selector, 130), basis_points(f.hundredths));
            format!("the plan of {selector} went on to {to}: {} runs, {} failed", f.settled, f.failed)
        }
        ControlFact::RampRolledBack(f) => rolled_back(f),
        ControlFact::AgentStarted(f) => {
            format!("agent {} started with {} open runs", escape(&f.version, 20), f.open_runs)
        }
    }
}

fn rolled_back(f: &RampRolledBack) -> String {
    let (selector, from, to) = (escape(&f.selector, 130), basis_points(f.from), basis_points(f.to));
    let (cause, settled, failed) = (&f.cause, f.settled, f.failed);
    format!("{selector} rolled back from {from} to {to} ({cause}): {settled} runs, {failed} failed")
}

fn basis_points(n: u64) -> String {
    percent(BasisPoints::try_from(n).unwrap_or_default())
}

fn change(list: &[String]) -> String {
    let (name, args) = list.split_first().map_or(("", &[][..]), |(n, a)| (n.as_str(), a));
    // The digest of a token's secret tells people nothing, and not everybody who reads this may see it.
    let told = args.chunks(2).filter(|pair| pair[0] != TOKEN_DIGEST);
    let values: Vec<String> = told.filter_map(|c| c.get(1)).map(|v| escape(v, 63)).collect();
    format!("{} {}", escape(name, 40), values.join(" "))
}
