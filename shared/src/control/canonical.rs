//! The canonical encoding of control state, which its digest is over and which snapshots hold. Version 4.
//!
//! It is built from the values of [`crate::codec`]: integers, bytes, text and lists.
//!
//! - It begins with the domain tag `conductor/control-state/v4` and one zero byte; the value of the state follows. The digest
//!   is SHA-256 over all of it.
//! - A structure is a list of field numbers (`U64`) and values in turn, in rising order of the numbers.
//! - A field is left out while it has the value that it has where nothing was ever set: zero, false, empty text, an
//!   empty list, no value, or the default that is named here (quotas, thresholds, profiles). So a new field changes no
//!   digest of a log that does not use it. An optional field that is set is written, even if its value is zero.
//! - A map is a list of keys and values in turn, in rising order of the keys. A set is a list of its items in order.
//! - An id, a key id and a SHA-256 digest are bytes. A command is a list of its person and its id.
//! - A word of a closed list, a selector, a plan and a freeze window are their one public text.
//!
//! A number that a field had is never used for another. Each function takes its type apart without `..`, so that a new
//! field does not compile until it is written here, and read in `read.rs`. The defaults are part of the version: to change
//! one is a break. Field 3 of an acknowledgement was its comment until version 3.

mod read;

pub use read::StateError;

use super::{
    Acknowledged, CommandKey, ControlState, Incident, Pending, PlanState, Redelivery, Request, TenantEntry,
    TimeConfirmed, Token,
};
use crate::codec::{Canon, Value};
use crate::cost::{Amounts, RateCard, Reconciled};
use crate::ids::KeyId;
use crate::operator::OperatorKey;
use crate::policy::LoadedBundle;
use crate::profile::{BreakGlass, Freeze, PolicyOutage, Profile};
use crate::quota::{Grant, Quotas};
use crate::ramp::{Kill, Ramp};
use crate::slo::Thresholds;
use sha2::{Digest, Sha256};

/// What the tags of all versions begin with.
const FAMILY: &[u8] = b"conductor/control-state/v";
const TAG: &[u8] = b"conductor/control-state/v4\0";

/// Maximum length of an encoded state that is read back, bytes. A log that holds the most of everything that is limited
/// has less, unless it also remembers tens of thousands of commands.
pub const MAX_STATE: usize = 4 << 20;

impl ControlState {
    /// The canonical bytes, with the domain tag.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = TAG.to_vec();
        state(self).put(&mut bytes);
        bytes
    }

    /// Digest of the whole state. The same facts give the same digest, in every release.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }
}

/// The fields of one structure.
#[derive(Default)]
struct Fields(Vec<Value>);

impl Fields {
    /// Writes a field, unless it is zero, false or empty.
    fn put(self, number: u64, v: Value) -> Self {
        let empty = match &v {
            Value::U64(n) => *n == 0,
            Value::I64(n) => *n == 0,
            Value::Bytes(b) => b.is_empty(),
            Value::Text(t) => t.is_empty(),
            Value::List(items) => items.is_empty(),
        };
        self.some(number, (!empty).then_some(v))
    }

    /// Writes a field if it is set.
    fn some(mut self, number: u64, v: Option<Value>) -> Self {
        if let Some(v) = v {
            self.0.extend([Value::U64(number), v]);
        }
        self
    }

    /// Writes a field, unless it has its default.
    fn unless(self, number: u64, v: Value, default: &Value) -> Self {
        let set = (v != *default).then_some(v);
        self.some(number, set)
    }

    fn end(self) -> Value {
        debug_assert!(self.0.chunks(2).is_sorted_by(|a, b| number(a) < number(b)), "numbers rise");
        Value::List(self.0)
    }
}

fn number(field: &[Value]) -> u64 {
    match field.first() {
        Some(Value::U64(n)) => *n,
        _ => 0,
    }
}

fn text(t: &str) -> Value {
    Value::Text(t.to_owned())
}

fn small(n: impl Into<u64>) -> Value {
    Value::U64(n.into())
}

fn shown(t: &impl ToString) -> Value {
    Value::Text(t.to_string())
}

fn list<T>(items: impl IntoIterator<Item = T>, value: impl Fn(T) -> Value) -> Value {
    Value::List(items.into_iter().map(value).collect())
}

fn map<K, V>(
    entries: impl IntoIterator<Item = (K, V)>,
    key: impl Fn(K) -> Value,
    value: impl Fn(V) -> Value,
) -> Value {
    Value::List(entries.into_iter().flat_map(|(k, v)| [key(k), value(v)]).collect())
}

#[allow(clippy::too_many_lines)] // one table: each field of the state and its number
fn state(s: &ControlState) -> Value {
    let ControlState {
        name,
        revision,
        last,
        newer,
        quotas,
        ramps,
        kills,
        workflows,
        prompts,
        tokens,
        peers,
        pending,
        requests,
        commands,
        objects,
        objects_before,
        incidents,
        plans,
        slos,
        bad,
        operators,
        bootstrap_closed,
        signer_key,
        time_confirmed,
        policy_key,
        policy,
        tenants,
        profiles,
        active_windows,
        profile,
        freezes,
        break_glass,
        opened_alone,
        corrections,
        reconciled,
        sink_replays,
        sink_redeliveries,
        billing_key,
        rate_cards,
    } = s;
    let open_windows = |w| map(w, Canon::to_value, Canon::to_value);
    Fields::default()
        .some(1, name.as_ref().map(Canon::to_value))
        .put(2, small(*revision))
        .some(3, last.map(Value::U64))
        .put(4, newer.to_value())
        .put(5, self::quotas(quotas))
        .put(6, map(ramps, shown, ramp))
        .put(7, map(kills, shown, kill))
        .put(8, list(workflows, Canon::to_value))
        .put(9, map(prompts, Canon::to_value, Canon::to_value))
        .put(10, map(tokens, Canon::to_value, token))
        .put(11, list(peers, |p| small(*p)))
        .put(12, map(pending, command_key, self::pending))
        .put(13, map(requests, command_key, request))
        .put(14, map(commands, command_key, Canon::to_value))
        .put(15, map(incidents, Canon::to_value, incident))
        .put(16, map(plans, shown, plan))
        .put(17, map(slos, shown, thresholds))
        .put(18, map(bad, shown, |h| small(h.get())))
        .put(19, map(operators, key_id, operator))
        .put(20, bootstrap_closed.to_value())
        .some(21, signer_key.as_ref().map(Canon::to_value))
        .some(22, time_confirmed.as_ref().map(self::time_confirmed))
        .some(23, policy_key.as_ref().map(Canon::to_value))
        .some(24, policy.as_ref().map(bundle))
        .put(25, map(tenants, Canon::to_value, tenant))
        .put(26, map(profiles, Canon::to_value, self::profile))
        .put(27, map(active_windows, Canon::to_value, open_windows))
        .some(28, profile.as_ref().map(Canon::to_value))
        .put(29, map(freezes, Canon::to_value, freeze))
        .some(30, break_glass.as_ref().map(self::break_glass))
        .put(31, map(opened_alone, Canon::to_value, |times| list(times, Canon::to_value)))
        .put(32, small(*corrections))
        .put(33, map(reconciled, Canon::to_value, self::reconciled))
        .put(34, map(sink_replays, Canon::to_value, Canon::to_value))
        .some(35, billing_key.as_ref().map(Canon::to_value))
        .put(36, list(rate_cards, rate_card))
        .put(37, map(objects, Canon::to_value, Canon::to_value))
        .put(38, small(*objects_before))
        .put(39, map(sink_redeliveries, Canon::to_value, |ranges| list(ranges.all(), redelivery)))
        .end()
}

fn redelivery(r: &Redelivery) -> Value {
    let Redelivery { number, from, to } = r;
    Fields::default().put(1, small(*number)).put(2, small(*from)).put(3, small(*to)).end()
}

fn quotas(q: &Quotas) -> Value {
    let Quotas { concurrent_runs, step_rate, step_burst, receipt_backlog, evidence_bytes } = q;
    let default = Quotas::default();
    Fields::default()
        .unless(1, grant(concurrent_runs), &grant(&default.concurrent_runs))
        .unless(2, grant(step_rate), &grant(&default.step_rate))
        .unless(3, grant(step_burst), &grant(&default.step_burst))
        .unless(4, grant(receipt_backlog), &grant(&default.receipt_backlog))
        .unless(5, grant(evidence_bytes), &grant(&default.evidence_bytes))
        .end()
}

fn grant(g: &Grant) -> Value {
    let Grant { limit, granted } = g;
    Fields::default().put(1, small(*limit)).put(2, small(*granted)).end()
}

fn ramp(r: &Ramp) -> Value {
    let Ramp { hundredths, revision, history } = r;
    Fields::default()
        .put(1, small(hundredths.get()))
        .put(2, small(*revision))
        .put(3, list(history, |h| small(h.get())))
        .end()
}

fn kill(k: &Kill) -> Value {
    let Kill { drain } = k;
    Fields::default().put(1, drain.to_value()).end()
}

fn key_id(k: &KeyId) -> Value {
    Value::Bytes(k.0.to_vec())
}

fn command_key(k: &CommandKey) -> Value {
    let CommandKey { person, command } = k;
    list([person.to_value(), command.to_value()], |id| id)
}

fn token(t: &Token) -> Value {
    let Token { name, secret_sha256, revoked } = t;
    Fields::default()
        .put(1, name.to_value())
        .put(2, secret_sha256.to_value())
        .put(3, revoked.to_value())
        .end()
}

fn pending(p: &Pending) -> Value {
    let Pending { index, change, person, digest, approved, key } = p;
    Fields::default()
        .put(1, small(*index))
        .put(2, list(change, Canon::to_value))
        .put(3, person.to_value())
        .put(4, list(approved, Canon::to_value))
        .put(5, digest.to_value())
        .some(6, key.as_ref().map(key_id))
        .end()
}

fn request(r: &Request) -> Value {
    let Request { index, change, class, person, digest, node_size, needed, expires_at_us, approvals } = r;
    Fields::default()
        .put(1, small(*index))
        .put(2, list(change, Canon::to_value))
        .put(3, text(class.as_str()))
        .put(4, person.to_value())
        .put(5, digest.to_value())
        .put(6, small(*node_size))
        .put(7, small(*needed))
        .put(8, small(*expires_at_us))
        .put(9, map(approvals, Canon::to_value, key_id))
        .end()
}

fn incident(i: &Incident) -> Value {
    let Incident { cause, index, since_us, began_us, detected_us, receipts, acknowledged, review_of } = i;
    Fields::default()
        .put(1, shown(cause))
        .put(2, small(*index))
        .put(3, small(*since_us))
        .some(4, began_us.map(Value::U64))
        .some(5, detected_us.map(Value::U64))
        .put(6, list(receipts, Canon::to_value))
        .some(7, acknowledged.as_ref().map(self::acknowledged))
        .some(8, review_of.as_ref().map(Canon::to_value))
        .end()
}

fn acknowledged(a: &Acknowledged) -> Value {
    let Acknowledged { person, at_us, receipt } = a;
    Fields::default().put(1, person.to_value()).put(2, small(*at_us)).put(4, small(*receipt)).end()
}

fn plan(p: &PlanState) -> Value {
    let PlanState { steps, at, revision, key } = p;
    let known = Fields::default().put(1, steps.to_value()).put(2, small(*at)).put(3, small(*revision));
    known.some(4, key.as_ref().map(key_id)).end()
}

fn thresholds(t: &Thresholds) -> Value {
    let Thresholds { errors_hundredths, p99_us, backlog, min_settled } = t;
    let default = Thresholds::default();
    Fields::default()
        .unless(1, small(errors_hundredths.get()), &small(default.errors_hundredths.get()))
        .unless(2, small(*p99_us), &small(default.p99_us))
        .unless(3, small(*backlog), &small(default.backlog))
        .unless(4, small(*min_settled), &small(default.min_settled))
        .end()
}

fn operator(k: &OperatorKey) -> Value {
    let OperatorKey { person, name, public_key, roles, since, roles_since, suspended, revoked } = k;
    Fields::default()
        .put(1, person.to_value())
        .put(2, name.to_value())
        .put(3, public_key.to_value())
        .put(4, list(roles, |r| Value::Text(r.word())))
        .put(5, small(*since))
        .some(6, roles_since.map(Value::U64))
        .put(7, suspended.to_value())
        .some(8, revoked.map(Value::U64))
        .end()
}

fn time_confirmed(t: &TimeConfirmed) -> Value {
    let TimeConfirmed { logged_us, said_us } = t;
    Fields::default().put(1, small(*logged_us)).put(2, small(*said_us)).end()
}

fn bundle(b: &LoadedBundle) -> Value {
    let LoadedBundle { revision, digest, expires_at_us } = b;
    Fields::default().put(1, small(*revision)).put(2, digest.to_value()).put(3, small(*expires_at_us)).end()
}

fn tenant(t: &TenantEntry) -> Value {
    let TenantEntry { name, epoch } = t;
    Fields::default().put(1, name.to_value()).put(2, small(*epoch)).end()
}

fn profile(p: &Profile) -> Value {
    let Profile { windows, break_glass_alone, policy_outage, last_known_s } = p;
    let default = Profile::default();
    let outage = |p| match p {
        PolicyOutage::Deny => text("deny"),
        PolicyOutage::LastKnown => text("last_known"),
    };
    Fields::default()
        .put(1, map(windows, Canon::to_value, shown))
        .unless(2, break_glass_alone.to_value(), &default.break_glass_alone.to_value())
        .unless(3, outage(*policy_outage), &outage(default.policy_outage))
        .unless(4, small(*last_known_s), &small(default.last_known_s))
        .end()
}

fn freeze(f: &Freeze) -> Value {
    let Freeze { until_us } = f;
    Fields::default().some(1, until_us.map(Value::U64)).end()
}

fn break_glass(g: &BreakGlass) -> Value {
    let BreakGlass { grant, ticket, minutes, person, alone, opened_us, used } = g;
    Fields::default()
        .put(1, grant.to_value())
        .put(2, ticket.to_value())
        .put(3, small(*minutes))
        .some(4, person.as_ref().map(Canon::to_value))
        .put(5, alone.to_value())
        .put(6, small(*opened_us))
        .put(7, small(*used))
        .end()
}

fn reconciled(r: &Reconciled) -> Value {
    let Reconciled { amounts: Amounts { compute, storage, signing, total }, invoice_sha256, index } = r;
    Fields::default()
        .put(1, list([compute, storage, signing, total], Canon::to_value))
        .put(2, invoice_sha256.to_value())
        .put(3, small(*index))
        .end()
}

fn rate_card(c: &RateCard) -> Value {
    let RateCard {
        version,
        currency,
        decimals,
        effective_from,
        compute_hour,
        storage_gb_month,
        signing_million,
    } = c;
    Fields::default()
        .put(1, small(*version))
        .put(2, currency.to_value())
        .put(3, small(*decimals))
        .put(4, effective_from.to_value())
        .put(5, small(*compute_hour))
        .put(6, small(*storage_gb_month))
        .put(7, small(*signing_million))
        .end()
}

#[cfg(test)]
mod tests;
