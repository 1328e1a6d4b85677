use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::PersonId;
use crate::operator::Role;

/// Ends a person's suspension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorResume {
    /// Who.
    pub person: PersonId,
}

impl OperationSpec for OperatorResume {
    const NAME: &'static str = "operator.resume";
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
        format!("Resume person {}", self.person)
    }
}
