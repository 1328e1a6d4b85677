use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::Ident;
use crate::operator::Role;

/// Creates a policy profile, with the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileCreate {
    /// Its name.
    pub profile: Ident,
}

impl OperationSpec for ProfileCreate {
    const NAME: &'static str = "profile.create";
    const SCOPE: Scope = Scope::Node;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["strict"]];

    fn args(&self) -> Args {
        vec![("profile", self.profile.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { profile: v.ident(0)? })
    }

    fn object(&self) -> String {
        format!("profile {}", self.profile)
    }

    fn sentence(&self) -> String {
        format!("Create policy profile {}", self.profile)
    }

    fn names(&self) -> Option<&Ident> {
        Some(&self.profile)
    }
}
