//! What every handler shares.

use crate::http::health::Rates;
use crate::metering::Cache;
use crate::platform::random::Random;
use crate::policy::Policy;
use crate::scope::Sessions;
use crate::sinks::Sink;
use crate::writer::queue::Queues;
use crate::writer::view::Board;
use conductor_shared::clock::Clock;
use conductor_shared::http::NodeInfo;
use conductor_shared::ids::{Ident, NodeId, hex};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// What every handler shares.
pub struct Api {
    /// Published state.
    pub board: Arc<Board>,
    /// Way to the writer.
    pub queues: Arc<Queues>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Policy.
    pub policy: Arc<Policy>,
    /// Operators' sessions.
    pub sessions: Sessions,
    /// This node.
    pub node_id: NodeId,
    /// Its name.
    pub name: Ident,
    /// Environment, a word.
    pub environment: Ident,
    /// Turns true when the agent stops.
    pub stopping: watch::Receiver<bool>,
    /// Rates over the last ten seconds, for consoles.
    pub rates: Rates,
    /// Turns at counting all of a log again.
    pub recounts: Arc<Semaphore>,
    /// Opened rows of sums.
    pub opened: Arc<Cache>,
    /// Where metered events go.
    pub sinks: Vec<Arc<Sink>>,
}

impl Api {
    /// Who this is, and what time it is here.
    pub fn node_info(&self) -> NodeInfo {
        NodeInfo {
            node_id: self.node_id,
            name: self.name.clone(),
            environment: self.environment.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now_us: self.clock.now().wall_us,
            boot: hex(&self.board.boot),
        }
    }
}

/// State of the router.
pub type ApiState = Arc<Api>;
