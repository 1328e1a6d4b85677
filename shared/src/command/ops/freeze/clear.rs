use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::Ident;
use crate::operator::Role;

/// Lifts a freeze.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezeClear {
    /// Its name.
    pub freeze: Ident,
}

impl OperationSpec for FreezeClear {
    const NAME: &'static str = "freeze.clear";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Operator];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["now"]];

    fn args(&self) -> Args {
        vec![("freeze", self.freeze.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { freeze: v.ident(0)? })
    }

    fn object(&self) -> String {
        format!("freeze {}", self.freeze)
    }

    fn sentence(&self) -> String {
        format!("Lift freeze {}", self.freeze)
    }
}
