//! The screens Incidents, Timeline, Ramps, Freezes and Admin, and the answer to another person's request, as they are
//! drawn and as they act.

use super::tests::{dark, demo, draw, request};
use crate::client::event::AgentEvent;
use crate::model::Model;
use crate::model::message::{Effect, Fetch, Msg, Reply};
use crate::model::outgoing::{NodeAnswer, Outgoing};
use crate::model::tenants::RowKey;
use crate::sample;
use crate::style::{Look, ThemeName};
use crate::testing::{keys, send, tick};
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::clock::WallTime;
use conductor_shared::command::{Command, Operation, ops};
use conductor_shared::freeze::Window;
use conductor_shared::http::{
    FreezeList, FreezeRow, IncidentRow, ProfileRow, ReceiptRef, SloStatus, TimelineRow, WindowRow,
};
use conductor_shared::ids::{GrantId, Ident, PersonId, TenantUid};
use conductor_shared::operator::{Answer, Approval, OperatorKey, parse_roles};
use conductor_shared::profile::{BreakGlass, Freeze, PolicyOutage};
use conductor_shared::slo::Thresholds;
use conductor_shared::untrusted::UntrustedText;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// Friday, 2023-11-17 15:00 UTC.
const FRIDAY_US: u64 = 1_700_233_200_000_000;
const HOSTILE: &str =
    "a\u{1b}[2Jb\u{202e}c =cmd()|x! and much more of it, so that no screen is wide enough to hold it all";

fn ident(t: &str) -> Ident {
    Ident::new(t).unwrap()
}

fn incident(n: u8, tenant: TenantUid, name: &str, cause: &str, detail: &str) -> IncidentRow {
    let began = sample::AGENT_US - u64::from(n) * 60_000_000;
    IncidentRow {
        tenant_uid: tenant,
        tenant_id: ident(name),
        incident: format!("{n:02x}").repeat(16),
        cause: conductor_shared::cause::Cause::read(ident(cause)),
        detail: UntrustedText::new(detail),
        receipt: ReceiptRef { origin: sample::origin(), index: u64::from(n) * 7 },
        since_us: began + 900_000,
        began_us: Some(began),
        detected_us: Some(began + 900_000),
        receipts: vec![3, 5, 8],
        acknowledged_by: (n == 2).then(|| ident("ben")),
        acknowledged_us: (n == 2).then_some(began + 5_000_000),
        comment: (n == 2).then(|| UntrustedText::new(HOSTILE)),
    }
}

fn with_incidents(m: &mut Model) {
    let acme = m.tenants.selected.unwrap().tenant;
    let rows = vec![
        incident(
            1,
            acme,
            "acme",
            "auto-rollback",
            "run/etl fell from 50 % to 10 % (errors): 18 of 60 runs failed",
        ),
        incident(2, TenantUid::NODE, "node-a", "clock", HOSTILE),
    ];
    send(m, Reply::Incidents(0, Ok(rows)));
}

/// Issue 3, Console: incidents of all nodes with what proves them, the timeline around one, and acting on one with one
/// key and one Enter; nothing raw reaches the terminal.
#[test]
fn incidents() {
    for (w, h) in [(80, 24), (120, 40)] {
        let mut m = demo();
        keys(&mut m, "5");
        insta::assert_snapshot!(format!("incidents-none-{w}x{h}"), draw(&mut m, w, h));
        assert!(tick(&mut m, 90_000_000).contains(&Effect::Fetch(Fetch::Incidents(0))));
        assert!(
            !tick(&mut m, 90_200_000).contains(&Effect::Fetch(Fetch::Incidents(0))),
            "not with every tick"
        );
        with_incidents(&mut m);
        insta::assert_snapshot!(format!("incidents-{w}x{h}"), draw(&mut m, w, h));
        keys(&mut m, "j");
        let shown = draw(&mut m, w, h);
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'));
        assert!(shown.contains("conductor recover time"), "{shown}");
        let key = RowKey { agent: 0, tenant: TenantUid::NODE };
        keys(&mut m, "k enter");
        let asked = tick(&mut m, 93_000_000);
        let from = WallTime::from_micros(sample::AGENT_US - 120_000_000);
        let acme = RowKey { tenant: m.tenants.selected.unwrap().tenant, ..key };
        assert!(asked.contains(&Effect::Fetch(Fetch::Timeline(acme, from))), "{asked:?}");
        let row = |n: u64, words: &str, incident: bool| TimelineRow {
            index: n,
            time_us: (from + Duration::from_secs(n)).as_micros(),
            kind: "Changed".into(),
            words: words.into(),
            person: (n == 1).then(|| ident("ana")),
            incident: incident.then(|| "01".repeat(16)),
            unnoticed_us: (n == 3).then_some(900_000),
        };
        let rows = vec![
            row(1, "ramp.set run/etl 5000 (loosen): more", false),
            row(2, "run/etl rolled back from 50 % to 10 %", false),
            row(3, HOSTILE, true),
        ];
        send(&mut m, Reply::Timeline(acme, from, Ok(rows)));
        insta::assert_snapshot!(format!("timeline-{w}x{h}"), draw(&mut m, w, h));
        // Another incident comes while the timeline is shown: the mark stays on the one it was on, also after esc.
        let newer = incident(0, acme.tenant, "acme", "quota-flood", "newer");
        let list: Vec<IncidentRow> = m.lists.incidents[&0].clone();
        send(&mut m, Reply::Incidents(0, Ok([vec![newer], list.clone()].concat())));
        keys(&mut m, "esc");
        assert_eq!(crate::model::lists::incident(&m).unwrap().1.cause.as_str(), "auto-rollback");
        send(&mut m, Reply::Incidents(0, Ok(list)));
        assert_eq!(crate::model::lists::incident(&m).unwrap().1.cause.as_str(), "auto-rollback");
        keys(&mut m, "enter");
        send(
            &mut m,
            Reply::Timeline(acme, from, Ok(vec![row(1, "x", false), row(2, "y", false), row(3, "z", true)])),
        );
        // An answer to what is no longer asked changes nothing.
        send(&mut m, Reply::Timeline(acme, from + Duration::from_micros(1), Ok(vec![])));
        assert_eq!(crate::model::lists::rows(&m), 3);
    }
}

/// Issue "Incidents": `c` and `x` act on the marked incident, in the log that it is in.
#[test]
fn incidents_are_acknowledged_and_closed() {
    for (w, h) in [(80, 24), (120, 40)] {
        let mut m = demo();
        keys(&mut m, "5");
        tick(&mut m, 90_000_000);
        with_incidents(&mut m);
        tick(&mut m, 93_000_000);
        keys(&mut m, "c");
        insta::assert_snapshot!(format!("incident-ack-{w}x{h}"), draw(&mut m, w, h));
        let sent = keys(&mut m, "enter");
        let [Effect::Send { action, .. }] = sent.as_slice() else { panic!("{sent:?}") };
        let c = Command::parse(action.text().as_bytes()).unwrap();
        assert!(
            matches!(c.operation, Operation::IncidentAck(ops::IncidentAck { incident, .. }) if incident == [1; 16]),
            "{c:?}"
        );
        assert_eq!((c.tenant, c.base), (m.tenants.selected.unwrap().tenant, None));
        // One of the node's own log is acted on in that log.
        keys(&mut m, "esc j x");
        let sent = keys(&mut m, "enter");
        let [Effect::Send { action, .. }] = sent.as_slice() else { panic!("{sent:?}") };
        let c = Command::parse(action.text().as_bytes()).unwrap();
        assert!(matches!(c.operation, Operation::IncidentClose(_)) && c.tenant.is_node());
    }
}

fn status(rule: &str, verdict: &str) -> SloStatus {
    SloStatus {
        selector: rule.parse().unwrap(),
        hundredths: BasisPoints::saturating(1_000),
        revision: 3,
        verdict: verdict.into(),
        settled: 1_240,
        failed: 31,
        steps: 9_000,
        p99_us: Some(48_200),
        up_us: 600_000_000,
        bake_us: 3_600_000_000,
        thresholds: Thresholds::default(),
        plan: Some("1%@3600s 10%@3600s 100%".into()),
        step: Some(1),
        rolled_back_from: Some(BasisPoints::saturating(5_000)),
    }
}

/// Issue 3, Console: the rules of a tenant, what is seen under each and why it stands there; the acts work from it.
#[test]
fn ramps() {
    for (w, h) in [(80, 24), (120, 40)] {
        let mut m = demo();
        keys(&mut m, "6");
        let asked = tick(&mut m, 90_000_000);
        let key = m.tenants.selected.unwrap();
        assert!(asked.contains(&Effect::Fetch(Fetch::Slo(key))), "{asked:?}");
        insta::assert_snapshot!(format!("ramps-unseen-{w}x{h}"), draw(&mut m, w, h));
        send(&mut m, Reply::Slo(key, Ok(vec![status("run/etl", "breached"), status("*/train", "no_data")])));
        keys(&mut m, "j");
        insta::assert_snapshot!(format!("ramps-{w}x{h}"), draw(&mut m, w, h));
        // Three keys from here too: !, r, Enter; and the marked rule is the one that is meant.
        for (mark, rule) in [("k", "*/train"), ("j", "run/etl")] {
            keys(&mut m, mark);
            let sent = keys(&mut m, "! r enter");
            let [Effect::Send { action, .. }] = sent.as_slice() else { panic!("{sent:?}") };
            assert!(action.text().contains(&format!("object: ramp {rule}\n")), "{}", action.text());
            keys(&mut m, "esc");
        }
        let mut state = sample::control("acme", 1_000);
        state.kills.insert("*/etl".parse().unwrap(), conductor_shared::ramp::Kill { drain: true });
        state.kills.insert("*/train".parse().unwrap(), conductor_shared::ramp::Kill { drain: false });
        send(&mut m, Msg::Agent(0, AgentEvent::State { tenant: key.tenant, state: Box::new(state) }));
        let shown = draw(&mut m, w, h);
        assert!(shown.contains("by the kill switch */etl") && !shown.contains("switch */train"), "{shown}");
        keys(&mut m, "esc enter");
        assert!(draw(&mut m, w, h).contains("> acme"));
    }
}

fn window(name: &str, when: &str, active: bool) -> WindowRow {
    let when: Window = when.parse().unwrap();
    let next = when.next_change(WallTime::from_micros(FRIDAY_US));
    WindowRow {
        window: ident(name),
        active,
        next_us: next.map(|n| n.0.as_micros()),
        next_active: next.is_some_and(|n| n.1),
        when,
    }
}

fn freezes() -> FreezeList {
    let profile = |name: &str, windows| ProfileRow {
        profile: ident(name),
        governs: 3,
        break_glass_alone: false,
        policy_outage: PolicyOutage::Deny,
        last_known_s: 60,
        windows,
    };
    let careful = vec![
        window("nights", "weekly mon,tue,wed,thu 22:00 for 8h00m America/New_York", false),
        window("weekend", "weekly fri 16:00 for 62h00m Europe/Berlin", true),
    ];
    let row = |name: &str, frozen, minutes: Option<u64>| FreezeRow {
        tenant_uid: TenantUid([7; 16]),
        tenant_id: ident(name),
        profile: ident("careful"),
        frozen,
        freezes: BTreeMap::from([(ident("now"), Freeze { until_us: Some(FRIDAY_US + 3_000_000_000) })]),
        break_glass: minutes.map(|minutes| BreakGlass {
            grant: GrantId([1; 16]),
            ticket: "INC-7".into(),
            minutes,
            person: None,
            alone: false,
            opened_us: FRIDAY_US - 600_000_000,
            used: 0,
        }),
    };
    FreezeList {
        now_us: FRIDAY_US,
        profiles: vec![
            profile("careful", careful),
            profile(
                "default",
                vec![window("audit", "once 2023-11-20T00:00:00Z to 2023-11-21T12:00:00Z", false)],
            ),
        ],
        tenants: vec![row("kestrel-maps", true, None), row("acme", true, Some(30)), row("calm", false, None)],
    }
}

/// Issue 3, Console: windows on a calendar, with the next start and end in the zone of the screen and of the profile;
/// colour is never alone, and ASCII is enough.
#[test]
fn freeze_windows() {
    let berlin = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    for (w, h) in [(80, 24), (120, 40), (200, 60)] {
        let mut m = demo();
        keys(&mut m, "7");
        insta::assert_snapshot!(format!("freezes-none-{w}x{h}"), draw(&mut m, w, h));
        assert!(tick(&mut m, 90_000_000).contains(&Effect::Fetch(Fetch::Freezes(0))));
        send(&mut m, Reply::Freezes(0, Ok(Box::new(freezes()))));
        keys(&mut m, "j");
        insta::assert_snapshot!(format!("freezes-{w}x{h}"), draw(&mut m, w, h));
    }
    let mut m = sample::demo(Look::new(ThemeName::Dark, true, true), ThemeName::Dark);
    m.zone = berlin;
    keys(&mut m, "7");
    send(&mut m, Reply::Freezes(0, Ok(Box::new(freezes()))));
    let shown = draw(&mut m, 120, 40);
    assert!(shown.is_ascii(), "{shown}");
    insta::assert_snapshot!("freezes-ascii-berlin", shown);
}

fn with_persons(m: &mut Model) {
    let mut node = sample::control("node-a", 10_000);
    let key = |n: u8, name: &str, roles: &str| OperatorKey {
        person: PersonId([n; 16]),
        name: ident(name),
        public_key: String::new(),
        roles: parse_roles(roles).unwrap(),
        since: u64::from(n),
        roles_since: None,
        suspended: n == 2,
        revoked: (n == 3).then_some(40),
    };
    for (n, name, roles) in [
        (1, "ana", "admin approver operator viewer"),
        (2, "ben", "approver"),
        (3, "ana", "admin approver operator viewer"),
    ] {
        node.operators.insert(conductor_shared::ids::KeyId(u64::from(n).to_be_bytes()), key(n, name, roles));
    }
    send(m, Msg::Agent(0, AgentEvent::State { tenant: TenantUid::NODE, state: Box::new(node) }));
}

/// Issue 3, Console: persons, keys and roles, and the selected tenant's tokens.
#[test]
fn admin() {
    for (w, h) in [(80, 24), (120, 40)] {
        let mut m = demo();
        keys(&mut m, "8");
        insta::assert_snapshot!(format!("admin-none-{w}x{h}"), draw(&mut m, w, h));
        with_persons(&mut m);
        keys(&mut m, "j");
        insta::assert_snapshot!(format!("admin-{w}x{h}"), draw(&mut m, w, h));
        assert_eq!(keys(&mut m, "y"), [Effect::Copy("0000000000000003".into())]);
    }
}

/// Opens the dialog on a request.
fn open(m: &mut Model, key: &str) -> Vec<Effect> {
    keys(m, "4");
    let list = vec![request(2, "dan", "joins the team")];
    send(m, Reply::Requests(0, Ok(list)));
    keys(m, key)
}

/// Issue 3, Operators and commands: an approval asks for the password each time, is drawn from the bytes that are signed,
/// takes the name typed and live data; a refusal takes no name. What the agent edited cannot be answered.
#[test]
fn a_request_is_answered() {
    for (w, h) in [(80, 24), (120, 40)] {
        let mut m = demo();
        open(&mut m, "A");
        insta::assert_snapshot!(format!("approve-{w}x{h}"), draw(&mut m, w, h));
        // Enter on the button that it opens on cancels.
        assert!(keys(&mut m, "enter").is_empty() && m.layers.is_empty());
        open(&mut m, "A");
        send(&mut m, Msg::Paste("node-1".into()));
        assert!(keys(&mut m, "tab tab tab enter").is_empty(), "nothing typed, nothing sent");
        assert!(draw(&mut m, w, h).contains("type the name"));
        keys(&mut m, "backtab backtab n o d e - 1 tab p w tab");
        insta::assert_snapshot!(format!("approve-ready-{w}x{h}"), draw(&mut m, w, h));
        let sent = keys(&mut m, "enter");
        let [Effect::Approve { agent: 0, text, password: Some(p), .. }] = sent.as_slice() else {
            panic!("{sent:?}")
        };
        assert_eq!((p.0.as_str(), format!("{p:?}").as_str()), ("pw", "Secret"));
        let a = Approval::parse(text.as_bytes()).unwrap();
        let digest: [u8; 32] = Sha256::digest(request(2, "dan", "joins the team").text).into();
        assert_eq!((a.verdict, a.command_digest), (Answer::Approve, digest));
        assert_eq!((a.node, a.tenant), (sample::origin().node, TenantUid::NODE));
        assert!(a.expires_at_us > a.issued_at_us && a.nonce != [0; 16]);
        keys(&mut m, "esc");
        open(&mut m, "R");
        insta::assert_snapshot!(format!("refuse-{w}x{h}"), draw(&mut m, w, h));
        let sent = keys(&mut m, "tab p w tab enter");
        let [Effect::Approve { text, .. }] = sent.as_slice() else { panic!("{sent:?}") };
        assert_eq!(Approval::parse(text.as_bytes()).unwrap().verdict, Answer::Refuse);
    }
}

/// Issue 3, Console: an approval needs live data, stays fresh while its dialog is open, and answers a command only.
#[test]
fn an_answer_is_to_what_is_shown_now() {
    // Old data: no approval, but a refusal.
    let mut m = demo();
    open(&mut m, "A");
    send(&mut m, Msg::Agent(0, AgentEvent::Lost { why: "gone".into(), retry: Duration::from_micros(1) }));
    assert!(keys(&mut m, "tab n o d e - 1 tab p w tab enter").is_empty());
    assert!(draw(&mut m, 80, 24).contains("not live"));
    // A dialog that stays open composes its answer again, for the same request.
    let mut m = demo();
    open(&mut m, "A");
    let text = |m: &Model| match m.layers.last() {
        Some(crate::model::dialog::Layer::Approve(a)) => a.text.clone(),
        _ => panic!("no dialog"),
    };
    let first = text(&m);
    tick(&mut m, 200_000_000);
    let second = text(&m);
    let parsed = |t: &str| Approval::parse(t.as_bytes()).unwrap();
    assert!(parsed(&second).issued_at_us > parsed(&first).issued_at_us);
    assert_eq!(parsed(&second).command_digest, parsed(&first).command_digest);
    // What is no command cannot be answered at all.
    let mut m = demo();
    keys(&mut m, "4");
    let mut wrong = request(2, "dan", "x");
    wrong.text = request(3, "eve", "x").text;
    send(&mut m, Reply::Requests(0, Ok(vec![wrong])));
    assert!(keys(&mut m, "A").is_empty() && m.layers.is_empty());
}

/// Issue 3, Console: read-only mode lets no action of these screens through, and shows no key of theirs.
#[test]
fn read_only_acts_on_nothing() {
    let mut m = demo();
    m.read_only = true;
    keys(&mut m, "5");
    with_incidents(&mut m);
    assert!(keys(&mut m, "c x").is_empty() && m.layers.is_empty());
    assert!(!draw(&mut m, 120, 40).contains("acknowledge  "));
    keys(&mut m, "4");
    send(&mut m, Reply::Requests(0, Ok(vec![request(2, "dan", "x")])));
    assert!(keys(&mut m, "A R").is_empty() && m.layers.is_empty());
    assert!(!draw(&mut m, 120, 40).contains("A, or"));
    crate::update::dialogs::approve::begin(&mut m, Answer::Approve);
    crate::update::incidents::acknowledge_or_close(&mut m, crate::model::keys::Act::Close);
    assert!(m.layers.is_empty());
    for (screen, wants) in [("5", "incidents"), ("6", "ramps"), ("7", "freezes"), ("8", "admin")] {
        keys(&mut m, screen);
        assert!(draw(&mut m, 80, 24).contains(&format!("[{wants}]")));
    }
}

/// Terminal craft: on old data each screen is grey and says so; a node that does not answer is named with why.
#[test]
fn old_data() {
    let _ = dark();
    let mut m = demo();
    keys(&mut m, "5");
    with_incidents(&mut m);
    send(&mut m, Reply::Incidents(0, Err("the agent\u{1b}[31m does not answer".into())));
    send(&mut m, Msg::Agent(0, AgentEvent::Lost { why: "gone".into(), retry: Duration::from_micros(1) }));
    tick(&mut m, 300_000_000);
    insta::assert_snapshot!("incidents-lost", draw(&mut m, 80, 24));
}

/// Issue 3, operators and commands: a kept command stands on the overview until all nodes have answered, and a
/// console that only looks delivers nothing.
#[test]
fn kept_commands() {
    let mut m = demo();
    m.now.wall = WallTime::from_micros(sample::AGENT_US);
    let node = m.agents[0].info.clone().unwrap().node_id;
    let other = conductor_shared::ids::NodeId([0xee; 16]);
    let pending = |words: [NodeAnswer; 3]| {
        let ids = [conductor_shared::ids::NodeId([1; 16]), node, other];
        let nodes = ids.into_iter().zip(["node-z", "node-a", "far-away"]).zip(words);
        Outgoing {
            id: conductor_shared::ids::CommandId([7; 16]),
            what: "Kill */*: deny new runs and steps for acme".into(),
            status_line: "1 of 3 nodes acknowledged".into(),
            nodes: nodes.map(|((id, name), w)| (id, name.to_owned(), w)).collect(),
            expires: WallTime::from_micros(sample::AGENT_US + 3_600_000_000),
        }
    };
    let ack = || NodeAnswer::Acknowledged("receipt 4".into());
    send(&mut m, Reply::Outgoing(vec![pending([ack(), NodeAnswer::Waits, NodeAnswer::Waits])]));
    insta::assert_snapshot!("kept-commands", draw(&mut m, 100, 24));
    let delivers = |m: &mut Model| {
        m.now.mono += Duration::from_secs(20);
        let mut out = vec![];
        crate::update::outgoing::tick(m, &mut out);
        crate::update::outgoing::node_is_back(m, other, &mut out);
        let each = out.into_iter().filter_map(|e| match e {
            Effect::Deliver(nodes) => Some(nodes),
            _ => None,
        });
        each.collect::<Vec<_>>()
    };
    assert_eq!(delivers(&mut m), [vec![node], vec![other]], "the live one again, the other when it is back");
    m.read_only = true;
    assert_eq!(delivers(&mut m), Vec::<Vec<_>>::new());
    m.read_only = false;
    send(
        &mut m,
        Reply::Outgoing(vec![pending([ack(), ack(), NodeAnswer::Refused("command_expired".into())])]),
    );
    assert!(draw(&mut m, 100, 24).contains("1 of 3 nodes acknowledged"), "a refusal stays");
    send(&mut m, Reply::Outgoing(vec![pending([ack(), ack(), ack()])]));
    assert!(!draw(&mut m, 100, 24).contains("Commands kept for unreachable nodes"));
}

/// Issue 3, Console: `/` leaves the rows that have all words; actions are about what is left and marked; esc brings all
/// back.
#[test]
fn boards_are_filtered() {
    let mut m = demo();
    keys(&mut m, "2 g 5");
    with_incidents(&mut m);
    let all = crate::model::lists::rows(&m);
    keys(&mut m, "/ A U T O - r o l l");
    assert!(all > 1 && crate::model::lists::rows(&m) == 1, "{all}");
    keys(&mut m, "enter");
    let shown = draw(&mut m, 100, 24);
    assert!(shown.contains("/AUTO-roll") && shown.contains("auto-rollback"), "{shown}");
    keys(&mut m, "/ x x x enter");
    assert!(draw(&mut m, 100, 24).contains("None has these words."));
    assert_eq!(keys(&mut m, "c"), [], "nothing is marked");
    assert!(m.layers.is_empty());
    keys(&mut m, "/ esc");
    assert_eq!(crate::model::lists::rows(&m), all);
    // Each screen has its own.
    keys(&mut m, "/ a c m e enter 6");
    assert_eq!(m.lists.filter(crate::model::screen::Screen::Ramps), "");
}

/// Issue 3, Incidents: who acknowledges one may comment in their own words; what the receipt will say is read back from the
/// bytes that are signed, and letters that are keys elsewhere are text here.
#[test]
fn a_comment_of_ones_own() {
    let mut m = demo();
    keys(&mut m, "2 g 5");
    with_incidents(&mut m);
    keys(&mut m, "c");
    let comment = |m: &mut Model| {
        let shown = draw(m, 80, 24);
        let sent = keys(m, "enter");
        let [Effect::Send { action, .. }] = sent.as_slice() else { panic!("{sent:?}") };
        match Command::parse(action.text().as_bytes()).unwrap().operation {
            Operation::IncidentAck(ops::IncidentAck { comment, .. }) => (comment.raw().to_owned(), shown),
            other => panic!("{other:?}"),
        }
    };
    keys(&mut m, "a j q");
    send(&mut m, Msg::Paste(" is with ben\nnot\u{202e}".into()));
    let (said, shown) = comment(&mut m);
    assert!(said.starts_with("ajq is with ben"), "{said}");
    assert!(shown.contains("receipt will say: ajq is with ben"), "{shown}");
    insta::assert_snapshot!("incident-comment-80x24", shown);
    keys(&mut m, "esc c x ctrl-u");
    assert_eq!(comment(&mut m).0, "acknowledged from the console", "nothing typed");
}
