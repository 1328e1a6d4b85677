use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::PersonId;
use crate::operator::Role;

/// Suspends a person, on all their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorSuspend {
    /// Who.
    pub person: PersonId,
}

impl OperationSpec for OperatorSuspend {
    const NAME: &'static str = "operator.suspend";
    const SCOPE: Scope = Scope::Node;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["01010101010101010101010101010101"]];

    fn args(&self) -> Args {
        vec![("person", self.person.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { person: v.read(0)? })
    }

    fn object(&self) -> String {
        format!("person {}", self.person)
    }

    fn sentence(&self) -> String {
        format!("Suspend person {}", self.person)
    }
}
