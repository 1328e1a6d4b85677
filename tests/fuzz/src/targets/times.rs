//! Freeze windows and ranges: what time zones make of them.

use std::time::Duration;

use conductor_shared::clock::WallTime;
use conductor_shared::freeze::{MAX_TEXT, Window};
use conductor_shared::meter::SLOT_US;
use conductor_shared::time_range::{MAX_RANGE_US, MAX_STEPS, Range, Step};

use super::{assert_same, assert_shown, log};
use crate::corpus::Example;
use crate::target::{Memory, Outcome, Target};

/// A zone that is read for the first time stays in memory, with its rules.
const ZONES_TAKE: Memory = Memory { base: 2 << 20, each: 64 };

pub(super) const WINDOWS: Target = Target {
    name: "windows",
    reads: "freeze windows: `shared/src/freeze.rs`",
    law: "one spelling; the next change lies ahead, and changes it",
    max_len: MAX_TEXT + 64,
    memory: ZONES_TAKE,
    inputs: 300,
    examples: || {
        let texts = [
            "once 2026-12-19T00:00:00Z to 2027-01-04T06:00:00Z",
            "weekly fri 18:00 for 62h00m Europe/Berlin",
            "weekly mon,tue,wed,thu,fri,sat,sun 00:00 for 168h00m UTC",
            "weekly sun 23:59 for 0h01m America/Argentina/Buenos_Aires",
            "weekly sun 01:30 for 1h00m Australia/Lord_Howe",
        ];
        texts.iter().enumerate().map(|(n, t)| Example::new(format!("window-{n}"), *t)).collect()
    },
    read: |bytes| {
        let Some(window) = std::str::from_utf8(bytes).ok().and_then(|t| t.parse::<Window>().ok()) else {
            return Outcome::Refused;
        };
        assert_eq!(window.to_string().as_bytes(), bytes);
        assert_same(&window, window.to_string().parse().ok());
        for at in [0, log::NOW_US, i64::MAX as u64, u64::MAX].map(WallTime::from_micros) {
            assert_shown(&window.local(at));
            window.spans(at, at + Duration::from_secs(86_400 * 30));
            let Some((change, open)) = window.next_change(at) else { continue };
            assert!(change > at && window.active(change) == open, "at {at:?}: {change:?} {open}");
            assert!(window.active(at) != open, "it changes to what it is: at {at:?}");
        }
        Outcome::Read
    },
};

/// Range, zone, step, and now in microseconds, a line each.
pub(super) const RANGES: Target = Target {
    name: "ranges",
    reads: "ranges of usage and cost, with zone and step: `shared/src/time_range.rs`",
    law: "whole quarters of an hour, at most 400 days; steps fill it without a gap",
    max_len: 512,
    memory: ZONES_TAKE,
    inputs: 300,
    examples: || {
        let ranges = [
            "30d",
            "24h",
            "month",
            "2026-10",
            "2026-10-31",
            "2026-10-01/2026-11-01",
            "2026-10-01T00:00:00Z/P7D",
            "P1M/2026-10-01",
            "2026-03-28T10:15:00+02:00/PT45M",
        ];
        let zones = ["UTC", "Europe/Berlin", "Australia/Lord_Howe"];
        let steps = ["1d", "1h", "15m", "1mo"];
        let line =
            |n: usize, range: &str| format!("{range}\n{}\n{}\n{}", zones[n % 3], steps[n % 4], log::NOW_US);
        let fits = |n: usize| n != 4;
        ranges
            .iter()
            .enumerate()
            .filter(|(n, _)| fits(*n))
            .map(|(n, r)| Example::new(format!("range-{n}"), line(n, r)))
            .collect()
    },
    read: |bytes| {
        let lines: Vec<&str> =
            std::str::from_utf8(bytes).map(|t| t.split('\n').collect()).unwrap_or_default();
        let [range, zone, step, now] = lines.as_slice() else { return Outcome::Refused };
        let now = WallTime::from_micros(now.parse().unwrap_or(log::NOW_US));
        let range = match Range::parse(range, Some(zone), now) {
            Ok(range) => range,
            Err(e) => {
                assert!(e.to_string().len() < 1_000, "{e}");
                return Outcome::Refused;
            }
        };
        let period = range.period;
        assert!(period.from < period.to && period.length() <= Duration::from_micros(MAX_RANGE_US));
        assert!([period.from, period.to].iter().all(|t| t.as_micros().is_multiple_of(SLOT_US)));
        range.show(period.from);
        range.previous();
        let Some(steps) = Step::parse(step).ok().and_then(|s| range.steps(s).ok()) else {
            return Outcome::Refused;
        };
        assert!(steps.len() <= MAX_STEPS);
        assert!(steps.windows(2).all(|w| w[0].to == w[1].from) && steps.iter().all(|s| s.from < s.to));
        let ends = (steps.first().map(|s| s.from), steps.last().map(|s| s.to));
        assert_eq!(ends, (Some(period.from), Some(period.to)));
        Outcome::Read
    },
};
