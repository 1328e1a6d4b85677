use crate::basis_points::{BasisPoints, percent};
use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::operator::Role;
use crate::ramp::Selector;

/// Sets a ramp, up or down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RampSet {
    /// Which rule.
    pub selector: Selector,
    /// New value.
    pub hundredths: BasisPoints,
}

impl OperationSpec for RampSet {
    const NAME: &'static str = "ramp.set";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Operator];
    const CONFIG: bool = true;
    const SAMPLES: &'static [&'static [&'static str]] = &[&["run/etl", "1000"], &["*/*", "0"]];

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
        format!("Set ramp {} to {}", self.selector, percent(self.hundredths))
    }
}
