use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::PersonId;
use crate::operator::{Role, Roles, parse_roles, roles_text};
use std::collections::BTreeSet;

/// How no roles are written.
const NO_ROLES: &str = "none";

/// Sets the roles of a person, on all their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorRoles {
    /// Who.
    pub person: PersonId,
    /// Roles; may be none.
    pub roles: Roles,
}

impl OperationSpec for OperatorRoles {
    const NAME: &'static str = "operator.roles";
    const SCOPE: Scope = Scope::Node;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] = &[
        &["01010101010101010101010101010101", "operator viewer"],
        &["01010101010101010101010101010101", "none"],
    ];

    fn args(&self) -> Args {
        vec![("person", self.person.to_string()), ("roles", self.roles_word())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        let roles = match v.text(1)? {
            NO_ROLES => BTreeSet::new(),
            some => parse_roles(some)?,
        };
        Some(Self { person: v.read(0)?, roles })
    }

    fn object(&self) -> String {
        format!("person {}", self.person)
    }

    fn sentence(&self) -> String {
        format!("Set the roles of person {} to {}", self.person, self.roles_word())
    }
}

impl OperatorRoles {
    fn roles_word(&self) -> String {
        if self.roles.is_empty() { NO_ROLES.to_owned() } else { roles_text(&self.roles) }
    }
}
