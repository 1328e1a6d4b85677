//! A tenant's own unix socket: whoever may open it is known by their user id, and needs no token.

use crate::http::{ApiState, App, ConnLimiter, Listener, bind_unix, serve};
use crate::platform::stopped;
use conductor_shared::ids::TenantUid;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Keeps a socket `<folder>/<tenant id>.sock` for each tenant that lets local users in, and no others.
pub async fn keep(
    folder: PathBuf,
    api: ApiState,
    app: App,
    limiter: Arc<ConnLimiter>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut open: HashMap<TenantUid, (PathBuf, JoinHandle<()>)> = HashMap::new();
    loop {
        for s in api.board.all() {
            let wanted = !s.view.load().control.peers.is_empty() && !s.id.tenant.is_node();
            match (wanted, open.contains_key(&s.id.tenant)) {
                (true, false) => {
                    let path = folder.join(format!("{}.sock", s.name));
                    // Anybody may connect: who they are decides what they may do, not the mode of the socket.
                    match bind_unix(&path, 0o666) {
                        Ok(l) => {
                            let listener = Listener::Unix(l, Some(s.id.tenant));
                            let task = serve(listener, app.clone(), Arc::clone(&limiter), stopping.clone());
                            open.insert(s.id.tenant, (path, tokio::spawn(task)));
                        }
                        Err(e) => tracing::error!("{}: {e}", path.display()),
                    }
                }
                (false, true) => {
                    if let Some((path, task)) = open.remove(&s.id.tenant) {
                        task.abort();
                        let _ = std::fs::remove_file(path);
                    }
                }
                _ => {}
            }
        }
        tokio::select! {
            () = stopped(&mut stopping) => break,
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
    }
    for (_, (path, _)) in open {
        let _ = std::fs::remove_file(path);
    }
}
