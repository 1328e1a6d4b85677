//! The HTTP API, the only way in for workloads and consoles. Routes are those of `conductor_shared::routes`. Handlers
//! prove the scope, parse the body, queue a request for the writer and turn its reply into HTTP. They decide nothing.
//!
//! A mutation continues when its client disconnects: a retry with the same idempotency key gets the decision. A read
//! ends with its client.
//!
//! Modules from bottom to top: `error`, `conn_limit`, `connection`, `health`, `state`, then `auth` and `read`, `routes`,
//! `service`, `listen`.

mod auth;
mod conn_limit;
mod connection;
mod error;
mod health;
mod listen;
mod read;
mod routes;
mod service;
mod state;

pub use auth::Peer;
pub use conn_limit::{ConnLimiter, connections_that_fit};
pub use health::Rates;
pub use listen::{Listener, bind_unix, serve};
pub use service::App;
pub use state::{Api, ApiState};
