//! The programs of this build, and waiting for what they do.

use base64::Engine as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A program of this build.
pub fn bin(name: &str) -> PathBuf {
    if let Ok(dir) = std::env::var("CONDUCTOR_BIN_DIR") {
        return Path::new(&dir).join(name);
    }
    let me = std::env::current_exe().expect("our own path");
    let mut dir = me.parent().expect("a folder").to_owned();
    while !dir.join(name).exists() {
        dir = dir.parent().unwrap_or_else(|| panic!("{name} is not built; run make test")).to_owned();
    }
    dir.join(name)
}

/// What has not come by then is taken never to come. It only ends a test that would hang: no machine is so busy.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until something holds that comes within `seconds` on an idle machine. Fails when it never comes.
#[allow(clippy::disallowed_methods, reason = "it is real time that passes")]
pub fn wait_for<T>(what: &str, seconds: u64, mut f: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(t) = f() {
            return t;
        }
        assert!(begun.elapsed() < Duration::from_secs(seconds) + PATIENCE, "{what}: it never comes");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A port of 127.0.0.1 for a program to listen on. Not one of those that the system gives to clients: a connection of
/// some other test could have it by then.
pub fn free_port() -> u16 {
    loop {
        let port = 20_000 + u16::from_be_bytes(random()) % 12_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Bytes from the operating system's generator.
pub fn random<const N: usize>() -> [u8; N] {
    let mut b = [0; N];
    getrandom::fill(&mut b).expect("randomness");
    b
}

/// A file that only its owner reads.
pub fn write_secret(path: &Path, text: &str) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(path);
    file.expect("a file").write_all(text.as_bytes()).expect("written");
}

/// Decodes standard base64 with padding.
pub fn b64(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
}
