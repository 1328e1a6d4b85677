use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::Ident;
use crate::operator::Role;

/// Delivers the dead letters of a sink again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkReplay {
    /// Which.
    pub sink: Ident,
}

impl OperationSpec for SinkReplay {
    const NAME: &'static str = "sink.replay";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Operator];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["billing"]];

    fn args(&self) -> Args {
        vec![("sink", self.sink.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { sink: v.ident(0)? })
    }

    fn object(&self) -> String {
        format!("sink {}", self.sink)
    }

    fn sentence(&self) -> String {
        format!("Deliver the dead letters of sink {} again", self.sink)
    }
}
