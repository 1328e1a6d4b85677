use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::Ident;
use crate::operator::Role;

/// Adds a workflow type to the tenant's catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowRegister {
    /// The type.
    pub workflow: Ident,
}

impl OperationSpec for WorkflowRegister {
    const NAME: &'static str = "workflow.register";
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
        format!("Register workflow type {}", self.workflow)
    }

    fn names(&self) -> Option<&Ident> {
        Some(&self.workflow)
    }
}
