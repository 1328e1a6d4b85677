//! Numbers and times for people.

use conductor_shared::clock::{SECOND_US, WallTime};
use std::time::Duration;

/// A span of time in one unit that fits, or two: `3 s`, `2 min`, `1 h 5 min`, `3 d`.
pub(crate) fn span(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min", s / 60),
        3_600..86_400 if (s / 60).is_multiple_of(60) => format!("{} h", s / 3_600),
        3_600..86_400 => format!("{} h {} min", s / 3_600, (s / 60) % 60),
        _ => format!("{} d", s / 86_400),
    }
}

/// A span in at most five columns, for tables: `3s`, `12m`, `5h`, `9d`.
pub(crate) fn short_span(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m", s / 60),
        3_600..86_400 => format!("{}h", s / 3_600),
        86_400..86_313_600 => format!("{}d", s / 86_400),
        _ => "old".into(),
    }
}

/// A count with its thousands apart: `12,345`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A count in at most five columns: `999`, `12.3k`, `4.0M`.
pub(crate) fn short_count(n: u64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..100_000 => format!("{}.{}k", n / 1_000, n / 100 % 10),
        100_000..1_000_000 => format!("{}k", n / 1_000),
        1_000_000..100_000_000 => format!("{}.{}M", n / 1_000_000, n / 100_000 % 10),
        100_000_000..1_000_000_000 => format!("{}M", n / 1_000_000),
        1_000_000_000..1_000_000_000_000 => format!("{}G", n / 1_000_000_000),
        _ => "huge".into(),
    }
}

/// A rate a second. What is no number, or no rate, is a dash.
pub(crate) fn rate(r: f64) -> String {
    if !r.is_finite() || r < 0.0 {
        "-".into()
    } else if r == 0.0 {
        "0".into()
    } else if r < 100.0 {
        format!("{r:.1}")
    } else {
        // Far below 2^64, and a screen needs no fractions of a hundred.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let n = r.min(1e15) as u64;
        short_count(n)
    }
}

/// Bytes: `512 B`, `3.2 GiB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut x = n as f64 / 1024.0;
    let mut unit = 0;
    while x >= 1024.0 && unit + 1 < UNITS.len() {
        x /= 1024.0;
        unit += 1;
    }
    format!("{x:.1} {}", UNITS[unit])
}

/// Time of day of a receipt, UTC: `14:03:22`.
pub(crate) fn clock(at: WallTime) -> String {
    let s = at.as_micros() / SECOND_US;
    format!("{:02}:{:02}:{:02}", (s / 3600) % 24, (s / 60) % 60, s % 60)
}

/// Date and time of day, UTC: `2026-11-23 14:03:22 Z`.
pub(crate) fn date(at: WallTime) -> String {
    let us = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_microsecond(us) {
        Ok(t) => t.strftime("%Y-%m-%d %H:%M:%S Z").to_string(),
        Err(_) => "not a date".into(),
    }
}

/// Hours with three decimals, from microseconds.
pub(crate) fn hours(us: i128) -> String {
    let thousandths = us * 1_000 / i128::from(conductor_shared::meter::HOUR_US);
    format!(
        "{}{}.{:03}",
        if thousandths < 0 { "-" } else { "" },
        (thousandths / 1_000).abs(),
        (thousandths % 1_000).abs()
    )
}

/// 10^9 bytes for an hour, with six decimals, from byte-microseconds.
pub(crate) fn gb_hours(byte_us: i128) -> String {
    let millionths = byte_us / (i128::from(conductor_shared::meter::HOUR_US) * 1_000);
    let sign = if millionths < 0 { "-" } else { "" };
    format!("{sign}{}.{:06}", (millionths / 1_000_000).abs(), (millionths % 1_000_000).abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Issue, Console: numbers stay within their columns, whatever they are.
    #[test]
    fn numbers_fit() {
        for n in [0, 9_999, 10_000, 99_999, 123_456, 1_000_000, 99_999_999, 999_999_999, u64::MAX] {
            assert!(short_count(n).len() <= 5, "{n}: {}", short_count(n));
            let d = Duration::from_micros(n);
            assert!(short_span(d).len() <= 5, "{n}: {}", short_span(d));
        }
        assert_eq!((count(1_234_567), count(12)), ("1,234,567".into(), "12".into()));
        assert_eq!(
            (span(Duration::from_secs(3_900)), span(Duration::from_secs(59))),
            ("1 h 5 min".into(), "59 s".into())
        );
        assert_eq!((rate(f64::NAN), rate(-1.0), rate(0.25)), ("-".into(), "-".into(), "0.2".into()));
        assert_eq!((bytes(100), bytes(3 << 30)), ("100 B".into(), "3.0 GiB".into()));
        assert_eq!(date(WallTime::from_micros(1_700_000_000_000_000)), "2023-11-14 22:13:20 Z");
    }
}
