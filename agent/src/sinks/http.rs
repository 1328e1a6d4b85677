//! Posts batches over HTTP: CloudEvents in JSON batch mode. The files that a sink is configured with are read when it is
//! opened, and again when they change and after the receiver refused the connection or the token.

use super::search::{Delivered, Refusal};
use conductor_shared::cloudevents::BATCH_TYPE;
use conductor_shared::untrusted::escape;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Upper limit for the receiver's `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// No token is longer, in bytes.
const MAX_TOKEN: u64 = 16 << 10;

/// Where batches are posted, and with what.
#[derive(Debug, Clone)]
pub(super) struct Receiver {
    pub url: String,
    pub ca: Option<PathBuf>,
    pub token: Option<PathBuf>,
    pub timeout: Duration,
}

pub(super) struct Http {
    receiver: Receiver,
    open: Option<Open>,
}

struct Open {
    client: reqwest::Client,
    token: Option<HeaderValue>,
    /// The files as they were read.
    stamps: Stamps,
}

/// Of each file: device, inode, length, and its times in nanoseconds.
type Stamps = Vec<[i64; 7]>;

impl Receiver {
    fn stamps(&self) -> Result<Stamps, String> {
        let stamp = |path: &PathBuf| {
            let m = std::fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
            let (device, inode) = (m.dev().cast_signed(), m.ino().cast_signed());
            let length = m.size().cast_signed();
            Ok([device, inode, length, m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()])
        };
        self.ca.iter().chain(&self.token).map(stamp).collect()
    }

    fn open(&self) -> Result<Open, String> {
        // Before they are read: a file that changes meanwhile is read again.
        let stamps = self.stamps()?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(self.ca.as_deref())?)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(self.timeout)
            .user_agent(concat!("conductord/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| e.to_string())?;
        let token = self.token.as_deref().map(header).transpose()?;
        Ok(Open { client, token, stamps })
    }
}

fn tls(ca: Option<&Path>) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    if let Some(path) = ca {
        let bad = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        for cert in CertificateDer::pem_file_iter(path).map_err(|e| bad(&e))? {
            roots.add(cert.map_err(|e| bad(&e))?).map_err(|e| bad(&e))?;
        }
        if roots.is_empty() {
            return Err(bad(&"it holds no certificate in PEM"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The header with the token of a file.
fn header(path: &Path) -> Result<HeaderValue, String> {
    use std::io::Read as _;
    let bad = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(|e| bad(&e))?;
    file.take(MAX_TOKEN).read_to_string(&mut text).map_err(|e| bad(&e))?;
    if text.trim().is_empty() {
        return Err(bad(&"it is empty, expected a token"));
    }
    let header = Zeroizing::new(format!("Bearer {}", text.trim()));
    let mut value = HeaderValue::from_str(&header).map_err(|e| bad(&e))?;
    value.set_sensitive(true);
    Ok(value)
}

impl Http {
    pub(super) fn new(receiver: Receiver) -> Self {
        Self { receiver, open: None }
    }

    /// Reads the files again if they changed, or if the receiver took offence.
    pub(super) async fn open(&mut self) -> Result<(), String> {
        let (receiver, read) = (self.receiver.clone(), self.open.as_ref().map(|o| o.stamps.clone()));
        let look = move || match read {
            Some(stamps) if receiver.stamps()? == stamps => Ok(None),
            _ => receiver.open().map(Some),
        };
        let done = tokio::task::spawn_blocking(look).await.map_err(|e| e.to_string()).and_then(|done| done);
        match done {
            Ok(None) => {}
            Ok(Some(open)) => self.open = Some(open),
            Err(why) => {
                self.open = None;
                return Err(why);
            }
        }
        Ok(())
    }

    pub(super) async fn deliver(&mut self, events: &[Value]) -> Delivered {
        let delivered = match &self.open {
            Some(open) => open.post(&self.receiver.url, events).await,
            None => Delivered::Later("it is not open".into(), None),
        };
        if matches!(delivered, Delivered::Later(..)) {
            self.open = None;
        }
        delivered
    }
}

impl Open {
    async fn post(&self, url: &str, events: &[Value]) -> Delivered {
        let mut request = self.client.post(url).header(CONTENT_TYPE, BATCH_TYPE);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        let body = match serde_json::to_vec(events) {
            Ok(b) => b,
            Err(e) => return Delivered::Later(e.to_string(), None),
        };
        let answer = match request.body(body).send().await {
            Ok(a) => a,
            Err(e) => return Delivered::Later(why(&e), None),
        };
        let status = answer.status();
        if status.is_success() {
            return Delivered::Yes;
        }
        let text = format!("the receiver answered {status}");
        if let status @ (400 | 413 | 422) = status.as_u16() {
            return Delivered::Refused(Refusal { status, why: text });
        }
        // All others concern the connection, the configuration or the receiver, not the event.
        let after = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        let after = after.map(Duration::from_secs).map(|d| d.min(MAX_RETRY_AFTER));
        Delivered::Later(text, after)
    }
}

/// The innermost cause, which names the actual problem.
fn why(e: &reqwest::Error) -> String {
    if e.is_timeout() {
        return "the receiver does not answer in time".into();
    }
    let mut inner: &dyn std::error::Error = e;
    while let Some(next) = inner.source() {
        inner = next;
    }
    format!("the receiver cannot be reached: {}", escape(&inner.to_string(), 200))
}

#[cfg(test)]
mod tests;
