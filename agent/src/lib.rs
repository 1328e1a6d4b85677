//! conductord, the node agent, and conductor-signer, which holds the key.

pub mod clock;
pub mod command;
pub mod keys;
pub mod ledger;
pub mod random;
pub mod scope;
pub mod store;
pub mod writer;
