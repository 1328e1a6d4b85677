//! A cache of nodes and their tenants, to address commands to a node that is offline now.
//!
//! It is no authority: a node refuses commands that are addressed to another node.

use super::endpoint::Endpoint;
use super::state_dir;
use conductor_shared::clock::WallTime;
use conductor_shared::http::{NodeInfo, TenantList};
use conductor_shared::ids::{Ident, NodeId, TenantUid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Largest file, bytes: 100 nodes of 4,000 tenants.
const MAX_FILE: u64 = 64 << 20;
/// Nodes that are remembered at most.
const MAX_NODES: usize = 100;

/// An unchanged node is written again after an hour.
const REFRESH: Duration = Duration::from_secs(3_600);

/// A node as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CachedNode {
    pub(crate) node_id: NodeId,
    pub(crate) name: Ident,
    /// When it was seen, in its own time.
    #[serde(rename = "seen_us")]
    pub(crate) seen: WallTime,
    pub(crate) tenants: BTreeMap<TenantUid, Ident>,
}

impl CachedNode {
    /// From what a node said.
    pub(crate) fn of(node: &NodeInfo, list: &TenantList) -> Self {
        let tenants = list.tenants.iter().map(|t| (t.tenant_uid, t.tenant_id.clone())).collect();
        Self {
            node_id: node.node_id,
            name: node.name.clone(),
            seen: WallTime::from_micros(node.now_us),
            tenants,
        }
    }
}

/// All of them, by where they listen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct NodeCache(BTreeMap<String, CachedNode>);

fn path() -> Option<PathBuf> {
    Some(state_dir::folder()?.join("nodes.json"))
}

impl NodeCache {
    /// Reads the cache. An unreadable file counts as an empty one: it only saves requests.
    pub(crate) fn load() -> Self {
        path().and_then(|p| Self::read(&p).ok()).unwrap_or_default()
    }

    fn read(path: &Path) -> io::Result<Self> {
        let text = state_dir::read(path, MAX_FILE)?.unwrap_or_else(|| "{}".into());
        Self::parse(&text).map_err(io::Error::other)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }

    pub(crate) fn text(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|e| e.to_string())
    }

    /// The node that listened there.
    pub(crate) fn at(&self, endpoint: &Endpoint) -> Option<&CachedNode> {
        self.0.get(&endpoint.to_string())
    }

    /// Adds nodes to the file. Errors are ignored: it is a cache.
    pub(crate) fn remember(seen: Vec<(Endpoint, CachedNode)>) {
        // Several nodes are reached at once, and several programs may run: each reads and rewrites the whole file.
        let Some(path) = path() else { return };
        let Ok(_lock) = state_dir::lock(&path) else { return };
        let mut all = Self::load();
        let mut changed = false;
        for (endpoint, node) in seen {
            let old = all.at(&endpoint);
            // Another program saw it later.
            if old.is_some_and(|o| o.node_id == node.node_id && o.seen > node.seen) {
                continue;
            }
            let fresh = |o: &CachedNode| node.seen - o.seen < REFRESH;
            if old.is_some_and(|o| fresh(o) && CachedNode { seen: node.seen, ..o.clone() } == node) {
                continue;
            }
            changed = true;
            all.put(&endpoint, node);
        }
        if changed && let Ok(text) = all.text() {
            let _ = state_dir::replace(&path, &text);
        }
    }

    fn put(&mut self, endpoint: &Endpoint, node: CachedNode) {
        self.0.insert(endpoint.to_string(), node);
        while self.0.len() > MAX_NODES {
            let oldest = self.0.iter().min_by_key(|(_, n)| n.seen).map(|(e, _)| e.clone());
            oldest.and_then(|e| self.0.remove(&e));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u8, seen_us: u64) -> CachedNode {
        let tenants = BTreeMap::from([(TenantUid([n; 16]), Ident::new("acme").unwrap())]);
        CachedNode {
            node_id: NodeId([n; 16]),
            name: Ident::new("site").unwrap(),
            seen: WallTime::from_micros(seen_us),
            tenants,
        }
    }

    /// SPEC, bad input: the memory is bounded, and the node that was seen longest ago goes first.
    #[test]
    fn the_memory_is_bounded() {
        let at = |n: usize| format!("unix:/run/{n}.sock").parse::<Endpoint>().unwrap();
        let mut k = NodeCache::default();
        for n in 0..=MAX_NODES {
            k.put(&at(n), node(1, 1_000 - n as u64));
        }
        assert_eq!(k.0.len(), MAX_NODES);
        assert!(k.at(&at(MAX_NODES)).is_none() && k.at(&at(0)).is_some());
        let text = serde_json::to_string(&k).unwrap();
        assert_eq!(serde_json::from_str::<NodeCache>(&text).unwrap(), k);
    }
}
