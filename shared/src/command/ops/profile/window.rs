use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::freeze::Window;
use crate::ids::Ident;
use crate::operator::Role;

/// Adds or replaces a freeze window of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileWindow {
    /// Of which profile.
    pub profile: Ident,
    /// Its name.
    pub window: Ident,
    /// When it is open.
    pub when: Window,
}

impl OperationSpec for ProfileWindow {
    const NAME: &'static str = "profile.window";
    const SCOPE: Scope = Scope::Node;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] =
        &[&["strict", "weekend", "weekly fri 18:00 for 62h00m Europe/Berlin"]];

    fn args(&self) -> Args {
        vec![
            ("profile", self.profile.to_string()),
            ("window", self.window.to_string()),
            ("when", self.when.to_string()),
        ]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { profile: v.ident(0)?, window: v.ident(1)?, when: v.read(2)? })
    }

    fn object(&self) -> String {
        format!("window {}/{}", self.profile, self.window)
    }

    fn sentence(&self) -> String {
        format!("Set freeze window {} of policy profile {} to {}", self.window, self.profile, self.when)
    }

    fn names(&self) -> Option<&Ident> {
        Some(&self.window)
    }
}
