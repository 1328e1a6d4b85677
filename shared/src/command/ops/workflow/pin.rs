use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::{Ident, hex};
use crate::operator::Role;

/// Pins the prompt of a workflow type: a run that declares another, or none, is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowPin {
    /// The type.
    pub workflow: Ident,
    /// SHA-256 of the prompt.
    pub prompt_sha256: [u8; 32],
}

impl OperationSpec for WorkflowPin {
    const NAME: &'static str = "workflow.pin";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Admin];
    const CONFIG: bool = true;
    const SAMPLES: &'static [&'static [&'static str]] =
        &[&["etl", "0202020202020202020202020202020202020202020202020202020202020202"]];

    fn args(&self) -> Args {
        vec![("workflow", self.workflow.to_string()), ("prompt_sha256", hex(&self.prompt_sha256))]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { workflow: v.ident(0)?, prompt_sha256: v.hex(1)? })
    }

    fn object(&self) -> String {
        format!("prompt {}", self.workflow)
    }

    fn sentence(&self) -> String {
        format!("Pin the prompt of {} to {}", self.workflow, hex(&self.prompt_sha256[..4]))
    }
}
