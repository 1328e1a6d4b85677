use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::{Ident, TokenId, hex};
use crate::operator::Role;

/// Issues a workload token. The console made the secret and sends only its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIssue {
    /// The token.
    pub token: TokenId,
    /// What it is for.
    pub name: Ident,
    /// SHA-256 of the 32-byte secret.
    pub secret_sha256: [u8; 32],
}

impl OperationSpec for TokenIssue {
    const NAME: &'static str = "token.issue";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] = &[&[
        "01010101010101010101010101010101",
        "ci",
        "0202020202020202020202020202020202020202020202020202020202020202",
    ]];

    fn args(&self) -> Args {
        vec![
            ("token", self.token.to_string()),
            ("name", self.name.to_string()),
            ("secret_sha256", hex(&self.secret_sha256)),
        ]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { token: v.read(0)?, name: v.ident(1)?, secret_sha256: v.hex(2)? })
    }

    fn object(&self) -> String {
        format!("token {}", self.token)
    }

    fn sentence(&self) -> String {
        format!("Issue token {} ({})", self.name, self.token)
    }

    fn names(&self) -> Option<&Ident> {
        Some(&self.name)
    }
}
