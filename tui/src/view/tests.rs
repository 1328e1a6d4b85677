//! Every screen as it is drawn, symbols and styles, in the sizes people use.
#![allow(clippy::many_single_char_names)] // columns and rows have short names

use crate::client::event::AgentEvent;
use crate::model::Model;
use crate::model::message::{Effect, Fetch, Msg, Refusal, Reply};
use crate::model::receipts::Proved;
use crate::model::tenants::RowKey;
use crate::sample;
use crate::sample::draw_frame;
use crate::style::{Look, ThemeName};
use crate::testing::{keys, send, tick};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::command::{Audience, Command, Operation, ops};
use conductor_shared::fact::ChangeClass;
use conductor_shared::health::{Subsystem, Trouble};
use conductor_shared::http::{
    CommandOutcome, CommandStatus, Preview, PreviewRow, ReceiptPage, ReceiptRef, RequestRow,
};
use conductor_shared::ids::{CommandId, Ident, PersonId, TenantUid};
use conductor_shared::operator::parse_roles;
use conductor_shared::stream::{NodeHealth, SignerState};
use conductor_shared::untrusted::UntrustedText;
use conductor_shared::verify::{Report, Verdict};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};
use std::fmt::Write as _;
use std::time::Duration;

/// Symbols, then each row's runs of style that is not plain.
pub(super) fn draw(m: &mut Model, w: u16, h: u16) -> String {
    send(m, Msg::Resize(w, h));
    let mut t = Terminal::new(TestBackend::new(w, h)).unwrap();
    draw_frame(&mut t, m).unwrap();
    let b = t.backend().buffer();
    let mut out = String::new();
    for y in 0..h {
        let line: String = (0..w).map(|x| b[(x, y)].symbol()).collect();
        out += line.trim_end();
        out.push('\n');
    }
    out += "--- styles: row: columns fg/bg modifiers\n";
    let color = |c: Color| match c {
        Color::Reset => "-".to_owned(),
        Color::Indexed(n) => n.to_string(),
        other => format!("{other:?}"),
    };
    for y in 0..h {
        let key = |x: u16| {
            let c = &b[(x, y)];
            (c.fg, c.bg, c.modifier)
        };
        let mut x = 0;
        let mut runs = String::new();
        while x < w {
            let from = x;
            while x < w && key(x) == key(from) {
                x += 1;
            }
            let (fg, bg, mods) = key(from);
            if (fg, bg, mods) != (Color::Reset, Color::Reset, Modifier::empty()) {
                let words: String = mods.iter_names().map(|(n, _)| n.chars().next().unwrap_or('?')).collect();
                let _ = write!(runs, " {from}-{}:{}/{}{words}", x - 1, color(fg), color(bg));
            }
        }
        if !runs.is_empty() {
            let _ = writeln!(out, "{y}:{runs}");
        }
    }
    out
}

pub(super) fn dark() -> Look {
    Look::new(ThemeName::Dark, false, false)
}
pub(super) fn demo() -> Model {
    sample::demo(dark(), ThemeName::Dark)
}

fn with_receipts(m: &mut Model) {
    keys(m, "2 l");
    let rows = (0..30).map(|i| match i {
        0 => sample::receipt(0, "LogOpened", "log opened: created, acme"),
        7 => sample::receipt(7, "Changed", "mira lowered ramp run/etl from 50 % to 10 %: too many errors"),
        i => sample::receipt(
            i,
            "RunDecided",
            &format!("run of etl in production for service: bucket {}", i * 311 % 10_000),
        ),
    });
    let page = ReceiptPage { origin: sample::origin(), size: 30, receipts: rows.collect(), next: None };
    let key = m.receipts.key.unwrap();
    send(m, Reply::Receipts(key, Ok(page)));
}

/// Issue, Console: the main screens at the sizes people use.
#[test]
fn main_screens() {
    for (w, h) in [(80, 24), (120, 40), (200, 60)] {
        let mut m = demo();
        insta::assert_snapshot!(format!("overview-{w}x{h}"), draw(&mut m, w, h));
        keys(&mut m, "2");
        insta::assert_snapshot!(format!("tenants-{w}x{h}"), draw(&mut m, w, h));
        keys(&mut m, "enter");
        insta::assert_snapshot!(format!("tenant-{w}x{h}"), draw(&mut m, w, h));
        let mut m = demo();
        with_receipts(&mut m);
        insta::assert_snapshot!(format!("receipts-{w}x{h}"), draw(&mut m, w, h));
    }
}

/// A request as the agent tells it.
pub(super) fn request(n: u8, name: &str, why: &str) -> RequestRow {
    let person = PersonId([n; 16]);
    let operation = Operation::OperatorEnrol(ops::OperatorEnrol {
        person,
        name: Ident::new(name).unwrap(),
        public_key: STANDARD.encode([&b"Ed"[..], &[n; 40]].concat()),
        roles: parse_roles("operator viewer").unwrap(),
        proof: "AAAA".into(),
    });
    let command = Command {
        command_id: CommandId([n; 16]),
        audience: Audience::Nodes(vec![sample::origin().node]),
        tenant: TenantUid::NODE,
        base: Some([1; 32]),
        operation,
        reason: UntrustedText::new(why),
        issued_at_us: 1,
        expires_at_us: 2,
        nonce: [0; 16],
    };
    RequestRow {
        tenant_uid: TenantUid::NODE,
        tenant_id: Ident::new("node-1").unwrap(),
        command_id: command.command_id,
        text: command.text(),
        class: ChangeClass::Loosen,
        person: Ident::new("ana").unwrap(),
        needed: 1,
        approved: vec![],
        expires_at_us: 1_700_000_000_000_000,
        receipt: ReceiptRef { origin: sample::origin(), index: u64::from(n) },
    }
}

/// Issue 3, Console: what waits for a second person is read from the very text that is approved; a text that is
/// another's is called out; the screen only shows, so read-only has it too.
#[test]
fn approvals() {
    for (w, h) in [(80, 24), (120, 40)] {
        let mut m = demo();
        let asked = keys(&mut m, "4");
        assert!(asked.is_empty());
        insta::assert_snapshot!(format!("approvals-none-{w}x{h}"), draw(&mut m, w, h));
        let asked = tick(&mut m, 90_000_000);
        assert!(asked.contains(&Effect::Fetch(Fetch::Requests(0))), "{asked:?}");
        let false_text = RequestRow { text: request(9, "eve", "x").text, ..request(3, "cleo", "joins") };
        let list = vec![request(2, "dan", "joins the team"), false_text];
        send(&mut m, Reply::Requests(0, Ok(list)));
        send(&mut m, Reply::Requests(0, Err("the agent does not answer".into())));
        insta::assert_snapshot!(format!("approvals-{w}x{h}"), draw(&mut m, w, h));
        keys(&mut m, "j");
        let shown = draw(&mut m, w, h);
        assert!(shown.contains("do not approve it"), "{shown}");
        let copied = keys(&mut m, "y");
        assert_eq!(copied, [Effect::Copy(CommandId([3; 16]).to_string())]);
        // The marked request stays marked when the list is fetched again.
        send(&mut m, Reply::Requests(0, Ok(vec![request(1, "bea", "new"), request(3, "cleo", "joins")])));
        assert_eq!(m.approvals.selected().unwrap().row.command_id, CommandId([3; 16]));
        send(&mut m, Reply::Requests(0, Ok(vec![])));
        assert!(m.approvals.selected().is_none());
    }
}

/// Terminal craft: `NO_COLOR`, light and ASCII lose nothing.
#[test]
fn other_looks() {
    for (name, look, theme) in [
        ("plain", Look::new(ThemeName::Dark, true, false), ThemeName::Dark),
        ("light", Look::new(ThemeName::Light, false, false), ThemeName::Light),
        ("ascii", Look::new(ThemeName::Dark, true, true), ThemeName::Dark),
    ] {
        let mut m = sample::demo(look, theme);
        insta::assert_snapshot!(format!("overview-{name}"), draw(&mut m, 80, 24));
        keys(&mut m, "2");
        insta::assert_snapshot!(format!("tenants-{name}"), draw(&mut m, 80, 24));
        let shown = draw(&mut m, 120, 40);
        assert!(name != "ascii" || shown.is_ascii(), "{shown}");
        keys(&mut m, "! k");
        let shown = draw(&mut m, 120, 40);
        assert!(name != "ascii" || shown.is_ascii(), "{shown}");
    }
}

/// Terminal craft: a lost connection keeps the rows, greys and dates them.
#[test]
fn connection_lost() {
    let mut m = demo();
    keys(&mut m, "2");
    let lost = AgentEvent::Lost { why: "connection refused".into(), retry: Duration::from_secs(7) };
    send(&mut m, Msg::Agent(0, lost));
    tick(&mut m, 75_000_000);
    insta::assert_snapshot!("tenants-lost", draw(&mut m, 80, 24));
    keys(&mut m, "1");
    insta::assert_snapshot!("overview-lost", draw(&mut m, 80, 24));
    keys(&mut m, "2 ! k");
    insta::assert_snapshot!("kill-on-old-data", draw(&mut m, 80, 24));
}

/// Issue, Console: too small is said, and q still quits.
#[test]
fn too_small() {
    let mut m = demo();
    insta::assert_snapshot!("too-small", draw(&mut m, 50, 12));
    assert_eq!(keys(&mut m, "q"), [Effect::Quit]);
    for (w, h) in [(1, 1), (0, 0), (60, 16), (61, 200), (10_000, 1)] {
        send(&mut m, Msg::Resize(w, h));
        let mut t = Terminal::new(TestBackend::new(w.clamp(1, 400), h.max(1))).unwrap();
        if w <= 400 {
            draw_frame(&mut t, &m).unwrap();
        }
    }
}

fn preview() -> Preview {
    let row = |w: &str, requests, newly_allowed| PreviewRow {
        workflow_type: Ident::new(w).unwrap(),
        requests,
        newly_allowed,
        newly_denied: 0,
    };
    Preview {
        class: ChangeClass::Loosen,
        base: "ab".repeat(32),
        before: vec!["hundredths".into(), "1000".into(), "revision".into(), "3".into()],
        after: vec!["hundredths".into(), "5000".into(), "revision".into(), "4".into()],
        since_us: sample::AGENT_US - 3_600_000_000,
        requests: 48_211,
        newly_allowed: 19_304,
        newly_denied: 0,
        by_workflow: vec![row("etl", 41_000, 17_000), row("train", 7_211, 2_304)],
        open_runs_stopped: 0,
        approvals: 0,
        frozen: false,
    }
}

/// Issue, Console: the dialogs, from the small one to the riskier one and what follows.
#[test]
fn dialogs() {
    let mut m = demo();
    keys(&mut m, "2 !");
    insta::assert_snapshot!("menu", draw(&mut m, 80, 24));
    keys(&mut m, "r");
    insta::assert_snapshot!("rollback", draw(&mut m, 80, 24));
    keys(&mut m, "enter");
    tick(&mut m, 50_000_000);
    insta::assert_snapshot!("waiting", draw(&mut m, 80, 24));
    let outcome = CommandOutcome {
        command_id: CommandId([1; 16]),
        status: CommandStatus::Effective,
        class: ChangeClass::Tighten,
        receipt: ReceiptRef { origin: sample::origin(), index: 41 },
        proposal: None,
        reasons: vec![],
        before: preview().before,
        after: vec!["hundredths".into(), "100".into(), "revision".into(), "4".into()],
    };
    let ticket = m.ticket;
    send(&mut m, Reply::Answered(ticket, Ok(outcome)));
    insta::assert_snapshot!("done", draw(&mut m, 80, 24));
    keys(&mut m, "enter ! s");
    insta::assert_snapshot!("set-ramp", draw(&mut m, 80, 24));
    keys(&mut m, "down 5 0 enter");
    insta::assert_snapshot!("loosen-loading", draw(&mut m, 80, 24));
    tick(&mut m, 50_250_000);
    let ticket = m.ticket;
    send(&mut m, Reply::Preview(ticket, Ok(preview())));
    insta::assert_snapshot!("loosen", draw(&mut m, 80, 24));
    keys(&mut m, "tab a c m e tab o k tab p w tab");
    insta::assert_snapshot!("loosen-ready", draw(&mut m, 80, 24));
    keys(&mut m, "esc");
    send(
        &mut m,
        Reply::Answered(
            99,
            Err(Refusal { what: "nobody waits".into(), remedy: String::new(), unknown: false }),
        ),
    );
    insta::assert_snapshot!("flash", draw(&mut m, 80, 24));
}

/// Issue, Console: help, palette, filter, alarms, password.
#[test]
fn other_layers() {
    let mut m = demo();
    keys(&mut m, "?");
    insta::assert_snapshot!("help", draw(&mut m, 80, 24));
    keys(&mut m, "esc : t e");
    insta::assert_snapshot!("palette", draw(&mut m, 80, 24));
    keys(&mut m, "esc 2 / f j");
    insta::assert_snapshot!("filter", draw(&mut m, 80, 24));
    keys(&mut m, "enter");
    m.alarm(
        "acme on node-a".into(),
        "its log forked or shrank: it has 7 entries; 9 were seen before".into(),
        false,
    );
    insta::assert_snapshot!("alarm", draw(&mut m, 80, 24));
    keys(&mut m, "a");
    insta::assert_snapshot!("alarms", draw(&mut m, 80, 24));
    let mut m = Model::new(&["unix:/run/a.sock".into()], dark(), ThemeName::Dark, true, [0; 32]);
    crate::update::ask_password(&mut m);
    keys(&mut m, "x y z");
    insta::assert_snapshot!("unlock", draw(&mut m, 80, 24));
}

/// Issue, Receipts: one receipt with its proof.
#[test]
fn one_receipt() {
    let mut m = demo();
    with_receipts(&mut m);
    keys(&mut m, "k enter");
    insta::assert_snapshot!("receipt-loading", draw(&mut m, 80, 24));
    let (key, index) = (m.receipts.key.unwrap(), m.receipts.selected.unwrap());
    let report = Report {
        signature: Verdict::Verified,
        inclusion: Verdict::Refuted("the audit path does not lead to the checkpoint's root".into()),
        completeness: Verdict::Unconfirmed("fields are withheld or erased: 1, in 1 receipts".into()),
        origin: Some(sample::origin()),
        size: Some(30),
        entries: 1,
    };
    let receipt = Some(m.receipts.selected_row().unwrap().clone());
    send(&mut m, Reply::Proof(key, index, Ok(Box::new(Proved { receipt, report }))));
    insta::assert_snapshot!("receipt", draw(&mut m, 80, 24));
}

/// Issue, Console: an outage stands on the overview in words; two nodes stand apart by name, colour and word.
#[test]
fn trouble_on_two_nodes() {
    let endpoints = ["unix:/run/a.sock".to_owned(), "https://b:7443".to_owned()];
    let mut m = Model::new(&endpoints, dark(), ThemeName::Dark, true, [0; 32]);
    tick(&mut m, 0);
    let trouble =
        |subsystem, detail: &str| Trouble { detail: detail.into(), ..Trouble::of(subsystem, 1, "") };
    let hostile = vec![
        trouble(Subsystem::Store, "no space\u{1b}[2J left"),
        trouble(Subsystem::Policy, "bundle 7 has expired\u{202e}"),
    ];
    for (n, (name, env)) in [("node-a", "production"), ("node-b", "rehearsal")].into_iter().enumerate() {
        let i = u8::try_from(n).unwrap();
        let hello =
            AgentEvent::Hello { info: sample::info(i, name, env), version: 1 + u32::from(i), resumed: false };
        send(&mut m, Msg::Agent(n, hello));
        send(&mut m, Msg::Agent(n, AgentEvent::OverviewEnd));
        let health = NodeHealth {
            signer: if n == 0 { SignerState::Down } else { SignerState::Up },
            admissions_stop_us: (n == 0).then_some(252_000_000),
            troubles: if n == 1 { hostile.clone() } else { vec![] },
            disk_free: 1 << (40 - 20 * n),
            ..sample::health(i, name)
        };
        send(&mut m, Msg::Agent(n, AgentEvent::Health(Box::new(health))));
    }
    let shown = draw(&mut m, 120, 40);
    assert!(!shown.contains('\u{1b}'));
    insta::assert_snapshot!("trouble", shown);
}

/// Issue, Console: a tenant with facts this console does not know is marked so.
#[test]
fn newer_than_this_console() {
    let mut m = demo();
    keys(&mut m, "2 enter");
    let key: RowKey = m.tenants.selected.unwrap();
    let mut state = sample::control("acme", 1_000);
    state.newer = true;
    send(&mut m, Msg::Agent(0, AgentEvent::State { tenant: key.tenant, state: Box::new(state) }));
    assert!(draw(&mut m, 80, 24).contains("newer than this console"));
}
