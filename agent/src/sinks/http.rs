//! Posts batches over HTTP: CloudEvents in JSON batch mode.

use super::Delivered;
use conductor_shared::cloudevents::BATCH_TYPE;
use conductor_shared::untrusted::escape;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Upper limit for the receiver's `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

pub(super) struct Http {
    url: String,
    client: reqwest::Client,
    token: Option<HeaderValue>,
}

fn tls(ca: Option<&Path>) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    if let Some(path) = ca {
        let bad = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        for cert in CertificateDer::pem_file_iter(path).map_err(|e| bad(&e))? {
            roots.add(cert.map_err(|e| bad(&e))?).map_err(|e| bad(&e))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl Http {
    pub(super) fn new(
        url: &str,
        ca: Option<&Path>,
        token: Option<&Path>,
        timeout: Duration,
    ) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(ca)?)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(timeout)
            .user_agent(concat!("conductord/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| e.to_string())?;
        let token = token.map(|path| {
            let bad = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
            let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|e| bad(&e))?);
            let header = Zeroizing::new(format!("Bearer {}", text.trim()));
            let mut value = HeaderValue::from_str(&header).map_err(|e| bad(&e))?;
            value.set_sensitive(true);
            Ok::<_, String>(value)
        });
        Ok(Self { url: url.to_owned(), client, token: token.transpose()? })
    }

    pub(super) async fn deliver(&self, events: &[Value]) -> Delivered {
        let mut request = self.client.post(&self.url).header(CONTENT_TYPE, BATCH_TYPE);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        let body = match serde_json::to_vec(events) {
            Ok(b) => b,
            Err(e) => return Delivered::Rejected(e.to_string()),
        };
        let answer = match request.body(body).send().await {
            Ok(a) => a,
            Err(e) => return Delivered::Later(why(&e), None),
        };
        let status = answer.status();
        if status.is_success() {
            return Delivered::Yes;
        }
        let after = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        let after = after.map(Duration::from_secs).map(|d| d.min(MAX_RETRY_AFTER));
        let text = format!("the receiver answered {status}");
        match status.as_u16() {
            // These concern the connection or the configuration, not the event.
            300..=399 | 401 | 402 | 403 | 404 | 405 | 407 | 408 | 421 | 425 | 426 | 429 | 500.. => {
                Delivered::Later(text, after)
            }
            _ => Delivered::Rejected(text),
        }
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
