//! Client.
pub(crate) mod facts;
pub(crate) mod pins;
