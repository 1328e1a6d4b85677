//! New partitions, and the policy bundles that the node keeps.

use super::{Open, Writer};
use crate::ledger::{Partition, ReadError};
use crate::partition::{PartitionState, index_hash};
use crate::platform::random::Random;
use crate::staging::BatchBuilder;
use crate::store::{FamilyId, Row, RowKind, Store};
use conductor_shared::clock::Micros;
use conductor_shared::fact::{LogOpened, TenantCreated};
use conductor_shared::ids::{Ident, NodeId, TenantUid};
use conductor_shared::reason::Reason;
use std::sync::Arc;

impl Writer {
    /// Keeps the files of a bundle in the node's own partition, so that they are there when the command takes effect.
    pub(super) fn keep_bundle(
        &mut self,
        st: &mut BatchBuilder,
        bundle: conductor_policies::Bundle,
    ) -> Result<(), String> {
        let node = self.open.as_ref().and_then(|o| o.partitions.node());
        let Some(node) = node.filter(|n| n.status.serves()) else {
            return Err(Reason::StoreUnavailable.description().to_owned());
        };
        let packed = bundle.pack(0).map_err(|e| e.to_string())?;
        let row = |digest: &[u8; 32]| Row::Bundle(index_hash(&node.p.keys.index, digest)).key();
        let key = row(&bundle.digest());
        st.rows.put(&node.p, &key, &packed);
        for old in self.parts.policy.keep(bundle) {
            st.rows.delete(&node.p.family, &row(&old));
        }
        Ok(())
    }

    /// Makes partitions: keys first, then families, then the receipts that say so.
    pub(super) fn create_tenants(
        &mut self,
        st: &mut BatchBuilder,
        list: &[(TenantUid, Ident)],
    ) -> Result<Result<(), String>, ReadError> {
        let random = Arc::clone(&self.parts.random);
        let (node_id, lease) = (self.parts.node_id, self.parts.lease_us);
        let Some(open) = &mut self.open else { return Ok(Err("the store is closed".into())) };
        for (uid, name) in list {
            let Some(node) = open.partitions.node() else { return Ok(Err("no node log".into())) };
            if node.control.tenant_named(name).is_some() || open.partitions.contains(*uid) {
                return Ok(Err(format!("tenant {name} exists already")));
            }
        }
        let ids: Vec<FamilyId> = list.iter().map(|(t, _)| FamilyId { tenant: *t, epoch: 1 }).collect();
        make(open, &ids, &*random)?;
        for (uid, name) in list {
            let fact = TenantCreated { tenant_uid: *uid, tenant_id: name.clone(), epoch: 1 };
            if let Some(node) = open.partitions.node_mut() {
                node.control_fact(st, fact)?;
            }
            begin(open, st, node_id, lease, *uid, name, "created")?;
        }
        Ok(Ok(()))
    }
}

/// Keys and families of new partitions. The order matters: what a crash leaves is an unused key or family.
pub(super) fn make(open: &mut Open, ids: &[FamilyId], random: &dyn Random) -> Result<(), ReadError> {
    let new: Vec<FamilyId> = ids.iter().filter(|id| open.store.family(**id).is_none()).copied().collect();
    let keyless: Vec<_> = ids
        .iter()
        .filter(|id| open.keys.tenant(id.tenant, id.epoch).is_err())
        .map(|id| (id.tenant, id.epoch))
        .collect();
    open.keys.create_tenants(&keyless, random)?;
    open.keys.begin_units(&keyless, random)?;
    open.store.create_families(&new)?;
    Ok(())
}

/// Loads a new partition and writes the first entry of its log.
pub(super) fn begin(
    open: &mut Open,
    st: &mut BatchBuilder,
    node: NodeId,
    lease_us: Micros,
    uid: TenantUid,
    name: &Ident,
    reason: &str,
) -> Result<(), ReadError> {
    let id = FamilyId { tenant: uid, epoch: 1 };
    let mut live = PartitionState::load(&open.store, &mut open.keys, node, id, Some(name), st.now, lease_us)?;
    live.control_fact(st, LogOpened { reason: reason.to_owned(), name: name.clone(), cites: None })?;
    open.partitions.insert(live);
    Ok(())
}

/// The policy bundles that are kept. One that this program cannot read is passed over: should it be the one that is
/// loaded, policy is down and says so.
pub(super) fn read_bundles(
    store: &Store,
    node: &Partition,
) -> Result<Vec<conductor_policies::Bundle>, ReadError> {
    let mut bundles = Vec::new();
    for (row, value) in store.rows(&node.family, &Row::scan_of(RowKind::Bundle))? {
        match conductor_policies::Bundle::unpack(&node.open(&row.key(), &value)?) {
            Ok(b) => bundles.push(b),
            Err(e) => tracing::error!("a stored policy bundle: {e}"),
        }
    }
    Ok(bundles)
}
