//! A rate card in words.

use conductor_shared::cost::{RateCard, money};
use conductor_shared::untrusted::escape;

/// What it says, a line each.
pub(super) fn card_text(c: &RateCard) -> String {
    let unit = c.unit();
    format!(
        "version         {}\neffective from  {}\namounts are     integers of {unit}\nstep time       {} an hour ({})\nstorage         {} a GB-month ({})\nsigning         {} a million receipts ({})\n",
        c.version,
        escape(&c.effective_from, 40),
        c.compute_hour,
        price(c, c.compute_hour),
        c.storage_gb_month,
        price(c, c.storage_gb_month),
        c.signing_million,
        price(c, c.signing_million),
    )
}

fn price(c: &RateCard, n: u64) -> String {
    money(i64::try_from(n).unwrap_or(i64::MAX), c.decimals, &c.currency)
}
