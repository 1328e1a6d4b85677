//! conductord, the node agent, and conductor-signer, which holds the key.

pub mod agent;
pub mod api;
pub mod check;
pub mod checkpoints;
pub mod clock;
pub mod command;
pub mod config;
pub mod health;
pub mod init;
pub mod keys;
pub mod ledger;
pub mod meter;
pub mod policy;
pub mod random;
pub mod scope;
pub mod signer;
pub mod store;
pub mod tenant_sockets;
pub mod tls;
pub mod writer;

/// Names the present thread, for those who look at a process with `top -H` or `perf`.
fn name_thread(name: &std::ffi::CStr) {
    // A name that cannot be set changes nothing else.
    let _ = nix::sys::prctl::set_name(name);
}
