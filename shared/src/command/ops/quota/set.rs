use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::operator::Role;
use crate::quota::QuotaKind;

/// Sets a quota, up or down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaSet {
    /// Which.
    pub kind: QuotaKind,
    /// New limit.
    pub limit: u64,
}

impl OperationSpec for QuotaSet {
    const NAME: &'static str = "quota.set";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Admin];
    const CONFIG: bool = true;
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
        format!("Set quota {} to {}", self.kind.as_str(), self.limit)
    }
}
