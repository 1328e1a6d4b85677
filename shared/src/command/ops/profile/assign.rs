use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::Ident;
use crate::operator::Role;

/// Assigns a policy profile to a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileAssign {
    /// Which.
    pub profile: Ident,
}

impl OperationSpec for ProfileAssign {
    const NAME: &'static str = "profile.assign";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Admin];
    const CONFIG: bool = true;
    const SAMPLES: &'static [&'static [&'static str]] = &[&["strict"]];

    fn args(&self) -> Args {
        vec![("profile", self.profile.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { profile: v.ident(0)? })
    }

    fn object(&self) -> String {
        "assignment profile".to_owned()
    }

    fn sentence(&self) -> String {
        format!("Assign policy profile {}", self.profile)
    }
}
