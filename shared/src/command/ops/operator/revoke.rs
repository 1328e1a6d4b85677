use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;

/// Shuts a key out for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorRevoke {
    /// Minisign key id.
    pub key: String,
}

impl OperationSpec for OperatorRevoke {
    const NAME: &'static str = "operator.revoke";
    const SCOPE: Scope = Scope::Node;
    const ROLES: &'static [&'static str] = &["admin"];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["E7620F1842B4E81F"]];

    fn args(&self) -> Args {
        vec![("key", self.key.clone())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        let key = v.text(0).filter(|k| k.len() == 16 && k.bytes().all(|c| c.is_ascii_hexdigit()))?;
        Some(Self { key: key.to_owned() })
    }

    fn object(&self) -> String {
        format!("key {}", self.key)
    }

    fn sentence(&self) -> String {
        format!("Revoke key {} for ever", self.key)
    }
}
