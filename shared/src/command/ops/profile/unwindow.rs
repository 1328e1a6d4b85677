use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::Ident;
use crate::operator::Role;

/// Removes a freeze window of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileUnwindow {
    /// Of which profile.
    pub profile: Ident,
    /// Its name.
    pub window: Ident,
}

impl OperationSpec for ProfileUnwindow {
    const NAME: &'static str = "profile.unwindow";
    const SCOPE: Scope = Scope::Node;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["strict", "weekend"]];

    fn args(&self) -> Args {
        vec![("profile", self.profile.to_string()), ("window", self.window.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { profile: v.ident(0)?, window: v.ident(1)? })
    }

    fn object(&self) -> String {
        format!("window {}/{}", self.profile, self.window)
    }

    fn sentence(&self) -> String {
        format!("Remove freeze window {} of policy profile {}", self.window, self.profile)
    }
}
