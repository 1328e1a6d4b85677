//! Dispatches the requests of a connection: mutations of workloads by hand, all others by the router.

use super::access::{self, Gate};
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
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post};
use conductor_policies::MAX_ARCHIVE;
use conductor_shared::http::MAX_BODY;
use conductor_shared::routes::{Name, ROUTES};
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
        Self { router: router(&api), api }
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

/// The handler of a route. `None` for the mutations of workloads, which [`runs`] answers.
fn handler(name: Name) -> Option<MethodRouter<ApiState>> {
    Some(match name {
        Name::RunStart
        | Name::StepStart
        | Name::StepFinish
        | Name::RunHeartbeat
        | Name::ApprovalDecide
        | Name::RunFinish
        | Name::RunCancel => return None,
        Name::RunShow => get(runs::show),
        Name::FlagEvaluateAll => post(ofrep::all),
        Name::FlagEvaluate => post(ofrep::one),
        Name::NodeShow => get(node::node),
        Name::SessionChallenge => post(sessions::challenge),
        Name::SessionOpen => post(sessions::open),
        Name::SessionClose => delete(sessions::close),
        Name::Command => post(commands::command),
        Name::Approval => post(commands::approval),
        Name::ApprovalList => get(commands::approvals),
        Name::FreezeList => get(freezes::freezes),
        Name::TenantList => get(tenants::list),
        Name::TenantShow => get(tenants::show),
        Name::Preview => post(preview::preview),
        Name::ReceiptList => get(receipts::receipts),
        Name::ReceiptExport => get(receipts::export),
        Name::ReceiptProof => get(receipts::proof),
        Name::LogHead => get(receipts::checkpoint),
        Name::Consistency => get(receipts::consistency),
        Name::ConfigHistory => get(config::history),
        Name::ConfigRevision => get(config::revision),
        Name::Totals => get(tenants::totals),
        Name::Usage => get(usage::usage),
        Name::UsageShort => get(usage::usage),
        Name::UsageRecount => get(usage::recount),
        Name::Cost => get(cost::cost),
        Name::CostExplain => get(explain::explain),
        Name::Rates => get(cost::rates),
        Name::SinkList => get(sinks::sinks),
        Name::DeadLetters => get(sinks::dead_letters),
        Name::PolicyShow => get(policy::show),
        Name::PolicyUpload => post(policy::upload).layer(DefaultBodyLimit::max(MAX_ARCHIVE * 3 / 2)),
        Name::PolicyBundle => get(policy::bundle),
        Name::PolicyExplain => post(policy::explain),
        Name::SloShow => get(incidents::slo),
        Name::IncidentList => get(incidents::incidents),
        Name::Timeline => get(incidents::timeline),
        Name::IncidentAll => get(incidents::all),
        Name::Stream => get(stream::stream),
        Name::Openapi => get(openapi::openapi),
        Name::Healthz => get(node::healthz),
        Name::Readyz => get(node::readyz),
        Name::Metrics => get(metrics::metrics),
    })
}

/// The routes of the table, each behind the gate of its row.
fn router(api: &ApiState) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        if let Some(handler) = handler(route.name) {
            let gate = Gate { api: Arc::clone(api), route };
            router = router.route(route.path, handler.route_layer(from_fn_with_state(gate, access::gate)));
        }
    }
    router
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(Arc::clone(api))
}
