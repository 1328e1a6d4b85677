//! Freeze windows, ad hoc freezes, and the profiles they belong to.

use crate::freeze::Window;
use crate::ids::{Ident, TenantUid};
use crate::profile::{BreakGlass, Freeze, PolicyOutage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `GET /v1/freezes`: profiles with their windows, and what is frozen or under break-glass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FreezeList {
    /// The agent's time, microseconds since the Unix epoch.
    pub now_us: u64,
    /// In order of name; `default` is always there.
    pub profiles: Vec<ProfileRow>,
    /// The node's own log first, then each tenant of which there is something to tell, in order of display id.
    pub tenants: Vec<FreezeRow>,
}

/// A profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ProfileRow {
    /// Its name.
    pub profile: Ident,
    /// Logs that it governs.
    pub governs: u64,
    /// See [`crate::profile::Profile`].
    pub break_glass_alone: bool,
    /// See [`crate::profile::Profile`].
    pub policy_outage: PolicyOutage,
    /// See [`crate::profile::Profile`].
    pub last_known_s: u64,
    /// In order of name.
    pub windows: Vec<WindowRow>,
}

/// A freeze window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WindowRow {
    /// Its name.
    pub window: Ident,
    /// When it is open.
    pub when: Window,
    /// It is open, by the facts on record.
    pub active: bool,
    /// When it opens or closes next; `None` when it never does.
    pub next_us: Option<u64>,
    /// Whether it is open then.
    pub next_active: bool,
}

/// What freezes a log, and what lifts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FreezeRow {
    /// The tenant, or zeros for the node's own log.
    pub tenant_uid: TenantUid,
    /// Display id.
    pub tenant_id: Ident,
    /// The profile that governs it.
    pub profile: Ident,
    /// A freeze is on.
    pub frozen: bool,
    /// Ad hoc freezes.
    pub freezes: BTreeMap<Ident, Freeze>,
    /// Break-glass, while it is open.
    pub break_glass: Option<BreakGlass>,
}
