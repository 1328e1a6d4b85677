use super::*;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

/// A receiver over TLS that takes everything; gives its port and its certificate in PEM.
async fn receiver() -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4_096];
            if tls.read(&mut request).await.is_ok() {
                let _ = tls.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
            }
        }
    });
    (port, made.cert.pem())
}

/// E2: the certificates to trust may come late, and may be exchanged while the sink runs.
#[tokio::test]
async fn certificates_are_read_again_when_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let (port, pem) = receiver().await;
    let mut http = Http::new(Receiver {
        url: format!("https://localhost:{port}/"),
        ca: Some(ca.clone()),
        token: None,
        timeout: Duration::from_secs(30),
    });
    let missing = http.open().await.unwrap_err();
    assert!(missing.contains("ca.pem: No such file"), "{missing}");
    std::fs::write(&ca, "no certificate").unwrap();
    let empty = http.open().await.unwrap_err();
    assert!(empty.contains("ca.pem: it holds no certificate"), "{empty}");
    std::fs::write(&ca, receiver().await.1).unwrap();
    http.open().await.unwrap();
    let Delivered::Later(why, None) = http.deliver(&[]).await else {
        panic!("another's certificate was trusted")
    };
    assert!(why.contains("cannot be reached"), "{why}");
    std::fs::write(&ca, pem).unwrap();
    http.open().await.unwrap();
    assert!(matches!(http.deliver(&[]).await, Delivered::Yes));
    // It stays open while nothing changes.
    http.open().await.unwrap();
    assert!(matches!(http.deliver(&[]).await, Delivered::Yes));
}
