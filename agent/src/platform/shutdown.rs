//! The stop signal inside the agent.

use tokio::sync::watch;

/// Waits until the agent stops.
pub async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the agent.
    let _ = stopping.wait_for(|s| *s).await;
}
