//! Creates partitions, and stores policy bundles in the node's partition.

use super::Writer;
use super::jobs::{Job, NewTenants};
use crate::ledger::{Partition, ReadError};
use crate::partition::{Loader, PartitionState, index_hash};
use crate::staging::BatchBuilder;
use crate::store::{FamilyChange, MAX_TENANTS, Row, RowKind, Store, StoreError};
use conductor_shared::fact::{LogOpened, TenantCreated};
use conductor_shared::ids::{Ident, PartitionId, TenantUid};
use conductor_shared::reason::Reason;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;

impl Writer {
    /// Stores the files of a bundle, so that they are there when the command that loads it takes effect.
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

    /// Creates tenants without a command each, as bootstrap does. Keys and families are planned at once; the receipts follow
    /// in slices.
    pub(super) fn create_tenants(
        &mut self,
        st: &mut BatchBuilder,
        list: Vec<(TenantUid, Ident)>,
        reply: oneshot::Sender<Result<(), String>>,
    ) -> Result<(), ReadError> {
        let mut tenants = NewTenants { left: list.into(), reply };
        if let Some(why) = self.cannot_create(&tenants.left) {
            tenants.refuse(&why);
            return Ok(());
        }
        self.plan(st, tenants.left.make_contiguous())?;
        self.jobs.push_back(Job::Create(tenants));
        Ok(())
    }

    fn cannot_create(&self, list: &VecDeque<(TenantUid, Ident)>) -> Option<String> {
        let Some(open) = &self.open else { return Some("the store is closed".into()) };
        let Some(node) = open.partitions.node() else { return Some("no node log".into()) };
        if open.partitions.len() + list.len() > MAX_TENANTS + 1 {
            return Some(StoreError::TooMany.to_string());
        }
        let taken = |uid: &TenantUid, name: &Ident| {
            node.control.tenant_named(name).is_some() || open.partitions.current(*uid).is_some()
        };
        let (_, name) = list.iter().find(|(uid, name)| taken(uid, name))?;
        Some(format!("tenant {name} exists already"))
    }

    /// Creates the next tenants, as many as this step has room for.
    pub(super) fn create_next(
        &mut self,
        st: &mut BatchBuilder,
        tenants: &mut NewTenants,
    ) -> Result<(), ReadError> {
        while !tenants.is_empty() && st.fits(NEW_TENANT) {
            let Some((uid, name)) = tenants.left.pop_front() else { break };
            let fact = TenantCreated { tenant_uid: uid, tenant_id: name.clone(), epoch: FIRST_EPOCH };
            if let Some(node) = self.open.as_mut().and_then(|o| o.partitions.node_mut()) {
                node.control_fact(st, fact)?;
            }
            self.begin(st, uid, &name)?;
        }
        Ok(())
    }

    /// Creates the keys of new partitions, and plans their families, which the sealer makes before it writes this step's
    /// rows. A crash leaves at most an unused key or family.
    pub(super) fn plan(
        &mut self,
        st: &mut BatchBuilder,
        list: &[(TenantUid, Ident)],
    ) -> Result<(), ReadError> {
        let random = Arc::clone(&self.parts.random);
        let Some(open) = self.open.as_mut().filter(|_| !list.is_empty()) else { return Ok(()) };
        let ids: Vec<PartitionId> = list.iter().map(|(uid, _)| first(*uid)).collect();
        let keyless: Vec<_> = ids
            .iter()
            .filter(|id| open.keys.tenant(id.tenant, id.epoch).is_err())
            .map(|id| (id.tenant, id.epoch))
            .collect();
        open.keys.create_tenants(&keyless, &*random)?;
        open.keys.begin_units(&keyless, &*random)?;
        open.store.plan_families(&ids)?;
        st.families.push(FamilyChange::Make(ids));
        Ok(())
    }

    /// Opens the log of a new partition with its first receipt.
    pub(super) fn begin(
        &mut self,
        st: &mut BatchBuilder,
        uid: TenantUid,
        name: &Ident,
    ) -> Result<(), ReadError> {
        let (node, lease) = (self.parts.node_id, self.parts.lease);
        let Some(open) = &mut self.open else { return Ok(()) };
        let ctx = Loader {
            store: &open.store,
            keys: &mut open.keys,
            node,
            now: st.now,
            lease,
            cuts_since: st.now.wall,
        };
        let mut live = PartitionState::load(ctx, first(uid), Some(name))?;
        let fact = LogOpened { reason: "created".to_owned(), name: name.clone(), cites: None };
        live.control_fact(st, fact)?;
        open.partitions.insert(live);
        Ok(())
    }
}

/// Maximum rows that a new tenant touches: two receipts with their index rows, and counters.
const NEW_TENANT: usize = 16;
const FIRST_EPOCH: u64 = 1;

fn first(tenant: TenantUid) -> PartitionId {
    PartitionId { tenant, epoch: FIRST_EPOCH }
}

/// Reads the stored policy bundles. A bundle that this version cannot read is skipped: if it is the loaded one, policy is
/// down and reports that.
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
