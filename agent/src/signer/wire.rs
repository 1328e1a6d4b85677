//! Frames on a unix socket: four bytes of length (big-endian), then JSON; each exchange under one deadline.
//!
//! It must never wait longer than its deadline, whatever the other side does (a trickle of single bytes too), and
//! never allocate what the other side merely announces.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// A moment by which an exchange must be over.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

/// The real monotonic clock. A socket's timeout is a promise about real time, whatever clock the rules run on.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

impl Deadline {
    /// That long from now.
    pub fn after(time: Duration) -> Self {
        Self(now() + time)
    }

    /// What is left, `None` when it is over.
    pub fn left(&self) -> Option<Duration> {
        let left = self.0.saturating_duration_since(now());
        (!left.is_zero()).then_some(left)
    }
}

/// Why a frame could not be exchanged.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The deadline passed.
    #[error("no whole frame in time")]
    TimedOut,
    /// The other side closed before a frame began.
    #[error("closed without a frame")]
    Closed,
    /// It closed within one.
    #[error("closed within a frame")]
    Cut,
    /// It announced more than is allowed.
    #[error("a frame of {0} bytes was announced, at most {1} are allowed")]
    TooLong(usize, usize),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Reads one frame of at most `max` bytes. The buffer is wiped when dropped: it may hold a password.
pub fn read_frame(
    stream: &mut UnixStream,
    max: usize,
    deadline: Deadline,
) -> Result<Zeroizing<Vec<u8>>, WireError> {
    let mut head = [0u8; 4];
    let got = fill(stream, &mut head, deadline)?;
    match got {
        4 => {}
        0 => return Err(WireError::Closed),
        _ => return Err(WireError::Cut),
    }
    let len = u32::from_be_bytes(head) as usize;
    if len > max {
        return Err(WireError::TooLong(len, max));
    }
    // Grown by what came, so that an announcement alone costs nothing.
    let mut out = Zeroizing::new(Vec::new());
    while out.len() < len {
        let at = out.len();
        let step = (len - at).min(64 << 10);
        if out.capacity() < at + step {
            // Moved by hand: the allocator would leave the old bytes behind unwiped.
            let mut grown = Zeroizing::new(Vec::with_capacity((at * 2).max(at + step).min(len)));
            grown.extend_from_slice(&out);
            out = grown;
        }
        out.resize(at + step, 0);
        if fill(stream, &mut out[at..], deadline)? < step {
            return Err(WireError::Cut);
        }
    }
    Ok(out)
}

/// Fills the buffer, or as much of it as comes before the end.
fn fill(stream: &mut UnixStream, buf: &mut [u8], deadline: Deadline) -> Result<usize, WireError> {
    let mut at = 0;
    while at < buf.len() {
        stream.set_read_timeout(Some(deadline.left().ok_or(WireError::TimedOut)?))?;
        match stream.read(&mut buf[at..]) {
            Ok(0) => break,
            Ok(n) => at += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(WireError::TimedOut);
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(at)
}

pub fn write_frame(
    stream: &mut UnixStream,
    body: &[u8],
    max: usize,
    deadline: Deadline,
) -> Result<(), WireError> {
    let len = u32::try_from(body.len()).ok().filter(|_| body.len() <= max);
    let len = len.ok_or(WireError::TooLong(body.len(), max))?;
    for part in [&len.to_be_bytes()[..], body] {
        let mut rest = part;
        while !rest.is_empty() {
            stream.set_write_timeout(Some(deadline.left().ok_or(WireError::TimedOut)?))?;
            match stream.write(rest) {
                Ok(0) => return Err(WireError::Cut),
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(WireError::TimedOut);
                }
                Err(e) => return Err(e.into()),
            }
        }
    }
    Ok(())
}

/// The user at the other end, as the kernel says it.
pub fn peer_uid(stream: &impl AsFd) -> std::io::Result<u32> {
    let c = nix::sys::socket::getsockopt(stream, nix::sys::socket::sockopt::PeerCredentials)?;
    Ok(c.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC, Bad input: bounded, and over in time.
    #[test]
    fn frames_are_bounded() {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let soon = || Deadline::after(Duration::from_millis(200));
        write_frame(&mut a, b"hello", 5, soon()).unwrap();
        assert_eq!(read_frame(&mut b, 5, soon()).unwrap().as_slice(), b"hello");
        assert!(matches!(write_frame(&mut a, b"hello!", 5, soon()), Err(WireError::TooLong(6, 5))));
        a.write_all(&u32::MAX.to_be_bytes()).unwrap();
        assert!(matches!(read_frame(&mut b, 5, soon()), Err(WireError::TooLong(_, 5))));
        a.write_all(&[0, 0]).unwrap();
        assert!(matches!(read_frame(&mut b, 5, soon()), Err(WireError::TimedOut)));
        a.write_all(&[0, 0, 0]).unwrap();
        drop(a);
        assert!(matches!(read_frame(&mut b, 5, soon()), Err(WireError::Cut)));
        assert!(matches!(read_frame(&mut b, 5, soon()), Err(WireError::Closed)));
    }

    /// Every length arrives whole, also those that need the buffer to grow.
    #[test]
    fn long_frames_arrive() {
        for len in [0, 1, 65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 77] {
            let (mut a, mut b) = UnixStream::pair().unwrap();
            let body: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let sent = body.clone();
            let by = Deadline::after(Duration::from_secs(20));
            let t = std::thread::spawn(move || write_frame(&mut a, &sent, 4 << 20, by).unwrap());
            assert_eq!(*read_frame(&mut b, 4 << 20, by).unwrap(), body);
            t.join().unwrap();
        }
    }
}
