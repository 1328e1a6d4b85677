//! A made-up console with made-up data: for benches, tests and pictures. The same every time.

use crate::client::event::AgentEvent;
#[cfg(test)]
use crate::model::confirmation::Target;
use crate::model::message::{KeyInfo, Msg};
use crate::model::tenants::RowKey;
use crate::model::{KeyState, Model};
use crate::style::{Look, ThemeName};
use crate::update::update;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::clock::{MonoTime, Now, WallTime};
use conductor_shared::control::ControlState;
#[cfg(test)]
use conductor_shared::fact::Verdict;
use conductor_shared::http::NodeInfo;
#[cfg(test)]
use conductor_shared::http::{FieldJson, ReceiptJson};
#[cfg(test)]
use conductor_shared::ids::Origin;
use conductor_shared::ids::{Ident, NodeId, TenantUid};
use conductor_shared::ramp::Ramp;
use conductor_shared::stream::{
    FLAG_FROZEN, FLAG_KILLED, FLAG_PENDING, FLAG_QUOTA, FLAG_RAMPED, NodeHealth, SignerState, Summary,
    VERSION,
};
use sha2::{Digest as _, Sha256};

/// The agent's time in samples, microseconds since the Unix epoch.
pub(crate) const AGENT_US: u64 = 1_700_000_000_000_000;
/// The console's monotonic clock in samples.
pub(crate) const MONO_US: u64 = 1_000_000_000;

/// Both clocks, so many microseconds after the sample was taken.
pub(crate) fn now(at: u64) -> Now {
    Now { wall: WallTime::from_micros(AGENT_US + at), mono: MonoTime::from_micros(MONO_US + at) }
}

fn hash16(text: &str) -> [u8; 16] {
    let d = Sha256::digest(text.as_bytes());
    let mut out = [0; 16];
    out.copy_from_slice(&d[..16]);
    out
}

fn ident(text: &str) -> Ident {
    Ident::new(text).unwrap_or_else(|_| unreachable!("samples are named by identifiers"))
}

/// A calm tenant of this name.
pub(crate) fn summary(name: &str) -> Summary {
    let id = hash16(name);
    let n = u64::from(id[0]);
    Summary {
        tenant: TenantUid(id),
        name: ident(name),
        flags: 0,
        ramp: BasisPoints::FULL,
        size: 1_000 + n * 37,
        root: [id[1]; 32],
        signed: 1_000 + n * 37 - n % 5,
        last_us: AGENT_US - n * 1_300_000,
        open_runs: u32::from(id[2]) % 60,
        run_quota: 100,
        steps_used: u32::from(id[3]) * 3,
        step_burst: 2_000,
        step_rate: 1_000,
        backlog_quota: 100_000,
        allowed: n * 5_000,
        denied: n,
        incidents: 0,
        epoch: 1,
    }
}

/// A target of this name on the sample node.
#[cfg(test)]
pub(crate) fn target(name: &str) -> Target {
    Target {
        key: RowKey { agent: 0, tenant: TenantUid(hash16(name)) },
        name: ident(name),
        node_id: node_id(0),
        node: ident("node-a"),
        environment: ident("production"),
        also: vec![],
        offline: false,
    }
}

fn node_id(n: u8) -> NodeId {
    NodeId([0xa0 + n; 16])
}

/// Control state with one ramp at this value, which came from a tenth of it.
pub(crate) fn control(name: &str, hundredths: u16) -> ControlState {
    let share = BasisPoints::saturating;
    let mut s =
        ControlState { name: Some(ident(name)), last: Some(40), revision: 7, ..ControlState::default() };
    for w in ["etl", "settle-invoices", "train"] {
        s.workflows.insert(ident(w));
    }
    if let Ok(sel) = "run/etl".parse() {
        s.ramps.insert(
            sel,
            Ramp {
                hundredths: share(hundredths),
                revision: 3,
                history: vec![share(100), share(hundredths / 10)],
            },
        );
    }
    if let Ok(sel) = "*/train".parse() {
        s.ramps.insert(sel, Ramp { hundredths: BasisPoints::FULL, revision: 2, history: vec![share(5_000)] });
    }
    s
}

/// The origin of the sample receipts.
#[cfg(test)]
pub(crate) fn origin() -> Origin {
    Origin { node: node_id(0), tenant: TenantUid(hash16("acme")), epoch: 1 }
}

/// A receipt of this kind. Its proof parts are empty.
#[cfg(test)]
pub(crate) fn receipt(index: u64, kind_name: &str, summary: &str) -> ReceiptJson {
    let kind =
        conductor_shared::fact::SCHEMAS.iter().find(|s| s.name == kind_name).map_or(0x0fff, |s| s.kind);
    let verdict = (kind >= 0x1000).then_some(if index % 5 == 2 { Verdict::Deny } else { Verdict::Allow });
    let field = |name: &str, shown: &str| FieldJson {
        name: name.into(),
        disclosure: String::new(),
        shown: shown.into(),
    };
    ReceiptJson {
        index,
        time_us: AGENT_US - 60_000_000 + index * 1_000_000,
        kind,
        kind_name: kind_name.into(),
        sealed: String::new(),
        fields: vec![
            field("who", "principal token:7b21"),
            field("what", "run 41fe..., workflow etl, env production, actor service, verdict allow"),
            field("measure", "bucket 812, ramp 1000, lease_us 60000000"),
        ],
        summary: summary.into(),
        verdict,
    }
}

/// What the sample node says about itself.
pub(crate) fn info(n: u8, name: &str, environment: &str) -> NodeInfo {
    NodeInfo {
        node_id: node_id(n),
        name: ident(name),
        environment: ident(environment),
        version: env!("CARGO_PKG_VERSION").into(),
        now_us: AGENT_US,
        boot: "b0".into(),
        troubles: vec![],
    }
}

/// The sample node's health.
pub(crate) fn health(n: u8, name: &str) -> NodeHealth {
    NodeHealth {
        node_id: node_id(n),
        name: ident(name),
        now_us: AGENT_US,
        node_seq: 4_711,
        signer: SignerState::Up,
        signer_detail: String::new(),
        troubles: vec![],
        backlog: 312,
        backlog_age_us: 400_000,
        admissions_stop_us: None,
        allow_rate: 1_234.5,
        deny_rate: 3.2,
        receipts: 5_123_456,
        tenants: 12,
        open_runs: 482,
        disk_free: 210 << 30,
    }
}

fn tick(m: &mut Model, at: u64) {
    update(m, Msg::Tick(now(at)));
}

/// A model with this many tenants on one live node.
fn with_tenants(tenants: &[String], look: Look, theme: ThemeName) -> Model {
    let mut m = Model::new(&["unix:/run/conductor/agent.sock".into()], look, theme, false, [7; 32]);
    m.key = KeyState::Unlocked(KeyInfo { id: "4D1F8A0C22B7E953".into(), encrypted: true });
    tick(&mut m, 0);
    let mut say = |msg| drop(update(&mut m, Msg::Agent(0, msg)));
    say(AgentEvent::Session { person: "mira".into(), roles: vec!["operator".into()] });
    say(AgentEvent::Hello { info: info(0, "node-a", "production"), version: VERSION, resumed: false });
    say(AgentEvent::OverviewBegin(tenants.len() as u64));
    say(AgentEvent::Summaries(tenants.iter().map(|t| summary(t)).collect()));
    say(AgentEvent::OverviewEnd);
    say(AgentEvent::Health(Box::new(health(0, "node-a"))));
    m
}

const NAMES: [&str; 12] = [
    "acme",
    "aurora-labs",
    "bluefin",
    "cobalt-pay",
    "delta-research",
    "ember",
    "fjord-health",
    "granite",
    "helios-energy",
    "iris-video",
    "juniper",
    "kestrel-maps",
];

/// What the `i`th tenant does in a slot of two seconds.
fn beat(m: &Model, n: &str, i: u64, slot: u64) -> Summary {
    let mut s = summary(n);
    let beat = (slot * (7 + i * 3)) % 23;
    let before = m.tenants.get(RowKey { agent: 0, tenant: s.tenant }).map(|r| r.summary.clone());
    let before = before.unwrap_or_else(|| s.clone());
    s.allowed = before.allowed + 20 + beat;
    s.denied = before.denied;
    s.last_us = AGENT_US + slot * 2_000_000 - i * 900_000;
    s.size = before.size;
    match *n.as_bytes() {
        [b'a', b'c', ..] => {
            (s.flags, s.ramp) = (FLAG_RAMPED | FLAG_PENDING, BasisPoints::saturating(1_000));
            s.denied += 3 + slot % 4;
        }
        [b'k', ..] => s.flags = FLAG_FROZEN,
        [b'd', ..] => {
            s.flags = FLAG_KILLED;
            s.allowed = before.allowed;
            s.denied += 2 + slot % 7;
        }
        [b'f', ..] => {
            (s.flags, s.open_runs) = (FLAG_QUOTA, 100);
            s.denied += u64::from(slot > 15) * (slot % 5);
        }
        [b'h', ..] => s.incidents = 1,
        [b'i', ..] => (s.flags, s.ramp) = (FLAG_RAMPED, BasisPoints::saturating(2_550)),
        _ => {}
    }
    s
}

/// The console of the pictures: a dozen tenants, a minute of traffic, some trouble.
pub(crate) fn demo(look: Look, theme: ThemeName) -> Model {
    let names: Vec<String> = NAMES.map(str::to_owned).to_vec();
    let mut m = with_tenants(&names, look, theme);
    for slot in 1..=24u64 {
        tick(&mut m, slot * 2_000_000);
        let batch: Vec<Summary> =
            names.iter().enumerate().map(|(i, n)| beat(&m, n, i as u64, slot)).collect();
        update(&mut m, Msg::Agent(0, AgentEvent::Summaries(batch)));
        let mut h = health(0, "node-a");
        h.now_us = AGENT_US + slot * 2_000_000;
        h.allow_rate = 900.0 + ((slot * 131) % 400) as f64;
        update(&mut m, Msg::Agent(0, AgentEvent::Health(Box::new(h))));
    }
    let key = m.tenants.selected;
    if let Some(key) = key {
        let state = Box::new(control("acme", 1_000));
        update(&mut m, Msg::Agent(0, AgentEvent::State { tenant: key.tenant, state }));
    }
    m.dirty = true;
    m
}

/// A model for benches, with so many tenants.
pub fn bench_model(tenants: usize) -> Model {
    let look = Look::new(ThemeName::Dark, false, false);
    let names: Vec<String> = (0..tenants).map(|n| format!("tenant-{n:05}")).collect();
    let mut m = with_tenants(&names, look, ThemeName::Dark);
    m.screens = vec![crate::model::screen::Screen::Tenants];
    m.size = (120, 40);
    m
}

/// Draws one frame of a model.
pub fn draw_frame<B: ratatui::backend::Backend>(
    terminal: &mut ratatui::Terminal<B>,
    model: &Model,
) -> Result<(), B::Error> {
    terminal.draw(|f| crate::view::draw(model, f)).map(|_| ())
}
