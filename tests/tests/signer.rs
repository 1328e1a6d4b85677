//! The real `conductor-signer` process: killed, locked, rolled back, and asked by the wrong people.

use conductor_agent::signer::client::{SignerClient, SignerError};
use conductor_agent::signer::protocol::{Item, ItemReason, Known, Reason, State};
use conductor_shared::stream::SignerState;
use conductor_tests::signer_support::{FORK, LOG, Log, SignerProcess, code, err, refused, signed, signer};
use conductor_tests::{PATIENCE, bin, wait_for};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Minisign and Sign roots: stock minisign verifies what is signed, with our key and with one that stock minisign made,
/// with and without a password.
#[test]
fn stock_minisign_verifies() {
    let made = tempfile::tempdir().unwrap();
    let stock = made.path().join("stock.key");
    let args = ["-G", "-W", "-s", stock.to_str().unwrap(), "-p", "/dev/null", "-f"];
    let out = Command::new("minisign").args(args).stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "{}", err(&out));
    fs::set_permissions(&stock, fs::Permissions::from_mode(0o600)).unwrap();
    let password = made.path().join("password");
    fs::write(&password, "correct horse\n").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let password = password.to_str().unwrap();
    for (init, run) in [
        (vec!["--unencrypted"], vec![]),
        (vec!["--key", stock.to_str().unwrap()], vec![]),
        (vec!["--password-file", password], vec!["--password-file", password]),
    ] {
        let mut process = SignerProcess::new(&init);
        process.start(&run);
        process.client().probe().unwrap();
        let cp = signed(process.one(LOG.item(0, 7)));
        assert_eq!(cp.verify(&process.key()), Ok(LOG.item(0, 7).checkpoint()));
        let (text, sig) = (process.tmp.path().join("cp"), process.tmp.path().join("cp.minisig"));
        fs::write(&text, &cp.text).unwrap();
        fs::write(&sig, &cp.signature).unwrap();
        let verify = || {
            let mut c = Command::new("minisign");
            c.arg("-V").arg("-p").arg(process.file("signer.pub")).arg("-m").arg(&text).arg("-x").arg(&sig);
            c.output().unwrap()
        };
        let out = verify();
        assert!(out.status.success(), "{}", err(&out));
        let comment = LOG.item(0, 7).checkpoint().trusted_comment();
        assert!(String::from_utf8_lossy(&out.stdout).contains(&comment));
        fs::write(&text, cp.text.replace("\n7\n", "\n8\n")).unwrap();
        assert!(!verify().status.success());
    }
}

/// Origins: forks and shrinks are refused, also by a new process; a clean stop leaves no socket.
#[test]
fn forks_and_shrinks_are_refused() {
    let mut process = SignerProcess::new(&["--unencrypted"]);
    process.start(&[]);
    signed(process.one(LOG.item(0, 5)));
    signed(process.one(LOG.item(5, 9)));
    for again in 0..2 {
        let last = Some(Known { size: 9, root: LOG.item(0, 9).root });
        assert_eq!(refused(process.one(LOG.item(0, 8))), (ItemReason::Shorter, last));
        assert_eq!(refused(process.one(FORK.item(0, 9))), (ItemReason::Forked, last));
        assert_eq!(refused(process.one(FORK.item(9, 12))), (ItemReason::Inconsistent, last));
        assert_eq!(refused(process.one(LOG.item(5, 12))), (ItemReason::NeedsProof, last));
        signed(process.one(LOG.item(0, 9)));
        if again == 0 {
            assert_eq!(process.signal(Signal::SIGTERM), 0);
            assert!(!process.socket().exists());
            process.start(&[]);
        }
    }
    let mut second = LOG.item(0, 3);
    second.origin.epoch = 2;
    assert_eq!(refused(process.one(second)), (ItemReason::UnknownEpoch, None));
}

/// Origins (durable before released): killed in the midst of many requests, over and over, it has forgotten nothing
/// that it released.
#[test]
fn a_kill_forgets_nothing_released() {
    const LOGS: u8 = 40;
    let mut process = SignerProcess::new(&["--unencrypted"]);
    let mut released = vec![0u64; usize::from(LOGS)];
    let mut total = 0;
    for round in 0..8u64 {
        process.start(&[]);
        let client = process.client();
        let logs = || (0..LOGS).map(|n| Log { n, seed: 1 });
        // What it remembers is at least what it released; nothing else at that size is ever signed.
        let forks =
            released.iter().zip(0..LOGS).map(|(&s, n)| Log { n, seed: 9 }.item(0, s.max(1))).collect();
        let mut known = vec![0u64; usize::from(LOGS)];
        if round > 0 {
            for ((a, k), &was) in
                client.checkpoints(forks).unwrap().into_iter().zip(&mut known).zip(&released)
            {
                let (reason, last) = refused(a);
                assert!(matches!(reason, ItemReason::Forked | ItemReason::Shorter), "{reason}");
                *k = last.unwrap().size;
                assert!(*k >= was, "released size {was}, remembers {k}");
            }
        }
        let exchanges = Arc::new(AtomicU64::new(0));
        let worker = std::thread::spawn({
            let (mut released, exchanges) = (released.clone(), Arc::clone(&exchanges));
            let logs: Vec<_> = logs().collect();
            move || {
                loop {
                    let items = logs
                        .iter()
                        .zip(&known)
                        .map(|(l, &k)| l.item(k, k + 1 + u64::from(l.n % 3)))
                        .collect();
                    let Ok(answers) = client.checkpoints(items) else { return released };
                    for ((a, k), r) in answers.into_iter().zip(&mut known).zip(&mut released) {
                        *k = conductor_shared::checkpoint::Checkpoint::parse(&signed(a).text).unwrap().size;
                        *r = *k;
                    }
                    exchanges.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        // It is killed some time within a later exchange.
        wait_for("it signs", 20, || (exchanges.load(Ordering::Relaxed) > round).then_some(()));
        process.signal(Signal::SIGKILL);
        released = worker.join().unwrap();
        total = released.iter().sum();
    }
    assert!(total > 500, "too few were signed to mean anything: {total}");
}

/// Origins: a memory that is missing, rolled back or another's refuses to start, with exit code 3, tells of
/// `recover`, and nothing is made anew. A key file that others may read is refused.
#[test]
fn what_cannot_be_trusted_does_not_start() {
    let mut process = SignerProcess::new(&["--unencrypted"]);
    let memory = process.file("signer.memory");
    process.start(&[]);
    signed(process.one(LOG.item(0, 5)));
    let old = fs::read(&memory).unwrap();
    signed(process.one(LOG.item(5, 6)));
    assert_eq!(process.signal(Signal::SIGTERM), 0);
    let good = fs::read(&memory).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let other = SignerProcess::new(&["--unencrypted"]);
    for (name, bytes) in [
        ("older", Some(old)),
        ("damaged", Some(flipped)),
        ("another's", Some(fs::read(other.file("signer.memory")).unwrap())),
        ("missing", None),
    ] {
        match &bytes {
            Some(b) => fs::write(&memory, b).unwrap(),
            None => fs::remove_file(&memory).unwrap(),
        }
        let out = process.refuses_to_start(&[]);
        assert_eq!(code(&out), 3, "{name}: {}", err(&out));
        assert!(err(&out).contains("recover"), "{name}: {}", err(&out));
        assert_eq!(fs::read(&memory).ok(), bytes, "{name}");
    }
    fs::write(&memory, &good).unwrap();
    fs::set_permissions(&memory, fs::Permissions::from_mode(0o600)).unwrap();
    let key = process.file("signer.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let out = process.refuses_to_start(&[]);
    assert_eq!(code(&out), 2);
    assert!(err(&out).contains("chmod 0600"), "{}", err(&out));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    process.start(&[]);
    signed(process.one(LOG.item(0, 6)));
    // A second one on the same directory.
    assert_eq!(code(&process.refuses_to_start(&[])), 1);
    process.client().probe().unwrap();
}

/// Origins: a whole directory restored from a backup is found by the checkpoint that the agent holds; the signer then
/// refuses, and goes on refusing after a new start.
#[test]
fn a_restored_directory_is_found() {
    let mut process = SignerProcess::new(&["--unencrypted"]);
    process.start(&[]);
    signed(process.one(LOG.item(0, 5)));
    process.signal(Signal::SIGTERM);
    let backup: Vec<_> = fs::read_dir(process.dir()).unwrap().map(|e| e.unwrap().path()).collect();
    let backup: Vec<_> = backup.into_iter().map(|p| (fs::read(&p).unwrap(), p)).collect();
    process.start(&[]);
    let nine = signed(process.one(LOG.item(5, 9)));
    process.signal(Signal::SIGTERM);
    for (bytes, path) in backup {
        fs::write(path, bytes).unwrap();
    }
    process.start(&[]);
    let item = Item { last: Some(nine), ..LOG.item(5, 10) };
    for _ in 0..2 {
        let e = process.client().checkpoints(vec![item.clone()]).unwrap_err();
        assert!(matches!(e, SignerError::Refused { reason: Reason::MemoryRolledBack, .. }), "{e}");
        assert_eq!(SignerState::from(&e), SignerState::Refuses);
        assert_eq!(process.client().status().unwrap().state, State::Refuses);
        process.signal(Signal::SIGKILL);
        process.start(&[]);
    }
}

/// Signer client: locked tells the exact command; a wrong password is counted and delayed; the right one opens.
#[test]
fn locked_then_unlocked() {
    let secret = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let p = secret.path().join(name);
        fs::write(&p, text).unwrap();
        fs::set_permissions(&p, fs::Permissions::from_mode(0o600)).unwrap();
        p.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (file("right", "pass word\n"), file("wrong", "pass\n"));
    let mut process = SignerProcess::new(&["--password-file", &right]);
    process.start(&[]);
    let e = process.client().checkpoints(vec![LOG.item(0, 1)]).unwrap_err();
    assert_eq!(SignerState::from(&e), SignerState::Locked);
    let status = process.client().status().unwrap();
    assert_eq!(status.state, State::Locked);
    assert!(status.unlock_command.starts_with("conductor-signer unlock --socket /"));
    let socket = process.socket();
    let unlock = |f: &str| signer(&["unlock", "--socket", socket.to_str().unwrap(), "--password-file", f]);
    let out = unlock(&wrong);
    assert_eq!(code(&out), 1);
    assert!(err(&out).contains("wrong password (1 since"), "{}", err(&out));
    let json = signer(&["status", "--json", "--socket", socket.to_str().unwrap()]);
    assert_eq!(code(&json), 1);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((json["state"].as_str(), json["wrong_passwords"].as_u64()), (Some("locked"), Some(1)));
    assert!(unlock(&right).status.success());
    signed(process.one(LOG.item(0, 1)));
    assert_eq!(code(&signer(&["status", "--socket", socket.to_str().unwrap()])), 0);
    fs::set_permissions(&right, fs::Permissions::from_mode(0o604)).unwrap();
    assert_eq!(code(&unlock(&right)), 2);
    // Without a terminal there is nobody to ask.
    assert_eq!(code(&signer(&["init", "--dir", process.file("new").to_str().unwrap()])), 2);
    assert!(!process.file("new").exists());
}

/// Signer client: by systemd's credential, and with nothing that others may read; core dumps are off.
#[test]
fn hardened() {
    let secret = tempfile::tempdir().unwrap();
    let path = secret.path().join("signer-password");
    fs::write(&path, "x y z").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
    let file = secret.path().join("mine");
    fs::write(&file, "x y z").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let mut process = SignerProcess::new(&["--password-file", file.to_str().unwrap()]);
    let mut c = process.command(&["--credential", "signer-password"]);
    process.child =
        Some(c.env("CREDENTIALS_DIRECTORY", secret.path()).stderr(Stdio::null()).spawn().unwrap());
    wait_for("the signer has its key", 10, || process.client().probe().ok());
    let mode = |p: &Path| fs::metadata(p).unwrap().mode() & 0o777;
    assert_eq!((mode(&process.socket()), mode(&process.dir())), (0o600, 0o700));
    for e in fs::read_dir(process.dir()).unwrap() {
        assert_eq!(mode(&e.unwrap().path()), 0o600);
    }
    let limits =
        fs::read_to_string(format!("/proc/{}/limits", process.child.as_ref().unwrap().id())).unwrap();
    let core = limits.lines().find(|l| l.starts_with("Max core file size")).unwrap();
    assert!(core.split_whitespace().filter(|w| *w == "0").count() == 2, "{core}");
    for bad in [&["--credential", "../x"][..], &["--nonsense"], &["--agent-uid", "-1"]] {
        assert_eq!(code(&process.refuses_to_start(bad)), 2, "{bad:?}");
    }
    let again = signer(&["init", "--unencrypted", "--dir", process.dir().to_str().unwrap()]);
    assert_eq!(code(&again), 2, "never over an existing key");
}

/// Signer client (each accepts only the other's uid): others are turned away before they are read; the agent cannot
/// unlock; root and the signer's own user cannot have anything signed.
#[test]
fn only_the_agent_is_served() {
    let own = nix::unistd::geteuid().as_raw();
    let mut process = SignerProcess::new(&["--unencrypted"]);
    process.start(&["--agent-uid", &(own + 1).to_string()]);
    let e = process.client().checkpoints(vec![LOG.item(0, 1)]).unwrap_err();
    assert!(matches!(e, SignerError::Refused { reason: Reason::NotPermitted, .. }), "{e}");
    assert!(process.client().probe().is_err());
    assert_eq!(process.client().status().unwrap().origins, 0);
    let wrong = SignerClient::new(process.socket(), process.key(), Some(own + 1)).status().unwrap_err();
    assert!(matches!(wrong, SignerError::Lies(_)), "{wrong}");
    if own != 0 {
        return; // nobody but root can be somebody else
    }
    process.signal(Signal::SIGTERM);
    process.start(&["--agent-uid", "65533", "--group", "65534"]);
    assert_eq!(fs::metadata(process.socket()).unwrap().mode() & 0o777, 0o660);
    fs::set_permissions(process.tmp.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let copy = process.tmp.path().join("bin");
    fs::copy(bin("conductor-signer"), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    let password = process.tmp.path().join("password");
    fs::write(&password, "x").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let run = |uid: u32, args: &[&str]| {
        std::os::unix::fs::chown(&password, Some(uid), None).unwrap();
        let mut c = Command::new("setpriv");
        c.args([&format!("--reuid={uid}"), "--regid=65534", "--clear-groups"]).arg(&copy).args(args);
        c.arg("--socket").arg(process.socket()).output().unwrap()
    };
    let status = run(65534, &["status"]);
    assert!(err(&status).contains("NotPermitted"), "{}", err(&status));
    assert!(run(65533, &["status"]).status.success());
    let unlock = run(65533, &["unlock", "--signer-uid", "0", "--password-file", password.to_str().unwrap()]);
    assert!(err(&unlock).contains("NotPermitted"), "{}", err(&unlock));
}

/// Bad input: silent, broken and too many connections neither hang the signer nor end it.
#[test]
fn connections_are_bounded() {
    use std::io::{Read, Write};
    let mut process = SignerProcess::new(&["--unencrypted"]);
    process.start(&[]);
    let open = || UnixStream::connect(process.socket()).unwrap();
    let mut held: Vec<_> = (0..8).map(|_| open()).collect();
    // One that came while the check of the start was still counted was refused itself: so one more each time.
    // A refusal may also be cut short by the hang-up that follows it: then the client only knows that nobody answers.
    wait_for("the ninth connection is refused", 10, || {
        held.push(open());
        let said = process.client().status().err()?;
        assert_eq!(SignerState::from(&said), SignerState::Down, "{said:?}");
        Some(())
    });
    // A trickle does not keep a place for longer than the time of an exchange.
    let mut slow = held.swap_remove(1);
    drop(held);
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    for bad in [&[0xff, 0xff, 0xff, 0xff][..], &[0, 0, 0, 2, b'{', b'}'], &[0, 0, 0, 9, b'x'], &[0]] {
        let mut s = open();
        s.write_all(bad).unwrap();
        s.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        s.read_to_string(&mut answer).unwrap_or_default();
    }
    // Places come back when the signer notices that the others are gone.
    wait_for("a place is free", 10, || process.client().status().ok());
    signed(process.one(LOG.item(0, 2)));
    // It was hung up on, or is told so now, depending on how long the rest took; it never waits for the whole time limit.
    let mut answer = Vec::new();
    let told = slow.write_all(&[0, 0]).and_then(|()| slow.read_to_end(&mut answer));
    assert!(told.is_err() || answer.is_empty() || String::from_utf8_lossy(&answer).contains("malformed"));
}
