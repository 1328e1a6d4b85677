use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::Ident;
use crate::operator::Role;

/// Removes the pin of a workflow type's prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowUnpin {
    /// The type.
    pub workflow: Ident,
}

impl OperationSpec for WorkflowUnpin {
    const NAME: &'static str = "workflow.unpin";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Admin];
    const CONFIG: bool = true;
    const SAMPLES: &'static [&'static [&'static str]] = &[&["etl"]];

    fn args(&self) -> Args {
        vec![("workflow", self.workflow.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { workflow: v.ident(0)? })
    }

    fn object(&self) -> String {
        format!("prompt {}", self.workflow)
    }

    fn sentence(&self) -> String {
        format!("Unpin the prompt of {}", self.workflow)
    }
}
