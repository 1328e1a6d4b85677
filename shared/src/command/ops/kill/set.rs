use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::operator::Role;
use crate::ramp::Selector;

/// Sets a kill switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillSet {
    /// What it covers.
    pub selector: Selector,
    /// Deny new runs only; open runs finish.
    pub drain: bool,
}

impl OperationSpec for KillSet {
    const NAME: &'static str = "kill.set";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Operator];
    const CONFIG: bool = true;
    const SAMPLES: &'static [&'static [&'static str]] = &[&["run/etl", "false"], &["*/*", "true"]];

    fn args(&self) -> Args {
        vec![("selector", self.selector.to_string()), ("drain", self.drain.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { selector: v.read(0)?, drain: v.read(1)? })
    }

    fn object(&self) -> String {
        format!("kill {}", self.selector)
    }

    fn sentence(&self) -> String {
        if self.drain {
            format!("Drain {}: deny new runs, let open runs finish", self.selector)
        } else {
            format!("Kill {}: deny new runs and steps", self.selector)
        }
    }

    fn is_absolute(&self) -> bool {
        !self.drain
    }
}
