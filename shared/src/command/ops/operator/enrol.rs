use crate::checkpoint::key_id;
use crate::command::spec::{Args, KeyPurpose, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::{Ident, PersonId};
use crate::operator::{Role, Roles, parse_roles, roles_text};

/// Enrols a key of a new person, or one more of a person who has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorEnrol {
    /// Whose.
    pub person: PersonId,
    /// Their short name.
    pub name: Ident,
    /// Minisign public key, base64.
    pub public_key: String,
    /// Roles; see [`crate::operator::parse_roles`].
    pub roles: Roles,
    /// The minisign file over [`crate::operator::key_statement`] by this very key, base64.
    pub proof: String,
}

impl OperationSpec for OperatorEnrol {
    const NAME: &'static str = "operator.enrol";
    const SCOPE: Scope = Scope::Node;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] = &[&[
        "01010101010101010101010101010101",
        "dan",
        "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3",
        "approver operator",
        "eA==",
    ]];

    fn args(&self) -> Args {
        vec![
            ("person", self.person.to_string()),
            ("name", self.name.to_string()),
            ("public_key", self.public_key.clone()),
            ("roles", roles_text(&self.roles)),
            ("proof", self.proof.clone()),
        ]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self {
            person: v.read(0)?,
            name: v.ident(1)?,
            public_key: v.public_key(2)?,
            roles: parse_roles(v.text(3)?)?,
            proof: v.base64(4)?,
        })
    }

    fn object(&self) -> String {
        format!("key {}", key_id(&self.public_key).map_or_else(String::new, |id| id.to_string()))
    }

    fn sentence(&self) -> String {
        let id = key_id(&self.public_key).map_or_else(String::new, |id| id.to_string());
        format!("Enrol key {id} of {} as {}", self.name, roles_text(&self.roles))
    }

    fn introduces(&self) -> Option<(KeyPurpose, &str)> {
        Some((KeyPurpose::Operator, &self.public_key))
    }

    fn names(&self) -> Option<&Ident> {
        Some(&self.name)
    }
}
