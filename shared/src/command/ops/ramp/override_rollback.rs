use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::operator::Role;
use crate::ramp::Selector;

/// Allows a ramp to rise again to the value it was rolled back from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RampOverride {
    /// Which rule.
    pub selector: Selector,
}

impl OperationSpec for RampOverride {
    const NAME: &'static str = "ramp.override";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Operator];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["*/etl"]];

    fn args(&self) -> Args {
        vec![("selector", self.selector.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { selector: v.read(0)? })
    }

    fn object(&self) -> String {
        format!("override {}", self.selector)
    }

    fn sentence(&self) -> String {
        format!("Allow ramp {} to rise again to the value it was rolled back from", self.selector)
    }
}
