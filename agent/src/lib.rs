//! conductord, the node agent, and conductor-signer, which holds the key.

pub mod clock;
pub mod keys;
pub mod ledger;
pub mod random;
pub mod store;
