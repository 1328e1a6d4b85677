//! The HTTP API: the only way in for workloads and consoles. Routes are those of `conductor_shared::routes`; handlers
//! prove scope, read the body, put a request before the writer and turn its answer into HTTP. They decide nothing.
//!
//! A mutation goes on when its client has gone: the writer answers into the void, and a retry with the same idempotency
//! key hears what was decided. A read ends with its client.

mod auth;
mod config;
mod freezes;
mod incidents;
pub mod listen;
mod metrics;
mod ofrep;
mod openapi;
mod operator;
pub mod places;
mod policy;
mod preview;
mod problem;
mod read;
mod sinks;
mod stream;
mod talk;
mod usage;
mod workload;

use crate::policy::Policy;
use crate::random::Random;
use crate::scope::Sessions;
use crate::writer::queue::Queues;
use crate::writer::view::Board;
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use conductor_shared::clock::Clock;
use conductor_shared::http::{MAX_BODY, NodeInfo};
use conductor_shared::ids::{Ident, NodeId, hex};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use std::sync::Arc;
use talk::{Answers, Given, Turn};
use tokio::sync::watch;
use tower::Service as _;

pub use auth::Peer;

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
    pub rates: crate::health::Rates,
    /// Turns at counting all of a log again.
    pub recounts: Arc<tokio::sync::Semaphore>,
    /// Opened rows of sums.
    pub opened: Arc<crate::meter::Cache>,
    /// Where metered events go.
    pub sinks: Vec<Arc<crate::meter::sinks::Sink>>,
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
pub type Shared = Arc<Api>;

/// An answer: of a workload's change, or of the router.
type Answered = Response<<Desk as Answers>::Body>;

/// Answers what is asked.
#[derive(Clone)]
pub struct App {
    api: Shared,
    router: Router,
}

impl App {
    /// The whole API.
    pub fn new(api: Shared) -> Self {
        Self { router: router(Arc::clone(&api)), api }
    }
}

/// What answers whoever is at the other end of a connection.
struct Desk {
    app: App,
    peer: Peer,
}

impl Answers for Desk {
    type Body = Given<Either<Full<Bytes>, axum::body::Body>>;

    async fn answer(&self, r: Request<Incoming>, turn: &Turn) -> Answered {
        if r.headers().contains_key(hyper::header::ORIGIN) {
            return turn.ours(auth::browser_refused().map(Either::Right));
        }
        let Some(name) = workload::Call::of(r.uri().path()).map(workload::Call::name) else {
            // In a place of its own: it is far larger than what a workload's change keeps while it waits.
            return Box::pin(self.by_router(r, turn)).await;
        };
        let (parts, body) = r.into_parts();
        workload::answer(&self.app.api, &self.peer, parts, name, body, turn).await
    }
}

impl Desk {
    async fn by_router(&self, r: Request<Incoming>, turn: &Turn) -> Answered {
        let answering = turn.begin();
        let mut r = r.map(|body| axum::body::Body::new(turn.theirs(body)));
        r.extensions_mut().insert(self.peer.clone());
        // Not a layer of the router: each request would pay for another boxed service.
        DefaultBodyLimit::max(MAX_BODY).apply(&mut r);
        let Ok(answer) = self.app.router.clone().call(r).await;
        drop(answering);
        turn.ours(answer.map(Either::Right))
    }
}

/// What only the router knows: all but the changes that workloads ask for, which are in [`workload`].
fn router(api: Shared) -> Router {
    Router::new()
        .route("/v1/runs/{run}", get(workload::run_show))
        .route("/ofrep/v1/evaluate/flags", post(ofrep::all))
        .route("/ofrep/v1/evaluate/flags/{*flag}", post(ofrep::one))
        .route("/v1/node", get(operator::node))
        .route("/v1/sessions/challenge", post(operator::challenge))
        .route("/v1/sessions", post(operator::open_session))
        .route("/v1/commands", post(operator::command))
        .route("/v1/approvals", post(operator::approval).get(operator::approvals))
        .route("/v1/freezes", get(freezes::freezes))
        .route("/v1/tenants", get(operator::tenants))
        .route("/v1/tenants/{tenant}", get(read::tenant))
        .route("/v1/tenants/{tenant}/preview", post(preview::preview))
        .route("/v1/tenants/{tenant}/receipts", get(read::receipts))
        .route("/v1/tenants/{tenant}/receipts/export", get(read::export))
        .route("/v1/tenants/{tenant}/receipts/{index}/proof", get(read::proof))
        .route("/v1/tenants/{tenant}/checkpoint", get(read::checkpoint))
        .route("/v1/tenants/{tenant}/consistency", get(read::consistency))
        .route("/v1/tenants/{tenant}/config", get(config::history))
        .route("/v1/tenants/{tenant}/config/{revision}", get(config::revision))
        .route("/v1/tenants/{tenant}/totals", get(read::totals))
        .route("/v1/tenants/{tenant}/usage", get(usage::usage))
        .route("/tenants/{tenant}/usage", get(usage::usage))
        .route("/v1/tenants/{tenant}/usage/recount", get(usage::recount))
        .route("/v1/tenants/{tenant}/cost", get(usage::cost))
        .route("/v1/tenants/{tenant}/cost/explain", get(usage::explain))
        .route("/v1/rates", get(usage::rates))
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
        .route("/healthz", get(metrics::healthz))
        .route("/readyz", get(metrics::readyz))
        .route("/metrics", get(metrics::metrics))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(api)
}
