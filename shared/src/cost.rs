//! Cost: usage times the prices of rate cards, in integers of a named unit.
//!
//! A rate card is a TOML file that begins with its type line and is signed by the billing key, like a policy bundle by
//! the policy key:
//!
//! ```toml
//! # conductor/rate-card/v1
//! version = 3
//! currency = "EUR"
//! decimals = 6                                # amounts are integers of 10^-6 EUR
//! effective_from = "2026-10-01T00:00:00Z"     # a whole quarter of an hour
//! compute_hour = 120000                       # an hour of step time
//! storage_gb_month = 20000                    # 10^9 bytes kept for 730 hours
//! signing_million = 500000                    # a million receipts covered by a signed checkpoint
//! ```
//!
//! At each moment the card with the highest version among those in effect holds. An amount is quantity x price /
//! divisor. The sum of a bucket over the whole answer is rounded once, half to even; rows and steps are rounded so that
//! they add up to it, by largest remainder (Hamilton's method).

mod export;
mod invoice;

pub use export::{FOCUS_COLUMNS, csv, decimal, focus};
pub use invoice::{Difference, INVOICE_HEADER, InvoiceLine, compare, read_invoice};

use crate::checkpoint::verify_minisign;
use crate::clock::WallTime;
use crate::ids::{Ident, TenantUid};
use crate::meter::{HOUR_US, SLOT_US};
use crate::time_range::{Period, from_rfc3339};
use crate::usage::{Group, RangeShown, Usage};
use crate::words::words;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The first line of a card.
pub const TYPE_LINE: &str = "# conductor/rate-card/v1";
/// No card is longer, bytes.
pub const MAX_CARD: usize = 2_048;
/// No price is higher.
pub const MAX_PRICE: u64 = 1 << 50;
/// A node keeps so many cards.
pub const MAX_CARDS: usize = 200;

/// What is paid for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::VariantArray,
    strum::IntoStaticStr,
    strum::EnumString,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", parse_err_ty = String, parse_err_fn = Self::unknown)]
pub enum Bucket {
    /// Step time.
    Compute,
    /// Sealed bytes kept, over time.
    Storage,
    /// Receipts that a signed checkpoint covers.
    Signing,
}

words!(Bucket);

impl Bucket {
    /// Unit of quantities.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Compute => "microseconds",
            Self::Storage => "byte-microseconds",
            Self::Signing => "receipts",
        }
    }

    /// Unit of prices.
    pub fn priced_per(self) -> &'static str {
        match self {
            Self::Compute => "hour",
            Self::Storage => "GB-month (10^9 bytes for 730 hours)",
            Self::Signing => "million receipts",
        }
    }

    /// Units of quantity in one unit of price.
    pub fn divisor(self) -> i128 {
        match self {
            Self::Compute => i128::from(HOUR_US),
            Self::Storage => 1_000_000_000 * 730 * i128::from(HOUR_US),
            Self::Signing => 1_000_000,
        }
    }

    /// How much of it was used.
    pub fn quantity(self, u: &Usage) -> i128 {
        match self {
            Self::Compute => u.step_us,
            Self::Storage => u.storage_byte_us,
            Self::Signing => u.receipts_signed,
        }
    }
}

/// A rate card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateCard {
    /// Each card has a higher one than the one before.
    pub version: u64,
    /// ISO 4217.
    pub currency: String,
    /// Amounts are integers of 10^-decimals of the currency.
    pub decimals: u8,
    /// Start of validity, RFC 3339.
    pub effective_from: String,
    /// Price of an hour of step time.
    pub compute_hour: u64,
    /// Price of 10^9 bytes kept for 730 hours.
    pub storage_gb_month: u64,
    /// Price of a million receipts that a checkpoint covers.
    pub signing_million: u64,
}

impl RateCard {
    /// Reads and checks a file.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_CARD {
            return Err(format!("a rate card has at most {MAX_CARD} bytes"));
        }
        if text.lines().next() != Some(TYPE_LINE) {
            return Err(format!("line 1: expected {TYPE_LINE}"));
        }
        let card: Self = toml::from_str(text).map_err(|e| crate::toml_error::in_one_line(text, &e))?;
        let currency = card.currency.len() == 3 && card.currency.bytes().all(|c| c.is_ascii_uppercase());
        let fits = |p: u64| p <= MAX_PRICE;
        if card.version == 0 || !currency || card.decimals > 9 {
            return Err("expected a version of 1 or more, a currency such as EUR, and 0 to 9 decimals".into());
        }
        if !(fits(card.compute_hour) && fits(card.storage_gb_month) && fits(card.signing_million)) {
            return Err(format!("no price is higher than {MAX_PRICE}"));
        }
        match from_rfc3339(&card.effective_from) {
            Some(at) if at.as_micros().is_multiple_of(SLOT_US) => Ok(card),
            _ => {
                Err("effective_from: expected a whole quarter of an hour, for instance 2026-10-01T00:00:00Z"
                    .into())
            }
        }
    }

    /// Reads a card that the billing key signed. The signature is checked before anything is read.
    pub fn verify(text: &str, signature: &str, billing_key: &str) -> Result<Self, String> {
        if text.len() > MAX_CARD {
            return Err(format!("a rate card has at most {MAX_CARD} bytes"));
        }
        verify_minisign(billing_key, text.as_bytes(), signature)
            .map_err(|_| "the card is not signed by the billing key".to_owned())?;
        Self::parse(text)
    }

    /// Start of validity.
    pub fn effective(&self) -> WallTime {
        from_rfc3339(&self.effective_from).unwrap_or(WallTime::MAX)
    }

    /// The price of a bucket.
    pub fn price(&self, b: Bucket) -> u64 {
        match b {
            Bucket::Compute => self.compute_hour,
            Bucket::Storage => self.storage_gb_month,
            Bucket::Signing => self.signing_million,
        }
    }

    /// The unit of amounts, in words.
    pub fn unit(&self) -> String {
        format!("10^-{} {}", self.decimals, self.currency)
    }
}

/// The card in effect at a moment.
pub fn card_at(cards: &[RateCard], at: WallTime) -> Option<&RateCard> {
    cards.iter().filter(|c| c.effective() <= at).max_by_key(|c| c.version)
}

/// Key of a row before rounding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What is paid for.
    pub bucket: Bucket,
    /// Whose.
    pub group: Group,
    /// Version of the card; `None` where none was in effect.
    pub card: Option<u64>,
    /// It was compared with an invoice, and they agree.
    pub reconciled: bool,
}

/// Quantity and quantity x price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exact {
    /// In the unit of the bucket.
    pub quantity: i128,
    /// Times the price.
    pub product: i128,
}

/// An amount that 64 bits do not hold. Nobody is told a smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an amount of this period exceeds 64 bits; ask for a shorter range, or correct usage or prices",
        )
    }
}

impl std::error::Error for TooLarge {}

/// Quantity times price.
pub fn product(quantity: i128, price: u64) -> Result<i128, TooLarge> {
    quantity.checked_mul(price.into()).ok_or(TooLarge)
}

/// The sum, unless it is too large.
fn sum(numbers: impl IntoIterator<Item = i128>) -> Result<i128, TooLarge> {
    numbers.into_iter().try_fold(0i128, i128::checked_add).ok_or(TooLarge)
}

/// What is paid for products of quantity and price: their sum divided, rounded half to even.
fn amount(products: impl IntoIterator<Item = i128>, bucket: Bucket) -> Result<i64, TooLarge> {
    i64::try_from(round(sum(products)?, bucket.divisor())).map_err(|_| TooLarge)
}

impl Exact {
    fn add(&mut self, quantity: i128, product: i128) -> Result<(), TooLarge> {
        self.quantity = sum([self.quantity, quantity])?;
        self.product = sum([self.product, product])?;
        Ok(())
    }
}

/// Exact cost of a range, by row and by step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    rows: BTreeMap<Key, Exact>,
    steps: BTreeMap<(Bucket, usize), i128>,
}

/// `n / d`, half to even. `d` is positive.
fn round(n: i128, d: i128) -> i128 {
    let (q, r) = (n.div_euclid(d), n.rem_euclid(d));
    match r.cmp(&(d - r)) {
        std::cmp::Ordering::Less => q,
        std::cmp::Ordering::Greater => q + 1,
        std::cmp::Ordering::Equal => q + q.rem_euclid(2),
    }
}

/// Rounds each `n / d` down or up so that they add up to their sum, rounded: those with the largest remainders go up,
/// earlier ones first among equals.
pub fn apportion(products: &[i128], d: i128) -> Result<Vec<i64>, TooLarge> {
    let total = round(sum(products.iter().copied())?, d);
    let mut out: Vec<i128> = products.iter().map(|n| n.div_euclid(d)).collect();
    let mut left = total - out.iter().sum::<i128>();
    let mut order: Vec<usize> = (0..products.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(products[*i].rem_euclid(d)));
    for i in order {
        if left <= 0 {
            break;
        }
        out[i] += 1;
        left -= 1;
    }
    out.into_iter().map(|n| i64::try_from(n).map_err(|_| TooLarge)).collect()
}

impl Ledger {
    /// Adds the usage of a group in a segment that one card covers. `step`: number of the step that it lies in.
    pub fn add(
        &mut self,
        group: &Group,
        card: Option<&RateCard>,
        reconciled: bool,
        step: usize,
        u: &Usage,
    ) -> Result<(), TooLarge> {
        for &bucket in Bucket::ALL {
            let quantity = bucket.quantity(u);
            if quantity == 0 {
                continue;
            }
            let key = Key { bucket, group: group.clone(), card: card.map(|c| c.version), reconciled };
            let product = product(quantity, card.map_or(0, |c| c.price(bucket)))?;
            self.rows.entry(key).or_default().add(quantity, product)?;
            let at = self.steps.entry((bucket, step)).or_default();
            *at = sum([*at, product])?;
        }
        Ok(())
    }

    /// All of it.
    pub fn amounts(&self) -> Result<Amounts, TooLarge> {
        let total = |bucket: Bucket| {
            amount(self.rows.iter().filter(|(k, _)| k.bucket == bucket).map(|(_, e)| e.product), bucket)
        };
        Amounts::of([total(Bucket::Compute)?, total(Bucket::Storage)?, total(Bucket::Signing)?])
    }

    /// Rows with their amounts, which add up to those of [`Ledger::amounts`].
    pub fn rows(&self) -> Result<Vec<CostRow>, TooLarge> {
        let mut out = Vec::with_capacity(self.rows.len());
        for &bucket in Bucket::ALL {
            let of: Vec<_> = self.rows.iter().filter(|(k, _)| k.bucket == bucket).collect();
            let products: Vec<i128> = of.iter().map(|(_, e)| e.product).collect();
            for ((k, e), amount) in of.into_iter().zip(apportion(&products, bucket.divisor())?) {
                out.push(CostRow {
                    bucket,
                    group: k.group.clone(),
                    quantity: e.quantity,
                    unit: bucket.unit().to_owned(),
                    rate_card: k.card,
                    reconciled: k.reconciled,
                    amount,
                });
            }
        }
        Ok(out)
    }

    /// Amounts by step, which add up to those of [`Ledger::amounts`].
    pub fn steps(&self, periods: &[Period]) -> Result<Vec<CostStep>, TooLarge> {
        let by_step = |bucket: Bucket| {
            let of = |i: usize| self.steps.get(&(bucket, i)).copied().unwrap_or(0);
            let products: Vec<i128> = (0..periods.len()).map(of).collect();
            apportion(&products, bucket.divisor())
        };
        let compute = by_step(Bucket::Compute)?;
        let (storage, signing) = (by_step(Bucket::Storage)?, by_step(Bucket::Signing)?);
        let amounts = compute.into_iter().zip(storage).zip(signing);
        let step = |(p, ((compute, storage), signing)): (&Period, ((i64, i64), i64))| {
            let amounts = Amounts::of([compute, storage, signing])?;
            Ok(CostStep { from_us: p.from.as_micros(), to_us: p.to.as_micros(), amounts })
        };
        periods.iter().zip(amounts).map(step).collect()
    }
}

impl Amounts {
    /// Of compute, storage and signing.
    pub fn of([compute, storage, signing]: [i64; 3]) -> Result<Self, TooLarge> {
        let total = compute.checked_add(storage).and_then(|n| n.checked_add(signing)).ok_or(TooLarge)?;
        Ok(Self { compute, storage, signing, total })
    }
}

/// Amounts, in the unit of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Amounts {
    /// Step time.
    pub compute: i64,
    /// Storage.
    pub storage: i64,
    /// Signing.
    pub signing: i64,
    /// All three.
    pub total: i64,
}

/// A row of [`CostAnswer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CostRow {
    /// What is paid for.
    pub bucket: Bucket,
    /// Whose.
    #[serde(flatten)]
    pub group: Group,
    /// How much, as a decimal text.
    #[serde(with = "crate::meter::decimal")]
    #[schemars(with = "String")]
    pub quantity: i128,
    /// In which unit.
    pub unit: String,
    /// Version of the rate card; none where none was in effect.
    pub rate_card: Option<u64>,
    /// It was compared with an invoice, and they agree.
    pub reconciled: bool,
    /// In the unit of the answer.
    pub amount: i64,
}

/// A step of [`CostAnswer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CostStep {
    /// Begin, microseconds since the Unix epoch.
    pub from_us: u64,
    /// End.
    pub to_us: u64,
    /// Amounts; all steps add up to the total.
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// `GET /v1/tenants/{tenant}/cost`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CostAnswer {
    /// The tenant.
    pub tenant_uid: TenantUid,
    /// Its display id.
    pub tenant_id: Ident,
    /// Of which period.
    pub range: RangeShown,
    /// The agent's time: what lies after it is not over yet.
    pub as_of_us: u64,
    /// ISO 4217; empty while no rate card is loaded.
    pub currency: String,
    /// Amounts are integers of 10^-decimals of it.
    pub decimals: u8,
    /// The same in words.
    pub unit: String,
    /// The rate cards that were in effect.
    pub rate_cards: Vec<RateCard>,
    /// Some of the period has no rate card: its rows have no amount.
    pub unpriced: bool,
    /// All of it was compared with invoices, and they agree.
    pub reconciled: bool,
    /// All of it.
    pub totals: Amounts,
    /// By bucket, group and rate card.
    pub rows: Vec<CostRow>,
    /// By step, where steps were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<CostStep>,
}

/// A part of an amount that one rate card covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Part {
    /// Begin, microseconds since the Unix epoch.
    pub from_us: u64,
    /// End.
    pub to_us: u64,
    /// Version of the card; none where none was in effect.
    pub rate_card: Option<u64>,
    /// Its price.
    pub price: u64,
    /// How much was used, as a decimal text.
    #[serde(with = "crate::meter::decimal")]
    #[schemars(with = "String")]
    pub quantity: i128,
    /// Quantity times price, as a decimal text.
    #[serde(with = "crate::meter::decimal")]
    #[schemars(with = "String")]
    pub product: i128,
}

/// An event that an amount rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ExplainedEvent {
    /// Its id: (origin, index, ordinal).
    pub id: String,
    /// Index of its receipt.
    pub receipt: u64,
    /// When it counts, microseconds since the Unix epoch.
    pub at_us: u64,
    /// When it was put on record; later for a correction.
    pub recorded_us: u64,
    /// Its labels.
    #[serde(flatten)]
    pub labels: crate::meter::Labels,
    /// How much it says.
    pub quantity: i64,
    /// What it adds to the quantity of the amount, as a decimal text: for storage its bytes times the time left.
    #[serde(with = "crate::meter::decimal")]
    #[schemars(with = "String")]
    pub adds: i128,
}

/// `GET /v1/tenants/{tenant}/cost/explain`: where an amount comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Explained {
    /// What is paid for.
    pub bucket: Bucket,
    /// Whose.
    #[serde(flatten)]
    pub group: Group,
    /// Of which period.
    pub range: RangeShown,
    /// Unit of quantities.
    pub unit: String,
    /// What prices are for.
    pub priced_per: String,
    /// So many of the unit make one of those, as a decimal text.
    #[serde(with = "crate::meter::decimal")]
    #[schemars(with = "String")]
    pub divisor: i128,
    /// By rate card. The amount is the sum of their products, divided, rounded half to even.
    pub parts: Vec<Part>,
    /// The amount.
    pub amount: i64,
    /// Unit of amounts.
    pub amount_unit: String,
    /// Storage only: what was kept already when the period began, over all of it; as a decimal text.
    #[serde(with = "crate::meter::decimal")]
    #[schemars(with = "String")]
    pub kept_before: i128,
    /// Events, by index. All pages add up, with `kept_before`, to the quantities of the parts.
    pub events: Vec<ExplainedEvent>,
    /// Ask on with `after` of this; none at the end.
    pub next: Option<u64>,
}

impl Explained {
    /// The amount of parts.
    pub fn amount_of(bucket: Bucket, parts: &[Part]) -> Result<i64, TooLarge> {
        amount(parts.iter().map(|p| p.product), bucket)
    }
}

/// `GET /v1/rates`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Rates {
    /// Public key of whoever signs rate cards; none while nobody is trusted.
    pub billing_key: Option<String>,
    /// Cards, oldest first.
    pub cards: Vec<RateCard>,
}

/// A month whose cost was compared with an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Reconciled {
    /// Amounts that were confirmed.
    pub amounts: Amounts,
    /// SHA-256 of the invoice.
    pub invoice_sha256: crate::ids::Digest,
    /// Index of the receipt that put it into effect.
    pub index: u64,
}

/// An amount in its currency, for people: `12.345678 EUR`.
pub fn money(amount: i64, decimals: u8, currency: &str) -> String {
    let scale = 10u64.pow(u32::from(decimals.min(9)));
    let (sign, n) = (if amount < 0 { "-" } else { "" }, amount.unsigned_abs());
    if decimals == 0 {
        return format!("{sign}{n} {currency}");
    }
    let width = usize::from(decimals.min(9));
    format!("{sign}{}.{:0width$} {currency}", n / scale, n % scale)
}

#[cfg(test)]
pub(crate) mod tests;
