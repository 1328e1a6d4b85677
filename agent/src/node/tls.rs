//! TLS without a CA: a self-signed certificate, whose digest consoles pin.

use crate::platform::files;
use conductor_shared::ids::Ident;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// The acceptor and the SHA-256 of the certificate. Key and certificate are created at first use in the key store.
pub(super) fn server(keys: &Path, name: &Ident) -> Result<(TlsAcceptor, [u8; 32]), String> {
    let path = keys.join("tls.pem");
    if !path.exists() {
        let made = rcgen::generate_simple_self_signed(vec![name.to_string()]).map_err(|e| e.to_string())?;
        let pem = zeroize::Zeroizing::new(format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()));
        files::create(&path, pem.as_bytes(), 0o600).map_err(|e| e.to_string())?;
    }
    let pem = zeroize::Zeroizing::new(std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?);
    let bad = |e: rustls::pki_types::pem::Error| format!("{}: {e}", path.display());
    let cert = CertificateDer::from_pem_slice(&pem).map_err(bad)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(bad)?;
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
