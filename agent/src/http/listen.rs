//! Listeners: unix sockets, TCP with TLS, and plain TCP for demos. Connections are accepted and then counted; they are
//! limited in number and in the time they may take for a request.

use super::conn_limit::ConnLimiter;
use super::connection::serve_connection;
use super::peer::{ListenerKind, Peer};
use super::request_body::BodyBudget;
use super::service::{App, ConnService};
use crate::platform::stopped;
use conductor_shared::session::Transport;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// A bound listener.
pub enum Listener {
    Unix(UnixListener),
    /// TCP without encryption, for demos.
    Plain(TcpListener),
    /// TCP with TLS; the digest is that of the certificate.
    Tls(TcpListener, TlsAcceptor, [u8; 32]),
}

/// What all listeners of a kind share.
#[derive(Clone)]
pub struct Share {
    pub connections: Arc<ConnLimiter>,
    pub bodies: Arc<BodyBudget>,
}

/// Binds a unix socket with this mode, and group if one is given. Replaces a stale socket, but not one that another process
/// listens on. Until mode and group are set it has what the umask leaves: its owner's permissions alone.
pub fn bind_unix(path: &Path, mode: u32, group: Option<u32>) -> std::io::Result<UnixListener> {
    if path.exists() {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            let what = format!("{} is in use by another process", path.display());
            return Err(std::io::Error::new(std::io::ErrorKind::AddrInUse, what));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    if group.is_some() {
        std::os::unix::fs::chown(path, None, group)?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

/// Accepts connections until the agent stops; open ones may then finish their present request.
pub async fn serve(
    listener: Listener,
    kind: ListenerKind,
    app: App,
    share: Share,
    stopping: watch::Receiver<bool>,
) {
    let mut stop = stopping.clone();
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut stop) => return,
            a = accept(&listener) => a,
        };
        let (io, arrived) = match accepted {
            Ok(a) => a,
            Err(e) => {
                // Most likely out of file descriptors: wait until some are free.
                tracing::warn!("accepting a connection failed: {e}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (transport, uid, address) = arrived;
        let bodies = Arc::clone(&share.bodies);
        let mut peer = Peer { transport, uid, address, listener: kind, place: None, bodies };
        let Some(place) = share.connections.admit_soon(&peer.name()).await else {
            tracing::debug!("{} finds no place for a connection; hung up", peer.name());
            continue;
        };
        peer.place = Some(Arc::clone(&place));
        let tls = match &listener {
            Listener::Tls(_, acceptor, _) => Some(acceptor.clone()),
            _ => None,
        };
        let service = ConnService { app: app.clone(), peer };
        let stop = stopping.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = serve_io(io, tls, stop, service) => {}
                () = place.hung_up_on() => {}
            }
        });
    }
}

async fn serve_io(io: Io, tls: Option<TlsAcceptor>, stop: watch::Receiver<bool>, service: ConnService) {
    match (io, tls) {
        (Io::Unix(s), _) => serve_connection(s, stop, service).await,
        (Io::Tcp(s), None) => serve_connection(s, stop, service).await,
        (Io::Tcp(s), Some(tls)) => {
            if let Ok(Ok(s)) = tokio::time::timeout(TLS_TIMEOUT, tls.accept(s)).await {
                serve_connection(s, stop, service).await;
            }
        }
    }
}

enum Io {
    Unix(tokio::net::UnixStream),
    Tcp(tokio::net::TcpStream),
}

/// A connection, and how it came: transport, local user, address.
async fn accept(listener: &Listener) -> std::io::Result<(Io, (Transport, Option<u32>, String))> {
    match listener {
        Listener::Unix(l) => {
            let (s, _) = l.accept().await?;
            let uid = Some(s.peer_cred()?.uid());
            Ok((Io::Unix(s), (Transport::Unix, uid, String::new())))
        }
        Listener::Plain(l) | Listener::Tls(l, ..) => {
            let (s, a) = l.accept().await?;
            s.set_nodelay(true)?;
            let transport = match listener {
                Listener::Tls(_, _, digest) => Transport::Tls(*digest),
                _ => Transport::Plain,
            };
            Ok((Io::Tcp(s), (transport, None, a.ip().to_string())))
        }
    }
}
