use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::operator::Role;
use crate::ramp::Selector;

/// Lifts a kill switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillClear {
    /// Which.
    pub selector: Selector,
}

impl OperationSpec for KillClear {
    const NAME: &'static str = "kill.clear";
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
        format!("kill {}", self.selector)
    }

    fn sentence(&self) -> String {
        format!("Lift the kill switch {}", self.selector)
    }
}
