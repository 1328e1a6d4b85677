//! Usage: sums of metered events over periods, by labels.
//!
//! The store keeps sums of slots, hours and days for each series (one combination of labels). An answer cuts time into
//! segments of whole slots and folds them in order of time. Stored bytes are a level: a segment counts the level at its
//! begin for its whole length, and each change from its moment on. All arithmetic is in integers and exact.

use crate::clock::{WallTime, micros};
use crate::fact::{ActorType, Env};
use crate::ids::{Ident, TenantUid};
use crate::meter::{Labels, Sums, counters};
use crate::time_range::{Period, RangeError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A series: the number of one combination of labels in a partition.
pub type Series = u32;

counters! {
    /// What was used in a period.
    Usage {
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
        /// Of these, covered by a signed checkpoint.
        receipts_signed,
        /// Bytes of evidence that left.
        evidence_exported_bytes,
        /// Sealed bytes stored, less those deleted.
        storage_bytes_written,
        /// Sealed bytes kept at the end of the period.
        storage_bytes;
        /// Sealed bytes kept, over time: byte-microseconds, as a decimal text.
        storage_byte_us
    }
}

impl Usage {
    /// Adds what was used under other labels in the same period.
    pub fn beside(&mut self, o: &Usage) {
        for (mine, theirs) in self.counters_mut().zip(o.counters()) {
            *mine += theirs;
        }
        self.storage_byte_us += o.storage_byte_us;
    }

    /// Adds what was used in the period that follows, under the same labels: what is kept at its end replaces what was.
    pub fn then(&mut self, o: &Usage) {
        self.beside(o);
        self.storage_bytes = o.storage_bytes;
    }

    /// Nothing was used and nothing kept.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// Folds bits into the usage of one segment after another.
#[derive(Debug, Default)]
pub struct Folder {
    levels: Vec<i128>,
    sums: Vec<Sums>,
    unsigned: Vec<u64>,
}

impl Folder {
    /// What is kept where the first segment begins.
    pub fn begin(levels: impl IntoIterator<Item = (Series, i128)>) -> Self {
        let mut f = Self::default();
        for (series, bytes) in levels {
            *f.at(series).0 += bytes;
        }
        f
    }

    fn at(&mut self, series: Series) -> (&mut i128, &mut Sums, &mut u64) {
        let i = series as usize;
        if i >= self.sums.len() {
            self.levels.resize(i + 1, 0);
            self.sums.resize(i + 1, Sums::default());
            self.unsigned.resize(i + 1, 0);
        }
        (&mut self.levels[i], &mut self.sums[i], &mut self.unsigned[i])
    }

    /// Adds a slot, an hour or a day of the current segment.
    pub fn add(&mut self, series: Series, bit: &Sums) {
        self.at(series).1.merge(bit);
    }

    /// Counts receipts of the current segment that no signed checkpoint covers.
    pub fn unsigned(&mut self, series: Series, n: u64) {
        *self.at(series).2 += n;
    }

    /// Ends the current segment and calls `each` for every series with usage. Stored bytes count until `now` at most.
    pub fn end(&mut self, segment: Period, now: WallTime, mut each: impl FnMut(Series, Usage)) {
        let to = segment.to.min(now.max(segment.from));
        let length = i128::from(micros(to - segment.from));
        for (i, ((level, sums), unsigned)) in
            self.levels.iter_mut().zip(&mut self.sums).zip(&mut self.unsigned).enumerate()
        {
            let s = std::mem::take(sums);
            let unsigned = std::mem::take(unsigned);
            if *level == 0 && s == Sums::default() {
                continue;
            }
            let grown = s.storage_bytes * i128::from(to.as_micros()) - s.storage_moment;
            let kept = *level * length + grown;
            *level += s.storage_bytes;
            let usage = Usage {
                runs_started: s.runs_started,
                steps_executed: s.steps_executed,
                step_us: s.step_us,
                bytes_in: s.bytes_in,
                bytes_out: s.bytes_out,
                approval_decisions: s.approval_decisions,
                receipts_emitted: s.receipts_emitted,
                receipts_signed: s.receipts_emitted - i128::from(unsigned),
                evidence_exported_bytes: s.evidence_exported_bytes,
                storage_bytes_written: s.storage_bytes,
                storage_bytes: *level,
                storage_byte_us: kept,
            };
            each(u32::try_from(i).unwrap_or(u32::MAX), usage);
        }
    }
}

/// By which labels an answer is broken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupBy {
    /// By workflow type.
    pub workflow_type: bool,
    /// By environment.
    pub env: bool,
    /// By actor type.
    pub actor_type: bool,
}

impl Default for GroupBy {
    fn default() -> Self {
        Self { workflow_type: true, env: true, actor_type: false }
    }
}

impl GroupBy {
    /// Reads `workflow_type,env`; `none` for none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut g = Self { workflow_type: false, env: false, actor_type: false };
        if text == "none" {
            return Ok(g);
        }
        for word in text.split(',') {
            let flag = match word {
                "workflow_type" | "workflow" => &mut g.workflow_type,
                "env" => &mut g.env,
                "actor_type" => &mut g.actor_type,
                _ => {
                    return Err("group_by: expected none, or some of workflow_type,env,actor_type".into());
                }
            };
            *flag = true;
        }
        Ok(g)
    }

    /// The group of labels.
    pub fn of(&self, l: &Labels) -> Group {
        Group {
            workflow_type: self.workflow_type.then(|| l.workflow_type.clone()),
            env: self.env.then_some(l.env),
            actor_type: self.actor_type.then_some(l.actor_type),
        }
    }
}

/// What rows of an answer have in common.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Group {
    /// Workflow type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_type: Option<Ident>,
    /// Environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Env>,
    /// Actor type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_type: Option<ActorType>,
}

impl Group {
    /// In one line, for people.
    pub fn name(&self) -> String {
        let words = [
            self.workflow_type.as_ref().map(Ident::as_str),
            self.env.map(Env::as_str),
            self.actor_type.map(ActorType::as_str),
        ];
        let words: Vec<_> = words.into_iter().flatten().collect();
        if words.is_empty() { "all".to_owned() } else { words.join("/") }
    }
}

/// A row of a breakdown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct UsageRow {
    /// Of what.
    #[serde(flatten)]
    pub group: Group,
    /// How much.
    #[serde(flatten)]
    pub usage: Usage,
}

/// A step of a series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct UsageStep {
    /// Begin, microseconds since the Unix epoch.
    pub from_us: u64,
    /// End.
    pub to_us: u64,
    /// Begin, in the time zone.
    pub from: String,
    /// All of it.
    pub totals: Usage,
    /// By group, where groups were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breakdown: Vec<UsageRow>,
}

/// A range as it was understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RangeShown {
    /// Begin, microseconds since the Unix epoch.
    pub from_us: u64,
    /// End, not in it.
    pub to_us: u64,
    /// Begin, in the time zone.
    pub from: String,
    /// End, in the time zone.
    pub to: String,
    /// Time zone of days.
    pub time_zone: String,
}

impl RangeShown {
    /// In words.
    pub fn of(range: &crate::time_range::Range) -> Self {
        let Period { from, to } = range.period;
        let (from_us, to_us) = (from.as_micros(), to.as_micros());
        Self {
            from_us,
            to_us,
            from: range.show(from),
            to: range.show(to),
            time_zone: range.zone_name.clone(),
        }
    }
}

/// `GET /v1/tenants/{tenant}/usage`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct UsageAnswer {
    /// The tenant.
    pub tenant_uid: TenantUid,
    /// Its display id.
    pub tenant_id: Ident,
    /// Of which period.
    pub range: RangeShown,
    /// The agent's time: what lies after it is not over yet.
    pub as_of_us: u64,
    /// All of it.
    pub totals: Usage,
    /// By group.
    pub breakdown: Vec<UsageRow>,
    /// By step, where steps were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<UsageStep>,
}

/// Rows as CSV, by step where there are steps.
pub fn csv(a: &UsageAnswer) -> String {
    let labels = ["tenant_id", "from", "to", "workflow_type", "env", "actor_type"];
    let header = labels.iter().chain(Usage::COUNTERS).chain(&["storage_byte_us"]);
    let row = |from: &str, to: &str, g: &Group, u: &Usage| -> Vec<String> {
        let labels = [
            a.tenant_id.as_str(),
            from,
            to,
            g.workflow_type.as_ref().map_or("", Ident::as_str),
            g.env.map_or("", Env::as_str),
            g.actor_type.map_or("", ActorType::as_str),
        ];
        let numbers = u.counters().map(|n| n.to_string());
        labels.map(str::to_owned).into_iter().chain(numbers).chain([u.storage_byte_us.to_string()]).collect()
    };
    let mut rows = Vec::new();
    if a.steps.is_empty() {
        rows.extend(a.breakdown.iter().map(|r| row(&a.range.from, &a.range.to, &r.group, &r.usage)));
    }
    for (i, s) in a.steps.iter().enumerate() {
        let to = a.steps.get(i + 1).map_or(&a.range.to, |next| &next.from);
        if s.breakdown.is_empty() {
            rows.push(row(&s.from, to, &Group::default(), &s.totals));
        }
        rows.extend(s.breakdown.iter().map(|r| row(&s.from, to, &r.group, &r.usage)));
    }
    crate::csv_text::write(header, rows)
}

/// No answer has more rows in its steps.
pub const MAX_ROWS: usize = 100_000;

/// Gathers the usage of series into groups.
#[derive(Debug, Default)]
pub struct Gathered {
    rows: BTreeMap<Group, Usage>,
}

impl Gathered {
    /// Adds a series of this segment.
    pub fn beside(&mut self, group: Group, usage: &Usage) {
        self.rows.entry(group).or_default().beside(usage);
    }

    /// Adds another segment that follows.
    pub fn then(&mut self, later: &Gathered) {
        for row in self.rows.values_mut() {
            // A group absent from the later segment stores nothing.
            row.storage_bytes = 0;
        }
        for (group, usage) in &later.rows {
            self.rows.entry(group.clone()).or_default().then(usage);
        }
    }

    /// All together.
    pub fn totals(&self) -> Usage {
        let mut t = Usage::default();
        self.rows.values().for_each(|u| t.beside(u));
        t
    }

    /// Rows in order of their group.
    pub fn rows(&self) -> Vec<UsageRow> {
        self.rows.iter().map(|(g, u)| UsageRow { group: g.clone(), usage: *u }).collect()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Where time is cut so that each of several questions is answered by whole pieces: sorted, without repetition.
pub fn cuts(period: Period, at: impl IntoIterator<Item = WallTime>) -> Result<Vec<Period>, RangeError> {
    let mut edges: Vec<_> = at.into_iter().filter(|t| *t > period.from && *t < period.to).collect();
    edges.extend([period.from, period.to]);
    edges.sort_unstable();
    edges.dedup();
    Ok(edges.windows(2).map(|w| Period { from: w[0], to: w[1] }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Invariant 5: cutting time anywhere changes no sum, and what was kept over time is what adding up the levels
        /// microsecond by microsecond gives.
        #[test]
        fn segments_conserve(
            events in proptest::collection::vec((0u64..40, 0u32..3, -50i64..100), 0..60),
            at in proptest::collection::btree_set(1u64..40, 0..5),
        ) {
            let us = WallTime::from_micros;
            let all = Period { from: us(0), to: us(40) };
            let segments = cuts(all, at.into_iter().map(us)).unwrap();
            let run = |segments: &[Period]| {
                let mut f = Folder::begin([(1, 1_000)]);
                let mut total = BTreeMap::<u32, Usage>::new();
                for s in segments {
                    for (t, series, bytes) in &events {
                        if us(*t) >= s.from && us(*t) < s.to {
                            let mut sums = Sums::default();
                            let event = crate::meter::EventType::StorageBytesWritten;
                            let a = crate::meter::Amount { event, count: 1, quantity: *bytes, bytes_in: 0, bytes_out: 0 };
                            sums.add(a, us(*t));
                            f.add(*series, &sums);
                        }
                    }
                    f.end(*s, us(1_000), |series, u| total.entry(series).or_default().then(&u));
                }
                total
            };
            let whole = run(&[all]);
            prop_assert_eq!(&run(&segments), &whole);
            for series in 0..3u32 {
                let level = |t: u64| -> i128 {
                    let begin = if series == 1 { 1_000 } else { 0 };
                    begin + events.iter().filter(|e| e.1 == series && e.0 <= t).map(|e| i128::from(e.2)).sum::<i128>()
                };
                let naive: i128 = (0..40).map(level).sum();
                let got = whole.get(&series).map_or(0, |u| u.storage_byte_us);
                prop_assert_eq!(got, naive);
            }
        }
    }
}
