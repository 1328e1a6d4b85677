use super::*;
use proptest::prelude::*;

fn card(text: &str) -> Result<RateCard, String> {
    RateCard::parse(text)
}
pub(crate) const CARD: &str = "# conductor/rate-card/v1\nversion = 1\ncurrency = \"EUR\"\ndecimals = 6\neffective_from = \"2026-10-01T00:00:00Z\"\ncompute_hour = 120000\nstorage_gb_month = 20000\nsigning_million = 500000\n";

/// SPEC 2.3 and Bad input: a card is read strictly, and what is wrong is named.
#[test]
fn cards_are_strict() {
    assert_eq!(card(CARD).unwrap().unit(), "10^-6 EUR");
    let errors: Vec<String> = [
        ("# conductor/rate-card/v1\n", ""),
        ("compute_hour", "compute_hours"),
        ("EUR", "eur"),
        ("decimals = 6", "decimals = 10"),
        ("00:00:00Z", "00:07:00Z"),
        ("120000", "-1"),
        ("120000", "1.5"),
        ("120000", "99999999999999999"),
        ("version = 1", "version = 0"),
    ]
    .into_iter()
    .map(|(a, b)| card(&CARD.replacen(a, b, 1)).unwrap_err())
    .collect();
    insta::assert_snapshot!(errors.join("\n--\n"));
}

/// SPEC 2.3: the card with the highest version among those in effect holds.
#[test]
fn cards_by_date() {
    let of = |v: u64, from: &str| RateCard { version: v, effective_from: from.into(), ..card(CARD).unwrap() };
    let cards = [of(1, "2026-01-01T00:00:00Z"), of(2, "2026-03-01T00:00:00Z"), of(3, "2026-02-01T00:00:00Z")];
    let at = |t: &str| card_at(&cards, from_rfc3339(t).unwrap()).map(|c| c.version);
    assert_eq!(at("2025-12-31T23:59:59Z"), None);
    assert_eq!(at("2026-01-31T23:59:59Z"), Some(1));
    assert_eq!(at("2026-02-01T00:00:00Z"), Some(3));
    assert_eq!(at("2026-04-01T00:00:00Z"), Some(3));
}

#[test]
fn money_is_exact() {
    assert_eq!(money(-1_234_567, 6, "EUR"), "-1.234567 EUR");
    assert_eq!(money(7, 0, "JPY"), "7 JPY");
}

proptest! {
    /// Invariant 5: rounded parts add up to the rounded sum, and none is off by a whole unit.
    #[test]
    fn parts_add_up(products in proptest::collection::vec(-10_000i128..100_000, 0..40), d in 1i128..5_000) {
        let parts = apportion(&products, d).unwrap();
        prop_assert_eq!(parts.iter().map(|p| i128::from(*p)).sum::<i128>(), round(products.iter().sum(), d));
        for (p, n) in parts.iter().zip(&products) {
            prop_assert!((i128::from(*p) * d - n).abs() < d, "{p} {n} {d}");
        }
    }

    /// Invariant 5: an amount is exact or refused: rows, steps and totals of one ledger agree, or there are none.
    #[test]
    fn amounts_are_exact_or_refused(
        used in proptest::collection::vec((0u32..3, -30i32..127, 0u32..120), 0..20),
        price in 0..=MAX_PRICE,
    ) {
        let power = |n: i32| if n < 0 { -(1i128 << -n) } else { 1i128 << n };
        let card = RateCard { compute_hour: price, storage_gb_month: price, signing_million: price, ..card(CARD).unwrap() };
        let periods = [0u64, 1, 2].map(|n| Period { from: WallTime::from_micros(n), to: WallTime::from_micros(n + 1) });
        let mut ledger = Ledger::default();
        let added = used.iter().enumerate().try_for_each(|(i, (step, n, stored))| {
            let u = Usage { step_us: power(*n), storage_byte_us: 1 << stored, receipts_signed: 7, ..Usage::default() };
            let workflow_type = Ident::new(&format!("w{}", i % 4)).ok();
            let group = Group { workflow_type, ..Group::default() };
            ledger.add(&group, Some(&card), false, *step as usize, &u)
        });
        let all = added.and_then(|()| Ok((ledger.amounts()?, ledger.rows()?, ledger.steps(&periods)?)));
        let exact = |step_us: bool| used.iter().map(move |(_, n, stored)| if step_us { power(*n) } else { 1 << stored });
        if let Ok((totals, rows, steps)) = all {
            for (bucket, total) in [(Bucket::Compute, totals.compute), (Bucket::Storage, totals.storage), (Bucket::Signing, totals.signing)] {
                let of_rows: i128 = rows.iter().filter(|r| r.bucket == bucket).map(|r| i128::from(r.amount)).sum();
                prop_assert_eq!(of_rows, i128::from(total));
            }
            prop_assert_eq!(steps.iter().map(|s| i128::from(s.amounts.total)).sum::<i128>(), i128::from(totals.total));
            let product: i128 = exact(true).sum::<i128>() * i128::from(price);
            prop_assert_eq!(i128::from(totals.compute), round(product, Bucket::Compute.divisor()));
        } else {
            // Nothing is refused that fits with room to spare.
            let large = |n: i128| n.checked_mul(price.max(1).into()).is_none_or(|p| p.abs() > 1 << 88);
            prop_assert!(exact(true).chain(exact(false)).any(large));
        }
    }
}
