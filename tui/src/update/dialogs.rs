//! Keys in dialogs. Pure.

pub(crate) mod approve;
pub(crate) mod confirm;
pub(crate) mod loosen;
pub(crate) mod ramp;
