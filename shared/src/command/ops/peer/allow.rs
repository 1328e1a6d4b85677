use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::operator::Role;

/// Allows a local user on the tenant's own socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAllow {
    /// Unix user id.
    pub uid: u32,
}

impl OperationSpec for PeerAllow {
    const NAME: &'static str = "peer.allow";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["1000"]];

    fn args(&self) -> Args {
        vec![("uid", self.uid.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { uid: u32::try_from(v.number(0)?).ok()? })
    }

    fn object(&self) -> String {
        format!("peer {}", self.uid)
    }

    fn sentence(&self) -> String {
        format!("Allow local user {}", self.uid)
    }
}
