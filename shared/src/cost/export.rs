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

/// Columns of FOCUS 1.0, the open cost and usage specification of the Linux Foundation, that a row has.
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
        &r.quantity.to_string(),
        &r.unit,
        &cost,
        &cost,
        "Conductor",
        &cost,
        "Standard",
        &r.quantity.to_string(),
        &r.unit,
        "Conductor",
        "Conductor",
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
