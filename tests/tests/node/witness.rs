//! Between console and agent stands somebody who announces logs that do not exist and proves nothing.

use conductor_shared::stream::Summary;
use conductor_tests::terminal::Terminal;
use conductor_tests::{Node, Tenant, wait_for};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Passes bytes on between a console and an agent. Once it is on, each summary in the stream tells of a longer log with another
/// root, and each request for a proof or a head is answered that the agent is busy.
#[derive(Default)]
struct Forger {
    on: AtomicBool,
    forged: AtomicU32,
    refused: AtomicU32,
}

impl Forger {
    /// Listens in front of a node's operators' socket.
    fn before(node: &Node) -> (Arc<Self>, std::path::PathBuf) {
        let (this, socket, agent) =
            (Arc::new(Self::default()), node.path("forged.sock"), node.operator_socket());
        let listener = UnixListener::bind(&socket).unwrap();
        let forger = Arc::clone(&this);
        std::thread::spawn(move || {
            for console in listener.incoming() {
                let (Ok(console), Ok(agent)) = (console, UnixStream::connect(&agent)) else { return };
                forger.pass_on(console, agent);
            }
        });
        (this, socket)
    }

    fn pass_on(self: &Arc<Self>, console: UnixStream, agent: UnixStream) {
        let streams = Arc::new(AtomicBool::new(false));
        let (up, is_stream) = (Arc::clone(self), Arc::clone(&streams));
        let (mut from, mut to) = (console.try_clone().unwrap(), agent.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut bytes = vec![0; 64 << 10];
            while let Ok(n @ 1..) = from.read(&mut bytes) {
                let head = String::from_utf8_lossy(&bytes[..n.min(300)]).into_owned();
                is_stream.fetch_or(head.contains("/v1/stream"), Ordering::SeqCst);
                let said = if up.on.load(Ordering::SeqCst)
                    && ["/checkpoint", "/consistency"].iter().any(|asked| head.contains(asked))
                {
                    up.refused.fetch_add(1, Ordering::SeqCst);
                    let busy: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
                    from.write_all(busy)
                } else {
                    to.write_all(&bytes[..n])
                };
                if said.is_err() {
                    break;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
        let down = Arc::clone(self);
        let (mut from, mut to) = (agent, console);
        std::thread::spawn(move || {
            let (mut bytes, mut held) = (vec![0; 64 << 10], vec![]);
            let mut upgraded = false;
            while let Ok(n @ 1..) = from.read(&mut bytes) {
                held.extend_from_slice(&bytes[..n]);
                let ready = if streams.load(Ordering::SeqCst) {
                    down.forge(&mut held, &mut upgraded)
                } else {
                    std::mem::take(&mut held)
                };
                if to.write_all(&ready).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
    }

    /// Takes what is whole: the head of the answer first, then frames.
    fn forge(&self, held: &mut Vec<u8>, upgraded: &mut bool) -> Vec<u8> {
        const END: &[u8] = b"\r\n\r\n";
        let mut ready = vec![];
        if !*upgraded {
            let Some(end) = held.windows(END.len()).position(|w| w == END) else { return ready };
            ready.extend(held.drain(..end + END.len()));
            *upgraded = true;
        }
        while let Some((start, end)) = frame(held) {
            let mut whole: Vec<u8> = held.drain(..end).collect();
            if self.on.load(Ordering::SeqCst) && whole[0] & 15 == 2 {
                let mut payload = vec![];
                for mut summary in Summary::read_all(&whole[start..]).unwrap() {
                    summary.size += 1_000;
                    summary.root[0] ^= 1;
                    summary.put(&mut payload);
                    self.forged.fetch_add(1, Ordering::SeqCst);
                }
                whole.splice(start.., payload);
            }
            ready.append(&mut whole);
        }
        ready
    }
}

/// Where the payload of the first whole frame begins and ends.
fn frame(held: &[u8]) -> Option<(usize, usize)> {
    let length = held.get(1)? & 127;
    let wide = match length {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let start = 2 + wide;
    let number = held.get(2..start)?.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
    let end = start + if wide == 0 { usize::from(length) } else { number };
    (held.len() >= end).then_some((start, end))
}

fn works(node: &Node, a: &Tenant) {
    let mut client = node.client(&a.token);
    for _ in 0..3 {
        assert_eq!(client.start_run(a, None).status, 200);
    }
}

/// Invariant 6, takeover of the agent or a hostile network: whoever announces entries and proves nothing does not stay green:
/// at once on the tenant's page, and after a while as an alarm. An honest agent ends it.
#[test]
fn announced_and_not_proved_is_no_witness() {
    let node = Node::start();
    let a = node.tenant("acme");
    works(&node, &a);
    node.all_signed(a.uid);
    let (forger, socket) = Forger::before(&node);
    let key = node.operator_key();
    let t = Terminal::run(
        &node,
        (160, 50),
        &format!("--agent unix:{} --key {}", socket.display(), key.display()),
    );
    t.shows("live");
    t.press(&["2"]);
    t.shows("acme");
    t.press(&["Enter"]);
    t.shows("only grew, proved up to");
    forger.on.store(true, Ordering::SeqCst);
    works(&node, &a);
    let shown = t.shows("no proof for");
    assert!(!shown.contains("only grew, proved up to"), "{shown}");
    assert!(forger.forged.load(Ordering::SeqCst) > 0 && forger.refused.load(Ordering::SeqCst) > 0);
    wait_for("the alarm", 120, || t.screen().contains("no proof that its log only grew").then_some(()));
}
