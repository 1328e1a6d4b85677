//! Identity, liveness and readiness of the node.

use crate::http::state::ApiState;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use conductor_shared::clock::WallTime;
use conductor_shared::health::{Severity, Trouble};
use conductor_shared::http::NodeInfo;
use conductor_shared::time_range::rfc3339;

pub(crate) async fn node(State(api): State<ApiState>) -> Json<NodeInfo> {
    Json(api.node_info())
}

pub(crate) async fn healthz(State(api): State<ApiState>) -> Response {
    if api.health.alive() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "not alive: the writer's loop stands still\n").into_response()
}

/// A node that can still be tightened must not be cut off: only where nothing can be written, or the node's log is in doubt,
/// it is not ready.
pub(crate) async fn readyz(State(api): State<ApiState>) -> Response {
    let troubles = api.health.troubles();
    let Some(worst) = troubles.first() else { return "ready\n".into_response() };
    let (status, word) = match worst.severity {
        Severity::Down => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        Severity::Degraded => (StatusCode::OK, "degraded"),
    };
    let line = |t: &Trouble| format!("{word}: {t}, since {}\n", rfc3339(WallTime::from_micros(t.since_us)));
    (status, troubles.iter().map(line).collect::<String>()).into_response()
}
