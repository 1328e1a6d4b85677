//! Periods as people ask for them: `30d`, `2026-10`, ISO 8601 intervals; days of a time zone; steps.
//!
//! All edges are multiples of a quarter of an hour ([`SLOT_US`]): the days of every time zone in use begin at one.

use crate::clock::Micros;
use crate::freeze::zones;
use crate::meter::{DAY_US, HOUR_US, SLOT_US};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _, Zoned};

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
    /// Begin, microseconds since the Unix epoch.
    pub from_us: Micros,
    /// End, not in it.
    pub to_us: Micros,
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

fn micros(t: Timestamp) -> Result<Micros, RangeError> {
    u64::try_from(t.as_microsecond()).or_else(|_| wrong("range: expected times after 1970"))
}

fn zoned(us: Micros, zone: &TimeZone) -> Result<Zoned, RangeError> {
    let at = i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    at.map(|t| t.to_zoned(zone.clone())).ok_or_else(|| RangeError("range: too far away".into()))
}

fn begin_of(date: Date, zone: &TimeZone) -> Result<Zoned, RangeError> {
    date.to_zoned(zone.clone()).map_err(|e| RangeError(format!("range: {e}")))
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
    pub fn parse(text: &str, zone: Option<&str>, now_us: Micros) -> Result<Self, RangeError> {
        let zone_name = zone.unwrap_or("UTC");
        let zone = if zone_name == "UTC" {
            TimeZone::UTC
        } else {
            zones().get(zone_name).or_else(|_| {
                wrong(format!(
                    "tz: {zone_name:?} is no time zone; expected an IANA name, for instance Europe/Berlin"
                ))
            })?
        };
        let short: String = text.chars().take(100).collect();
        let end_of_now = (now_us / SLOT_US + 1) * SLOT_US;
        let now = zoned(now_us, &zone)?;
        let (from_us, to_us) = if let Some((n, unit)) = relative(&short) {
            // The present slot is the last of them.
            let length = n.checked_mul(unit).filter(|l| *l > 0 && *l <= MAX_RANGE_US);
            let Some(length) = length else {
                return wrong(format!("range: {short}: expected 1h to 400d"));
            };
            (end_of_now.saturating_sub(length), end_of_now)
        } else if short == "month" {
            (micros(month(&now)?.0.timestamp())?, end_of_now)
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
            (micros(from.timestamp())?, micros(to.timestamp())?)
        } else if let Ok(day) = short.parse::<Date>() {
            let next = day.tomorrow().map_err(|e| RangeError(format!("range: {e}")))?;
            (micros(begin_of(day, &zone)?.timestamp())?, micros(begin_of(next, &zone)?.timestamp())?)
        } else if let Ok(first) = format!("{short}-01").parse::<Date>() {
            let (from, to) = month(&begin_of(first, &zone)?)?;
            (micros(from.timestamp())?, micros(to.timestamp())?)
        } else {
            return wrong(format!("range: {short:?} is not understood; {FORMS}"));
        };
        if from_us >= to_us {
            return wrong("range: it ends before it begins; write the earlier time first");
        }
        if to_us - from_us > MAX_RANGE_US {
            return wrong("range: longer than 400 days; ask for a year at a time");
        }
        if !from_us.is_multiple_of(SLOT_US) || !to_us.is_multiple_of(SLOT_US) {
            return wrong(
                "range: the finest period is a quarter of an hour; use times such as 10:00, 10:15, 10:30",
            );
        }
        Ok(Self { period: Period { from_us, to_us }, zone_name: zone_name.to_owned(), zone })
    }

    /// The range cut at the steps of its time zone; the first and last may be shorter.
    pub fn steps(&self, step: Step) -> Result<Vec<Period>, RangeError> {
        let mut out = Vec::new();
        let mut at = self.period.from_us;
        while at < self.period.to_us {
            if out.len() >= MAX_STEPS {
                return wrong(format!(
                    "step: more than {MAX_STEPS} of them; take a longer step or a shorter range"
                ));
            }
            let next = self.after(at, step)?;
            if !next.is_multiple_of(SLOT_US) || next <= at {
                return wrong(
                    "tz: the days of this zone did not begin at a quarter of an hour then; use UTC",
                );
            }
            let to_us = next.min(self.period.to_us);
            out.push(Period { from_us: at, to_us });
            at = to_us;
        }
        Ok(out)
    }

    /// Where the step that `at` lies in ends.
    fn after(&self, at: Micros, step: Step) -> Result<Micros, RangeError> {
        match step {
            Step::Slot => Ok(at + SLOT_US),
            Step::Hour => {
                let seconds = i64::from(zoned(at, &self.zone)?.offset().seconds());
                let into = (i64::try_from(at / 1_000_000).unwrap_or(i64::MAX) + seconds).rem_euclid(3_600);
                Ok(at + HOUR_US - into.unsigned_abs() * 1_000_000)
            }
            Step::Day => {
                let next = zoned(at, &self.zone)?.date().tomorrow().map_err(|e| RangeError(e.to_string()))?;
                micros(begin_of(next, &self.zone)?.timestamp())
            }
            Step::Month => micros(month(&zoned(at, &self.zone)?)?.1.timestamp()),
        }
    }

    /// A moment in words of its zone.
    pub fn show(&self, us: Micros) -> String {
        zoned(us, &self.zone)
            .map_or_else(|_| us.to_string(), |z| z.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
    }

    /// The same length just before.
    pub fn previous(&self) -> Period {
        let length = self.period.to_us - self.period.from_us;
        Period { from_us: self.period.from_us.saturating_sub(length), to_us: self.period.from_us }
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
pub fn utc_month(us: Micros) -> Option<(String, Period)> {
    let z = zoned(us, &TimeZone::UTC).ok()?;
    let (from, to) = month(&z).ok()?;
    let period = Period { from_us: micros(from.timestamp()).ok()?, to_us: micros(to.timestamp()).ok()? };
    Some((z.strftime("%Y-%m").to_string(), period))
}

/// A moment in UTC, RFC 3339 with as many digits as it takes.
pub fn rfc3339(us: Micros) -> String {
    let t = i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    t.map_or_else(|| us.to_string(), |t| t.to_string())
}

/// From RFC 3339.
pub fn from_rfc3339(text: &str) -> Option<Micros> {
    u64::try_from(text.parse::<Timestamp>().ok()?.as_microsecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // 2026-10-28T10:20:00Z, a Wednesday.
    const NOW: u64 = 1_793_182_800_000_000;

    fn read(text: &str, zone: Option<&str>) -> (String, String) {
        let r = Range::parse(text, zone, NOW).unwrap();
        (r.show(r.period.from_us), r.show(r.period.to_us))
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
            r.steps(Step::Day).unwrap().iter().map(|p| (p.to_us - p.from_us) / HOUR_US).collect()
        };
        assert_eq!(hours("Europe/Berlin"), [24, 25, 24]);
        assert_eq!(hours("UTC"), [24, 24, 24]);
        let spring = Range::parse("2026-03-29", Some("Europe/Berlin"), NOW).unwrap();
        assert_eq!(spring.steps(Step::Hour).unwrap().len(), 23);
        let nepal = Range::parse("2026-10-24/P2D", Some("Asia/Kathmandu"), NOW).unwrap();
        assert_eq!(nepal.period.from_us % HOUR_US, SLOT_US);
        assert_eq!(nepal.steps(Step::Hour).unwrap().len(), 48);
        let months = Range::parse("2026-01-15/2026-03-02", None, NOW).unwrap().steps(Step::Month).unwrap();
        assert_eq!(months.iter().map(|p| (p.to_us - p.from_us) / DAY_US).collect::<Vec<_>>(), [17, 28, 1]);
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
