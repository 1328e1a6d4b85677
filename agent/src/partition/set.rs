//! The partitions of this node: its tenants' and its own.

use super::PartitionState;
use conductor_shared::control::ControlState;
use conductor_shared::ids::TenantUid;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// All partitions that the writer holds, by tenant.
#[derive(Default)]
pub struct Partitions(FxHashMap<TenantUid, PartitionState>);

impl Partitions {
    pub fn insert(&mut self, state: PartitionState) {
        self.0.insert(state.p.id.tenant, state);
    }

    pub fn get(&self, tenant: TenantUid) -> Option<&PartitionState> {
        self.0.get(&tenant)
    }

    pub fn get_mut(&mut self, tenant: TenantUid) -> Option<&mut PartitionState> {
        self.0.get_mut(&tenant)
    }

    pub fn contains(&self, tenant: TenantUid) -> bool {
        self.0.contains_key(&tenant)
    }

    /// The node's own.
    pub fn node(&self) -> Option<&PartitionState> {
        self.get(TenantUid::NODE)
    }

    /// The node's own.
    pub fn node_mut(&mut self) -> Option<&mut PartitionState> {
        self.get_mut(TenantUid::NODE)
    }

    /// The node's control state: operators, profiles, freeze windows.
    pub fn node_control(&self) -> Option<Arc<ControlState>> {
        self.node().map(|n| Arc::clone(&n.control))
    }

    pub fn tenants(&self) -> impl Iterator<Item = TenantUid> {
        self.0.keys().copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = &PartitionState> {
        self.0.values()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut PartitionState> {
        self.0.values_mut()
    }

    /// The latest time that any log has told, microseconds since the Unix epoch.
    pub fn newest_us(&self) -> u64 {
        self.iter().map(|l| l.log.last_us()).max().unwrap_or(0)
    }
}
