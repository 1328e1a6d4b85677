use crate::client::event::AgentEvent;
use crate::client::pins::{Checked, Pin};
use crate::model::Model;
use crate::model::confirmation::ConfirmedAction;
use crate::model::dialog::{Field, Layer};
use crate::model::message::{Effect, Fetch, Msg, Reply};
use crate::model::screen::Screen;
use crate::sample;
use crate::style::{Look, ThemeName};
use crate::testing::{key, keys, send, tick};
use conductor_shared::command::{Command, Operation, ops};
use conductor_shared::fact::ChangeClass;
use conductor_shared::http::Preview;
use conductor_shared::stream::Summary;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::time::Duration;

fn demo() -> Model {
    let mut m = sample::demo(Look::new(ThemeName::Dark, false, false), ThemeName::Dark);
    keys(&mut m, "2");
    m
}

fn sent(effects: &[Effect]) -> Option<(u64, &ConfirmedAction)> {
    effects.iter().find_map(|e| match e {
        Effect::Send { ticket, action } => Some((*ticket, action)),
        _ => None,
    })
}

fn operation(a: &ConfirmedAction) -> Operation {
    Command::parse(a.text().as_bytes()).unwrap().operation
}

fn preview() -> Preview {
    Preview {
        class: ChangeClass::Loosen,
        base: "ab".repeat(32),
        before: vec![],
        after: vec![],
        since_us: 0,
        requests: 10,
        newly_allowed: 5,
        newly_denied: 0,
        by_workflow: vec![],
        open_runs_stopped: 0,
        approvals: 0,
        frozen: false,
    }
}

/// Issue, Console: three keys roll back, three keys kill, from anywhere with a tenant selected; two do nothing yet.
#[test]
fn three_keys_tighten() {
    for place in ["", "enter", "l", "l enter", "1"] {
        for (act, name) in
            [("! r", "ramp.cap"), ("! k", "kill.set"), ("! d", "kill.set"), ("! f", "freeze.set")]
        {
            let mut m = demo();
            keys(&mut m, place);
            assert!(sent(&keys(&mut m, act)).is_none(), "not before it is confirmed");
            let out = keys(&mut m, "enter");
            let (_, action) = sent(&out).unwrap();
            assert_eq!(operation(action).name(), name, "{place} {act}");
            assert_eq!(action.target().name.as_str(), "acme");
            let command = Command::parse(action.text().as_bytes()).unwrap();
            assert_eq!(command.base, None, "tightening is absolute");
        }
    }
}

/// SPEC invariant 3: tightening works on old data, loosening is locked while data are stale.
#[test]
fn old_data_lock_loosening_only() {
    let mut m = demo();
    let lost = AgentEvent::Lost { why: "gone".into(), retry: Duration::from_micros(1) };
    send(&mut m, Msg::Agent(0, lost));
    tick(&mut m, 100_000_000);
    assert!(sent(&keys(&mut m, "! k enter")).is_some());
    keys(&mut m, "esc ! s down 5 0 enter");
    tick(&mut m, 100_250_000);
    let ticket = m.ticket;
    send(&mut m, Reply::Preview(ticket, Ok(preview())));
    assert!(sent(&keys(&mut m, "tab a c m e tab o k tab p w tab enter")).is_none());
    let Some(Layer::Loosen(l)) = m.layers.last() else { panic!() };
    assert!(l.error.as_ref().unwrap().contains("not live"));
}

/// Issue, Console: a loosening needs its blast radius, the name typed, a reason and the password; it opens on Cancel.
#[test]
fn loosening_is_the_long_way() {
    let mut m = demo();
    keys(&mut m, "! s down 5 0 enter");
    let Some(Layer::Loosen(l)) = m.layers.last() else { panic!() };
    assert_eq!(l.focus, Field::Cancel);
    assert!(tick(&mut m, 48_250_000).iter().any(|e| matches!(e, Effect::Fetch(Fetch::Preview { .. }))));
    let ticket = m.ticket;
    send(&mut m, Reply::Preview(ticket, Ok(preview())));
    send(&mut m, Msg::Paste("acme".into()));
    keys(&mut m, "tab");
    send(&mut m, Msg::Paste("acme".into()));
    let Some(Layer::Loosen(l)) = m.layers.last() else { panic!() };
    assert_eq!(l.name.text(), "", "a name is typed, not pasted");
    keys(&mut m, "a c m e tab");
    send(&mut m, Msg::Paste("ticket 7\n:quit\r".into()));
    let out = keys(&mut m, "tab p w tab enter");
    assert!(matches!(out.as_slice(), [Effect::Check(_)]), "{out:?}");
    let out = send(&mut m, Reply::Checked(Ok(())));
    let (ticket, action) = sent(&out).unwrap();
    let c = Command::parse(action.text().as_bytes()).unwrap();
    assert_eq!(c.base, Some([0xab; 32]));
    assert_eq!(c.reason.raw(), "ticket 7:quit");
    assert!(
        matches!(c.operation, Operation::RampSet(ops::RampSet { hundredths, .. }) if hundredths.get() == 5_000)
    );
    assert_eq!(keys(&mut m, "esc"), [Effect::Forget(ticket)]);
    // Enter on Cancel cancels.
    keys(&mut m, "! s down 5 0 enter enter");
    assert!(m.layers.is_empty());
}

/// Issue, Console: the direction decides, not the verb: a ramp set lower is the small dialog.
#[test]
fn direction_decides() {
    let mut m = demo();
    keys(&mut m, "! s down 5 enter");
    assert!(matches!(m.layers.last(), Some(Layer::Confirm(_))));
    let out = keys(&mut m, "enter");
    assert!(matches!(
        operation(sent(&out).unwrap().1),
        Operation::RampCap(ops::RampCap { hundredths, .. }) if hundredths.get() == 500
    ));
}

/// Terminal craft: in read-only mode nothing that changes anything can be reached.
#[test]
fn read_only_reaches_nothing() {
    let mut m = demo();
    m.read_only = true;
    keys(&mut m, "! k enter ! f enter : k i l l enter");
    assert!(!m.layers.iter().any(|l| matches!(l, Layer::Confirm(_) | Layer::Menu(_) | Layer::Waiting(_))));
    let mut p = crate::model::palette::Palette::new();
    p.input.set("kill acme");
    assert!(p.parse(&m).is_err());
}

/// Issue, Console: `esc` always goes back; `q` quits from a main screen only.
#[test]
fn esc_goes_back_and_q_quits() {
    let mut m = demo();
    keys(&mut m, "enter l enter");
    assert_eq!(m.screen(), Screen::Receipts, "no receipt is there to open");
    keys(&mut m, "esc esc");
    assert_eq!(m.screen(), Screen::Tenants);
    assert_eq!(keys(&mut m, "esc esc esc"), []);
    assert_eq!(keys(&mut m, "enter q"), []);
    assert_eq!(keys(&mut m, "q"), [Effect::Quit]);
    assert_eq!(keys(&mut m, "? q"), [], "q closes the help");
    assert_eq!(keys(&mut m, ": q ctrl-c"), [Effect::Quit], "ctrl-c quits from anywhere");
    keys(&mut m, "esc");
    assert_eq!(keys(&mut m, "ctrl-z"), [Effect::Suspend]);
    assert!(matches!(keys(&mut m, "y").as_slice(), [Effect::Copy(_)]));
}

/// Terminal craft: releases are no presses; pasted text is inert where nothing is typed.
#[test]
fn only_presses_count() {
    let mut m = demo();
    let mut up = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
    up.kind = crossterm::event::KeyEventKind::Release;
    assert_eq!(send(&mut m, Msg::Key(up)).len(), 0);
    send(&mut m, Msg::Paste("q!k\r".into()));
    assert!(m.layers.is_empty() && m.screen() == Screen::Tenants);
}

/// Terminal craft: none when idle: a tick that changes nothing shown draws nothing.
#[test]
fn idle_draws_nothing() {
    let mut m = demo();
    keys(&mut m, "3");
    tick(&mut m, 48_100_000);
    m.dirty = false;
    for n in 2..8 {
        tick(&mut m, 48_000_000 + n * 100_000);
        m.receipts.busy = true;
        assert!(!m.dirty, "tick {n}");
    }
    tick(&mut m, 55_000_000);
    assert!(m.dirty, "an age on the screen changed");
}

/// Issue, Pins: a log that forks or shrinks raises an alarm that stays until it is acknowledged, once.
#[test]
fn a_fork_rings_until_acknowledged() {
    let mut m = demo();
    let shrunk = Summary { size: 3, ..sample::summary("ember") };
    send(&mut m, Msg::Agent(0, AgentEvent::Summaries(vec![shrunk.clone()])));
    send(&mut m, Msg::Agent(0, AgentEvent::Summaries(vec![shrunk])));
    assert_eq!((m.alarms.len(), m.ringing()), (1, 1));
    assert!(m.alarms[0].what.contains("forked or shrank"), "{}", m.alarms[0].what);
    keys(&mut m, "esc esc enter q");
    assert_eq!(m.ringing(), 1);
    keys(&mut m, "a enter");
    assert_eq!((m.alarms.len(), m.ringing()), (1, 0));
}

/// Issue, Pins: logs that grew are compared with their pins, opened ones first, at a bounded rate; a cited new epoch
/// is told as restored.
#[test]
fn logs_are_checked() {
    let mut m = demo();
    let s = sample::summary("ember");
    send(&mut m, Msg::Agent(0, AgentEvent::Summaries(vec![Summary { size: s.size + 5, ..s.clone() }])));
    let mut asked = vec![];
    // The samples' own checks were never answered.
    m.agents[0].checking = false;
    for n in 1..40 {
        for e in tick(&mut m, 48_000_000 + n * 250_000) {
            if let Effect::Fetch(Fetch::CheckLog { origin, .. }) = e {
                asked.push(origin.tenant);
                send(&mut m, Reply::Log(0, origin, Err("no".into())));
            }
        }
        send(&mut m, Msg::Agent(0, AgentEvent::Health(Box::new(sample::health(0, "node-a")))));
    }
    assert!(asked[0].is_node(), "the node's own log first");
    assert!(asked.contains(&s.tenant), "{asked:?}");
    let again = Summary { epoch: 2, size: 1, ..s.clone() };
    send(&mut m, Msg::Agent(0, AgentEvent::Summaries(vec![again])));
    assert_eq!(m.ringing(), 0, "an epoch is judged by what it cites, not yet");
}

/// A5: a node that announces entries and proves nothing does not stay green: at once on the tenant's page, and after a while
/// as one alarm. A proof ends it.
#[test]
fn no_proof_for_a_while_is_an_alarm() {
    let mut m = demo();
    let s = sample::summary("ember");
    m.agents[0].checking = false;
    let (mut at, mut asked, mut answer) = (48_000_000, 0, Err("HTTP 503: busy".to_owned()));
    let mut seconds = |m: &mut Model, n: u64, answer: &Result<Checked, String>| {
        for _ in 0..n * 4 {
            at += 250_000;
            send(m, Msg::Agent(0, AgentEvent::Health(Box::new(sample::health(0, "node-a")))));
            send(m, Msg::Agent(0, AgentEvent::Summaries(vec![Summary { size: s.size + at, ..s.clone() }])));
            for e in tick(m, at) {
                if let Effect::Fetch(Fetch::CheckLog { origin, shown, .. }) = e {
                    asked += u32::from(shown == s.size + at - 250_000 || shown == s.size + at);
                    send(m, Reply::Log(0, origin, answer.clone()));
                }
            }
        }
    };
    seconds(&mut m, 10, &answer);
    assert_eq!(m.ringing(), 0, "not yet");
    let unproved = |m: &Model| m.agents[0].unproved.contains_key(&s.tenant);
    assert!(unproved(&m), "but it is known at once");
    seconds(&mut m, 30, &answer);
    assert_eq!(m.ringing(), 1, "one for all logs: {:?}", m.alarms);
    assert!(m.alarms[0].what.contains("no proof"), "{:?}", m.alarms);
    answer = Ok(Checked::Grew(Pin { size: u64::MAX, root: [0; 32], seen: m.now.wall, signed: None }));
    seconds(&mut m, 10, &answer);
    assert!(m.agents[0].unproved.is_empty() && !m.agents[0].unproved_told);
    assert!(asked > 0, "the size that was announced goes with the request");
}

/// Issue, Console: a lost agent keeps rows; key presses start no try.
#[test]
fn a_lost_agent_keeps_its_rows() {
    let mut m = demo();
    let rows = m.tenants.shown();
    send(&mut m, Msg::Agent(0, AgentEvent::Lost { why: "reset".into(), retry: Duration::from_secs(9) }));
    let link = m.agents[0].link.clone();
    keys(&mut m, "j k g G");
    send(&mut m, Msg::Agent(0, AgentEvent::Connecting));
    assert_eq!((m.tenants.shown(), &m.agents[0].link), (rows, &link));
    assert!(!m.agents[0].fresh(m.now));
}

/// Terminal craft: a click selects the row it is on, the wheel moves.
#[test]
fn mouse() {
    use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
    let mut m = demo();
    let list = crate::model::layout::list(&m);
    let at = |kind, row| MouseEvent { kind, column: 5, row, modifiers: KeyModifiers::NONE };
    send(&mut m, Msg::Mouse(at(MouseEventKind::Down(MouseButton::Left), list.y + 3)));
    assert_eq!(m.tenants.place(), Some(3));
    send(&mut m, Msg::Mouse(at(MouseEventKind::ScrollDown, 0)));
    assert_eq!(m.tenants.place(), Some(6));
    send(&mut m, Msg::Mouse(at(MouseEventKind::Down(MouseButton::Left), 0)));
    assert_eq!(m.tenants.place(), Some(6));
}

/// SPEC, Bad input: no sequence of keys and sizes makes the console fail.
#[test]
fn any_keys() {
    let names = [
        "!", "r", "k", "d", "s", "u", "enter", "esc", "tab", "backtab", "up", "down", "j", "G", "g", "l",
        "/", ":", "?", "1", "2", "3", "y", "a", "f", "S", "5", "x", "ctrl-d", "ctrl-u", "space",
    ];
    let mut seed = 42u64;
    let mut m = demo();
    let mut t = ratatui::Terminal::new(ratatui::backend::TestBackend::new(200, 60)).unwrap();
    for n in 0..4_000u64 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pick = |shift: u32, len: usize| usize::try_from((seed >> shift) % len as u64).unwrap();
        send(&mut m, Msg::Key(key(names[pick(33, names.len())])));
        if n % 7 == 0 {
            send(
                &mut m,
                Msg::Resize(
                    40 + u16::try_from(pick(20, 161)).unwrap(),
                    10 + u16::try_from(pick(10, 51)).unwrap(),
                ),
            );
            tick(&mut m, 48_000_000 + n * 1_000);
            crate::sample::draw_frame(&mut t, &m).unwrap();
        }
    }
}
