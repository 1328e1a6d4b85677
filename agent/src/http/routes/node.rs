//! Identity, liveness and readiness of the node.

use crate::http::auth::{self, Peer};
use crate::http::error::ApiError;
use crate::http::state::ApiState;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use conductor_shared::http::NodeInfo;

pub(crate) async fn node(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Json<NodeInfo>, ApiError> {
    if auth::session(&api, &peer, &headers).is_none() {
        auth::workload(&api, &peer, &headers, "node_show").await?;
    }
    Ok(Json(api.node_info()))
}

pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

pub(crate) async fn readyz(State(api): State<ApiState>) -> Response {
    let error = api.board.store_error();
    if error.is_empty() {
        return "ready\n".into_response();
    }
    let what = format!("not ready: {}\n", conductor_shared::untrusted::escape(&error, 300));
    (StatusCode::SERVICE_UNAVAILABLE, what).into_response()
}
