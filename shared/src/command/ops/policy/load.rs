use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::hex;
use crate::operator::Role;
use crate::policy::Statement;

/// Activates a policy bundle whose files were uploaded before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyLoad {
    /// What the policy key signed.
    pub statement: Statement,
    /// The minisign file over its text, base64.
    pub signature: String,
}

impl OperationSpec for PolicyLoad {
    const NAME: &'static str = "policy.load";
    const SCOPE: Scope = Scope::Node;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] =
        &[&["2", "0202020202020202020202020202020202020202020202020202020202020202", "1", "2", "eA=="]];

    fn args(&self) -> Args {
        vec![
            ("revision", self.statement.revision.to_string()),
            ("digest", hex(&self.statement.digest)),
            ("built_at_us", self.statement.built_at_us.to_string()),
            ("expires_at_us", self.statement.expires_at_us.to_string()),
            ("signature", self.signature.clone()),
        ]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        let statement = Statement {
            revision: v.number(0).filter(|r| *r > 0)?,
            digest: v.hex(1)?,
            built_at_us: v.number(2)?,
            expires_at_us: v.number(3)?,
        };
        Some(Self { statement, signature: v.base64(4)? })
    }

    fn object(&self) -> String {
        "policy bundle".to_owned()
    }

    fn sentence(&self) -> String {
        format!(
            "Load policy bundle {}, revision {}",
            hex(&self.statement.digest[..4]),
            self.statement.revision
        )
    }
}
