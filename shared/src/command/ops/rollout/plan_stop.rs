use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::operator::Role;
use crate::ramp::Selector;

/// Stops a plan at its present step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanStop {
    /// Which rule.
    pub selector: Selector,
}

impl OperationSpec for PlanStop {
    const NAME: &'static str = "plan.stop";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Operator];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["run/etl"]];

    fn args(&self) -> Args {
        vec![("selector", self.selector.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { selector: v.read(0)? })
    }

    fn object(&self) -> String {
        format!("plan {}", self.selector)
    }

    fn sentence(&self) -> String {
        format!("Stop the plan of ramp {}", self.selector)
    }
}
