use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::Ident;
use crate::operator::Role;

/// Removes a workflow type from the catalog, with its pinned prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowRetire {
    /// The type.
    pub workflow: Ident,
}

impl OperationSpec for WorkflowRetire {
    const NAME: &'static str = "workflow.retire";
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
        format!("workflow {}", self.workflow)
    }

    fn sentence(&self) -> String {
        format!("Retire workflow type {}", self.workflow)
    }
}
