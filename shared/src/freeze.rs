//! Freeze windows: when they are open, and when that changes next. The time is passed in. Time zones come from the
//! compiled-in database, never from the machine, so that agent and console agree everywhere.
//!
//! ```text
//! once 2026-12-19T00:00:00Z to 2027-01-04T06:00:00Z
//! weekly fri 18:00 for 62h00m Europe/Berlin
//! weekly mon,tue,wed,thu 22:00 for 8h00m America/New_York
//! ```
//!
//! Each window has exactly one text; every other is refused. A window includes its start and excludes its end. A weekly
//! window begins on the named days at a local time and ends when local clocks show that time plus the length. Around a
//! clock change the longer interpretation counts: a skipped start is the first instant after the gap; a skipped end is
//! taken as if the clocks had not been put forward; where a local time occurs twice, a window begins at the first
//! occurrence and ends at the second.

use crate::clock::WallTime;
use crate::ids::parse_decimal;
use crate::words::text_schema;
use jiff::civil::{Date, DateTime, time};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// No text of a window is longer.
pub const MAX_TEXT: usize = 128;
/// No weekly window is longer: seven days, in minutes.
pub const MAX_MINUTES: u16 = 7 * 24 * 60;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// A window of seven days that began eight days ago may still be open; one more day for time zones.
const DAYS_BACK: i64 = 9;
/// A weekly window that is open without a gap for longer than this counts as always open: only clock changes, a few times
/// a year, could open a gap.
const DAYS_AHEAD: i64 = 50;

/// Why a text is not a window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Too long to look at.
    #[error("a freeze window has at most {MAX_TEXT} characters")]
    Long,
    /// Neither of the two forms.
    #[error(
        "expected \"once <time> to <time>\", as in once 2026-12-19T00:00:00Z to 2027-01-04T06:00:00Z, or \"weekly <days> <hh:mm> for <length> <zone>\", as in weekly fri 18:00 for 62h00m Europe/Berlin"
    )]
    Form,
    /// A moment.
    #[error("\"{0}\" is no time in UTC; write it as 2026-12-19T00:00:00Z")]
    Moment(String),
    /// It ends before it begins.
    #[error("the window ends before it begins, or at once")]
    Empty,
    /// A day.
    #[error(
        "\"{0}\": expected days in order, each once, separated by commas, of mon,tue,wed,thu,fri,sat,sun"
    )]
    Days(String),
    /// A start.
    #[error("\"{0}\" is no time of day; write it as 18:00, from 00:00 to 23:59")]
    Start(String),
    /// A length.
    #[error("\"{0}\" is no length; write it as 62h00m, from 0h01m to 168h00m")]
    Length(String),
    /// A zone.
    #[error("\"{0}\" is no IANA time zone that this program knows; write it as Europe/Berlin, or UTC")]
    Zone(String),
    /// Every part can be read, but another text says the same.
    #[error("write it as: {0}")]
    Spelling(String),
}

/// A freeze window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Window {
    /// Once, between two moments, whole seconds.
    Once {
        /// Its start.
        start: WallTime,
        /// Its end.
        end: WallTime,
    },
    /// Every week.
    Weekly(Weekly),
}

/// A window that comes back every week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weekly {
    /// Bit 0 is Monday.
    days: u8,
    start_min: u16,
    length_min: u16,
    zone: TimeZone,
    zone_name: String,
}

/// The compiled-in time zone database: the same on every machine, also without internet access.
pub(crate) fn zones() -> &'static TimeZoneDatabase {
    static ZONES: OnceLock<TimeZoneDatabase> = OnceLock::new();
    ZONES.get_or_init(TimeZoneDatabase::bundled)
}

fn wall(t: Timestamp) -> WallTime {
    // Times before 1970 count as 1970; no caller can tell.
    WallTime::from_micros(u64::try_from(t.as_microsecond()).unwrap_or(0))
}

fn moment(at: WallTime) -> Option<Timestamp> {
    Timestamp::from_microsecond(i64::try_from(at.as_micros()).ok()?).ok()
}

fn show(at: WallTime) -> String {
    moment(at)
        .map_or_else(|| format!("{} us", at.as_micros()), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Cuts the input that an error quotes.
fn cut(text: &str) -> String {
    crate::untrusted::escape(text, 40)
}

impl Weekly {
    fn parse(days: &str, start: &str, length: &str, zone: &str) -> Result<Self, WindowError> {
        let mut bits = 0u8;
        for day in days.split(',').take(DAYS.len() + 1) {
            let n = DAYS.iter().position(|d| *d == day).ok_or_else(|| WindowError::Days(cut(days)))?;
            bits |= 1 << n;
        }
        let two = |t: &str, below: u64| parse_two(t).filter(|n| u64::from(*n) < below);
        let start_min = start.split_once(':').and_then(|(h, m)| Some(two(h, 24)? * 60 + two(m, 60)?));
        let start_min = start_min.ok_or_else(|| WindowError::Start(cut(start)))?;
        let length_min = length.strip_suffix('m').and_then(|l| l.split_once('h')).and_then(|(h, m)| {
            let hours = u16::try_from(parse_decimal(h)?).ok().filter(|h| *h <= 168)?;
            Some(hours * 60 + two(m, 60)?)
        });
        let length_min = length_min
            .filter(|m| (1..=MAX_MINUTES).contains(m))
            .ok_or_else(|| WindowError::Length(cut(length)))?;
        let found = zones().get(zone).map_err(|_| WindowError::Zone(cut(zone)))?;
        // Names are looked up without regard to case; the one spelling is that of the database.
        let zone_name = found.iana_name().unwrap_or(zone).to_owned();
        Ok(Self { days: bits, start_min, length_min, zone: found, zone_name })
    }

    fn on(&self, day: Date) -> bool {
        let n = day.weekday().to_monday_zero_offset();
        u32::try_from(n).is_ok_and(|n| self.days >> n & 1 == 1)
    }

    fn span_of(&self, day: Date) -> Option<(WallTime, WallTime)> {
        let (h, m) = (i8::try_from(self.start_min / 60).ok()?, i8::try_from(self.start_min % 60).ok()?);
        let start = day.to_datetime(time(h, m, 0, 0));
        let end = start.checked_add(Span::new().minutes(i64::from(self.length_min))).ok()?;
        Some((wall(self.begins(start)?), wall(self.ends(end)?)))
    }

    /// The first instant at which the local clocks have reached this time.
    fn begins(&self, local: DateTime) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
            AmbiguousOffset::Gap { before, after } => {
                let (low, high) = (after.to_timestamp(local).ok()?, before.to_timestamp(local).ok()?);
                let mut changes = self.zone.following(low).take(4).map(|t| t.timestamp());
                Some(changes.find(|t| *t <= high && self.zone.to_offset(*t) == after).unwrap_or(high))
            }
        }
    }

    /// The last instant at which the local clocks reach this time.
    fn ends(&self, local: DateTime) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
            AmbiguousOffset::Fold { after, .. } => after.to_timestamp(local).ok(),
            AmbiguousOffset::Gap { before, .. } => before.to_timestamp(local).ok(),
        }
    }

    /// Times at which it is open, of the starts from some days before a moment to some days after it, joined where they
    /// touch.
    fn spans(&self, at: Timestamp, ahead: i64) -> Vec<(WallTime, WallTime)> {
        let today = self.zone.to_datetime(at).date();
        let mut out: Vec<(WallTime, WallTime)> = Vec::new();
        for n in -DAYS_BACK..=ahead {
            let Ok(day) = today.checked_add(Span::new().days(n)) else { continue };
            let span = if self.on(day) { self.span_of(day) } else { None };
            // All of it may fall into hours that are skipped.
            let Some((start, end)) = span.filter(|(start, end)| start < end) else { continue };
            match out.last_mut() {
                // Starts come in order, as days do.
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => out.push((start, end)),
            }
        }
        out
    }
}

/// Two digits.
fn parse_two(text: &str) -> Option<u16> {
    let digits = text.len() == 2 && text.bytes().all(|c| c.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

impl Window {
    /// It is open at this moment.
    pub fn active(&self, at: WallTime) -> bool {
        let open = |spans: &[(WallTime, WallTime)]| spans.iter().any(|(s, e)| *s <= at && at < *e);
        match self {
            Self::Once { start, end } => open(&[(*start, *end)]),
            Self::Weekly(w) => moment(at).is_some_and(|at| open(&w.spans(at, 1))),
        }
    }

    /// When it next opens or closes after this moment, and whether it is open then. `None` when it never does, or not in
    /// the weeks that are looked at: a window without a hole.
    pub fn next_change(&self, at: WallTime) -> Option<(WallTime, bool)> {
        let next = |spans: &[(WallTime, WallTime)]| {
            let (start, end) = spans.iter().find(|(_, e)| at < *e).copied()?;
            Some(if at < start { (start, true) } else { (end, false) })
        };
        match self {
            Self::Once { start, end } => next(&[(*start, *end)]),
            Self::Weekly(w) => {
                let at = moment(at)?;
                let mut spans = w.spans(at, DAYS_AHEAD);
                // The end of the last one is where looking ends, not where it closes.
                spans.pop();
                next(&spans)
            }
        }
    }

    /// The next times that it is open, from this moment on, as far as `until`; one that is open now begins earlier.
    pub fn spans(&self, at: WallTime, until: WallTime) -> Vec<(WallTime, WallTime)> {
        let spans = match self {
            Self::Once { start, end } => vec![(*start, *end)],
            Self::Weekly(w) => moment(at).map(|at| w.spans(at, DAYS_AHEAD)).unwrap_or_default(),
        };
        spans.into_iter().filter(|(s, e)| at < *e && *s < until).collect()
    }

    /// A moment as the clocks of its zone show it: `Fri 2026-11-27 18:00 CET`.
    pub fn local(&self, at: WallTime) -> String {
        let zone = match self {
            Self::Once { .. } => TimeZone::UTC,
            Self::Weekly(w) => w.zone.clone(),
        };
        moment(at).map_or_else(
            || format!("{} us", at.as_micros()),
            |t| t.to_zoned(zone).strftime("%a %Y-%m-%d %H:%M %Z").to_string(),
        )
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once { start, end } => write!(f, "once {} to {}", show(*start), show(*end)),
            Self::Weekly(w) => {
                let on = DAYS.iter().enumerate().filter(|(n, _)| w.days >> n & 1 == 1);
                let days: Vec<&str> = on.map(|(_, d)| *d).collect();
                let (h, m) = (w.start_min / 60, w.start_min % 60);
                let (lh, lm) = (w.length_min / 60, w.length_min % 60);
                write!(f, "weekly {} {h:02}:{m:02} for {lh}h{lm:02}m {}", days.join(","), w.zone_name)
            }
        }
    }
}

impl FromStr for Window {
    type Err = WindowError;
    fn from_str(text: &str) -> Result<Self, WindowError> {
        if text.len() > MAX_TEXT {
            return Err(WindowError::Long);
        }
        let words: Vec<&str> = text.split(' ').collect();
        let window = match words.as_slice() {
            ["once", start, "to", end] => {
                let read = |t: &str| {
                    let at = t.parse::<Timestamp>().ok().filter(|t| t.as_second() >= 0);
                    at.map(wall).ok_or_else(|| WindowError::Moment(cut(t)))
                };
                let (start, end) = (read(start)?, read(end)?);
                if start >= end {
                    return Err(WindowError::Empty);
                }
                Self::Once { start, end }
            }
            ["weekly", days, start, "for", length, zone] => {
                Self::Weekly(Weekly::parse(days, start, length, zone)?)
            }
            _ => return Err(WindowError::Form),
        };
        let spelling = window.to_string();
        if spelling == text { Ok(window) } else { Err(WindowError::Spelling(spelling)) }
    }
}

text_schema!(Window, "^(once|weekly) ", "When a freeze window is open, in its one spelling");

impl Serialize for Window {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const DAY: Duration = Duration::from_secs(86_400);
    const US: Duration = Duration::from_micros(1);

    fn seconds(s: u64) -> WallTime {
        WallTime::EPOCH + Duration::from_secs(s)
    }
    fn time_of(text: &str) -> WallTime {
        wall(text.parse::<Timestamp>().unwrap())
    }
    fn window(text: &str) -> Window {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    /// SPEC 3.3, and Bad input: one spelling, and an error that says what to write instead.
    #[test]
    fn every_other_spelling_is_refused() {
        for good in [
            "once 2026-12-19T00:00:00Z to 2027-01-04T06:00:00Z",
            "weekly fri 18:00 for 62h00m Europe/Berlin",
            "weekly mon,tue,wed,thu,fri,sat,sun 00:00 for 168h00m UTC",
            "weekly sun 23:59 for 0h01m America/Argentina/Buenos_Aires",
        ] {
            assert_eq!(window(good).to_string(), good);
        }
        let mut out = String::new();
        for bad in [
            "",
            "daily 18:00",
            "once 2026-12-19T00:00:00Z until 2027-01-04T06:00:00Z",
            "once 2026-12-19 to 2027-01-04",
            "once 2026-12-19T01:00:00+01:00 to 2027-01-04T06:00:00Z",
            "once 2026-12-19T00:00:00.5Z to 2027-01-04T06:00:00Z",
            "once 1969-12-19T00:00:00Z to 2027-01-04T06:00:00Z",
            "once 2027-01-04T06:00:00Z to 2027-01-04T06:00:00Z",
            "weekly fri,mon 18:00 for 1h00m Europe/Berlin",
            "weekly fri,fri 18:00 for 1h00m Europe/Berlin",
            "weekly friday 18:00 for 1h00m Europe/Berlin",
            "weekly fri 18:0 for 1h00m Europe/Berlin",
            "weekly fri 24:00 for 1h00m Europe/Berlin",
            "weekly fri 18:00 for 0h00m Europe/Berlin",
            "weekly fri 18:00 for 168h01m Europe/Berlin",
            "weekly fri 18:00 for 01h00m Europe/Berlin",
            "weekly fri 18:00 for 1h Europe/Berlin",
            "weekly fri 18:00 for 1h00m Europe/Atlantis",
            "weekly fri 18:00 for 1h00m europe/berlin",
            "weekly  fri 18:00 for 1h00m Europe/Berlin",
            "weekly fri 18:00 for 1h00m \u{1b}[31m",
        ] {
            let why = bad.parse::<Window>().expect_err(bad);
            out += &format!("{bad:?}\n    {why}\n");
        }
        assert_eq!("weekly ".repeat(40).parse::<Window>(), Err(WindowError::Long));
        insta::assert_snapshot!("window-errors", out);
    }

    /// SPEC 3.3, windows in an IANA time zone: what happens where clocks are changed, for three zones.
    #[test]
    #[allow(clippy::too_many_lines)] // a table of cases reads better whole
    fn the_edges_of_daylight_saving() {
        // Zone, window, a day before; when it opens and closes then, in UTC.
        for (text, from, opens, closes) in [
            // Berlin 2027-03-28: 02:00 to 03:00 is skipped, at 01:00 UTC.
            (
                "sun 01:30 for 1h00m Europe/Berlin",
                "2027-03-27T00:00:00Z",
                "2027-03-28T00:30:00Z",
                "2027-03-28T01:30:00Z",
            ),
            (
                "sun 02:30 for 1h00m Europe/Berlin",
                "2027-03-27T00:00:00Z",
                "2027-03-28T01:00:00Z",
                "2027-03-28T01:30:00Z",
            ),
            (
                "sun 02:15 for 0h30m Europe/Berlin",
                "2027-03-27T00:00:00Z",
                "2027-03-28T01:00:00Z",
                "2027-03-28T01:45:00Z",
            ),
            (
                "sat 22:00 for 8h00m Europe/Berlin",
                "2027-03-27T00:00:00Z",
                "2027-03-27T21:00:00Z",
                "2027-03-28T04:00:00Z",
            ),
            // Berlin 2027-10-31: 02:00 to 03:00 comes twice, from 00:00 to 02:00 UTC.
            (
                "sun 02:30 for 1h00m Europe/Berlin",
                "2027-10-30T00:00:00Z",
                "2027-10-31T00:30:00Z",
                "2027-10-31T02:30:00Z",
            ),
            (
                "sun 01:30 for 1h00m Europe/Berlin",
                "2027-10-30T00:00:00Z",
                "2027-10-30T23:30:00Z",
                "2027-10-31T01:30:00Z",
            ),
            (
                "sun 02:15 for 0h15m Europe/Berlin",
                "2027-10-30T00:00:00Z",
                "2027-10-31T00:15:00Z",
                "2027-10-31T01:30:00Z",
            ),
            (
                "sat 22:00 for 8h00m Europe/Berlin",
                "2027-10-30T00:00:00Z",
                "2027-10-30T20:00:00Z",
                "2027-10-31T05:00:00Z",
            ),
            // New York 2027-03-14: 02:00 to 03:00 is skipped, at 07:00 UTC; 2027-11-07: 01:00 to 02:00 comes twice.
            (
                "sun 02:00 for 1h00m America/New_York",
                "2027-03-13T12:00:00Z",
                "2027-03-14T07:00:00Z",
                "2027-03-14T07:00:00Z+",
            ),
            (
                "sun 02:59 for 2h00m America/New_York",
                "2027-03-13T12:00:00Z",
                "2027-03-14T07:00:00Z",
                "2027-03-14T08:59:00Z",
            ),
            (
                "sun 01:00 for 0h30m America/New_York",
                "2027-11-06T12:00:00Z",
                "2027-11-07T05:00:00Z",
                "2027-11-07T06:30:00Z",
            ),
            (
                "sun 00:30 for 1h30m America/New_York",
                "2027-11-06T12:00:00Z",
                "2027-11-07T04:30:00Z",
                "2027-11-07T07:00:00Z",
            ),
            // Lord Howe moves by half an hour. 2027-10-03: 02:00 to 02:30 is skipped, at 15:30 UTC the day before.
            (
                "sun 02:10 for 1h00m Australia/Lord_Howe",
                "2027-10-01T15:00:00Z",
                "2027-10-02T15:30:00Z",
                "2027-10-02T16:10:00Z",
            ),
            (
                "sun 01:15 for 1h00m Australia/Lord_Howe",
                "2027-10-01T15:00:00Z",
                "2027-10-02T14:45:00Z",
                "2027-10-02T15:45:00Z",
            ),
            // 2027-04-04: 01:30 to 02:00 comes twice, from 14:30 to 15:30 UTC the day before.
            (
                "sun 01:40 for 0h10m Australia/Lord_Howe",
                "2027-04-02T15:00:00Z",
                "2027-04-03T14:40:00Z",
                "2027-04-03T15:20:00Z",
            ),
        ] {
            let w = window(&format!("weekly {text}"));
            let Some(closes) = closes.strip_suffix('+').map_or(Some(closes), |_| None) else {
                // All of it is skipped: from the instant after the gap to that same instant there is nothing.
                let next = w.next_change(time_of(from)).unwrap();
                assert!(next.0 > time_of(opens) + DAY, "{text}: {}", show(next.0));
                continue;
            };
            let (at, on) = w.next_change(time_of(from)).unwrap();
            assert_eq!((show(at), on), (opens.to_owned(), true), "{text}");
            let (at, on) = w.next_change(at).unwrap();
            assert_eq!((show(at), on), (closes.to_owned(), false), "{text}");
            assert!(w.active(time_of(opens)) && !w.active(time_of(opens) - US), "{text}");
            assert!(w.active(time_of(closes) - US) && !w.active(time_of(closes)), "{text}");
        }
    }

    /// SPEC 3.3: a window without a hole never changes, one that is over never comes back, and nothing panics at the end
    /// of time.
    #[test]
    fn for_ever_and_never_again() {
        let always = window("weekly mon,tue,wed,thu,fri,sat,sun 00:00 for 24h00m Europe/Berlin");
        for at in ["2026-11-23T12:00:00Z", "2027-03-28T01:00:00Z", "2027-10-31T01:00:00Z"] {
            assert!(always.active(time_of(at)), "{at}");
            assert_eq!(always.next_change(time_of(at)), None, "{at}");
        }
        let hole = window("weekly sun 03:00 for 167h00m Europe/Berlin");
        // The hole of that Sunday is the hour that is skipped: the next one is a week later.
        assert_eq!(
            show(hole.next_change(time_of("2027-03-22T12:00:00Z")).unwrap().0),
            "2027-04-04T00:00:00Z"
        );
        let once = window("once 2026-12-19T00:00:00Z to 2027-01-04T06:00:00Z");
        assert_eq!(once.next_change(time_of("2027-01-04T06:00:00Z")), None);
        let edges = [0, 1, u64::MAX, i64::MAX as u64].map(WallTime::from_micros);
        for at in edges.into_iter().chain([time_of("9999-12-30T00:00:00Z")]) {
            for w in [&always, &hole, &once] {
                let _ = (w.active(at), w.next_change(at), w.spans(at, WallTime::MAX), w.local(at));
            }
        }
    }

    fn windows() -> impl Strategy<Value = Window> {
        let zone = proptest::sample::select(vec![
            "UTC",
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "Pacific/Apia",
            "Asia/Kathmandu",
            "Africa/Casablanca",
        ]);
        prop_oneof![
            (0u64..4_000_000_000, 1u64..10_000_000)
                .prop_map(|(s, n)| Window::Once { start: seconds(s), end: seconds(s + n) }),
            (1u8..128, 0u16..1440, 1u16..=MAX_MINUTES, zone).prop_map(
                |(days, start_min, length_min, zone)| {
                    let zone_name = zone.to_owned();
                    let zone = zones().get(zone).unwrap();
                    Window::Weekly(Weekly { days, start_min, length_min, zone, zone_name })
                }
            ),
        ]
    }

    proptest! {
        /// SPEC, Bad input: what is written is read back the same.
        #[test]
        fn the_text_survives(w in windows()) {
            prop_assert_eq!(w.to_string().parse::<Window>(), Ok(w.clone()));
            prop_assert!(w.to_string().len() <= MAX_TEXT);
        }

        /// SPEC 3.3: between now and the next change nothing changes, and there it does.
        #[test]
        fn the_next_change_is_the_next(w in windows(), at in 1_200_000_000u64..4_000_000_000, samples in proptest::collection::vec(0u64..1_000_000, 8)) {
            let at = seconds(at);
            let now = w.active(at);
            let until = match w.next_change(at) {
                Some((t, on)) => {
                    prop_assert!(t > at && on != now);
                    prop_assert_eq!((w.active(t - US), w.active(t)), (now, on));
                    t
                }
                None => at + DAY * 30,
            };
            for s in samples {
                let between = at + (until - at) / 1_000_000 * u32::try_from(s).unwrap();
                prop_assert_eq!(w.active(between), now, "{} at {}", w, show(between));
            }
        }

        /// SPEC 3.3: away from changes of the clocks a window is open exactly when the clocks on the wall say so.
        #[test]
        fn the_clock_on_the_wall_decides(w in windows(), at in 1_700_000_000u64..2_000_000_000) {
            let Window::Weekly(weekly) = &w else { return Ok(()) };
            let at = seconds(at);
            let near = moment(at - DAY * 9).unwrap();
            let changes = weekly.zone.following(near).next().is_some_and(|t| wall(t.timestamp()) < at + DAY * 2);
            prop_assume!(!changes);
            let local = weekly.zone.to_datetime(moment(at).unwrap());
            let minute_of_week = i64::from(local.weekday().to_monday_zero_offset()) * 1440 + i64::from(local.hour()) * 60 + i64::from(local.minute());
            let week = 7 * 1440;
            let open = (0..7).filter(|d| weekly.days >> d & 1 == 1).any(|d| {
                let since = (minute_of_week - (d * 1440 + i64::from(weekly.start_min))).rem_euclid(week);
                since < i64::from(weekly.length_min)
            });
            prop_assert_eq!(w.active(at), open, "{} at {}", w, show(at));
        }
    }
}
