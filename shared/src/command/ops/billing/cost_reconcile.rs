use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::cost::Amounts;
use crate::ids::hex;
use crate::operator::Role;

/// Records that the cost of a month agrees with an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostReconcile {
    /// Calendar month in UTC, `2026-10`.
    pub month: String,
    /// Amounts that agree: compute, storage and signing, in the unit of the rate cards.
    pub amounts: [i64; 3],
    /// SHA-256 of the invoice.
    pub invoice_sha256: [u8; 32],
}

impl OperationSpec for CostReconcile {
    const NAME: &'static str = "cost.reconcile";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] =
        &[&["2026-10", "1", "-2", "3", "0707070707070707070707070707070707070707070707070707070707070707"]];

    fn args(&self) -> Args {
        let [compute, storage, signing] = self.amounts;
        vec![
            ("month", self.month.clone()),
            ("compute", compute.to_string()),
            ("storage", storage.to_string()),
            ("signing", signing.to_string()),
            ("invoice_sha256", hex(&self.invoice_sha256)),
        ]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        let amounts = [v.integer(1)?, v.integer(2)?, v.integer(3)?];
        Amounts::of(amounts).ok()?;
        Some(Self { month: month(v.text(0)?)?, amounts, invoice_sha256: v.hex(4)? })
    }

    fn object(&self) -> String {
        format!("cost {}", self.month)
    }

    fn sentence(&self) -> String {
        format!("Record that the cost of {} agrees with the invoice", self.month)
    }
}

/// A month such as `2026-10`.
fn month(text: &str) -> Option<String> {
    let (y, m) = text.split_once('-')?;
    let digits = |t: &str, n: usize| t.len() == n && t.bytes().all(|c| c.is_ascii_digit());
    let fits = digits(y, 4) && digits(m, 2) && (1..=12).contains(&m.parse::<u8>().ok()?);
    fits.then(|| text.to_owned())
}
