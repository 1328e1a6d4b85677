use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::operator::Role;
use crate::ramp::Selector;
use crate::slo::Plan;

/// Starts a staged plan at its first step; the agent advances it while the ramp is healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanSet {
    /// Which rule.
    pub selector: Selector,
    /// Its steps.
    pub plan: Plan,
}

impl OperationSpec for PlanSet {
    const NAME: &'static str = "plan.set";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Operator];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["run/etl", "1%@60s 100%"]];

    fn args(&self) -> Args {
        vec![("selector", self.selector.to_string()), ("steps", self.plan.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { selector: v.read(0)?, plan: v.read(1)? })
    }

    fn object(&self) -> String {
        format!("plan {}", self.selector)
    }

    fn sentence(&self) -> String {
        format!("Start plan {} on ramp {}", self.plan, self.selector)
    }
}
