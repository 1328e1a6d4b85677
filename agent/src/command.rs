//! Privileged changes: verified, evaluated, proposed, taking effect.
//!
//! The signature is verified before anything is parsed ([`verify`], off the writer). The writer then decides on the
//! staged state: a change that makes nothing looser takes effect at once, in all outages but the store's; one that
//! loosens is proposed, and takes effect only when a checkpoint that covers the proposal is signed, after everything
//! was checked again. Five seconds later it is abandoned.

mod approval;
mod approvers;
mod checks;
mod context;
mod evaluate;
mod facts;
mod freeze;
mod policy_check;
mod proposals;
mod recover;
mod verify;

pub use approval::close;
pub use checks::may_sign;
pub use context::{EvalCtx, SKEW};
pub use evaluate::MAX_REQUESTS;
pub use facts::{Named, Outgoing, abandon};
pub use policy_check::{policy_input, policy_lets, replaces_policy};
#[cfg(test)]
pub(crate) use proposals::MAX_PENDING;
pub use proposals::{Pending, Proposals, TAKE_EFFECT};
pub use verify::{VerifyError, verify, verify_approval};
