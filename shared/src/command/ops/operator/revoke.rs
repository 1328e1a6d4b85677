use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::KeyId;
use crate::operator::Role;

/// Revokes a key, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorRevoke {
    /// Minisign key id.
    pub key: KeyId,
}

impl OperationSpec for OperatorRevoke {
    const NAME: &'static str = "operator.revoke";
    const SCOPE: Scope = Scope::Node;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["E7620F1842B4E81F"]];

    fn args(&self) -> Args {
        vec![("key", self.key.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { key: v.read(0)? })
    }

    fn object(&self) -> String {
        format!("key {}", self.key)
    }

    fn sentence(&self) -> String {
        format!("Revoke key {} for ever", self.key)
    }
}
