//! The WebSocket of `GET /v1/stream`, over a unix socket, TCP or pinned TLS.
//!
//! It only connects; [`super::stream`] does hello, reconnects and decoding.

use super::endpoint::Endpoint;
use super::error::ClientError;
use super::http::{Bearer, CONNECT_TIMEOUT, REQUEST_TIMEOUT, unreachable_agent};
use super::tls;
use conductor_shared::reason::Reason;
use conductor_shared::stream::MAX_FRAME;
use conductor_shared::untrusted::escape;
use rustls::pki_types::ServerName;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

/// A byte stream over any transport.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// The stream of one agent.
pub type Stream = WebSocketStream<Box<dyn Io>>;
pub type StreamError = WsError;
/// One message of it.
pub type StreamMessage = Message;

/// Connects to the stream of an agent. No frame larger than [`MAX_FRAME`] is taken.
pub async fn connect_ws(endpoint: &Endpoint, bearer: &Bearer) -> Result<Stream, ClientError> {
    let io = within(endpoint, CONNECT_TIMEOUT, connect(endpoint)).await?;
    let usage = |e: &dyn std::fmt::Display| ClientError::Usage(format!("cannot ask for the stream: {e}"));
    let scheme = if matches!(endpoint, Endpoint::Tls { .. }) { "wss" } else { "ws" };
    let url = format!("{scheme}://{}/v1/stream", endpoint.authority());
    let mut request = url.into_client_request().map_err(|e| usage(&e))?;
    let mut value = HeaderValue::from_str(&format!("Bearer {}", bearer.secret())).map_err(|e| usage(&e))?;
    value.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, value);
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME))
        .read_buffer_size(MAX_FRAME)
        .max_write_buffer_size(MAX_FRAME);
    let shake = async {
        let done = tokio_tungstenite::client_async_with_config(request, io, Some(limits)).await;
        done.map(|(stream, _)| stream).map_err(|e| refused(endpoint, &e))
    };
    within(endpoint, REQUEST_TIMEOUT, shake).await
}

async fn within<T>(
    endpoint: &Endpoint,
    limit: Duration,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(ClientError::TimedOut {
            endpoint: endpoint.to_string(),
            what: "stream",
            seconds: limit.as_secs(),
        }),
    }
}

async fn connect(endpoint: &Endpoint) -> Result<Box<dyn Io>, ClientError> {
    let down = |e: std::io::Error| match tls::pin_mismatch(&e) {
        Some(found) => ClientError::Pin { endpoint: endpoint.to_string(), found },
        None => unreachable_agent(endpoint, &e),
    };
    match endpoint {
        Endpoint::Unix(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(down)?)),
        Endpoint::Plain { host, port } => {
            let tcp = TcpStream::connect((host.as_str(), *port)).await.map_err(down)?;
            tcp.set_nodelay(true).map_err(down)?;
            Ok(Box::new(tcp))
        }
        Endpoint::Tls { host, port, pin } => {
            let tcp = TcpStream::connect((host.as_str(), *port)).await.map_err(down)?;
            tcp.set_nodelay(true).map_err(down)?;
            let usage = |e: &dyn std::fmt::Display| ClientError::Usage(format!("cannot set up TLS: {e}"));
            let config = tls::config(Some(*pin)).map_err(|e| usage(&e))?;
            let name = ServerName::try_from(host.clone()).map_err(|e| usage(&e))?;
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            Ok(Box::new(connector.connect(name, tcp).await.map_err(down)?))
        }
    }
}

fn refused(endpoint: &Endpoint, e: &WsError) -> ClientError {
    let bad = |why: String| ClientError::BadAnswer { endpoint: endpoint.to_string(), what: "stream", why };
    match e {
        WsError::Http(answer) if answer.status() == StatusCode::UNAUTHORIZED => ClientError::Unauthorised {
            endpoint: endpoint.to_string(),
            why: "the session is over.".into(),
            remedy: Reason::Unauthenticated.remedy(),
        },
        WsError::Http(answer) => {
            let problem = answer.body().as_ref().and_then(|b| serde_json::from_slice(b).ok());
            match problem {
                Some(p) => ClientError::Denied(Box::new(p)),
                None => bad(format!("status {}", answer.status())),
            }
        }
        WsError::Io(e) => unreachable_agent(endpoint, e),
        e => bad(escape(&e.to_string(), 200)),
    }
}
