//! Periods as people ask for them: `30d`, `2026-10`, ISO 8601 intervals; days of a time zone; steps.
//!
//! All edges are multiples of a quarter of an hour ([`SLOT_US`]): the days of every time zone in use begin at one.

use crate::clock::{SECOND_US, WallTime};
use crate::freeze::zones;
use crate::meter::{DAY_US, HOUR_US, SLOT_US};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _, Zoned};
use std::time::Duration;

/// Longest range: 400 days, enough for a year and a month to compare it with.
pub const MAX_RANGE_US: u64 = 400 * DAY_US;
/// No range has more steps.
pub const MAX_STEPS: usize = 3_000;

/// Why a range cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RangeError(String);

fn wrong<T>(text: impl Into<String>) -> Result<T, RangeError> {
    Err(RangeError(text.into()))
}

/// What a series is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A quarter of an hour.
    Slot,
    /// An hour.
    Hour,
    /// A day of the time zone, 23 to 25 hours.
    Day,
    /// A month of the time zone.
    Month,
}

impl Step {
    /// From the public word.
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        match text {
            "15m" => Ok(Self::Slot),
            "1h" => Ok(Self::Hour),
            "1d" => Ok(Self::Day),
            "1mo" => Ok(Self::Month),
            _ => wrong("step: expected 15m, 1h, 1d or 1mo"),
        }
    }
}

/// From when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    /// Begin.
    pub from: WallTime,
    /// End, not in it.
    pub to: WallTime,
}

/// A range in a time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// From when to when.
    pub period: Period,
    /// Name of the time zone.
    pub zone_name: String,
    zone: TimeZone,
}

impl Period {
    /// How long it is.
    pub fn length(&self) -> Duration {
        self.to - self.from
    }
}

fn wall(t: Timestamp) -> Result<WallTime, RangeError> {
    let us = u64::try_from(t.as_microsecond()).or_else(|_| wrong("range: expected times after 1970"))?;
    Ok(WallTime::from_micros(us))
}

fn timestamp(at: WallTime) -> Option<Timestamp> {
    Timestamp::from_microsecond(i64::try_from(at.as_micros()).ok()?).ok()
}

fn zoned(at: WallTime, zone: &TimeZone) -> Result<Zoned, RangeError> {
    timestamp(at).map(|t| t.to_zoned(zone.clone())).ok_or_else(|| RangeError("range: too far away".into()))
}

fn begin_of(date: Date, zone: &TimeZone) -> Result<Zoned, RangeError> {
    date.to_zoned(zone.clone()).map_err(|e| RangeError(format!("range: {e}")))
}

fn zone_of(name: &str) -> Result<TimeZone, RangeError> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    zones().get(name).or_else(|_| {
        wrong(format!("tz: {name:?} is no time zone; expected an IANA name, for instance Europe/Berlin"))
    })
}

/// What is understood, for error messages.
const FORMS: &str = "expected for instance 30d, 24h, month, 2026-10, 2026-10-31, 2026-10-01/2026-11-01, \
    2026-10-01T00:00:00Z/P7D";

/// A moment: RFC 3339 with an offset, or a date or time of the zone.
fn moment(text: &str, zone: &TimeZone) -> Result<Zoned, RangeError> {
    if let Ok(t) = text.parse::<Timestamp>() {
        return Ok(t.to_zoned(zone.clone()));
    }
    let civil = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(DateTime::from));
    match civil {
        Ok(d) => d.to_zoned(zone.clone()).map_err(|e| RangeError(format!("range: {text}: {e}"))),
        // HTTP reads a + of a query as a blank.
        Err(_) if text.contains(' ') => {
            wrong(format!("range: {text:?} is no date or time; in a query write + as %2B; {FORMS}"))
        }
        Err(_) => wrong(format!("range: {text:?} is no date or time; {FORMS}")),
    }
}

fn span(text: &str) -> Result<Span, RangeError> {
    text.parse::<Span>().or_else(|e| wrong(format!("range: {text:?} is no ISO 8601 duration ({e}); {FORMS}")))
}

/// The month of a moment, and the one after it.
fn month(of: &Zoned) -> Result<(Zoned, Zoned), RangeError> {
    let first = of.date().first_of_month();
    let next = first.checked_add(1.month()).map_err(|e| RangeError(format!("range: {e}")))?;
    Ok((begin_of(first, of.time_zone())?, begin_of(next, of.time_zone())?))
}

impl Range {
    /// Reads a range. What is relative to now begins and ends at whole slots, the present one included.
    pub fn parse(text: &str, zone: Option<&str>, now: WallTime) -> Result<Self, RangeError> {
        let zone_name = zone.unwrap_or("UTC");
        let zone = zone_of(zone_name)?;
        let short: String = text.chars().take(100).collect();
        let begun = now.as_micros() / SLOT_US;
        let end_of_now = WallTime::from_micros((begun + 1).checked_mul(SLOT_US).unwrap_or(begun * SLOT_US));
        let now = zoned(now, &zone)?;
        let (from, to) = if let Some((n, unit)) = relative(&short) {
            // The present slot is the last of them.
            let length = n.checked_mul(unit).filter(|l| *l > 0 && *l <= MAX_RANGE_US);
            let Some(length) = length else {
                return wrong(format!("range: {short}: expected 1h to 400d"));
            };
            (end_of_now - Duration::from_micros(length), end_of_now)
        } else if short == "month" {
            (wall(month(&now)?.0.timestamp())?, end_of_now)
        } else if let Some((a, b)) = short.split_once('/') {
            let (from, to) = match (a.starts_with('P'), b.starts_with('P')) {
                (true, true) => return wrong(format!("range: two durations; {FORMS}")),
                (true, false) => {
                    let to = moment(b, &zone)?;
                    (to.checked_sub(span(a)?).map_err(|e| RangeError(format!("range: {e}")))?, to)
                }
                (false, true) => {
                    let from = moment(a, &zone)?;
                    let to = from.checked_add(span(b)?).map_err(|e| RangeError(format!("range: {e}")))?;
                    (from, to)
                }
                (false, false) => (moment(a, &zone)?, moment(b, &zone)?),
            };
            (wall(from.timestamp())?, wall(to.timestamp())?)
        } else if let Ok(day) = short.parse::<Date>() {
            let next = day.tomorrow().map_err(|e| RangeError(format!("range: {e}")))?;
            (wall(begin_of(day, &zone)?.timestamp())?, wall(begin_of(next, &zone)?.timestamp())?)
        } else if let Ok(first) = format!("{short}-01").parse::<Date>() {
            let (from, to) = month(&begin_of(first, &zone)?)?;
            (wall(from.timestamp())?, wall(to.timestamp())?)
        } else {
            return wrong(format!("range: {short:?} is not understood; {FORMS}"));
        };
        if from >= to {
            return wrong("range: it ends before it begins; write the earlier time first");
        }
        if to - from > Duration::from_micros(MAX_RANGE_US) {
            return wrong("range: longer than 400 days; ask for a year at a time");
        }
        if [from, to].iter().any(|t| !t.as_micros().is_multiple_of(SLOT_US)) {
            return wrong(
                "range: the finest period is a quarter of an hour; use times such as 10:00, 10:15, 10:30",
            );
        }
        Ok(Self { period: Period { from, to }, zone_name: zone_name.to_owned(), zone })
    }

    /// The range cut at the steps of its time zone; the first and last may be shorter.
    pub fn steps(&self, step: Step) -> Result<Vec<Period>, RangeError> {
        let mut out = Vec::new();
        let mut at = self.period.from;
        while at < self.period.to {
            if out.len() >= MAX_STEPS {
                return wrong(format!(
                    "step: more than {MAX_STEPS} of them; take a longer step or a shorter range"
                ));
            }
            let next = self.after(at, step)?;
            if !next.as_micros().is_multiple_of(SLOT_US) || next <= at {
                return wrong(
                    "tz: the days of this zone did not begin at a quarter of an hour then; use UTC",
                );
            }
            let to = next.min(self.period.to);
            out.push(Period { from: at, to });
            at = to;
        }
        Ok(out)
    }

    /// Where the step that `at` lies in ends.
    fn after(&self, at: WallTime, step: Step) -> Result<WallTime, RangeError> {
        match step {
            Step::Slot => Ok(at + Duration::from_micros(SLOT_US)),
            Step::Hour => {
                let seconds = i64::from(zoned(at, &self.zone)?.offset().seconds());
                let into = (i64::try_from(at.as_micros() / SECOND_US).unwrap_or(i64::MAX) + seconds)
                    .rem_euclid(3_600);
                Ok(at + Duration::from_micros(HOUR_US) - Duration::from_secs(into.unsigned_abs()))
            }
            Step::Day => {
                let next = zoned(at, &self.zone)?.date().tomorrow().map_err(|e| RangeError(e.to_string()))?;
                wall(begin_of(next, &self.zone)?.timestamp())
            }
            Step::Month => wall(month(&zoned(at, &self.zone)?)?.1.timestamp()),
        }
    }

    /// A moment in words of its zone.
    pub fn show(&self, at: WallTime) -> String {
        zoned(at, &self.zone)
            .map_or_else(|_| at.as_micros().to_string(), |z| z.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
    }

    /// The same length just before.
    pub fn previous(&self) -> Period {
        let Period { from, .. } = self.period;
        Period { from: from - self.period.length(), to: from }
    }
}

/// A number and a unit, `h` or `d`.
fn relative(text: &str) -> Option<(u64, u64)> {
    let (n, unit) = text.strip_suffix('d').map(|n| (n, DAY_US)).or_else(|| {
        let n = text.strip_suffix('h')?;
        Some((n, HOUR_US))
    })?;
    Some((n.parse().ok()?, unit))
}

/// The calendar month in UTC that a moment lies in, as `2026-10`, and its period.
pub fn utc_month(at: WallTime) -> Option<(String, Period)> {
    let z = zoned(at, &TimeZone::UTC).ok()?;
    let (from, to) = month(&z).ok()?;
    let period = Period { from: wall(from.timestamp()).ok()?, to: wall(to.timestamp()).ok()? };
    Some((z.strftime("%Y-%m").to_string(), period))
}

/// A moment in UTC, RFC 3339 with as many digits as it takes.
pub fn rfc3339(at: WallTime) -> String {
    timestamp(at).map_or_else(|| at.as_micros().to_string(), |t| t.to_string())
}

/// From RFC 3339.
pub fn from_rfc3339(text: &str) -> Option<WallTime> {
    wall(text.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::micros;

    /// E10: an offset whose + was read as a blank is told how to be written.
    #[test]
    fn a_plus_that_became_a_blank_is_named() {
        let now = WallTime::from_micros(1_793_182_800_000_000);
        let parse = |text: &str| Range::parse(text, None, now).map(|_| ()).map_err(|e| e.to_string());
        let said = parse("2026-10-01T00:00:00 02:00/P1D").unwrap_err();
        assert!(said.contains("write + as %2B"), "{said}");
        assert_eq!(parse("2026-10-01T00:00:00+02:00/P1D"), Ok(()));
        assert!(!parse("2026-10-0x/P1D").unwrap_err().contains("%2B"));
    }

    // 2026-10-28T10:20:00Z, a Wednesday.
    const NOW: WallTime = WallTime::from_micros(1_793_182_800_000_000);

    fn read(text: &str, zone: Option<&str>) -> (String, String) {
        let r = Range::parse(text, zone, NOW).unwrap();
        (r.show(r.period.from), r.show(r.period.to))
    }
    fn both(a: &str, b: &str) -> (String, String) {
        (a.to_owned(), b.to_owned())
    }

    /// SPEC 2.2: what a range may look like.
    #[test]
    fn ranges() {
        assert_eq!(read("24h", None), both("2026-10-27T10:30:00+00:00", "2026-10-28T10:30:00+00:00"));
        assert_eq!(read("30d", None), both("2026-09-28T10:30:00+00:00", "2026-10-28T10:30:00+00:00"));
        assert_eq!(read("2026-10", None), both("2026-10-01T00:00:00+00:00", "2026-11-01T00:00:00+00:00"));
        assert_eq!(read("month", None), both("2026-10-01T00:00:00+00:00", "2026-10-28T10:30:00+00:00"));
        let day = both("2026-10-25T00:00:00+00:00", "2026-10-26T00:00:00+00:00");
        assert_eq!(read("2026-10-25", None), day);
        assert_eq!(read("2026-10-25/P1D", None), day);
        assert_eq!(read("P1D/2026-10-26", None), day);
        assert_eq!(read("2026-10-25T00:00:00Z/2026-10-26T00:00:00Z", None), day);
        assert_eq!(read("2026-10-25T02:00:00+02:00/2026-10-26", None), day);
        let berlin = both("2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00");
        assert_eq!(read("2026-10-25", Some("Europe/Berlin")), berlin);
    }

    /// SPEC 2.2: days of a zone are as long as they are, and begin where they begin.
    #[test]
    fn steps_of_a_zone() {
        let hours = |zone: &str| -> Vec<u64> {
            let r = Range::parse("2026-10-24/2026-10-27", Some(zone), NOW).unwrap();
            r.steps(Step::Day).unwrap().iter().map(|p| micros(p.length()) / HOUR_US).collect()
        };
        assert_eq!(hours("Europe/Berlin"), [24, 25, 24]);
        assert_eq!(hours("UTC"), [24, 24, 24]);
        let spring = Range::parse("2026-03-29", Some("Europe/Berlin"), NOW).unwrap();
        assert_eq!(spring.steps(Step::Hour).unwrap().len(), 23);
        let nepal = Range::parse("2026-10-24/P2D", Some("Asia/Kathmandu"), NOW).unwrap();
        assert_eq!(nepal.period.from.as_micros() % HOUR_US, SLOT_US);
        assert_eq!(nepal.steps(Step::Hour).unwrap().len(), 48);
        let months = Range::parse("2026-01-15/2026-03-02", None, NOW).unwrap().steps(Step::Month).unwrap();
        assert_eq!(months.iter().map(|p| micros(p.length()) / DAY_US).collect::<Vec<_>>(), [17, 28, 1]);
        let relative = Range::parse("24h", None, NOW).unwrap();
        assert_eq!(relative.steps(Step::Hour).unwrap().len(), 25);
    }

    /// SPEC, Bad input: what is wrong is said, with what would be right.
    #[test]
    fn bad_ranges_are_explained() {
        let errors: Vec<String> = [
            ("", None),
            ("30", None),
            ("0d", None),
            ("401d", None),
            ("99999999999999999999d", None),
            ("2026-13", None),
            ("2026-02-30", None),
            ("2026-10-02/2026-10-01", None),
            ("2026-10-01T00:07:00Z/P1D", None),
            ("P1D/P1D", None),
            ("2026-10-01/P9999999999Y", None),
            ("1900-01-01/P1D", None),
            ("30d", Some("Mars/Olympus")),
        ]
        .into_iter()
        .map(|(r, z)| Range::parse(r, z, NOW).unwrap_err().to_string())
        .collect();
        insta::assert_snapshot!(errors.join("\n"));
        let year = Range::parse("400d", None, NOW).unwrap();
        assert!(year.steps(Step::Slot).unwrap_err().to_string().contains("longer step"));
    }
}
