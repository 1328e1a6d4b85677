//! HTTP and WebSocket to agents: the only way in which console and plain commands reach a node.
//!
//! It speaks only the public API of [`conductor_shared::routes`]. It must never follow a redirect, use a proxy, sign
//! bytes that it received, or print outside text without [`conductor_shared::untrusted`].

pub mod clock;
pub mod commands;
pub mod decode;
pub mod endpoint;
pub mod error;
pub mod event;
pub mod export;
pub mod http;
pub mod kept;
pub mod keys;
pub mod resolve;
pub mod session;
pub mod tls;
pub mod workload;
pub mod ws;

pub(crate) mod node_cache;
pub(crate) mod outbox;
pub(crate) mod outcome;
pub(crate) mod pins;
pub(crate) mod state_dir;
pub(crate) mod stream;
pub(crate) mod witness;

#[cfg(test)]
mod tests;
