//! One agent: its connection, and what it reported.

use super::spark::Spark;
use conductor_shared::clock::{MonoTime, Now, WallTime};
use conductor_shared::control::ControlState;
use conductor_shared::http::NodeInfo;
use conductor_shared::ids::TenantUid;
use conductor_shared::stream::NodeHealth;
use std::collections::BTreeMap;
use std::time::Duration;

/// Older data count as stale.
pub(crate) const STALE: Duration = Duration::from_secs(10);
/// A proof that a log only grew may be missing for so long, and so often, before that is an alarm.
pub(crate) const PROOF_DUE: Duration = Duration::from_secs(15);
const PROOF_TRIES: u32 = 3;
/// Partitions kept open for each agent, the node's own log among them.
pub(crate) const OPEN: usize = 16;
/// The connection to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not connected yet: the key is locked.
    Waiting,
    /// Connecting, for the first time or again.
    Connecting,
    Live,
    Lost {
        /// Why the connection was lost, escaped.
        why: String,
        /// When the next try is due.
        retry_at: MonoTime,
    },
}

/// A log that its node did not prove to have only grown, though it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Unproved {
    /// Since the first request without a proof.
    pub(crate) since: MonoTime,
    /// When it was asked for last.
    pub(crate) tried: MonoTime,
    /// How often.
    pub(crate) tries: u32,
    /// What came instead, escaped.
    pub(crate) why: String,
}

impl Unproved {
    /// It goes on for too long to be chance: whoever has something to hide has a reason to answer nothing.
    pub(crate) fn overdue(&self, now: Now) -> bool {
        self.tries >= PROOF_TRIES && now.mono - self.since >= PROOF_DUE
    }
}

#[derive(Debug)]
pub(crate) struct Agent {
    /// Where it listens, escaped for the screen.
    pub(crate) endpoint: String,
    pub(crate) link: Link,
    pub(crate) info: Option<NodeInfo>,
    /// Version of its protocol.
    pub(crate) protocol: Option<u32>,
    /// Its health as last sent.
    pub(crate) health: Option<NodeHealth>,
    /// Reading of the monotonic clock when the last health or hello came; agent time counts from it.
    pub(crate) clock: MonoTime,
    /// The agent's time at that moment.
    pub(crate) theirs: WallTime,
    /// When its last message came.
    pub(crate) seen: Option<MonoTime>,
    /// Summaries announced and received.
    pub(crate) overview: (u64, u64),
    /// The overview is complete.
    pub(crate) complete: bool,
    /// The person the session is for, and their roles.
    pub(crate) session: Option<(String, Vec<String>)>,
    /// States of opened partitions.
    pub(crate) states: BTreeMap<TenantUid, ControlState>,
    /// Open partitions, oldest first.
    pub(crate) open: Vec<TenantUid>,
    /// History of its answers a second, in tenths.
    pub(crate) spark: Spark,
    /// A log check is running.
    pub(crate) checking: bool,
    /// When the last one was sent.
    pub(crate) checked: MonoTime,
    /// Next tenant of the round-robin log check.
    pub(crate) round: usize,
    /// Number of logs compared with their pins since the start.
    pub(crate) proofs: u64,
    /// Logs whose last comparison failed.
    pub(crate) unproved: BTreeMap<TenantUid, Unproved>,
    /// An alarm was raised about them. One for all: an agent that proves nothing would fill the list.
    pub(crate) unproved_told: bool,
}

impl Agent {
    /// An agent that has not been reached yet.
    pub(crate) fn new(endpoint: &str) -> Self {
        Self {
            endpoint: crate::text::wrap::safe(endpoint, 80),
            link: Link::Waiting,
            info: None,
            protocol: None,
            health: None,
            clock: MonoTime::default(),
            theirs: WallTime::EPOCH,
            seen: None,
            overview: (0, 0),
            complete: false,
            session: None,
            states: BTreeMap::new(),
            open: vec![],
            spark: Spark::default(),
            checking: false,
            checked: MonoTime::default(),
            round: 0,
            proofs: 0,
            unproved: BTreeMap::new(),
            unproved_told: false,
        }
    }

    /// Its name, or its endpoint while the name is unknown.
    pub(crate) fn name(&self) -> &str {
        self.info.as_ref().map_or(&self.endpoint, |i| i.name.as_str())
    }

    pub(crate) fn environment(&self) -> Option<&str> {
        self.info.as_ref().map(|i| i.environment.as_str())
    }

    /// Its data are live: connected, complete and not older than [`STALE`].
    pub(crate) fn fresh(&self, now: Now) -> bool {
        self.link == Link::Live && self.complete && self.age(now).is_some_and(|a| a < STALE)
    }

    /// Age of its data. `None` when there are none.
    pub(crate) fn age(&self, now: Now) -> Option<Duration> {
        Some(now.mono - self.seen?)
    }

    /// The agent's time now, as computed from its last message.
    pub(crate) fn time(&self, now: Now) -> WallTime {
        self.theirs + (now.mono - self.clock)
    }
}
