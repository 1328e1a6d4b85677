use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::Ident;
use crate::operator::Role;
use crate::profile::Setting;

/// Sets one setting of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileSet {
    /// Which.
    pub profile: Ident,
    /// What.
    pub setting: Setting,
}

impl OperationSpec for ProfileSet {
    const NAME: &'static str = "profile.set";
    const SCOPE: Scope = Scope::Node;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] = &[
        &["strict", "break_glass_alone", "true"],
        &["strict", "policy_outage", "last_known"],
        &["strict", "last_known_s", "300"],
    ];

    fn args(&self) -> Args {
        vec![
            ("profile", self.profile.to_string()),
            ("setting", self.setting.name().to_owned()),
            ("value", self.setting.value()),
        ]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { profile: v.ident(0)?, setting: Setting::parse(v.text(1)?, v.text(2)?)? })
    }

    fn object(&self) -> String {
        format!("profile {}", self.profile)
    }

    fn sentence(&self) -> String {
        format!("Set {} of policy profile {} to {}", self.setting.name(), self.profile, self.setting.value())
    }
}
