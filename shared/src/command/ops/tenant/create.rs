use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::{Ident, TenantUid};
use crate::operator::Role;

/// Creates a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantCreate {
    /// Its random uid.
    pub tenant_uid: TenantUid,
    /// Its display id.
    pub tenant_id: Ident,
}

impl OperationSpec for TenantCreate {
    const NAME: &'static str = "tenant.create";
    const SCOPE: Scope = Scope::Node;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["01010101010101010101010101010101", "acme"]];

    fn args(&self) -> Args {
        vec![("tenant_uid", self.tenant_uid.to_string()), ("tenant_id", self.tenant_id.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        Some(Self { tenant_uid: v.read(0)?, tenant_id: v.ident(1)? })
    }

    fn object(&self) -> String {
        format!("tenant {}", self.tenant_uid)
    }

    fn sentence(&self) -> String {
        format!("Create tenant {} ({})", self.tenant_id, self.tenant_uid)
    }

    fn names(&self) -> Option<&Ident> {
        Some(&self.tenant_id)
    }
}
