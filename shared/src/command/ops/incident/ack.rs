use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::hex;
use crate::operator::Role;
use crate::untrusted::UntrustedText;

/// Acknowledges an incident: somebody works on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentAck {
    /// Which.
    pub incident: [u8; 16],
    /// A comment of one line.
    pub comment: UntrustedText,
}

impl OperationSpec for IncidentAck {
    const NAME: &'static str = "incident.ack";
    const SCOPE: Scope = Scope::AnyLog;
    const ROLES: &'static [Role] = &[Role::Operator];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["01010101010101010101010101010101", "over"]];

    fn args(&self) -> Args {
        vec![("incident", hex(&self.incident)), ("comment", self.comment.raw().to_owned())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { incident: v.hex(0)?, comment: v.comment(1)? })
    }

    fn object(&self) -> String {
        format!("incident {}", hex(&self.incident))
    }

    fn sentence(&self) -> String {
        format!("Acknowledge this incident ({})", hex(&self.incident[..4]))
    }
}
