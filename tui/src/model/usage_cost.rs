//! State of the screens Usage and Cost: period, metric of the chart, and the agent's answers. Pure.

use crate::model::Model;
use crate::model::screen::Screen;
use crate::model::tenants::RowKey;
use conductor_shared::clock::{MonoTime, WallTime, micros};
use conductor_shared::cost::{CostAnswer, CostRow};
use conductor_shared::meter::{DAY_US, HOUR_US};
use conductor_shared::time_range::{Range, utc_month};
use conductor_shared::usage::{Usage, UsageAnswer, UsageRow};
use std::borrow::Cow;
use std::time::Duration;
use strum::{IntoStaticStr, VariantArray};

/// How often a period is asked for while it is shown.
pub(crate) const EVERY: Duration = Duration::from_secs(10);

/// A period that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) name: Cow<'static, str>,
    /// In the syntax of the agent.
    pub(crate) range: Cow<'static, str>,
    /// Steps of the chart.
    pub(crate) step: &'static str,
}

const fn choice(name: &'static str, range: &'static str, step: &'static str) -> Choice {
    Choice { name: Cow::Borrowed(name), range: Cow::Borrowed(range), step }
}

/// The periods, in the order of the key that cycles through them.
pub(crate) const RANGES: [Choice; 5] = [
    choice("30 days", "30d", "1d"),
    choice("this month", "month", "1d"),
    choice("24 hours", "24h", "1h"),
    choice("7 days", "7d", "1h"),
    choice("90 days", "90d", "1d"),
];

impl Choice {
    /// A typed period, if the agent accepts it.
    pub(crate) fn typed(text: &str, now: WallTime) -> Result<Self, String> {
        if let Some(known) = RANGES.into_iter().find(|r| r.range == text) {
            return Ok(known);
        }
        let period = Range::parse(text, None, now).map_err(|e| e.to_string())?.period;
        let step = match micros(period.length()) {
            us if us <= 12 * HOUR_US => "15m",
            us if us <= 8 * DAY_US => "1h",
            _ => "1d",
        };
        Ok(Self { name: Cow::Owned(text.to_owned()), range: Cow::Owned(text.to_owned()), step })
    }
}

/// Completions of `:range`: the periods of the key, and the three months before this one.
pub(crate) fn completions(now: WallTime) -> Vec<String> {
    let mut out: Vec<String> = RANGES.into_iter().map(|r| r.range.into_owned()).collect();
    let mut at = now;
    for _ in 0..3 {
        let Some((_, this)) = utc_month(at) else { break };
        at = this.from - Duration::from_micros(1);
        out.extend(utc_month(at).map(|(name, _)| name));
    }
    out
}

/// Metrics of the usage chart, in the order of the key that cycles through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Metric {
    Receipts,
    Runs,
    Steps,
    #[strum(serialize = "step time, seconds")]
    StepTime,
    /// Bytes kept at the end of each step.
    #[strum(serialize = "bytes stored")]
    Stored,
}

impl Metric {
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// Its value in a usage. A correction may make a step negative, which has no bar.
    pub(crate) fn of(self, u: &Usage) -> u64 {
        let n = match self {
            Self::Receipts => u.receipts_emitted,
            Self::Runs => u.runs_started,
            Self::Steps => u.steps_executed,
            Self::StepTime => u.step_us / 1_000_000,
            Self::Stored => u.storage_bytes,
        };
        u64::try_from(n.max(0)).unwrap_or(u64::MAX)
    }
}

/// Usage of a period, and of the same length before it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UsageShown {
    pub(crate) now: UsageAnswer,
    pub(crate) before: UsageAnswer,
}

/// Cost of a period, of the same length before it, and of this month.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CostShown {
    pub(crate) now: CostAnswer,
    pub(crate) before: CostAnswer,
    /// This calendar month so far.
    pub(crate) month: CostAnswer,
    /// Its end.
    pub(crate) month_end: WallTime,
}

impl CostShown {
    /// Total of the month if it continues at the present pace.
    pub(crate) fn projection(&self) -> Option<i64> {
        let begin = self.month.range.from_us;
        let (gone, whole) =
            (self.month.as_of_us.checked_sub(begin)?, self.month_end.as_micros().checked_sub(begin)?);
        let total = i128::from(self.month.totals.total) * i128::from(whole);
        // Less than a tenth of a day is too short for a projection.
        (gone >= 8_640_000_000).then(|| i64::try_from(total / i128::from(gone)).unwrap_or(i64::MAX))
    }
}

/// Usage and cost of one tenant.
#[derive(Debug, Default)]
pub(crate) struct UsageCost {
    /// The period that was chosen or typed; `None`: the first of [`RANGES`].
    pub(crate) range: Option<Choice>,
    pub(crate) metric: usize,
    /// Tenant, period, and when it came.
    pub(crate) usage: Option<(RowKey, Choice, MonoTime, Box<UsageShown>)>,
    pub(crate) cost: Option<(RowKey, Choice, MonoTime, Box<CostShown>)>,
}

impl UsageCost {
    /// The period that is chosen.
    pub(crate) fn choice(&self) -> Choice {
        self.range.clone().unwrap_or_else(|| RANGES[0].clone())
    }

    /// Moves by `by` in [`RANGES`]; from a typed period to the first.
    pub(crate) fn turn(&mut self, by: usize) {
        let now = self.choice();
        let at = RANGES.iter().position(|r| *r == now).map_or(0, |at| (at + by) % RANGES.len());
        self.range = Some(RANGES[at].clone());
    }

    /// What the chart shows.
    pub(crate) fn chart(&self) -> Metric {
        Metric::VARIANTS[self.metric % Metric::VARIANTS.len()]
    }
}

/// Usage of the shown tenant and period, with its age.
pub(crate) fn usage(m: &Model) -> Option<(&UsageShown, Duration)> {
    let key = m.subject()?;
    let (_, _, at, shown) =
        m.usage_cost.usage.as_ref().filter(|u| u.0 == key && u.1 == m.usage_cost.choice())?;
    Some((shown, m.now.mono - *at))
}

/// Cost of the shown tenant and period, with its age.
pub(crate) fn cost(m: &Model) -> Option<(&CostShown, Duration)> {
    let key = m.subject()?;
    let (_, _, at, shown) =
        m.usage_cost.cost.as_ref().filter(|u| u.0 == key && u.1 == m.usage_cost.choice())?;
    Some((shown, m.now.mono - *at))
}

/// Rows of the usage table that pass the filter.
pub(crate) fn usage_rows(m: &Model) -> Vec<&UsageRow> {
    let rows = usage(m).map(|(u, _)| u.now.breakdown.as_slice()).unwrap_or_default();
    rows.iter().filter(|r| m.lists.hit(Screen::Usage, &[&r.group.name()])).collect()
}

/// Rows of the cost table that pass the filter.
pub(crate) fn cost_rows(m: &Model) -> Vec<&CostRow> {
    let rows = cost(m).map(|(c, _)| c.now.rows.as_slice()).unwrap_or_default();
    rows.iter().filter(|r| m.lists.hit(Screen::Cost, &[&r.group.name(), r.bucket.as_str()])).collect()
}
