//! Conductor's vocabulary and pure rules.
//!
//! What the agent decides and the console shows is defined here once: identities, records, the fold that makes state
//! from receipts, and the rules (quota, ramp, class). Nothing in this crate reads a clock, a file, a socket or a
//! database; whoever calls passes in what time it is and what was stored.

pub mod access;
pub mod basis_points;
pub mod cause;
pub mod change_class;
pub mod checkpoint;
pub mod clock;
pub mod cloudevents;
pub mod codec;
pub mod command;
pub mod config;
pub mod control;
pub mod cost;
mod csv_text;
pub mod describe;
pub mod fact;
pub mod fail_closed;
pub mod freeze;
pub mod health;
pub mod http;
pub mod ids;
pub mod merkle;
pub mod meter;
pub mod ofrep;
pub mod operator;
pub mod policy;
pub mod profile;
pub mod quota;
pub mod ramp;
pub mod reason;
pub mod record;
pub mod routes;
pub mod session;
pub mod slo;
pub mod stream;
pub mod time_range;
pub mod toml_error;
pub mod untrusted;
pub mod usage;
pub mod verify;
mod words;
