use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::operator::Role;
use crate::quota::QuotaKind;

/// `quota <= x`: lowers a higher limit and changes nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaCap {
    /// Which.
    pub kind: QuotaKind,
    /// Upper bound.
    pub limit: u64,
}

impl OperationSpec for QuotaCap {
    const NAME: &'static str = "quota.cap";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Operator];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["step_rate", "7"], &["receipt_backlog", "0"]];

    fn args(&self) -> Args {
        vec![("quota", self.kind.as_str().to_owned()), ("limit", self.limit.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        let kind = QuotaKind::from_word(v.text(0)?)?;
        let limit = v.number(1).filter(|l| *l <= kind.max())?;
        Some(Self { kind, limit })
    }

    fn object(&self) -> String {
        format!("quota {}", self.kind.as_str())
    }

    fn sentence(&self) -> String {
        format!("Lower quota {} to at most {}", self.kind.as_str(), self.limit)
    }

    fn is_absolute(&self) -> bool {
        true
    }
}
