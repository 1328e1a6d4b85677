//! Listening: unix sockets, TCP with TLS, and plain TCP for demos. Connections are bounded in number, and in the time
//! they may take to say what they want.

use super::auth::Peer;
use super::conn_limit::ConnLimiter;
use super::connection::serve_connection;
use super::service::{App, ConnService};
use crate::platform::stopped;
use conductor_shared::ids::TenantUid;
use conductor_shared::session::Transport;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// Something to listen on, ready.
pub enum Listener {
    /// A unix socket; with a tenant, that tenant's own.
    Unix(UnixListener, Option<TenantUid>),
    /// TCP in the clear: for demos.
    Plain(TcpListener),
    /// TCP with TLS, and the digest of the certificate.
    Tls(TcpListener, TlsAcceptor, [u8; 32]),
}

/// Binds a unix socket that only its owner (and `group`, when the mode says so) may use. A socket that nobody listens
/// on any more is replaced; one that somebody does is not.
pub fn bind_unix(path: &Path, mode: u32) -> std::io::Result<UnixListener> {
    if path.exists() {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            let what = format!("{} is in use by another process", path.display());
            return Err(std::io::Error::new(std::io::ErrorKind::AddrInUse, what));
        }
        std::fs::remove_file(path)?;
    }
    // Bound under another name and renamed, so that it never stands there with a wider mode.
    let aside = PathBuf::from(format!("{}.new", path.display()));
    let _ = std::fs::remove_file(&aside);
    let listener = UnixListener::bind(&aside)?;
    std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(&aside, path)?;
    Ok(listener)
}

/// Accepts until the agent stops, then lets connections finish what they are at.
pub async fn serve(listener: Listener, app: App, limiter: Arc<ConnLimiter>, stopping: watch::Receiver<bool>) {
    let mut stop = stopping.clone();
    loop {
        let Some(permit) = limiter.any().await else { return };
        let accepted = tokio::select! {
            () = stopped(&mut stop) => return,
            a = accept(&listener) => a,
        };
        let (io, peer) = match accepted {
            Ok(a) => a,
            Err(e) => {
                // Out of file descriptors, most likely: wait for some to come back.
                tracing::warn!("accepting a connection failed: {e}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(permit) = limiter.give(permit, peer.name()) else {
            tracing::debug!("{} has its share of connections; hung up", peer.name());
            continue;
        };
        let tls = match &listener {
            Listener::Tls(_, acceptor, _) => Some(acceptor.clone()),
            _ => None,
        };
        let (app, stop) = (app.clone(), stopping.clone());
        tokio::spawn(async move {
            let service = ConnService { app, peer };
            match (io, tls) {
                (Io::Unix(s), _) => serve_connection(s, stop, service).await,
                (Io::Tcp(s), None) => serve_connection(s, stop, service).await,
                (Io::Tcp(s), Some(tls)) => {
                    if let Ok(Ok(s)) = tokio::time::timeout(TLS_TIMEOUT, tls.accept(s)).await {
                        serve_connection(s, stop, service).await;
                    }
                }
            }
            drop(permit);
        });
    }
}

enum Io {
    Unix(tokio::net::UnixStream),
    Tcp(tokio::net::TcpStream),
}

async fn accept(listener: &Listener) -> std::io::Result<(Io, Peer)> {
    match listener {
        Listener::Unix(l, tenant_socket) => {
            let (s, _) = l.accept().await?;
            let uid = Some(s.peer_cred()?.uid());
            let tenant_socket = *tenant_socket;
            Ok((Io::Unix(s), Peer { transport: Transport::Unix, uid, address: String::new(), tenant_socket }))
        }
        Listener::Plain(l) | Listener::Tls(l, ..) => {
            let (s, a) = l.accept().await?;
            s.set_nodelay(true)?;
            let transport = match listener {
                Listener::Tls(_, _, digest) => Transport::Tls(*digest),
                _ => Transport::Plain,
            };
            Ok((Io::Tcp(s), Peer { transport, uid: None, address: a.ip().to_string(), tenant_socket: None }))
        }
    }
}
