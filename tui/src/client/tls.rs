//! TLS to an agent whose certificate is pinned by its SHA-256. No certificate authority is trusted.
//!
//! The pin replaces chain, name and time; the signature of the handshake is verified, so whoever shows the certificate
//! also holds its key.

use conductor_shared::ids::hex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The server shows another certificate than the pinned one.
#[derive(Debug, thiserror::Error)]
#[error("the certificate's SHA-256 is {found}, not the pinned one")]
pub struct PinMismatch {
    /// Digest of the certificate that was shown, in hex.
    pub found: String,
}

#[derive(Debug)]
struct Pinned {
    /// `None` refuses every certificate: for endpoints that do not use TLS.
    pin: Option<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found: [u8; 32] = Sha256::digest(end_entity.as_ref()).into();
        if self.pin == Some(found) {
            return Ok(ServerCertVerified::assertion());
        }
        let why = PinMismatch { found: hex(&found) };
        Err(CertificateError::Other(OtherError(Arc::new(why))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A client configuration that accepts the one pinned certificate, or none at all.
pub fn config(pin: Option<[u8; 32]>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Pinned { pin, provider: Arc::clone(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Finds a pin mismatch among the causes of an error.
pub fn pin_mismatch(e: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(e);
    while let Some(e) = next {
        if let Some(p) = e.downcast_ref::<PinMismatch>() {
            return Some(p.found.clone());
        }
        if let Some(Error::InvalidCertificate(CertificateError::Other(other))) = e.downcast_ref::<Error>()
            && let Some(p) = other.0.downcast_ref::<PinMismatch>()
        {
            return Some(p.found.clone());
        }
        // An io::Error hides what it wraps from source().
        next = match e.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => e.source(),
        };
    }
    None
}
