//! What every handler shares.

use crate::health::Health;
use crate::http::conn_limit::StreamLimiter;
use crate::http::health::Rates;
use crate::intake::queue::Queues;
use crate::intake::request::Denial;
use crate::metering::Cache;
use crate::partition::published::Registry;
use crate::platform::random::Random;
use crate::policy::Policy;
use crate::scope::Sessions;
use crate::sinks::Sink;
use conductor_shared::clock::Clock;
use conductor_shared::control::ControlState;
use conductor_shared::http::NodeInfo;
use conductor_shared::ids::{Ident, NodeId, hex};
use conductor_shared::reason::Reason;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot, watch};

pub struct Api {
    pub board: Arc<Registry>,
    pub queues: Arc<Queues>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub policy: Arc<Policy>,
    pub health: Arc<Health>,
    pub sessions: Sessions,
    pub streams: Arc<StreamLimiter>,
    pub node_id: NodeId,
    pub name: Ident,
    /// A word that consoles show: production, staging, rehearsal...
    pub environment: Ident,
    /// Turns true when the agent stops.
    pub stopping: watch::Receiver<bool>,
    pub rates: Rates,
    /// Permits one recount at a time: each reads a whole log.
    pub recounts: Arc<Semaphore>,
    /// Decrypted rollups.
    pub rollups: Arc<Cache>,
    pub sinks: Vec<Arc<Sink>>,
}

impl Api {
    /// The node's control state, or the denial of requests that need it.
    pub(super) fn node_control(&self) -> Result<Arc<ControlState>, Denial> {
        self.board.node_control().ok_or_else(|| Denial::bare(Reason::StoreUnavailable))
    }

    pub fn node_info(&self) -> NodeInfo {
        NodeInfo {
            node_id: self.node_id,
            name: self.name.clone(),
            environment: self.environment.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now_us: self.clock.now().wall.as_micros(),
            boot: hex(&self.board.boot),
            troubles: self.health.troubles(),
        }
    }
}

pub type ApiState = Arc<Api>;

/// How long an answer of the writer is waited for, except on the hot path, where the connection's own timer tells.
const WRITER_WAIT: Duration = Duration::from_secs(10);

/// The writer's answer, or why there is none: its store is closed, or it is held up and the outcome is not known.
pub(super) async fn answered<T>(answer: oneshot::Receiver<T>) -> Result<T, Reason> {
    match tokio::time::timeout(WRITER_WAIT, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(Reason::StoreUnavailable),
        Err(_) => Err(Reason::DecisionLate),
    }
}
