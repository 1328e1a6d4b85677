//! Listeners: unix sockets, TCP with TLS, and plain TCP for demos. Connections are limited in number and in the time
//! they may take for a request.

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

/// A bound listener.
pub enum Listener {
    /// A unix socket: a tenant's own, or the agent's.
    Unix(UnixListener, Option<TenantUid>),
    /// TCP without encryption, for demos.
    Plain(TcpListener),
    /// TCP with TLS; the digest is that of the certificate.
    Tls(TcpListener, TlsAcceptor, [u8; 32]),
}

/// Binds a unix socket with this mode. Replaces a stale socket, but not one that another process listens on.
pub fn bind_unix(path: &Path, mode: u32) -> std::io::Result<UnixListener> {
    if path.exists() {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            let what = format!("{} is in use by another process", path.display());
            return Err(std::io::Error::new(std::io::ErrorKind::AddrInUse, what));
        }
        std::fs::remove_file(path)?;
    }
    // Bound under another name and renamed, so that it never exists with a wider mode.
    let aside = PathBuf::from(format!("{}.new", path.display()));
    let _ = std::fs::remove_file(&aside);
    let listener = UnixListener::bind(&aside)?;
    std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(&aside, path)?;
    Ok(listener)
}

/// Accepts connections until the agent stops; open ones may then finish their present request.
pub async fn serve(listener: Listener, app: App, limiter: Arc<ConnLimiter>, stopping: watch::Receiver<bool>) {
    let mut stop = stopping.clone();
    loop {
        let Some(permit) = limiter.acquire().await else { return };
        let accepted = tokio::select! {
            () = stopped(&mut stop) => return,
            a = accept(&listener) => a,
        };
        let (io, peer) = match accepted {
            Ok(a) => a,
            Err(e) => {
                // Most likely out of file descriptors: wait until some are free.
                tracing::warn!("accepting a connection failed: {e}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(permit) = limiter.assign(permit, peer.name()) else {
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
