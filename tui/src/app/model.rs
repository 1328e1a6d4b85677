//! The whole state of the console. No I/O and no clock: time comes in messages.

use super::action::{Ids, Target};
use super::alarm::Alarm;
use super::approvals::Approvals;
use super::boards::Boards;
use super::dialog::Layer;
use super::metered::Metered;
use super::msg::KeyInfo;
use super::outgoing::Outgoing;
use super::receipts::Receipts;
use super::spark::Spark;
use super::tenants::{Row, RowKey, Tenants};
use crate::client::pins::Pins;
use crate::view::theme::{Look, ThemeName};
use conductor_shared::clock::Now;
use conductor_shared::control::ControlState;
use conductor_shared::http::NodeInfo;
use conductor_shared::ids::{Ident, TenantUid};
use conductor_shared::stream::NodeHealth;
use std::collections::BTreeMap;

/// Data older than this are not live, microseconds.
pub(crate) const STALE_US: u64 = 10_000_000;
/// Partitions kept open for each agent, the node's own log among them.
pub(crate) const OPEN: usize = 16;
/// Smallest screen that is drawn in full.
pub(crate) const SMALLEST: (u16, u16) = (60, 16);

/// The connection to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not tried yet: the key is locked.
    Waiting,
    /// Being made, for the first time or again.
    Connecting,
    /// Up.
    Live,
    /// Gone.
    Lost {
        /// Why, shown safely.
        why: String,
        /// When the next try is due, microseconds of the monotonic clock.
        retry_at_us: u64,
    },
}

/// One agent.
#[derive(Debug)]
pub(crate) struct Agent {
    /// Where it is, shown safely.
    pub(crate) endpoint: String,
    /// The connection.
    pub(crate) link: Link,
    /// Who answers there.
    pub(crate) info: Option<NodeInfo>,
    /// Version of its protocol.
    pub(crate) protocol: Option<u32>,
    /// Its health as last sent.
    pub(crate) health: Option<NodeHealth>,
    /// When that came, or the hello, microseconds of the monotonic clock: what agent time is counted from.
    pub(crate) clock_us: u64,
    /// The agent's time at that moment.
    pub(crate) their_us: u64,
    /// When its last message came, microseconds of the monotonic clock.
    pub(crate) seen_us: Option<u64>,
    /// Summaries promised and come.
    pub(crate) overview: (u64, u64),
    /// The overview is complete.
    pub(crate) complete: bool,
    /// The person the session is for, and their roles.
    pub(crate) session: Option<(String, Vec<String>)>,
    /// States of opened partitions.
    pub(crate) states: BTreeMap<TenantUid, ControlState>,
    /// Partitions asked for, oldest first.
    pub(crate) open: Vec<TenantUid>,
    /// History of its answers a second, in tenths.
    pub(crate) spark: Spark,
    /// A log check is on its way.
    pub(crate) checking: bool,
    /// When the last one was sent.
    pub(crate) checked_us: u64,
    /// Where going round the tenants has come to.
    pub(crate) round: usize,
    /// Logs compared with their pins since the start.
    pub(crate) proofs: u64,
}

impl Agent {
    /// An agent nobody has talked to.
    pub(crate) fn new(endpoint: &str) -> Self {
        Self {
            endpoint: crate::view::format::safe(endpoint, 80),
            link: Link::Waiting,
            info: None,
            protocol: None,
            health: None,
            clock_us: 0,
            their_us: 0,
            seen_us: None,
            overview: (0, 0),
            complete: false,
            session: None,
            states: BTreeMap::new(),
            open: vec![],
            spark: Spark::default(),
            checking: false,
            checked_us: 0,
            round: 0,
            proofs: 0,
        }
    }

    /// Its name, or where it is while nobody knows.
    pub(crate) fn name(&self) -> &str {
        self.info.as_ref().map_or(&self.endpoint, |i| i.name.as_str())
    }

    /// Its environment.
    pub(crate) fn environment(&self) -> Option<&str> {
        self.info.as_ref().map(|i| i.environment.as_str())
    }

    /// Its data are live: connected, complete and not older than [`STALE_US`].
    pub(crate) fn fresh(&self, now: Now) -> bool {
        self.link == Link::Live && self.complete && self.age_us(now).is_some_and(|a| a < STALE_US)
    }

    /// Age of its data, microseconds. `None` when there are none.
    pub(crate) fn age_us(&self, now: Now) -> Option<u64> {
        Some(now.mono_us.saturating_sub(self.seen_us?))
    }

    /// The agent's time now, as far as it can be told from here.
    pub(crate) fn time_us(&self, now: Now) -> u64 {
        self.their_us.saturating_add(now.mono_us.saturating_sub(self.clock_us))
    }
}

/// A main screen or what was opened from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Screen {
    /// Nodes, and what asks for attention.
    Overview,
    /// All tenants.
    Tenants,
    /// Receipts of one log.
    Receipts,
    /// What waits for a second person.
    Approvals,
    /// What went wrong and is not over.
    Incidents,
    /// Rules of the selected tenant, and what is seen under them.
    Ramps,
    /// Freeze windows on a calendar, and what is frozen.
    Freezes,
    /// Persons, their keys and roles; tokens.
    Admin,
    /// What the selected tenant used.
    Usage,
    /// What that costs.
    Cost,
    /// What happened around an incident.
    Timeline,
    /// One tenant.
    Tenant,
    /// One receipt.
    Receipt,
}

impl Screen {
    /// Its word in the tabs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Tenants => "tenants",
            Self::Receipts => "receipts",
            Self::Approvals => "approvals",
            Self::Incidents => "incidents",
            Self::Ramps => "ramps",
            Self::Freezes => "freezes",
            Self::Admin => "admin",
            Self::Usage => "usage",
            Self::Cost => "cost",
            Self::Timeline => "timeline",
            Self::Tenant => "tenant",
            Self::Receipt => "receipt",
        }
    }

    /// Those with a number key.
    pub(crate) const MAIN: [Screen; 10] = [
        Self::Overview,
        Self::Tenants,
        Self::Receipts,
        Self::Approvals,
        Self::Incidents,
        Self::Ramps,
        Self::Freezes,
        Self::Admin,
        Self::Usage,
        Self::Cost,
    ];
}

/// The operator's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// Its password is not known yet.
    Locked,
    /// Ready.
    Unlocked(KeyInfo),
}

/// A line at the bottom that goes away by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flash {
    /// What it says.
    pub(crate) text: String,
    /// Until when, microseconds of the monotonic clock.
    pub(crate) until_us: u64,
}

/// The whole state.
#[derive(Debug)]
pub struct Model {
    pub(crate) now: Now,
    pub(crate) size: (u16, u16),
    pub(crate) look: Look,
    pub(crate) theme: ThemeName,
    pub(crate) read_only: bool,
    pub(crate) agents: Vec<Agent>,
    /// Selected agent on the overview.
    pub(crate) agent: usize,
    pub(crate) tenants: Tenants,
    pub(crate) receipts: Receipts,
    pub(crate) approvals: Approvals,
    pub(crate) boards: Boards,
    pub(crate) metered: Metered,
    /// Commands that some node has not answered yet, and those of late that all have.
    pub(crate) outgoing: Vec<Outgoing>,
    /// When they were last sent, microseconds of the monotonic clock.
    pub(crate) delivered_us: u64,
    /// The zone that times of a calendar are told in, beside that of the profile.
    pub(crate) zone: jiff::tz::TimeZone,
    /// Where `esc` goes back through; the last one is shown.
    pub(crate) screens: Vec<Screen>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) alarms: Vec<Alarm>,
    pub(crate) pins: Pins,
    /// When pins were saved last.
    pub(crate) saved_us: u64,
    pub(crate) key: Key,
    pub(crate) ids: Ids,
    pub(crate) ticket: u64,
    pub(crate) flash: Option<Flash>,
    /// Something shown has changed since the last draw.
    pub(crate) dirty: bool,
    /// The screen must be cleared before the next draw.
    pub(crate) clear: bool,
    /// What ages and waits on the screen read at the last tick.
    pub(crate) ages: u64,
}

impl Model {
    /// At the start.
    pub(crate) fn new(
        endpoints: &[String],
        look: Look,
        theme: ThemeName,
        read_only: bool,
        seed: [u8; 32],
    ) -> Self {
        Self {
            now: Now::default(),
            size: (80, 24),
            look,
            theme,
            read_only,
            agents: endpoints.iter().map(|e| Agent::new(e)).collect(),
            agent: 0,
            tenants: Tenants::default(),
            receipts: Receipts::default(),
            approvals: Approvals::default(),
            boards: Boards::default(),
            metered: Metered::default(),
            outgoing: vec![],
            delivered_us: 0,
            zone: jiff::tz::TimeZone::UTC,
            screens: vec![Screen::Overview],
            layers: vec![],
            alarms: vec![],
            pins: Pins::default(),
            saved_us: 0,
            key: Key::Locked,
            ids: Ids::new(seed),
            ticket: 0,
            flash: None,
            dirty: true,
            clear: false,
            ages: 0,
        }
    }

    /// The screen that is shown.
    pub(crate) fn screen(&self) -> Screen {
        self.screens.last().copied().unwrap_or(Screen::Overview)
    }

    /// The agent of a row.
    pub(crate) fn agent_of(&self, key: RowKey) -> Option<&Agent> {
        self.agents.get(key.agent)
    }

    /// The row that actions are about: the selected tenant, or the tenant whose receipts are shown.
    pub(crate) fn subject(&self) -> Option<RowKey> {
        match self.screen() {
            Screen::Receipts | Screen::Receipt => self.receipts.key.filter(|k| !k.tenant.is_node()),
            Screen::Incidents => super::boards::incident(self).map(|i| i.0).filter(|k| !k.tenant.is_node()),
            Screen::Timeline => self.boards.timeline.as_ref().map(|t| t.0).filter(|k| !k.tenant.is_node()),
            Screen::Overview | Screen::Approvals | Screen::Freezes | Screen::Admin => None,
            Screen::Tenants | Screen::Tenant | Screen::Ramps | Screen::Usage | Screen::Cost => {
                self.tenants.selected
            }
        }
        .or(self.tenants.selected)
    }

    /// A target with its names. `None` while the node has not said who it is.
    pub(crate) fn target(&self, key: RowKey) -> Option<Target> {
        let name: Ident = self.tenants.get(key)?.summary.name.clone();
        self.target_named(key, name)
    }

    /// The same for a log whose name is known from elsewhere: the node's own is no row.
    pub(crate) fn target_named(&self, key: RowKey, name: Ident) -> Option<Target> {
        let info = self.agent_of(key)?.info.as_ref()?;
        Some(Target {
            key,
            name,
            node_id: info.node_id,
            node: info.name.clone(),
            environment: info.environment.clone(),
            also: vec![],
            offline: self.agent_of(key)?.link != Link::Live,
        })
    }

    /// The same target, meant for all nodes that hold the tenant.
    pub(crate) fn everywhere(&self, target: &Target) -> Target {
        let mut t = target.clone();
        for (agent, a) in self.agents.iter().enumerate() {
            let key = RowKey { agent, tenant: t.key.tenant };
            let Some(info) =
                a.info.as_ref().filter(|_| agent != t.key.agent && self.tenants.get(key).is_some())
            else {
                continue;
            };
            t.offline |= a.link != Link::Live;
            t.also.push((info.node_id, info.name.clone(), agent));
        }
        t
    }

    /// Control state of a tenant, if it was opened.
    pub(crate) fn state(&self, key: RowKey) -> Option<&ControlState> {
        self.agent_of(key)?.states.get(&key.tenant)
    }

    /// True when the data of a row's agent are live.
    pub(crate) fn fresh(&self, key: RowKey) -> bool {
        self.agent_of(key).is_some_and(|a| a.fresh(self.now))
    }

    /// The row the tenant screen shows.
    pub(crate) fn tenant_row(&self) -> Option<&Row> {
        self.tenants.selected_row()
    }

    /// Alarms nobody has acknowledged.
    pub(crate) fn ringing(&self) -> usize {
        self.alarms.iter().filter(|a| !a.acknowledged).count()
    }

    /// Says something for a few seconds.
    pub(crate) fn say(&mut self, text: impl Into<String>) {
        self.flash = Some(Flash { text: text.into(), until_us: self.now.mono_us + 4_000_000 });
        self.dirty = true;
    }

    /// Raises an alarm, once for each thing seen.
    pub(crate) fn alarm(&mut self, subject: String, what: String, note: bool) {
        if self.alarms.iter().any(|a| a.subject == subject && a.what == what) || self.alarms.len() >= 1_000 {
            return;
        }
        self.alarms.push(Alarm { subject, what, at_us: self.now.wall_us, acknowledged: false, note });
        self.dirty = true;
    }
}
