//! Receipts for people: as JSON with every field, and as one line that says what happened.

use super::Receipt;
use super::redact::{TOKEN_DIGEST, closed};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::access::Sight;
use conductor_shared::basis_points::{BasisPoints, percent};
use conductor_shared::codec::Value;
use conductor_shared::fact::{
    ControlFact, Fact, RampRolledBack, RunDecided, StepDecided, TrafficFact, Verdict, schema,
};
use conductor_shared::http::{FieldJson, ReceiptJson};
use conductor_shared::record::{Disclosed, salt};
use conductor_shared::untrusted::escape;

/// A receipt for whoever checks it: words that cannot be derived from what is disclosed are not there.
pub fn proof_json(r: &Receipt, sight: Sight) -> ReceiptJson {
    let mut json = read_json(r, sight);
    if r.fact.as_ref().is_some_and(|f| closed(f, sight).iter().any(|name| has_field(f, name))) {
        json.summary = String::new();
        json.verdict = None;
    }
    json
}

fn has_field(fact: &Fact, name: &str) -> bool {
    schema(fact.kind()).is_some_and(|s| s.fields.contains(&name))
}

/// A receipt as the API lists it, with the fields that this sight shows.
pub fn read_json(r: &Receipt, sight: Sight) -> ReceiptJson {
    let h = &r.sealed.header;
    let known = schema(h.kind);
    let closed = r.fact.as_ref().map_or(&[][..], |f| closed(f, sight));
    let fields = match (&r.body, known) {
        (Some(body), Some(s)) => s
            .fields
            .iter()
            .zip(&body.values)
            .enumerate()
            .filter(|(_, (name, _))| !closed.contains(name))
            .map(|(n, (name, value))| {
                let d = Disclosed {
                    name: (*name).to_owned(),
                    value: value.clone(),
                    salt: salt(&body.seed, name),
                };
                FieldJson {
                    name: (*name).to_owned(),
                    disclosure: STANDARD.encode(d.to_bytes()),
                    shown: field_text(value, s.groups.and_then(|g| g.get(n).copied())),
                }
            })
            .collect(),
        _ => Vec::new(),
    };
    let verdict = match &r.fact {
        Some(Fact::Traffic(TrafficFact::RunDecided(f))) => Some(f.verdict),
        Some(Fact::Traffic(TrafficFact::StepDecided(f))) => Some(f.verdict),
        Some(
            Fact::Traffic(
                TrafficFact::RequestDenied(_) | TrafficFact::DenialsFolded(_) | TrafficFact::CommandDenied(_),
            )
            | Fact::Control(ControlFact::Abandoned(_)),
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

fn field_text(value: &Value, names: Option<&[&str]>) -> String {
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
pub fn summary(r: &Receipt) -> String {
    match &r.fact {
        Some(Fact::Traffic(t)) => traffic(t),
        Some(Fact::Control(c)) => control(c),
        None if r.body.is_none() => "erased".to_owned(),
        None => "a fact newer than this agent".to_owned(),
    }
}

fn short(id: &[u8]) -> String {
    conductor_shared::ids::hex(&id[..4])
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
