//! Cost as files: CSV and the columns of FOCUS.

use super::{Bucket, CostAnswer, CostRow, money};
use crate::clock::WallTime;
use crate::fact::{ActorType, Env};
use crate::ids::Ident;
use crate::time_range::Period;
use serde::Serialize;

/// A decimal number, exact: what goes into files.
pub fn decimal(amount: i64, decimals: u8) -> String {
    let text = money(amount, decimals, "");
    text.trim_end().to_owned()
}

const COLUMNS: [&str; 13] = [
    "tenant_id",
    "from",
    "to",
    "bucket",
    "workflow_type",
    "env",
    "actor_type",
    "quantity",
    "unit",
    "rate_card",
    "reconciled",
    "amount",
    "amount_unit",
];

/// Rows as CSV.
pub fn csv(a: &CostAnswer) -> String {
    let word = |t: Option<&str>| t.unwrap_or_default().to_owned();
    let row = |r: &CostRow| {
        [
            a.tenant_id.to_string(),
            a.range.from.clone(),
            a.range.to.clone(),
            r.bucket.as_str().to_owned(),
            word(r.group.workflow_type.as_ref().map(Ident::as_str)),
            word(r.group.env.map(Env::as_str)),
            word(r.group.actor_type.map(ActorType::as_str)),
            r.quantity.to_string(),
            r.unit.clone(),
            r.rate_card.map_or(String::new(), |v| v.to_string()),
            r.reconciled.to_string(),
            r.amount.to_string(),
            a.unit.clone(),
        ]
    };
    crate::csv_text::write(COLUMNS, a.rows.iter().map(row))
}

/// Columns of FOCUS 1.0, the open cost and usage specification of the Linux Foundation, that a row has. Unit prices are left
/// out: a card's prices are for other units, and dividing them would round.
pub const FOCUS_COLUMNS: &[&str] = &[
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "SkuId",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
];

/// A quantity in the units that FOCUS allows, exact.
struct Measured {
    quantity: String,
    unit: &'static str,
}

impl Measured {
    /// FOCUS knows no byte-microseconds. A second is 10^6 microseconds and a GB 10^9 bytes: both are decimal, so that
    /// nothing is rounded, as it would be with hours.
    fn of(bucket: Bucket, quantity: i128) -> Self {
        let (unit, decimals) = match bucket {
            Bucket::Compute => ("Seconds", 6),
            Bucket::Storage => ("GB-Seconds", 15),
            Bucket::Signing => ("Receipts", 0),
        };
        Self { quantity: shifted(quantity, decimals), unit }
    }
}

/// So many of 10^-decimals, as a decimal number without zeros at its end.
fn shifted(n: i128, decimals: usize) -> String {
    let digits = format!("{:0>width$}", n.unsigned_abs(), width = decimals + 1);
    let (whole, part) = digits.split_at(digits.len() - decimals);
    let (sign, part) = (if n < 0 { "-" } else { "" }, part.trim_end_matches('0'));
    let point = if part.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{part}")
}

/// The column `Tags`: JSON.
#[derive(Serialize)]
struct Tags<'a> {
    workflow_type: &'a str,
    env: &'a str,
    actor_type: &'a str,
    rate_card: &'a str,
    reconciled: String,
}

/// Rows with the columns of FOCUS. `month` is the billing period that the range lies in.
pub fn focus(a: &CostAnswer, month: Period, node: &str) -> String {
    crate::csv_text::write(FOCUS_COLUMNS, a.rows.iter().map(|r| focus_row(a, r, month, node)))
}

fn focus_row(a: &CostAnswer, r: &CostRow, month: Period, node: &str) -> Vec<String> {
    let time = crate::time_range::rfc3339;
    let measured = Measured::of(r.bucket, r.quantity);
    let cost = decimal(r.amount, a.decimals);
    let resource = r.group.name();
    let (category, name) = match r.bucket {
        Bucket::Compute => ("Compute", "Step time"),
        Bucket::Storage => ("Storage", "Sealed storage"),
        Bucket::Signing => ("Security", "Receipt signing"),
    };
    let card = r.rate_card.map_or(String::new(), |v| v.to_string());
    let sku = format!("conductor-{}", r.bucket.as_str());
    let price = if card.is_empty() { String::new() } else { format!("{sku}-v{card}") };
    let tags = Tags {
        workflow_type: r.group.workflow_type.as_ref().map_or("", Ident::as_str),
        env: r.group.env.map_or("", Env::as_str),
        actor_type: r.group.actor_type.map_or("", ActorType::as_str),
        rate_card: &card,
        reconciled: r.reconciled.to_string(),
    };
    let columns = [
        cost.as_str(),
        &a.tenant_uid.to_string(),
        a.tenant_id.as_str(),
        &a.currency,
        &time(month.to),
        &time(month.from),
        "Usage",
        "",
        &format!("{name} of {resource}"),
        "Usage-Based",
        &time(WallTime::from_micros(a.range.to_us)),
        &time(WallTime::from_micros(a.range.from_us)),
        // Nobody commits to anything here.
        "",
        "",
        "",
        "",
        "",
        &measured.quantity,
        measured.unit,
        &cost,
        &cost,
        "Conductor",
        &cost,
        "Standard",
        &measured.quantity,
        measured.unit,
        "Conductor",
        "Conductor",
        // A node has no region.
        "",
        "",
        &resource,
        &resource,
        "Workflow",
        category,
        name,
        &sku,
        &price,
        node,
        node,
        &serde_json::to_string(&tags).unwrap_or_default(),
    ];
    columns.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E9: quantities are exact decimals in units that FOCUS 1.0 allows.
    #[test]
    fn quantities_are_exact_in_units_of_focus() {
        let of = |bucket, n| {
            let m = Measured::of(bucket, n);
            (m.quantity, m.unit)
        };
        assert_eq!(of(Bucket::Compute, 3_600_000_001), ("3600.000001".to_owned(), "Seconds"));
        assert_eq!(of(Bucket::Compute, -500), ("-0.0005".to_owned(), "Seconds"));
        assert_eq!(of(Bucket::Storage, 1), ("0.000000000000001".to_owned(), "GB-Seconds"));
        assert_eq!(of(Bucket::Storage, 2_000_000_000_000_000), ("2".to_owned(), "GB-Seconds"));
        assert_eq!(of(Bucket::Signing, 12), ("12".to_owned(), "Receipts"));
        assert_eq!(of(Bucket::Signing, 0), ("0".to_owned(), "Receipts"));
        let huge = of(Bucket::Storage, i128::MIN).0;
        assert!(
            huge.starts_with("-170141183460469231731687.") && huge.ends_with("303715884105728"),
            "{huge}"
        );
    }
}
