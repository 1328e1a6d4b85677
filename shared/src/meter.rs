//! Metered events, derived from receipts, and sums of them.
//!
//! An event is a pure function of its receipt (and, where a receipt names a run only, of the receipt that began the
//! run). It is as durable and provable as the receipt and needs no row of its own. Its id is (origin, index, ordinal).
//! Only sums are stored beside the receipts: see [`crate::usage`].

use crate::clock::WallTime;
use crate::fact::{ActorType, Env, Fact, TrafficFact, Verdict};
use crate::ids::{Ident, Origin, RunId, parse_decimal};
use crate::words::words;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The labels every metered event has. Without them no event can be built.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Labels {
    /// Environment.
    pub env: Env,
    /// Who or what set the run off.
    pub actor_type: ActorType,
    /// From the tenant's catalog.
    pub workflow_type: Ident,
}

macro_rules! event_types {
    ($( $(#[doc = $doc:literal])+ $name:ident $unit:literal ),* $(,)?) => {
        /// The six event types.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[derive(strum::VariantArray, strum::IntoStaticStr, strum::EnumString, strum::Display)]
        #[serde(rename_all = "snake_case")]
        #[strum(serialize_all = "snake_case", parse_err_ty = String, parse_err_fn = Self::unknown)]
        pub enum EventType { $( $(#[doc = $doc])+ $name, )* }
        words!(EventType);
        impl EventType {
            /// Unit of its quantity.
            pub fn unit(self) -> &'static str { match self { $( Self::$name => $unit, )* } }
            /// What it says.
            pub fn description(self) -> &'static str { match self { $( Self::$name => concat!($($doc),+), )* } }
        }
    };
}

event_types! {
    /// A run was admitted.
    RunStarted "runs",
    /// A step ended. The quantity is the workload's claim of its time.
    StepExecuted "microseconds",
    /// An approval or rejection inside a workflow.
    ApprovalDecision "decisions",
    /// A receipt was written.
    ReceiptEmitted "receipts",
    /// Evidence left the partition.
    EvidenceExported "bytes",
    /// Sealed bytes were stored. Negative when they were deleted.
    StorageBytesWritten "bytes",
}

/// How much an event counts. `count` is -1 in a correction that takes one back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Which.
    pub event: EventType,
    /// How many.
    pub count: i64,
    /// How much, in the unit of the type. Where the unit is the thing counted, the same as `count`.
    pub quantity: i64,
    /// Steps only: bytes read, as claimed.
    pub bytes_in: i64,
    /// Steps only: bytes written, as claimed.
    pub bytes_out: i64,
}

impl Amount {
    fn of(event: EventType, count: i64, quantity: i64) -> Self {
        Self { event, count, quantity, bytes_in: 0, bytes_out: 0 }
    }
}

/// Where an event comes from: what makes its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The log.
    pub origin: Origin,
    /// Display id of the tenant.
    pub tenant_id: Ident,
    /// Index of the receipt.
    pub index: u64,
    /// Place among the events of the receipt.
    pub ordinal: u32,
    /// Receipt time.
    pub recorded: WallTime,
}

/// One metered event. It is made of a source, labels and an amount, and cannot be without one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    source: Source,
    labels: Labels,
    amount: Amount,
    at: WallTime,
}

impl Event {
    /// The event that an amount under labels is. `at`: the period it belongs to, which for a correction is an earlier
    /// one than that of its receipt.
    pub fn new(source: Source, labels: Labels, amount: Amount, at: WallTime) -> Self {
        Self { source, labels, amount, at }
    }
    /// Where it comes from.
    pub fn source(&self) -> &Source {
        &self.source
    }
    /// Its labels.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }
    /// How much.
    pub fn amount(&self) -> Amount {
        self.amount
    }
    /// The time it counts at.
    pub fn at(&self) -> WallTime {
        self.at
    }
    /// `<origin>/<index>/<ordinal>`: the same for ever, however often it is delivered.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.source.origin, self.source.index, self.source.ordinal)
    }
}

/// Whose labels a receipt is metered under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metered {
    /// Its own.
    As(Labels),
    /// Those of a run that it names.
    AsRun(RunId),
}

/// Whose labels a receipt is metered under; `None` for what belongs to no workflow or is not billed: control facts and
/// denials.
pub fn metered(fact: &Fact) -> Option<Metered> {
    let Fact::Traffic(t) = fact else { return None };
    let (env, actor, workflow) = match t {
        TrafficFact::RunDecided(f) if f.verdict == Verdict::Allow => (f.env, f.actor, &f.workflow),
        TrafficFact::StepDecided(f) if f.verdict == Verdict::Allow => (f.env, f.actor, &f.workflow),
        TrafficFact::StepFinished(f) => (f.env, f.actor, &f.workflow),
        TrafficFact::RunFinished(f) => (f.env, f.actor, &f.workflow),
        TrafficFact::ApprovalDecided(f) => (f.env, f.actor, &f.workflow),
        TrafficFact::LeaseRenewed(f) => return Some(Metered::AsRun(f.run)),
        TrafficFact::LateSettle(f) => return Some(Metered::AsRun(f.run)),
        _ => return None,
    };
    Some(Metered::As(Labels { env, actor_type: actor, workflow_type: workflow.clone() }))
}

/// An event has 64 bits. No more is on record: claims end at [`MAX_CLAIM_US`] and [`MAX_CLAIM_BYTES`].
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// What a metered receipt whose sealed length is `stored` bytes says, in ordinal order.
pub fn amounts(fact: &Fact, stored: u64) -> Vec<Amount> {
    let mut out = Vec::with_capacity(3);
    if let Fact::Traffic(t) = fact {
        match t {
            TrafficFact::RunDecided(_) => out.push(Amount::of(EventType::RunStarted, 1, 1)),
            TrafficFact::StepFinished(f) => out.push(Amount {
                bytes_in: signed(f.bytes_in),
                bytes_out: signed(f.bytes_out),
                ..Amount::of(EventType::StepExecuted, 1, signed(f.claimed_us))
            }),
            TrafficFact::ApprovalDecided(_) => out.push(Amount::of(EventType::ApprovalDecision, 1, 1)),
            _ => {}
        }
    }
    out.push(Amount::of(EventType::ReceiptEmitted, 1, 1));
    out.push(Amount::of(EventType::StorageBytesWritten, 1, signed(stored)));
    out
}

/// Microseconds in an hour.
pub const HOUR_US: u64 = 3_600_000_000;
/// Microseconds in a slot, the finest period that is kept: a quarter of an hour, since the days of every time zone
/// begin at one.
pub const SLOT_US: u64 = HOUR_US / 4;
/// Microseconds in a day of 24 hours.
pub const DAY_US: u64 = 24 * HOUR_US;

/// No step can claim more: a year, microseconds.
pub const MAX_CLAIM_US: u64 = 366 * 24 * HOUR_US;
/// No step can claim more bytes in or out: 1 PiB.
pub const MAX_CLAIM_BYTES: u64 = 1 << 50;

/// A struct of counters and one product of bytes and time, with the list of the counters: spelled once. Every sum has 128
/// bits: 8,192 steps that claim the most bytes do not fit in 64.
macro_rules! counters {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])+ $counter:ident),+; $(#[$wide_doc:meta])+ $wide:ident }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
        pub struct $name {
            $(
                $(#[$doc])+
                #[serde(with = "crate::meter::whole")]
                #[schemars(with = "crate::meter::whole::Schema")]
                pub $counter: i128,
            )+
            $(#[$wide_doc])+
            #[serde(with = "crate::meter::decimal")]
            #[schemars(with = "String")]
            pub $wide: i128,
        }
        impl $name {
            /// Names of the counters, in order.
            pub const COUNTERS: &'static [&'static str] = &[$(stringify!($counter)),+];
            /// Values of the counters, in order.
            pub fn counters(&self) -> impl Iterator<Item = i128> {
                [$(self.$counter),+].into_iter()
            }
            fn counters_mut(&mut self) -> impl Iterator<Item = &mut i128> {
                [$(&mut self.$counter),+].into_iter()
            }
        }
    };
}
pub(crate) use counters;

counters! {
    /// Sums of events. Signed, since corrections subtract. Rows store the fields in this order.
    Sums {
        /// Runs admitted.
        runs_started,
        /// Steps ended.
        steps_executed,
        /// Their time as claimed, microseconds.
        step_us,
        /// Bytes read, as claimed.
        bytes_in,
        /// Bytes written, as claimed.
        bytes_out,
        /// Approvals and rejections.
        approval_decisions,
        /// Receipts.
        receipts_emitted,
        /// Bytes of evidence that left.
        evidence_exported_bytes,
        /// Sealed bytes stored, less those deleted.
        storage_bytes;
        /// Each change of the stored bytes times its time, summed: bytes x microseconds since the Unix epoch. What was
        /// kept until T, in byte-microseconds, is `storage_bytes * T - storage_moment`.
        storage_moment
    }
}

/// 128 bits: text where people and programs read it, since most of them lose digits beyond 53 bits; bytes in rows.
pub mod decimal {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    /// Writes it.
    pub fn serialize<S: Serializer>(n: &i128, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(n) } else { n.serialize(s) }
    }
    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<i128, D::Error> {
        if d.is_human_readable() {
            String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
        } else {
            i128::deserialize(d)
        }
    }
}

/// Sums that hardly ever need more than 64 bits: a number where it fits in 64, else its decimal text, since readers of JSON
/// round larger numbers. In rows, 128 bits.
pub mod whole {
    use serde::de::{Deserialize as _, Deserializer, Error, Visitor};
    use serde::ser::{Serialize as _, Serializer};
    use std::fmt;

    /// What it looks like in JSON.
    #[derive(schemars::JsonSchema)]
    #[schemars(inline, untagged)]
    #[allow(dead_code)] // only its schema is used
    pub enum Schema {
        /// Fits in 64 bits.
        Number(i64),
        /// Beyond that, in decimal.
        Text(#[schemars(regex(pattern = "^-?[0-9]+$"))] String),
    }

    /// Writes it.
    pub fn serialize<S: Serializer>(n: &i128, s: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(*n) {
            _ if !s.is_human_readable() => n.serialize(s),
            Ok(n) => s.serialize_i64(n),
            Err(_) => s.collect_str(n),
        }
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<i128, D::Error> {
        if d.is_human_readable() { d.deserialize_any(Whole) } else { i128::deserialize(d) }
    }

    struct Whole;

    impl Visitor<'_> for Whole {
        type Value = i128;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number, or its decimal text")
        }

        fn visit_i64<E: Error>(self, n: i64) -> Result<i128, E> {
            Ok(n.into())
        }

        fn visit_u64<E: Error>(self, n: u64) -> Result<i128, E> {
            Ok(n.into())
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<i128, E> {
            text.parse().map_err(E::custom)
        }
    }
}

impl Sums {
    /// Adds what a metered receipt says, that was written at `time`. The same as adding its [`amounts`] one by one.
    pub fn add_receipt(&mut self, fact: &Fact, stored: u64, time: WallTime) {
        if let Fact::Traffic(t) = fact {
            match t {
                TrafficFact::RunDecided(_) => self.runs_started += 1,
                TrafficFact::StepFinished(f) => {
                    self.steps_executed += 1;
                    self.step_us += i128::from(signed(f.claimed_us));
                    self.bytes_in += i128::from(signed(f.bytes_in));
                    self.bytes_out += i128::from(signed(f.bytes_out));
                }
                TrafficFact::ApprovalDecided(_) => self.approval_decisions += 1,
                _ => {}
            }
        }
        self.receipts_emitted += 1;
        self.store(signed(stored), time);
    }

    /// Adds one event that counts at `at`.
    pub fn add(&mut self, a: Amount, at: WallTime) {
        let (count, quantity) = (i128::from(a.count), i128::from(a.quantity));
        match a.event {
            EventType::RunStarted => self.runs_started += count,
            EventType::StepExecuted => {
                self.steps_executed += count;
                self.step_us += quantity;
                self.bytes_in += i128::from(a.bytes_in);
                self.bytes_out += i128::from(a.bytes_out);
            }
            EventType::ApprovalDecision => self.approval_decisions += count,
            EventType::ReceiptEmitted => self.receipts_emitted += count,
            EventType::EvidenceExported => self.evidence_exported_bytes += quantity,
            EventType::StorageBytesWritten => self.store(a.quantity, at),
        }
    }

    fn store(&mut self, bytes: i64, at: WallTime) {
        self.storage_bytes += i128::from(bytes);
        self.storage_moment += i128::from(bytes) * i128::from(at.as_micros());
    }

    /// Adds other sums.
    pub fn merge(&mut self, o: &Sums) {
        for (mine, theirs) in self.counters_mut().zip(o.counters()) {
            *mine += theirs;
        }
        self.storage_moment += o.storage_moment;
    }
}

/// A correction of a past period: a compensating event, which counts in the period it corrects. Its text is
/// `<event> <us since the epoch> <env> <actor type> <workflow type> <count> <quantity>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    /// Begin of the slot it counts in, microseconds since the Unix epoch: a multiple of [`SLOT_US`].
    pub at_us: u64,
    /// Labels.
    pub labels: Labels,
    /// Which.
    pub event: EventType,
    /// How many more; fewer when negative.
    pub count: i64,
    /// How much more, in the unit of the type.
    pub quantity: i64,
}

/// Largest absolute value of an adjustment. Bytes times time of eight million of them still fit in 128 bits.
pub const MAX_ADJUSTMENT: i64 = 1 << 53;

impl Adjustment {
    /// As an amount.
    pub fn amount(&self) -> Amount {
        Amount::of(self.event, self.count, self.quantity)
    }

    /// Its parts make sense together: whole slots, bounds, and things that are only counted have one number.
    pub fn is_sound(&self) -> bool {
        let counted = matches!(
            self.event,
            EventType::RunStarted | EventType::ApprovalDecision | EventType::ReceiptEmitted
        );
        let fits = |n: i64| n.unsigned_abs() <= MAX_ADJUSTMENT.unsigned_abs();
        self.at_us.is_multiple_of(SLOT_US)
            && fits(self.count)
            && fits(self.quantity)
            && (self.count, self.quantity) != (0, 0)
            && (!counted || self.count == self.quantity)
    }
}

impl fmt::Display for Adjustment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Labels { env, actor_type, workflow_type } = &self.labels;
        let (event, at, n, q) = (self.event, self.at_us, self.count, self.quantity);
        write!(f, "{event} {at} {env} {actor_type} {workflow_type} {n} {q}")
    }
}

impl FromStr for Adjustment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let what = "expected: <event> <microseconds> <env> <actor type> <workflow type> <count> <quantity>";
        let parts: Vec<&str> = text.split(' ').collect();
        let [event, at, env, actor, workflow, count, quantity] = parts.as_slice() else {
            return Err(what.to_owned());
        };
        let number = |t: &str| t.parse::<i64>().map_err(|e| format!("{t:?}: {e}"));
        let a = Self {
            at_us: parse_decimal(at).ok_or_else(|| format!("{at:?}: expected microseconds"))?,
            labels: Labels {
                env: env.parse()?,
                actor_type: actor.parse()?,
                workflow_type: Ident::new(workflow).map_err(|e| e.to_string())?,
            },
            event: event.parse()?,
            count: number(count)?,
            quantity: number(quantity)?,
        };
        if a.is_sound() && a.to_string() == text { Ok(a) } else { Err(what.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Outcome, StepFinished};
    use proptest::prelude::*;

    fn step() -> Fact {
        finished().into()
    }

    fn finished() -> StepFinished {
        StepFinished {
            principal: "token:00".into(),
            run: RunId([1; 16]),
            step: 1,
            workflow: Ident::new("etl").unwrap(),
            env: Env::Production,
            actor: ActorType::Service,
            outcome: Outcome::Succeeded,
            claimed_us: 7,
            observed_us: 9,
            bytes_in: 3,
            bytes_out: 4,
        }
    }

    /// SPEC 2.1 and invariant 5: what the writer adds for a receipt is what its events say, one by one.
    #[test]
    fn sums_are_those_of_events() {
        let (mut whole, mut parts) = (Sums::default(), Sums::default());
        whole.add_receipt(&step(), 300, WallTime::from_micros(1_000));
        let amounts = amounts(&step(), 300);
        assert_eq!(
            amounts.iter().map(|a| a.event).collect::<Vec<_>>(),
            [EventType::StepExecuted, EventType::ReceiptEmitted, EventType::StorageBytesWritten]
        );
        for a in amounts {
            parts.add(a, WallTime::from_micros(1_000));
        }
        assert_eq!(whole, parts);
        assert_eq!((whole.step_us, whole.bytes_in, whole.storage_moment), (7, 3, 300_000));
        let mut twice = whole;
        twice.merge(&parts);
        assert_eq!((twice.steps_executed, twice.storage_bytes), (2, 600));
    }

    proptest! {
        /// Invariant 5: sums are exact however large the claims and however many, in whatever parts they are added up, and
        /// every number survives rows and JSON.
        #[test]
        fn sums_of_the_largest_claims_are_exact(
            claims in proptest::collection::vec((0..=MAX_CLAIM_US, MAX_CLAIM_BYTES / 2..=MAX_CLAIM_BYTES, 0..=u64::MAX), 1..12),
            times in 1u32..90_000,
        ) {
            let at = WallTime::from_micros(1);
            let mut part = Sums::default();
            for (us, bytes, stored) in &claims {
                let fact = StepFinished { claimed_us: *us, bytes_in: *bytes, bytes_out: *bytes, ..finished() };
                part.add_receipt(&fact.into(), *stored >> 1, at);
            }
            // Doubled and added, as rows are: so many times in all.
            let (mut whole, mut power, mut left) = (Sums::default(), part, times);
            while left > 0 {
                if left % 2 == 1 {
                    whole.merge(&power);
                }
                let twice = power;
                power.merge(&twice);
                left /= 2;
            }
            let times = i128::from(times);
            let sum = |of: fn(&(u64, u64, u64)) -> u64| claims.iter().map(|c| i128::from(of(c))).sum::<i128>() * times;
            prop_assert_eq!(whole.step_us, sum(|c| c.0));
            prop_assert_eq!(whole.bytes_in, sum(|c| c.1));
            prop_assert_eq!(whole.bytes_out, sum(|c| c.1));
            prop_assert_eq!(whole.storage_bytes, sum(|c| c.2 >> 1));
            let row = postcard::to_stdvec(&whole).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Sums>(&row).unwrap(), whole);
            let json = serde_json::to_string(&whole).unwrap();
            prop_assert_eq!(serde_json::from_str::<Sums>(&json).unwrap(), whole, "{}", json);
        }
    }

    /// Sums that fit in 64 bits look as they always did, in JSON and in rows; larger ones are text in JSON.
    #[test]
    fn small_sums_look_as_before() {
        let sums = Sums { step_us: -7, bytes_in: i64::MAX.into(), bytes_out: 1 << 64, ..Sums::default() };
        let json = serde_json::to_value(sums).unwrap();
        assert_eq!((&json["step_us"], &json["bytes_in"]), (&(-7).into(), &i64::MAX.into()));
        assert_eq!(json["bytes_out"], "18446744073709551616");
        assert_eq!(postcard::to_stdvec(&-7i128).unwrap(), postcard::to_stdvec(&-7i64).unwrap());
        assert_eq!(
            postcard::to_stdvec(&i128::from(i64::MIN)).unwrap(),
            postcard::to_stdvec(&i64::MIN).unwrap()
        );
    }

    /// SPEC 2.1: an adjustment has one text, counts in whole slots, and says one number where there is one thing.
    #[test]
    fn adjustments_have_one_text() {
        let text = format!("step_executed {} production service etl -1 -7000000", 7 * SLOT_US);
        let a: Adjustment = text.parse().unwrap();
        assert_eq!((a.to_string(), a.amount().quantity), (text.clone(), -7_000_000));
        for bad in [
            text.replace("-1", "-01"),
            text.replace("step_executed", "step"),
            text.replace("production", "prod"),
            text.replace(&(7 * SLOT_US).to_string(), "7"),
            text.replace("-1 -7000000", "0 0"),
            text.replace("-7000000", "-9007199254740993"),
            text.replace("step_executed", "run_started"),
            format!("{text} "),
        ] {
            assert!(bad.parse::<Adjustment>().is_err(), "{bad}");
        }
    }
}
