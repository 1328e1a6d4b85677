//! Shares of a whole in basis points, exact and checked.

use serde::{Deserialize, Serialize};

/// A share in basis points (hundredths of a percent), 0 to 10,000. On the wire it is the bare number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct BasisPoints(u16);

impl schemars::JsonSchema for BasisPoints {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BasisPoints".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "integer", "minimum": 0, "maximum": Self::FULL.0,
            "description": "A share in hundredths of a percent",
        })
    }
}

/// Why a number is not a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 0 to 10000 hundredths of a percent")]
pub struct BasisPointsError;

impl BasisPoints {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// All of it.
    pub const FULL: Self = Self(10_000);

    /// A number of basis points; what is more than all is all.
    pub const fn saturating(n: u16) -> Self {
        if n < Self::FULL.0 { Self(n) } else { Self::FULL }
    }

    /// The number, 0 to 10,000.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// True when a bucket from 0 to 9,999 lies below the share.
    pub const fn includes(self, bucket: u16) -> bool {
        bucket < self.0
    }
}

impl TryFrom<u64> for BasisPoints {
    type Error = BasisPointsError;
    fn try_from(n: u64) -> Result<Self, BasisPointsError> {
        u16::try_from(n).ok().filter(|n| *n <= Self::FULL.0).map(Self).ok_or(BasisPointsError)
    }
}
impl TryFrom<u16> for BasisPoints {
    type Error = BasisPointsError;
    fn try_from(n: u16) -> Result<Self, BasisPointsError> {
        u64::from(n).try_into()
    }
}
impl From<BasisPoints> for u16 {
    fn from(b: BasisPoints) -> u16 {
        b.0
    }
}
impl From<BasisPoints> for u64 {
    fn from(b: BasisPoints) -> u64 {
        b.0.into()
    }
}

/// Shows a share: `12.5 %`.
pub fn percent(share: BasisPoints) -> String {
    let (whole, part) = (share.0 / 100, share.0 % 100);
    match part {
        0 => format!("{whole} %"),
        p if p % 10 == 0 => format!("{whole}.{} %", p / 10),
        p => format!("{whole}.{p:02} %"),
    }
}

/// Reads a percentage such as `10`, `12.5` or `0.25 %`, exactly.
pub fn parse_percent(text: &str) -> Option<BasisPoints> {
    let t = text.trim().trim_end_matches('%').trim_end();
    let (whole, part) = t.split_once('.').unwrap_or((t, ""));
    let digits = |s: &str| s.bytes().all(|c| c.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || part.len() > 2 || !digits(whole) || !digits(part) {
        return None;
    }
    if t.contains('.') && part.is_empty() {
        return None;
    }
    let cents: u16 = format!("{part:0<2}").parse().ok()?;
    whole.parse::<u16>().ok()?.checked_mul(100)?.checked_add(cents)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// SPEC 3.1: percentages are exact.
    #[test]
    fn percentages_are_exact() {
        for (t, h) in
            [("10", 1000), ("12.5", 1250), ("0.25 %", 25), ("100%", 10_000), ("0", 0), ("99.99", 9999)]
        {
            assert_eq!(parse_percent(t), Some(BasisPoints::saturating(h)), "{t}");
        }
        for t in
            ["", "-1", "100.01", "1e2", "12.345", "12.", ".5", "１", "1 0", "nan", "1000", "700", "999.99"]
        {
            assert_eq!(parse_percent(t), None, "{t}");
        }
    }

    /// SPEC, Bad input: more than all is refused, on the wire as the bare number that it always was.
    #[test]
    fn more_than_all_is_refused() {
        let read = |text| serde_json::from_str::<BasisPoints>(text);
        assert_eq!(read("10000").unwrap(), BasisPoints::FULL);
        assert_eq!(serde_json::to_string(&BasisPoints::FULL).unwrap(), "10000");
        assert!(read("10001").is_err() && read("65536").is_err() && read("-1").is_err());
        assert_eq!(BasisPoints::try_from(10_001_u64), Err(BasisPointsError));
        assert_eq!(BasisPoints::saturating(10_001), BasisPoints::FULL);
    }

    proptest! {
        /// SPEC 3.1: a percentage shown reads back as itself.
        #[test]
        fn percent_round_trip(h in 0u16..=10_000) {
            let share = BasisPoints::saturating(h);
            prop_assert_eq!(parse_percent(&percent(share)), Some(share));
        }
    }
}
