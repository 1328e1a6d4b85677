//! A tenant by name, with its control state.

use super::output::CliError;
use crate::client::resolve::{self, Found, TenantName};
use crate::client::session::ReadSession;
use conductor_shared::http::TenantDetail;

/// Control state of a tenant, by name.
pub(super) async fn tenant_detail(
    session: &ReadSession,
    name: &TenantName,
) -> Result<(Found, TenantDetail), CliError> {
    let found = resolve::tenant(session, name).await?;
    let bearer = session.bearer().await?;
    let detail = session.agent().tenant(&bearer, found.uid).await?;
    Ok((found, detail))
}
