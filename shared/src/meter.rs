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

/// No step can claim more: a year, microseconds. Sums of claims then fit 64 bits.
pub const MAX_CLAIM_US: u64 = 366 * 24 * HOUR_US;
/// No step can claim more bytes in or out: 1 PiB.
pub const MAX_CLAIM_BYTES: u64 = 1 << 50;

/// A struct of 64-bit counters and one 128-bit sum, with the list of the counters: spelled once.
macro_rules! counters {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])+ $counter:ident),+; $(#[$wide_doc:meta])+ $wide:ident }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
        pub struct $name {
            $($(#[$doc])+ pub $counter: i64,)+
            $(#[$wide_doc])+
            #[serde(with = "crate::meter::decimal")]
            #[schemars(with = "String")]
            pub $wide: i128,
        }
        impl $name {
            /// Names of the 64-bit counters, in order.
            pub const COUNTERS: &'static [&'static str] = &[$(stringify!($counter)),+];
            /// Values of the 64-bit counters, in order.
            pub fn counters(&self) -> impl Iterator<Item = i64> {
                [$(self.$counter),+].into_iter()
            }
            fn counters_mut(&mut self) -> impl Iterator<Item = &mut i64> {
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

impl Sums {
    /// Adds what a metered receipt says, that was written at `time`. The same as adding its [`amounts`] one by one.
    pub fn add_receipt(&mut self, fact: &Fact, stored: u64, time: WallTime) {
        if let Fact::Traffic(t) = fact {
            match t {
                TrafficFact::RunDecided(_) => self.runs_started += 1,
                TrafficFact::StepFinished(f) => {
                    self.steps_executed += 1;
                    self.step_us = self.step_us.saturating_add(signed(f.claimed_us));
                    self.bytes_in = self.bytes_in.saturating_add(signed(f.bytes_in));
                    self.bytes_out = self.bytes_out.saturating_add(signed(f.bytes_out));
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
        match a.event {
            EventType::RunStarted => self.runs_started = self.runs_started.saturating_add(a.count),
            EventType::StepExecuted => {
                self.steps_executed = self.steps_executed.saturating_add(a.count);
                self.step_us = self.step_us.saturating_add(a.quantity);
                self.bytes_in = self.bytes_in.saturating_add(a.bytes_in);
                self.bytes_out = self.bytes_out.saturating_add(a.bytes_out);
            }
            EventType::ApprovalDecision => {
                self.approval_decisions = self.approval_decisions.saturating_add(a.count);
            }
            EventType::ReceiptEmitted => {
                self.receipts_emitted = self.receipts_emitted.saturating_add(a.count);
            }
            EventType::EvidenceExported => {
                self.evidence_exported_bytes = self.evidence_exported_bytes.saturating_add(a.quantity);
            }
            EventType::StorageBytesWritten => self.store(a.quantity, at),
        }
    }

    fn store(&mut self, bytes: i64, at: WallTime) {
        self.storage_bytes = self.storage_bytes.saturating_add(bytes);
        self.storage_moment += i128::from(bytes) * i128::from(at.as_micros());
    }

    /// Adds other sums.
    pub fn merge(&mut self, o: &Sums) {
        for (mine, theirs) in self.counters_mut().zip(o.counters()) {
            *mine = mine.saturating_add(theirs);
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

/// Largest absolute value of an adjustment, so that sums of many still fit 64 bits.
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

    fn step() -> Fact {
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
        .into()
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
