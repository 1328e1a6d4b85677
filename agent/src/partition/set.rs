//! The partitions of this node: its tenants' and its own.

use super::{PartitionState, PartitionStatus};
use conductor_shared::clock::WallTime;
use conductor_shared::control::ControlState;
use conductor_shared::fail_closed::Class;
use conductor_shared::ids::{PartitionId, TenantUid};
use conductor_shared::reason::Reason;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// All partitions that the writer holds, and those that are damaged: of these nothing is held. A tenant has one
/// incarnation at a time; whoever asks for another one is told that there is none.
#[derive(Default)]
pub struct Partitions {
    held: FxHashMap<TenantUid, PartitionState>,
    damaged: FxHashMap<TenantUid, PartitionId>,
}

impl Partitions {
    pub fn insert(&mut self, state: PartitionState) {
        self.held.insert(state.p.id.tenant, state);
    }

    pub fn get(&self, id: PartitionId) -> Option<&PartitionState> {
        self.held.get(&id.tenant).filter(|state| state.p.id == id)
    }

    pub fn get_mut(&mut self, id: PartitionId) -> Option<&mut PartitionState> {
        self.held.get_mut(&id.tenant).filter(|state| state.p.id == id)
    }

    /// The tenant's incarnation now, damaged or not.
    pub fn current(&self, tenant: TenantUid) -> Option<PartitionId> {
        let held = self.held.get(&tenant).map(|state| state.p.id);
        held.or_else(|| self.damaged.get(&tenant).copied())
    }

    /// A partition that was damaged is no longer held. `None`: it was not held.
    pub fn damage(&mut self, id: PartitionId) -> Option<PartitionState> {
        self.damaged.insert(id.tenant, id);
        let mut state = self.held.remove(&id.tenant)?;
        state.stop(PartitionStatus::Damaged);
        Some(state)
    }

    /// Where a partition is in its life; `None` when there is no such incarnation.
    pub fn status(&self, id: PartitionId) -> Option<PartitionStatus> {
        match self.get(id) {
            Some(state) => Some(state.status),
            None => (self.damaged.get(&id.tenant) == Some(&id)).then_some(PartitionStatus::Damaged),
        }
    }

    /// What a partition answers to a class, held or not: that it was replaced, when the tenant has another incarnation
    /// now. `None`: the class may go on, or there is no such tenant.
    pub fn refuses(&self, id: PartitionId, class: Class) -> Option<Reason> {
        match self.status(id) {
            Some(status) => status.refuses(class),
            None => self.current(id.tenant).map(|_| Reason::PartitionReplaced),
        }
    }

    /// The node's log is not the one that was signed.
    pub fn node_doubted(&self) -> bool {
        self.node().is_some_and(|n| n.status == PartitionStatus::RolledBack)
    }

    pub fn contains(&self, id: PartitionId) -> bool {
        self.get(id).is_some()
    }

    /// The node's own.
    pub fn node(&self) -> Option<&PartitionState> {
        self.get(PartitionId::NODE)
    }

    /// The node's own.
    pub fn node_mut(&mut self) -> Option<&mut PartitionState> {
        self.get_mut(PartitionId::NODE)
    }

    /// The node's control state: operators, profiles, freeze windows.
    pub fn node_control(&self) -> Option<Arc<ControlState>> {
        self.node().map(|n| Arc::clone(&n.control))
    }

    pub fn ids(&self) -> impl Iterator<Item = PartitionId> {
        self.held.values().map(|state| state.p.id)
    }

    pub fn len(&self) -> usize {
        self.held.len() + self.damaged.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = &PartitionState> {
        self.held.values()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut PartitionState> {
        self.held.values_mut()
    }

    /// The latest time that any log has told.
    pub fn newest(&self) -> WallTime {
        self.iter().map(|l| l.log.last()).max().unwrap_or_default()
    }
}
