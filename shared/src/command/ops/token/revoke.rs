use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::TokenId;
use crate::operator::Role;

/// Revokes a token, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRevoke {
    /// The token.
    pub token: TokenId,
}

impl OperationSpec for TokenRevoke {
    const NAME: &'static str = "token.revoke";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Operator];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["01010101010101010101010101010101"]];

    fn args(&self) -> Args {
        vec![("token", self.token.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { token: v.read(0)? })
    }

    fn object(&self) -> String {
        format!("token {}", self.token)
    }

    fn sentence(&self) -> String {
        format!("Revoke token {}", self.token)
    }

    fn is_absolute(&self) -> bool {
        true
    }
}
