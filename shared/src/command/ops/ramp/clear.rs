use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::operator::Role;
use crate::ramp::Selector;

/// Removes a ramp rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RampClear {
    /// Which rule.
    pub selector: Selector,
}

impl OperationSpec for RampClear {
    const NAME: &'static str = "ramp.clear";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Operator];
    const CONFIG: bool = true;
    const SAMPLES: &'static [&'static [&'static str]] = &[&["run/etl"]];

    fn args(&self) -> Args {
        vec![("selector", self.selector.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { selector: v.read(0)? })
    }

    fn object(&self) -> String {
        format!("ramp {}", self.selector)
    }

    fn sentence(&self) -> String {
        format!("Remove ramp {}", self.selector)
    }
}
