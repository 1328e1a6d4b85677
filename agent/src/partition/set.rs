//! The partitions of this node: its tenants' and its own.

use super::{PartitionState, PartitionStatus};
use conductor_shared::control::ControlState;
use conductor_shared::ids::TenantUid;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// All partitions that the writer holds, by tenant, and the tenants whose partition is damaged: of those nothing is held.
#[derive(Default)]
pub struct Partitions {
    held: FxHashMap<TenantUid, PartitionState>,
    damaged: FxHashSet<TenantUid>,
}

impl Partitions {
    pub fn insert(&mut self, state: PartitionState) {
        self.held.insert(state.p.id.tenant, state);
    }

    pub fn get(&self, tenant: TenantUid) -> Option<&PartitionState> {
        self.held.get(&tenant)
    }

    pub fn get_mut(&mut self, tenant: TenantUid) -> Option<&mut PartitionState> {
        self.held.get_mut(&tenant)
    }

    /// A partition that was damaged is no longer held. `None`: it was not held.
    pub fn damage(&mut self, tenant: TenantUid) -> Option<PartitionState> {
        self.damaged.insert(tenant);
        let mut state = self.held.remove(&tenant)?;
        state.stop(PartitionStatus::Damaged);
        Some(state)
    }

    /// Where a partition is in its life; `None` when there is none of that tenant.
    pub fn status(&self, tenant: TenantUid) -> Option<PartitionStatus> {
        match self.held.get(&tenant) {
            Some(state) => Some(state.status),
            None => self.damaged.contains(&tenant).then_some(PartitionStatus::Damaged),
        }
    }

    pub fn contains(&self, tenant: TenantUid) -> bool {
        self.held.contains_key(&tenant)
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
        self.held.keys().copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = &PartitionState> {
        self.held.values()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut PartitionState> {
        self.held.values_mut()
    }

    /// The latest time that any log has told, microseconds since the Unix epoch.
    pub fn newest_us(&self) -> u64 {
        self.iter().map(|l| l.log.last_us()).max().unwrap_or(0)
    }
}
