//! Dispatches the requests of a connection: mutations of workloads by hand, all others by the router.

use super::auth;
use super::connection::{Answer, Handler};
use super::error::{self, ApiError};
use super::idle::{IdleTracker, ResponseBody};
use super::peer::{ListenerKind, Peer};
use super::request_body::{BodyLease, RequestBody, Unread, drain};
use super::routes::{
    commands, config, cost, explain, freezes, incidents, metrics, node, ofrep, openapi, policy, preview,
    receipts, runs, sessions, sinks, stream, tenants, usage,
};
use super::state::ApiState;
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::http::header::EXPECT;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use conductor_shared::http::MAX_BODY;
use http_body_util::{Either, Full};
use hyper::Request;
use hyper::body::Incoming;
use std::sync::Arc;
use tower::Service as _;

/// The API. Each connection has a clone.
#[derive(Clone)]
pub struct App {
    api: ApiState,
    router: Router,
}

impl App {
    pub fn new(api: ApiState) -> Self {
        Self { router: router(Arc::clone(&api)), api }
    }
}

/// Answers the requests of one client.
pub(super) struct ConnService {
    pub(super) app: App,
    pub(super) peer: Peer,
}

impl Handler for ConnService {
    type Body = ResponseBody<Either<Full<Bytes>, axum::body::Body>>;

    async fn answer(&self, r: Request<Incoming>, tracker: &IdleTracker) -> Answer {
        if r.headers().contains_key(hyper::header::ORIGIN) {
            let mut body = r.into_body();
            drain(&mut body, tracker).await;
            return tracker.response(auth::browser_refused().map(Either::Right));
        }
        let call = runs::Call::of(r.uri().path()).filter(|_| self.peer.listener != ListenerKind::Operators);
        let Some(name) = call.map(runs::Call::name) else {
            // Boxed: this future is far larger than that of a workload's mutation, and thousands of those wait at a time.
            return Box::pin(self.by_router(r, tracker)).await;
        };
        let (parts, body) = r.into_parts();
        runs::answer(&self.app.api, &self.peer, parts, name, body, tracker).await
    }
}

impl ConnService {
    async fn by_router(&self, r: Request<Incoming>, tracker: &IdleTracker) -> Answer {
        // A client that waits for leave to send has sent nothing: the answer is enough.
        let sends = !r.headers().contains_key(EXPECT);
        let unread = Unread::default();
        let answering = tracker.server_turn();
        let answer = self.routed(r, tracker, &unread).await;
        drop(answering);
        let rest = unread.lock().take().filter(|_| sends);
        if let Some(mut rest) = rest {
            drain(&mut rest, tracker).await;
        }
        tracker.response(answer.map(Either::Right))
    }

    async fn routed(
        &self,
        r: Request<Incoming>,
        tracker: &IdleTracker,
        unread: &Unread<Incoming>,
    ) -> Response {
        if let Some(why) = self.peer.listener.misdirected(r.uri().path(), r.headers()) {
            *unread.lock() = Some(r.into_body());
            return ApiError::bad(StatusCode::MISDIRECTED_REQUEST, why).into_response();
        }
        let lease = BodyLease::new(&self.peer.bodies);
        let bounded = |body| RequestBody::new(body, tracker, Arc::clone(&lease), Arc::clone(unread));
        let mut r = r.map(|body| axum::body::Body::new(bounded(body)));
        r.extensions_mut().insert(self.peer.clone());
        // Not a layer of the router: that would box one more service for each request.
        DefaultBodyLimit::max(MAX_BODY).apply(&mut r);
        let Ok(answer) = self.app.router.clone().call(r).await;
        if lease.refused() { ApiError::no_memory().into_response() } else { answer }
    }
}

/// All routes except the mutations of workloads, which [`runs`] answers.
fn router(api: ApiState) -> Router {
    Router::new()
        .route("/v1/runs/{run}", get(runs::show))
        .route("/ofrep/v1/evaluate/flags", post(ofrep::all))
        .route("/ofrep/v1/evaluate/flags/{*flag}", post(ofrep::one))
        .route("/v1/node", get(node::node))
        .route("/v1/sessions/challenge", post(sessions::challenge))
        .route("/v1/sessions", post(sessions::open).delete(sessions::close))
        .route("/v1/commands", post(commands::command))
        .route("/v1/approvals", post(commands::approval).get(commands::approvals))
        .route("/v1/freezes", get(freezes::freezes))
        .route("/v1/tenants", get(tenants::list))
        .route("/v1/tenants/{tenant}", get(tenants::show))
        .route("/v1/tenants/{tenant}/preview", post(preview::preview))
        .route("/v1/tenants/{tenant}/receipts", get(receipts::receipts))
        .route("/v1/tenants/{tenant}/receipts/export", get(receipts::export))
        .route("/v1/tenants/{tenant}/receipts/{index}/proof", get(receipts::proof))
        .route("/v1/tenants/{tenant}/checkpoint", get(receipts::checkpoint))
        .route("/v1/tenants/{tenant}/consistency", get(receipts::consistency))
        .route("/v1/tenants/{tenant}/config", get(config::history))
        .route("/v1/tenants/{tenant}/config/{revision}", get(config::revision))
        .route("/v1/tenants/{tenant}/totals", get(tenants::totals))
        .route("/v1/tenants/{tenant}/usage", get(usage::usage))
        .route("/tenants/{tenant}/usage", get(usage::usage))
        .route("/v1/tenants/{tenant}/usage/recount", get(usage::recount))
        .route("/v1/tenants/{tenant}/cost", get(cost::cost))
        .route("/v1/tenants/{tenant}/cost/explain", get(explain::explain))
        .route("/v1/rates", get(cost::rates))
        .route("/v1/sinks", get(sinks::sinks))
        .route("/v1/tenants/{tenant}/dead-letters", get(sinks::dead_letters))
        .route("/v1/policy", get(policy::show))
        .route(
            "/v1/policy/bundles",
            post(policy::upload).layer(DefaultBodyLimit::max(conductor_policies::MAX_ARCHIVE * 3 / 2)),
        )
        .route("/v1/policy/bundles/{digest}", get(policy::bundle))
        .route("/v1/policy/explain", post(policy::explain))
        .route("/v1/tenants/{tenant}/slo", get(incidents::slo))
        .route("/v1/tenants/{tenant}/incidents", get(incidents::incidents))
        .route("/v1/tenants/{tenant}/timeline", get(incidents::timeline))
        .route("/v1/incidents", get(incidents::all))
        .route("/v1/stream", get(stream::stream))
        .route("/v1/openapi.json", get(openapi::openapi))
        .route("/healthz", get(node::healthz))
        .route("/readyz", get(node::readyz))
        .route("/metrics", get(metrics::metrics))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(api)
}
