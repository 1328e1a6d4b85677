//! The HTTP API: the only way in for workloads and consoles. Routes are those of `conductor_shared::routes`; handlers
//! prove scope, read the body, put a request before the writer and turn its answer into HTTP. They decide nothing.
//!
//! A mutation goes on when its client has gone: the writer answers into the void, and a retry with the same idempotency
//! key hears what was decided. A read ends with its client.

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
