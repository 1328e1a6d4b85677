//! The whole state of the console. No I/O and no clock: time comes in messages.

pub(crate) mod agent;
pub(crate) mod alarm;
pub(crate) mod approvals;
pub(crate) mod confirmation;
pub(crate) mod cursor;
pub(crate) mod dialog;
pub(crate) mod help;
pub(crate) mod input;
pub(crate) mod keys;
pub(crate) mod layout;
pub(crate) mod lists;
pub(crate) mod message;
pub(crate) mod outgoing;
pub(crate) mod palette;
pub(crate) mod receipts;
pub(crate) mod screen;
pub(crate) mod spark;
pub(crate) mod tenants;
pub(crate) mod usage_cost;

use crate::client::pins::Pins;
use crate::model::agent::{Agent, Link};
use crate::model::alarm::Alarm;
use crate::model::approvals::Approvals;
use crate::model::confirmation::{Ids, Target};
use crate::model::dialog::Layer;
use crate::model::lists::Lists;
use crate::model::message::KeyInfo;
use crate::model::outgoing::Outgoing;
use crate::model::receipts::Receipts;
use crate::model::screen::Screen;
use crate::model::tenants::{Row, RowKey, Tenants};
use crate::model::usage_cost::UsageCost;
use crate::style::{Look, ThemeName};
use conductor_shared::clock::{MonoTime, Now};
use conductor_shared::control::ControlState;
use conductor_shared::ids::Ident;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyState {
    /// Its password is not known yet.
    Locked,
    Unlocked(KeyInfo),
}

/// A line at the bottom that disappears after a few seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flash {
    pub(crate) text: String,
    /// Until when.
    pub(crate) until: MonoTime,
}

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
    pub(crate) lists: Lists,
    pub(crate) usage_cost: UsageCost,
    /// Commands that some node has not answered yet, and recent ones that all nodes have answered.
    pub(crate) outgoing: Vec<Outgoing>,
    /// When they were last sent.
    pub(crate) delivered: MonoTime,
    /// Time zone of calendar times, shown beside the zone of the profile.
    pub(crate) zone: jiff::tz::TimeZone,
    /// The stack of screens that `esc` goes back through; the last one is shown.
    pub(crate) screens: Vec<Screen>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) alarms: Vec<Alarm>,
    pub(crate) pins: Pins,
    /// When pins were saved last.
    pub(crate) saved: MonoTime,
    pub(crate) key: KeyState,
    pub(crate) ids: Ids,
    pub(crate) ticket: u64,
    pub(crate) flash: Option<Flash>,
    /// Something shown has changed since the last draw.
    pub(crate) dirty: bool,
    /// The screen must be cleared before the next draw.
    pub(crate) clear: bool,
    /// Digest of the ages on the screen at the last tick.
    pub(crate) ages: u64,
}

impl Model {
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
            lists: Lists::default(),
            usage_cost: UsageCost::default(),
            outgoing: vec![],
            delivered: MonoTime::default(),
            zone: jiff::tz::TimeZone::UTC,
            screens: vec![Screen::Overview],
            layers: vec![],
            alarms: vec![],
            pins: Pins::default(),
            saved: MonoTime::default(),
            key: KeyState::Locked,
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
            Screen::Incidents => lists::incident(self).map(|i| i.0).filter(|k| !k.tenant.is_node()),
            Screen::Timeline => self.lists.timeline.as_ref().map(|t| t.0).filter(|k| !k.tenant.is_node()),
            Screen::Overview | Screen::Approvals | Screen::Freezes | Screen::Admin => None,
            Screen::Tenants | Screen::Tenant | Screen::Ramps | Screen::Usage | Screen::Cost => {
                self.tenants.selected
            }
        }
        .or(self.tenants.selected)
    }

    /// A target with its names. `None` until the node's hello.
    pub(crate) fn target(&self, key: RowKey) -> Option<Target> {
        let name: Ident = self.tenants.get(key)?.summary.name.clone();
        self.target_named(key, name)
    }

    /// The same for a log with a known name: the node's own log has no row.
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

    /// The same target, on all nodes that hold the tenant.
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
        self.flash = Some(Flash { text: text.into(), until: self.now.mono + Duration::from_secs(4) });
        self.dirty = true;
    }

    /// Raises an alarm, once for each subject and text.
    pub(crate) fn alarm(&mut self, subject: String, what: String, note: bool) {
        if self.alarms.iter().any(|a| a.subject == subject && a.what == what) || self.alarms.len() >= 1_000 {
            return;
        }
        self.alarms.push(Alarm { subject, what, at: self.now.wall, acknowledged: false, note });
        self.dirty = true;
    }
}
