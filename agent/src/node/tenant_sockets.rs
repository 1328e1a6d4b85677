//! Tenants' own unix sockets, where workloads are authenticated by their unix user instead of a token.

use crate::http::{App, Listener, ListenerKind, Share, bind_unix, serve};
use crate::partition::published::{PartitionCell, Registry};
use crate::platform::stopped;
use conductor_shared::ids::TenantUid;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Interval between checks of the tenants.
const POLL: Duration = Duration::from_millis(500);

pub(super) struct TenantSockets {
    folder: PathBuf,
    app: App,
    share: Share,
    /// Sockets that may be open.
    most: usize,
    stopping: watch::Receiver<bool>,
    open: HashMap<TenantUid, (PathBuf, JoinHandle<()>)>,
    /// Tenants whose socket could not be opened.
    failed: HashSet<TenantUid>,
}

impl TenantSockets {
    pub(super) fn new(
        folder: PathBuf,
        app: App,
        share: Share,
        most: usize,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self { folder, app, share, most, stopping, open: HashMap::new(), failed: HashSet::new() }
    }

    /// Keeps a socket `<folder>/<tenant id>.sock` for each tenant that admits local users, until the agent stops.
    pub(super) async fn run(mut self, board: Arc<Registry>) {
        let mut stopping = self.stopping.clone();
        loop {
            for s in board.all() {
                let wanted = !s.view.load().control.peers.is_empty() && !s.id.tenant.is_node();
                match (wanted, self.open.contains_key(&s.id.tenant)) {
                    (true, false) => self.open(&s),
                    (false, true) => self.close(s.id.tenant),
                    _ => {}
                }
            }
            tokio::select! {
                () = stopped(&mut stopping) => break,
                () = tokio::time::sleep(POLL) => {}
            }
        }
        for (_, (path, _)) in self.open {
            let _ = std::fs::remove_file(path);
        }
    }

    fn open(&mut self, s: &PartitionCell) {
        let path = self.folder.join(format!("{}.sock", s.name));
        // Anybody may connect: authorisation goes by the peer's user id, not by the mode of the socket.
        let bound = if self.open.len() < self.most {
            bind_unix(&path, 0o666, None).map_err(|e| e.to_string())
        } else {
            Err(format!("{} sockets of tenants are open, as many as may be; raise LimitNOFILE", self.most))
        };
        let listener = match bound {
            Ok(l) => Listener::Unix(l),
            // Tried again at each look, and told once.
            Err(e) if self.failed.insert(s.id.tenant) => return tracing::error!("{}: {e}", path.display()),
            Err(_) => return,
        };
        self.failed.remove(&s.id.tenant);
        let kind = ListenerKind::Tenant(s.id.tenant);
        let task = serve(listener, kind, self.app.clone(), self.share.clone(), self.stopping.clone());
        self.open.insert(s.id.tenant, (path, tokio::spawn(task)));
    }

    fn close(&mut self, tenant: TenantUid) {
        if let Some((path, task)) = self.open.remove(&tenant) {
            task.abort();
            let _ = std::fs::remove_file(path);
        }
    }
}
