//! The real console in a real pseudo-terminal, against a made-up agent.

#![allow(clippy::unwrap_used)] // only tests are here

mod support;

use conductor_shared::stream::Summary;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{Fake, start};

/// What has not come by then is taken never to come. It only ends a test that would hang: no machine is so busy.
const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until something is there; `else_said` is what to say when it never comes.
#[allow(clippy::disallowed_methods, reason = "it is real time that passes")]
fn wait_for<T>(mut f: impl FnMut() -> Option<T>, else_said: impl Fn() -> String) -> T {
    let from = Instant::now();
    loop {
        if let Some(found) = f() {
            return found;
        }
        assert!(from.elapsed() < PATIENCE, "{}", else_said());
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Seat {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn std::io::Write + Send>,
    out: Arc<Mutex<(vt100::Parser, Vec<u8>)>>,
}

impl Seat {
    fn open(dir: &Path, size: (u16, u16), extra: &[&str]) -> Self {
        let key = dir.join("key");
        if !key.exists() {
            conductor_tui::client::keys::create(&key, None).unwrap();
        }
        let (cols, rows) = size;
        let pty =
            native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        let mut c = CommandBuilder::new(env!("CARGO_BIN_EXE_conductor"));
        c.args([
            "--agent",
            &format!("unix:{}", dir.join("agent.sock").display()),
            "--key",
            key.to_str().unwrap(),
        ]);
        c.args(extra);
        c.env("XDG_STATE_HOME", dir.join("state"));
        c.env("LC_ALL", "C.UTF-8");
        c.env("TERM", "xterm-256color");
        c.env_remove("NO_COLOR");
        let child = pty.slave.spawn_command(c).unwrap();
        let out = Arc::new(Mutex::new((vt100::Parser::new(rows, cols, 0), vec![])));
        let mut reader = pty.master.try_clone_reader().unwrap();
        let sink = out.clone();
        std::thread::spawn(move || {
            let mut buf = [0; 8_192];
            while let Ok(n) = reader.read(&mut buf) {
                if n == 0 {
                    break;
                }
                let mut s = sink.lock().unwrap();
                s.0.process(&buf[..n]);
                s.1.extend_from_slice(&buf[..n]);
            }
        });
        let keys = pty.master.take_writer().unwrap();
        // The slave's side stays open, so that what the terminal was left as can be looked at.
        std::mem::forget(pty.slave);
        Self { child, master: pty.master, keys, out }
    }

    fn screen(&self) -> String {
        self.out.lock().unwrap().0.screen().contents()
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until the screen satisfies; says what it showed when it never does.
    fn wait(&self, what: &str, f: impl Fn(&str) -> bool) {
        wait_for(
            || f(&self.screen()).then_some(()),
            || format!("no \"{what}\" on the screen:\n{}", self.screen()),
        );
    }

    fn shows(&self, text: &str) {
        self.wait(text, |s| s.contains(text));
    }

    /// Waits for the end and looks whether the terminal is as it was.
    fn ended(&mut self) -> u32 {
        let out = Arc::clone(&self.out);
        let code = wait_for(
            || self.child.try_wait().unwrap().map(|s| s.exit_code()),
            || format!("it does not end:\n{}", out.lock().unwrap().0.screen().contents()),
        );
        // What it wrote last may still be on its way.
        for off in ["\x1b[?1049l", "\x1b[?25h", "\x1b[?1000l", "\x1b[?2004l"] {
            let is_off = || {
                let out = self.out.lock().unwrap();
                let text = String::from_utf8_lossy(&out.1);
                text[text.rfind("\x1b[?1049h").unwrap()..].contains(off).then_some(())
            };
            wait_for(is_off, || format!("{off:?} is missing"));
        }
        let out = self.out.lock().unwrap();
        let screen = out.0.screen();
        assert!(!screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste());
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        let tty = self.master.get_termios().unwrap();
        // ICANON and ECHO of termios(3).
        assert_eq!(u64::from(tty.local_flags.bits()) & 0o12, 0o12, "raw mode was left on");
        code
    }
}

/// Issue, Console: 10,000 tenants over 1 MB/s and 80 ms are there within 5 s; keys work; a lost agent is dated and
/// grey and comes back; quitting leaves the terminal as it was.
#[test]
fn ten_thousand_tenants_on_a_slow_link() {
    let dir = tempfile::tempdir().unwrap();
    let sock = dir.path().join("agent.sock");
    let fake = Fake { tenants: 10_000, rate: 1_000_000, delay: Duration::from_millis(80) };
    let agent = start(&sock, fake);
    let mut seat = Seat::open(dir.path(), (120, 40), &[]);
    seat.shows("production");
    seat.wait("live", |s| s.contains("production  live"));
    // At 1 MB/s this leaves a second for all else that is said.
    const { assert!(10_000 * Summary::LEN <= 4_000_000, "the overview takes too long") };
    seat.press("2");
    seat.shows("10000 tenants");
    seat.press("/07777\r");
    seat.shows("1 of 10000");
    // Three keys tighten: the small dialog names the target, Enter does it.
    seat.press("!k");
    seat.shows("Make it safer");
    seat.shows("tenant-07777 on node-a");
    seat.press("\r");
    seat.shows("Done");
    seat.press("\r");
    let sent = agent.commands.lock().unwrap().clone();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].contains("operation: kill.set"), "{}", sent[0]);
    seat.press("l");
    seat.shows("\\u{1b}[2J hostile");
    drop(agent);
    seat.shows("lost");
    seat.press("\x1b");
    seat.shows("tenant-07777");
    let agent = start(&sock, fake);
    seat.wait("live again", |s| s.contains("production  live"));
    seat.press("q");
    assert_eq!(seat.ended(), 0);
    drop(agent);
    let pins = std::fs::read_to_string(dir.path().join("state/conductor/pins")).unwrap();
    assert!(pins.lines().count() > 10_000);
}

const SMALL: Fake = Fake { tenants: 30, rate: 0, delay: Duration::ZERO };

/// Terminal craft: the terminal is given back on SIGTERM and SIGHUP, and when any part fails.
#[test]
fn the_terminal_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let _agent = start(&dir.path().join("agent.sock"), SMALL);
    for signal in [nix::sys::signal::Signal::SIGTERM, nix::sys::signal::Signal::SIGHUP] {
        let mut seat = Seat::open(dir.path(), (80, 24), &[]);
        seat.wait("live", |s| s.contains("production  live"));
        let pid = i32::try_from(seat.child.process_id().unwrap()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
        assert_eq!(seat.ended(), 0);
    }
    if cfg!(debug_assertions) {
        let mut seat = Seat::open(dir.path(), (80, 24), &[]);
        seat.wait("live", |s| s.contains("production  live"));
        seat.press(":panic\r");
        assert_eq!(seat.ended(), 101);
        let text = String::from_utf8_lossy(&seat.out.lock().unwrap().1).into_owned();
        assert!(text.contains("asked for in the palette"), "the panic is said");
    }
}

/// Terminal craft: ctrl-z gives the terminal back, and continuing takes it again.
#[test]
fn suspended_and_continued() {
    use nix::sys::signal::{Signal, kill};
    let dir = tempfile::tempdir().unwrap();
    let _agent = start(&dir.path().join("agent.sock"), SMALL);
    let mut seat = Seat::open(dir.path(), (80, 24), &["--read-only"]);
    seat.wait("live", |s| s.contains("production  live"));
    seat.shows("read-only");
    seat.press("!");
    seat.press("\x1a");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(seat.child.process_id().unwrap()).unwrap());
    let stopped = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.contains(") T ").then_some(())
    };
    wait_for(stopped, || "it does not suspend".to_owned());
    wait_for(
        || (!seat.out.lock().unwrap().0.screen().alternate_screen()).then_some(()),
        || "the terminal is not given back".to_owned(),
    );
    kill(pid, Signal::SIGCONT).unwrap();
    seat.wait("the screen again", |s| s.contains("production  live"));
    seat.press("\x0c");
    for (cols, rows) in [(120, 40), (50, 10), (200, 60), (80, 24)] {
        seat.out.lock().unwrap().0.screen_mut().set_size(rows, cols);
        seat.master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        seat.wait("the new size", |s| s.contains(if cols < 60 { "needs 60x16" } else { "production  live" }));
    }
    seat.press("q");
    assert_eq!(seat.ended(), 0);
}

/// Processor time of this thread.
fn spent() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// Issue, Console: a frame of 10,000 tenants costs as much as one of 100, since only what is on the screen is made. What
/// counts is the processor time of the cheapest of many: a busy machine makes none of them cheaper.
#[test]
fn ten_thousand_rows_cost_as_a_hundred() {
    use conductor_tui::{bench_model, draw_frame};
    let cost = |tenants| {
        let m = bench_model(tenants);
        let mut t = ratatui::Terminal::new(ratatui::backend::TestBackend::new(120, 40)).unwrap();
        let frame = |_| {
            let from = spent();
            draw_frame(&mut t, &m).unwrap();
            spent().saturating_sub(from)
        };
        (0..200).map(frame).min().unwrap()
    };
    let (few, many) = (cost(100), cost(10_000));
    println!("a frame of 100 tenants {few:?}, of 10,000 {many:?}");
    assert!(many < few * 2, "{few:?} and {many:?}");
}
