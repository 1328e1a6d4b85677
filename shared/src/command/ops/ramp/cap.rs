use crate::basis_points::{BasisPoints, percent};
use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::operator::Role;
use crate::ramp::Selector;

/// `ramp <= x`: lowers a higher value and changes nothing else. Absolute, so it needs no base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RampCap {
    /// Which rule.
    pub selector: Selector,
    /// Upper bound.
    pub hundredths: BasisPoints,
}

impl OperationSpec for RampCap {
    const NAME: &'static str = "ramp.cap";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Operator];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["run/etl", "1000"], &["*/*", "10000"]];

    fn args(&self) -> Args {
        vec![("selector", self.selector.to_string()), ("hundredths", self.hundredths.get().to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { selector: v.read(0)?, hundredths: v.hundredths(1)? })
    }

    fn object(&self) -> String {
        format!("ramp {}", self.selector)
    }

    fn sentence(&self) -> String {
        format!("Lower ramp {} to {}", self.selector, percent(self.hundredths))
    }

    fn is_absolute(&self) -> bool {
        true
    }
}
