//! conductord, the node agent, and conductor-signer, which holds the key.

#![allow(
    missing_docs,
    reason = "documents only what the name does not say; public types of the API are in shared"
)]

pub mod checkpoint;
pub mod clock_guard;
pub mod command;
pub mod freeze;
pub mod health;
pub mod http;
pub mod incident;
pub mod intake;
pub mod keys;
pub mod ledger;
pub mod metering;
pub mod node;
pub mod partition;
pub mod platform;
pub mod policy;
pub mod rollout;
pub mod rows;
pub mod scope;
pub mod signer;
pub mod sinks;
pub mod staging;
pub mod store;
pub mod workload;
pub mod writer;

/// Names the present thread, for those who look at a process with `top -H` or `perf`.
fn name_thread(name: &std::ffi::CStr) {
    // A name that cannot be set changes nothing else.
    let _ = nix::sys::prctl::set_name(name);
}
