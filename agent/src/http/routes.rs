//! Handlers, one file a group of routes.

pub(super) mod commands;
pub(super) mod config;
pub(super) mod cost;
pub(super) mod explain;
pub(super) mod freezes;
pub(super) mod incidents;
pub(super) mod metrics;
pub(super) mod node;
pub(super) mod ofrep;
pub(super) mod openapi;
pub(super) mod policy;
pub(super) mod preview;
pub(super) mod receipts;
pub(super) mod runs;
pub(super) mod sessions;
pub(super) mod sinks;
pub(super) mod stream;
pub(super) mod tenants;
pub(super) mod usage;
mod usage_query;
