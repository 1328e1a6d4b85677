//! TLS without a CA: a self-signed certificate, whose digest consoles pin.

use crate::node::config::Config;
use crate::platform::files;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

/// The node's certificate, with what clients need to trust it.
pub struct Certificate {
    /// In PEM, without the key.
    pub pem: String,
    /// SHA-256 of its DER, which consoles pin.
    pub digest: [u8; 32],
}

fn file(config: &Config) -> PathBuf {
    config.keys.join("tls.pem")
}

/// Reads key and certificate, which are made at first use, in the key store.
fn load(config: &Config) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), String> {
    let path = file(config);
    if !path.exists() {
        files::create(&path, make(config)?.as_bytes(), 0o600).map_err(|e| e.to_string())?;
    }
    let pem = Zeroizing::new(std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?);
    let bad = |e: rustls::pki_types::pem::Error| format!("{}: {e}", path.display());
    Ok((
        CertificateDer::from_pem_slice(&pem).map_err(bad)?,
        PrivateKeyDer::from_pem_slice(&pem).map_err(bad)?,
    ))
}

/// Certificate and key for the names that are configured, in PEM.
fn make(config: &Config) -> Result<Zeroizing<String>, String> {
    let made = rcgen::generate_simple_self_signed(config.names_to_certify()?).map_err(|e| e.to_string())?;
    Ok(Zeroizing::new(format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem())))
}

/// The node's certificate. With `renew` a new one for the names that are configured now, with a new key: every pin changes.
pub fn certificate(config: &Config, renew: bool) -> Result<Certificate, String> {
    if renew {
        files::replace(&file(config), make(config)?.as_bytes()).map_err(|e| e.to_string())?;
    }
    let (der, _) = load(config)?;
    Ok(Certificate { pem: pem(&der), digest: Sha256::digest(&der).into() })
}

fn pem(der: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().map(|b| char::from(*b)));
        out.push('\n');
    }
    out + "-----END CERTIFICATE-----\n"
}

/// The acceptor and the SHA-256 of the certificate.
pub(super) fn server(config: &Config) -> Result<(TlsAcceptor, [u8; 32]), String> {
    let (cert, key) = load(config)?;
    let digest = Sha256::digest(&cert).into();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .map_err(|e| e.to_string())?;
    Ok((TlsAcceptor::from(Arc::new(config)), digest))
}
