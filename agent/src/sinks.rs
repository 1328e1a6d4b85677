//! Sinks: export of metered events as CloudEvents, over HTTP or into files.
//!
//! The log is the outbox. A sink has a cursor in each tenant's log, stored in the tenant's partition and advanced by the
//! writer after delivery. So delivery is at least once, and duplicates after a crash have the same ids. A receiver that
//! is down delays only its own sink, a tenant whose events are refused delays only itself, and no queue grows. An event
//! that the receiver refuses becomes a dead letter. An operator can have dead letters and ranges of receipts delivered
//! again.

mod config;
mod cursor;
mod delivery;
mod files;
mod http;
mod pace;
mod search;
mod status;
mod target;
mod work;

pub use config::SinkConfig;
pub use cursor::{Letter, letters};
pub use status::Sink;

use crate::intake::queue::Queues;
use crate::partition::published::Registry;
use crate::platform::random::Random;
use conductor_shared::clock::Clock;
use delivery::Delivery;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Interval between polls for new receipts, and between looks at what is waited for.
const POLL: Duration = Duration::from_millis(200);

/// The services that a sink uses.
pub struct SinkCtx {
    pub board: Arc<Registry>,
    pub queues: Arc<Queues>,
    pub random: Arc<dyn Random>,
    pub clock: Arc<dyn Clock>,
    /// True once the agent stops.
    pub stopping: watch::Receiver<bool>,
}

/// Delivers until the agent stops.
pub async fn run(sink: Arc<Sink>, ctx: SinkCtx) {
    let mut stopping = ctx.stopping.clone();
    let mut delivery = Delivery::new(sink, ctx);
    while !*stopping.borrow() {
        if delivery.pass().await {
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            _ = stopping.changed() => return,
        }
    }
}
