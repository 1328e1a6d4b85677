//! The HTTP API, the only way in for workloads and consoles. Routes are those of `conductor_shared::routes`. Handlers
//! prove the scope, parse the body, queue a request for the writer and turn its reply into HTTP. They decide nothing.
//!
//! A mutation continues when its client disconnects: a retry with the same idempotency key gets the decision. A read
//! ends with its client.
//!
//! Modules from bottom to top: `error`, `conn_limit`, `idle`, `request_body`, `connection`, `peer`, `health`, `state`, then
//! `auth`, `access`, `input` and `read`, `routes`, `service`, `listen`.

mod access;
mod auth;
mod conn_limit;
mod connection;
mod error;
mod health;
mod idle;
mod input;
mod listen;
mod peer;
mod read;
mod request_body;
mod routes;
mod service;
mod state;

pub use conn_limit::{ConnBounds, ConnLimiter, MAX_CLOSING, StreamLimiter};
pub use health::Rates;
pub use listen::{Listener, Share, bind_unix, serve};
pub use peer::ListenerKind;
pub use request_body::{BodyBudget, OPERATOR_BYTES, WORKLOAD_BYTES};
pub use service::App;
pub use state::{Api, ApiState};
