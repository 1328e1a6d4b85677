//! The node agent's parts. Module declarations only.

pub mod signer;
