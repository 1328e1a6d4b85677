use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::GrantId;
use crate::operator::Role;

/// Closes break-glass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakGlassClose {
    /// Which.
    pub grant: GrantId,
}

impl OperationSpec for BreakGlassClose {
    const NAME: &'static str = "breakglass.close";
    const SCOPE: Scope = Scope::AnyLog;
    const ROLES: &'static [Role] = &[Role::Operator, Role::BreakGlass];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["01010101010101010101010101010101"]];

    fn args(&self) -> Args {
        vec![("grant", self.grant.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { grant: v.read(0)? })
    }

    fn object(&self) -> String {
        format!("break-glass {}", self.grant)
    }

    fn sentence(&self) -> String {
        format!("Close break-glass {}", self.grant)
    }
}
