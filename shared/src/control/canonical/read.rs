//! Reading a state back from its canonical encoding. What encodes to other bytes than those that were read is refused, so
//! nothing is checked here but that each value can be what it stands for.

use super::super::redelivery::{Redeliveries, Redelivery};
use super::{FAMILY, MAX_STATE, TAG};
use crate::basis_points::BasisPoints;
use crate::codec::{Canon, CodecError, Reader, Value};
use crate::control::{
    Acknowledged, CommandKey, ControlState, Incident, Pending, PlanState, Request, TenantEntry,
    TimeConfirmed, Token,
};
use crate::cost::{Amounts, RateCard, Reconciled};
use crate::ids::KeyId;
use crate::operator::{GrantedRole, OperatorKey};
use crate::policy::LoadedBundle;
use crate::profile::{BreakGlass, Freeze, PolicyOutage, Profile};
use crate::quota::{Grant, Quotas};
use crate::ramp::{Kill, Ramp};
use crate::slo::Thresholds;
use std::collections::BTreeMap;
use std::str::FromStr;

/// Why bytes are not a control state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// In a version of the encoding that this program does not read.
    #[error(
        "it is written in another version of the encoding than 4: use the program that wrote it, or a newer one"
    )]
    Version,
    /// Too long.
    #[error("it has {0} bytes, and at most {MAX_STATE} are read")]
    TooLong(usize),
    /// Not a value of the encoding, or not one that stands for a state.
    #[error("it is not a control state: {0}")]
    Codec(#[from] CodecError),
    /// It stands for a state that is written otherwise, or for more than this program knows.
    #[error("it is not the canonical encoding of a state that this program knows")]
    NotCanonical,
}

type Read<T> = Result<T, CodecError>;

impl ControlState {
    /// Reads the canonical bytes.
    pub(in crate::control) fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        if bytes.len() > MAX_STATE {
            return Err(StateError::TooLong(bytes.len()));
        }
        if bytes.starts_with(FAMILY) && !bytes.starts_with(TAG) {
            return Err(StateError::Version);
        }
        let value = bytes.strip_prefix(TAG).ok_or(CodecError::Expected("the tag of a control state"))?;
        let mut r = Reader(value);
        let value = Value::read(&mut r)?;
        r.end()?;
        let state = state(&value)?;
        if state.to_bytes() == bytes { Ok(state) } else { Err(StateError::NotCanonical) }
    }
}

/// The fields of one structure, by number. Those that are missing have their defaults.
struct Fields<'a>(BTreeMap<u64, &'a Value>);

impl<'a> Fields<'a> {
    fn of(v: &'a Value) -> Read<Self> {
        let pairs = pairs(v)?.map(|(number, value)| Ok((u64::from_value(number)?, value)));
        pairs.collect::<Read<_>>().map(Self)
    }

    fn some<T>(&self, number: u64, read: impl Fn(&Value) -> Read<T>) -> Read<Option<T>> {
        self.0.get(&number).map(|v| read(v)).transpose()
    }

    fn or<T>(&self, number: u64, read: impl Fn(&Value) -> Read<T>, default: T) -> Read<T> {
        Ok(self.some(number, read)?.unwrap_or(default))
    }

    fn get<T: Default>(&self, number: u64, read: impl Fn(&Value) -> Read<T>) -> Read<T> {
        self.or(number, read, T::default())
    }

    /// A value that has no default is written always.
    fn must<T>(&self, number: u64, read: impl Fn(&Value) -> Read<T>) -> Read<T> {
        self.some(number, read)?.ok_or(CodecError::Expected("a field that cannot be left out"))
    }

    fn text(&self, number: u64) -> Read<String> {
        self.get(number, String::from_value)
    }

    fn number(&self, number: u64) -> Read<u64> {
        self.get(number, u64::from_value)
    }

    fn flag(&self, number: u64) -> Read<bool> {
        self.get(number, bool::from_value)
    }

    /// Ids and digests: no bytes at all are left out, and zeros are not.
    fn id<T: Canon>(&self, number: u64) -> Read<T> {
        self.must(number, T::from_value)
    }
}

fn items(v: &Value) -> Read<&[Value]> {
    match v {
        Value::List(items) => Ok(items),
        _ => Err(CodecError::Expected("a list")),
    }
}

fn pairs(v: &Value) -> Read<impl Iterator<Item = (&Value, &Value)>> {
    let items = items(v)?;
    if items.len() % 2 != 0 {
        return Err(CodecError::Expected("keys and values in turn"));
    }
    Ok(items.chunks_exact(2).map(|pair| (&pair[0], &pair[1])))
}

fn list<T, L: FromIterator<T>>(item: impl Fn(&Value) -> Read<T>) -> impl Fn(&Value) -> Read<L> {
    move |v| items(v)?.iter().map(&item).collect()
}

fn map<K: Ord, V>(
    key: impl Fn(&Value) -> Read<K>,
    value: impl Fn(&Value) -> Read<V>,
) -> impl Fn(&Value) -> Read<BTreeMap<K, V>> {
    move |v| pairs(v)?.map(|(k, v)| Ok((key(k)?, value(v)?))).collect()
}

/// What is written as its public text.
fn shown<T: FromStr>(v: &Value) -> Read<T> {
    let Value::Text(text) = v else { return Err(CodecError::Expected("text")) };
    text.parse().map_err(|_| CodecError::Expected("a public text"))
}

fn narrow<T: TryFrom<u64>>(v: &Value) -> Read<T> {
    u64::from_value(v)?.try_into().map_err(|_| CodecError::Expected("a smaller number"))
}

fn share(v: &Value) -> Read<BasisPoints> {
    narrow(v)
}

fn key_id(v: &Value) -> Read<KeyId> {
    <[u8; 8]>::from_value(v).map(KeyId)
}

fn command_key(v: &Value) -> Read<CommandKey> {
    match items(v)? {
        [person, command] => {
            Ok(CommandKey { person: Canon::from_value(person)?, command: Canon::from_value(command)? })
        }
        _ => Err(CodecError::Expected("a person and a command")),
    }
}

fn state(v: &Value) -> Read<ControlState> {
    let f = Fields::of(v)?;
    let windows = map(Canon::from_value, Canon::from_value);
    Ok(ControlState {
        name: f.some(1, Canon::from_value)?,
        revision: f.number(2)?,
        last: f.some(3, Canon::from_value)?,
        newer: f.flag(4)?,
        quotas: f.get(5, quotas)?,
        ramps: f.get(6, map(shown, ramp))?,
        kills: f.get(7, map(shown, kill))?,
        workflows: f.get(8, list(Canon::from_value))?,
        prompts: f.get(9, map(Canon::from_value, Canon::from_value))?,
        tokens: f.get(10, map(Canon::from_value, token))?,
        peers: f.get(11, list(narrow))?,
        pending: f.get(12, map(command_key, pending))?,
        requests: f.get(13, map(command_key, request))?,
        commands: f.get(14, map(command_key, Canon::from_value))?,
        incidents: f.get(15, map(Canon::from_value, incident))?,
        plans: f.get(16, map(shown, plan))?,
        slos: f.get(17, map(shown, thresholds))?,
        bad: f.get(18, map(shown, share))?,
        operators: f.get(19, map(key_id, operator))?,
        bootstrap_closed: f.flag(20)?,
        signer_key: f.some(21, Canon::from_value)?,
        time_confirmed: f.some(22, time_confirmed)?,
        policy_key: f.some(23, Canon::from_value)?,
        policy: f.some(24, bundle)?,
        tenants: f.get(25, map(Canon::from_value, tenant))?,
        profiles: f.get(26, map(Canon::from_value, profile))?,
        active_windows: f.get(27, map(Canon::from_value, windows))?,
        profile: f.some(28, Canon::from_value)?,
        freezes: f.get(29, map(Canon::from_value, freeze))?,
        break_glass: f.some(30, break_glass)?,
        opened_alone: f.get(31, map(Canon::from_value, list(Canon::from_value)))?,
        corrections: f.number(32)?,
        reconciled: f.get(33, map(Canon::from_value, reconciled))?,
        sink_replays: f.get(34, map(Canon::from_value, Canon::from_value))?,
        billing_key: f.some(35, Canon::from_value)?,
        rate_cards: f.get(36, list(rate_card))?,
        objects: f.get(37, map(Canon::from_value, Canon::from_value))?,
        objects_before: f.number(38)?,
        sink_redeliveries: f.get(39, map(Canon::from_value, redeliveries))?,
    })
}

fn redeliveries(v: &Value) -> Read<Redeliveries> {
    let one = |v: &Value| {
        let f = Fields::of(v)?;
        Ok(Redelivery { number: f.number(1)?, from: f.number(2)?, to: f.number(3)? })
    };
    list(one)(v).map(Redeliveries::kept)
}

fn quotas(v: &Value) -> Read<Quotas> {
    let (f, default) = (Fields::of(v)?, Quotas::default());
    Ok(Quotas {
        concurrent_runs: f.or(1, grant, default.concurrent_runs)?,
        step_rate: f.or(2, grant, default.step_rate)?,
        step_burst: f.or(3, grant, default.step_burst)?,
        receipt_backlog: f.or(4, grant, default.receipt_backlog)?,
        evidence_bytes: f.or(5, grant, default.evidence_bytes)?,
    })
}

fn grant(v: &Value) -> Read<Grant> {
    let f = Fields::of(v)?;
    Ok(Grant { limit: f.number(1)?, granted: f.number(2)? })
}

fn ramp(v: &Value) -> Read<Ramp> {
    let f = Fields::of(v)?;
    Ok(Ramp { hundredths: f.get(1, share)?, revision: f.number(2)?, history: f.get(3, list(share))? })
}

fn kill(v: &Value) -> Read<Kill> {
    Ok(Kill { drain: Fields::of(v)?.flag(1)? })
}

fn token(v: &Value) -> Read<Token> {
    let f = Fields::of(v)?;
    Ok(Token { name: f.id(1)?, secret_sha256: f.id(2)?, revoked: f.flag(3)? })
}

fn pending(v: &Value) -> Read<Pending> {
    let f = Fields::of(v)?;
    Ok(Pending {
        index: f.number(1)?,
        change: f.get(2, list(Canon::from_value))?,
        person: f.id(3)?,
        approved: f.get(4, list(Canon::from_value))?,
        digest: f.id(5)?,
        key: f.some(6, key_id)?,
    })
}

fn request(v: &Value) -> Read<Request> {
    let f = Fields::of(v)?;
    Ok(Request {
        index: f.number(1)?,
        change: f.get(2, list(Canon::from_value))?,
        class: f.must(3, shown)?,
        person: f.id(4)?,
        digest: f.id(5)?,
        node_size: f.number(6)?,
        needed: f.number(7)?,
        expires_at_us: f.number(8)?,
        approvals: f.get(9, map(Canon::from_value, key_id))?,
    })
}

fn incident(v: &Value) -> Read<Incident> {
    let f = Fields::of(v)?;
    Ok(Incident {
        cause: f.id(1)?,
        index: f.number(2)?,
        since_us: f.number(3)?,
        began_us: f.some(4, Canon::from_value)?,
        detected_us: f.some(5, Canon::from_value)?,
        receipts: f.get(6, list(Canon::from_value))?,
        acknowledged: f.some(7, acknowledged)?,
        review_of: f.some(8, Canon::from_value)?,
    })
}

fn acknowledged(v: &Value) -> Read<Acknowledged> {
    let f = Fields::of(v)?;
    Ok(Acknowledged { person: f.id(1)?, at_us: f.number(2)?, receipt: f.number(4)? })
}

fn plan(v: &Value) -> Read<PlanState> {
    let f = Fields::of(v)?;
    Ok(PlanState { steps: f.text(1)?, at: f.number(2)?, revision: f.number(3)?, key: f.some(4, key_id)? })
}

fn thresholds(v: &Value) -> Read<Thresholds> {
    let (f, default) = (Fields::of(v)?, Thresholds::default());
    Ok(Thresholds {
        errors_hundredths: f.or(1, share, default.errors_hundredths)?,
        p99_us: f.or(2, u64::from_value, default.p99_us)?,
        backlog: f.or(3, u64::from_value, default.backlog)?,
        min_settled: f.or(4, u64::from_value, default.min_settled)?,
    })
}

fn operator(v: &Value) -> Read<OperatorKey> {
    let f = Fields::of(v)?;
    let role = |v: &Value| String::from_value(v).map(|word| GrantedRole::read(&word));
    Ok(OperatorKey {
        person: f.id(1)?,
        name: f.id(2)?,
        public_key: f.text(3)?,
        roles: f.get(4, list(role))?,
        since: f.number(5)?,
        roles_since: f.some(6, Canon::from_value)?,
        suspended: f.flag(7)?,
        revoked: f.some(8, Canon::from_value)?,
    })
}

fn time_confirmed(v: &Value) -> Read<TimeConfirmed> {
    let f = Fields::of(v)?;
    Ok(TimeConfirmed { logged_us: f.number(1)?, said_us: f.number(2)? })
}

fn bundle(v: &Value) -> Read<LoadedBundle> {
    let f = Fields::of(v)?;
    Ok(LoadedBundle { revision: f.number(1)?, digest: f.id(2)?, expires_at_us: f.number(3)? })
}

fn tenant(v: &Value) -> Read<TenantEntry> {
    let f = Fields::of(v)?;
    Ok(TenantEntry { name: f.id(1)?, epoch: f.number(2)? })
}

fn profile(v: &Value) -> Read<Profile> {
    let (f, default) = (Fields::of(v)?, Profile::default());
    let outage = |v: &Value| match v {
        Value::Text(t) if t == "deny" => Ok(PolicyOutage::Deny),
        Value::Text(t) if t == "last_known" => Ok(PolicyOutage::LastKnown),
        _ => Err(CodecError::Expected("deny or last_known")),
    };
    Ok(Profile {
        windows: f.get(1, map(Canon::from_value, shown))?,
        break_glass_alone: f.or(2, bool::from_value, default.break_glass_alone)?,
        policy_outage: f.or(3, outage, default.policy_outage)?,
        last_known_s: f.or(4, u64::from_value, default.last_known_s)?,
    })
}

fn freeze(v: &Value) -> Read<Freeze> {
    Ok(Freeze { until_us: Fields::of(v)?.some(1, Canon::from_value)? })
}

fn break_glass(v: &Value) -> Read<BreakGlass> {
    let f = Fields::of(v)?;
    Ok(BreakGlass {
        grant: f.id(1)?,
        ticket: f.text(2)?,
        minutes: f.number(3)?,
        person: f.some(4, Canon::from_value)?,
        alone: f.flag(5)?,
        opened_us: f.number(6)?,
        used: f.number(7)?,
    })
}

fn reconciled(v: &Value) -> Read<Reconciled> {
    let f = Fields::of(v)?;
    let amounts = |v: &Value| match items(v)? {
        [compute, storage, signing, total] => Ok(Amounts {
            compute: i64::from_value(compute)?,
            storage: i64::from_value(storage)?,
            signing: i64::from_value(signing)?,
            total: i64::from_value(total)?,
        }),
        _ => Err(CodecError::Expected("four amounts")),
    };
    Ok(Reconciled { amounts: f.must(1, amounts)?, invoice_sha256: f.id(2)?, index: f.number(3)? })
}

fn rate_card(v: &Value) -> Read<RateCard> {
    let f = Fields::of(v)?;
    Ok(RateCard {
        version: f.number(1)?,
        currency: f.text(2)?,
        decimals: f.get(3, narrow)?,
        effective_from: f.text(4)?,
        compute_hour: f.number(5)?,
        storage_gb_month: f.number(6)?,
        signing_million: f.number(7)?,
    })
}
