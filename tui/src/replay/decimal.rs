//! Decimal numbers as JSON writes them, into scaled integers, exactly.
//!
//! A recorded duration is never a float: `9.941506` is 9,941,506 microseconds, and sums are exact. Digits beyond the
//! scale are rounded half to even, like IEEE 754 and Python's `ROUND_HALF_EVEN`.

/// Why a number cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// A string, a list, `null`...
    #[error("is not a number")]
    NotANumber,
    #[error("is negative")]
    Negative,
    /// Above what is allowed.
    #[error("is larger than {0}")]
    Large(&'static str),
    /// It has a fraction where none may be.
    #[error("is not a whole number")]
    Fraction,
}

/// What to do with digits beyond the scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// Round half to even.
    Round,
    Refuse,
}

/// A number of JSON times 10 to the power of `scale`, at most `max` (named `limit` in the error).
pub fn scaled(
    json: &str,
    scale: u8,
    beyond: Beyond,
    max: u64,
    limit: &'static str,
) -> Result<u64, DecimalError> {
    let (negative, rest) = json.strip_prefix('-').map_or((false, json), |r| (true, r));
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits_only = |t: &str| t.bytes().all(|c| c.is_ascii_digit());
    if whole.is_empty() || !digits_only(whole) || !digits_only(fraction) {
        return Err(DecimalError::NotANumber);
    }
    let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if unsigned.is_empty() || !digits_only(unsigned) {
        return Err(DecimalError::NotANumber);
    }
    // An exponent that does not fit is as good as an endless one.
    let exponent: i64 = exponent
        .parse()
        .unwrap_or(if exponent.starts_with('-') { i64::MIN / 4 } else { i64::MAX / 4 })
        .clamp(i64::MIN / 4, i64::MAX / 4);
    let digits: Vec<u8> =
        whole.bytes().chain(fraction.bytes()).skip_while(|c| *c == b'0').map(|c| c - b'0').collect();
    if digits.is_empty() {
        return Ok(0);
    }
    if negative {
        return Err(DecimalError::Negative);
    }
    let length = |n: usize| i64::try_from(n).unwrap_or(i64::MAX / 4);
    // Where the point stands in `digits`, after scaling.
    let point = length(digits.len()) + exponent - length(fraction.len()) + i64::from(scale);
    if point > 20 {
        return Err(DecimalError::Large(limit));
    }
    let kept = usize::try_from(point).unwrap_or(0);
    let mut value: u64 = 0;
    for i in 0..kept {
        let digit = u64::from(digits.get(i).copied().unwrap_or(0));
        value = value.checked_mul(10).and_then(|v| v.checked_add(digit)).ok_or(DecimalError::Large(limit))?;
    }
    // With the point before the first digit, what is dropped is below a tenth and rounds to nothing.
    let dropped: &[u8] = if point < 0 { &[] } else { digits.get(kept..).unwrap_or(&[]) };
    let inexact = point < 0 || dropped.iter().any(|d| *d != 0);
    if inexact && beyond == Beyond::Refuse {
        return Err(DecimalError::Fraction);
    }
    if let Some((first, rest)) = dropped.split_first() {
        let over_half = *first > 5 || (*first == 5 && rest.iter().any(|d| *d != 0));
        let half = *first == 5 && !over_half;
        if over_half || (half && value % 2 == 1) {
            value = value.checked_add(1).ok_or(DecimalError::Large(limit))?;
        }
    }
    if value > max { Err(DecimalError::Large(limit)) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn us(text: &str) -> Result<u64, DecimalError> {
        scaled(text, 6, Beyond::Round, u64::MAX, "u64")
    }

    /// SPEC invariant 5: durations become integers exactly; what is beyond is rounded half to even.
    #[test]
    fn seconds_to_microseconds() {
        let big = format!("1{}", "0".repeat(400));
        for (text, want) in [
            ("0", Ok(0)),
            ("0.0", Ok(0)),
            ("-0.0", Ok(0)),
            ("0e999999999999999999999", Ok(0)),
            ("9.941506", Ok(9_941_506)),
            ("0.054023", Ok(54_023)),
            ("896.867", Ok(896_867_000)),
            ("53", Ok(53_000_000)),
            ("1e-06", Ok(1)),
            ("1E+2", Ok(100_000_000)),
            ("1.5e-6", Ok(2)),
            ("2.5e-6", Ok(2)),
            ("2.5000001e-6", Ok(3)),
            ("0.0000005", Ok(0)),
            ("0.0000015", Ok(2)),
            ("0.00000051", Ok(1)),
            ("4.9e-7", Ok(0)),
            ("9e-8", Ok(0)),
            ("1e-999999999999999999999", Ok(0)),
            ("18446744073709.551615", Ok(u64::MAX)),
            ("18446744073709.551616", Err(DecimalError::Large("u64"))),
            ("1e999999999999999999999", Err(DecimalError::Large("u64"))),
            (&big, Err(DecimalError::Large("u64"))),
            ("-1", Err(DecimalError::Negative)),
            ("-1e-300", Err(DecimalError::Negative)),
            ("\"5\"", Err(DecimalError::NotANumber)),
            ("null", Err(DecimalError::NotANumber)),
            ("NaN", Err(DecimalError::NotANumber)),
            ("Infinity", Err(DecimalError::NotANumber)),
            ("", Err(DecimalError::NotANumber)),
            ("1e", Err(DecimalError::NotANumber)),
            ("1e+-2", Err(DecimalError::NotANumber)),
            ("[1]", Err(DecimalError::NotANumber)),
        ] {
            assert_eq!(us(text), want, "{text}");
        }
    }

    /// SPEC, Bad input: sizes are whole bytes, however they are spelled.
    #[test]
    fn whole_numbers() {
        let n = |t| scaled(t, 0, Beyond::Refuse, 1000, "a test");
        assert_eq!(n("12"), Ok(12));
        assert_eq!(n("12.0"), Ok(12));
        assert_eq!(n("1.2e1"), Ok(12));
        assert_eq!(n("1200e-2"), Ok(12));
        assert_eq!(n("12.5"), Err(DecimalError::Fraction));
        assert_eq!(n("1e-3"), Err(DecimalError::Fraction));
        assert_eq!(n("1001"), Err(DecimalError::Large("a test")));
    }

    proptest! {
        /// SPEC invariant 5: up to six decimals are exact, in every spelling.
        #[test]
        fn six_decimals_are_exact(whole in 0u64..1_000_000_000, part in 0u32..1_000_000, shift in 0usize..20) {
            let want = whole * 1_000_000 + u64::from(part);
            prop_assert_eq!(us(&format!("{whole}.{part:06}")), Ok(want));
            prop_assert_eq!(us(&format!("{want}e-6")), Ok(want));
            prop_assert_eq!(us(&format!("{want}{}e-{}", "0".repeat(shift), shift + 6)), Ok(want));
        }

        /// SPEC, Bad input: no text makes it panic.
        #[test]
        fn any_text(text in "[-+0-9.eE]{0,40}") {
            let _ = us(&text);
        }
    }
}
