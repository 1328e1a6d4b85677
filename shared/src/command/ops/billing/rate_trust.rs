use crate::checkpoint::key_id;
use crate::command::spec::{Args, KeyPurpose, OperationSpec, Scope};
use crate::command::values::Values;
use crate::operator::Role;

/// Sets the key that rate cards must be signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateTrust {
    /// Minisign public key, base64, that signs nothing else.
    pub public_key: String,
}

impl OperationSpec for RateTrust {
    const NAME: &'static str = "rate.trust";
    const SCOPE: Scope = Scope::Node;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] =
        &[&["RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"]];

    fn args(&self) -> Args {
        vec![("public_key", self.public_key.clone())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { public_key: v.public_key(0)? })
    }

    fn object(&self) -> String {
        "billing key".to_owned()
    }

    fn sentence(&self) -> String {
        format!(
            "Trust billing key {}",
            key_id(&self.public_key).map_or_else(String::new, |id| id.to_string())
        )
    }

    fn introduces(&self) -> Option<(KeyPurpose, &str)> {
        Some((KeyPurpose::Billing, &self.public_key))
    }
}
