//! Draws a model and decides nothing. One file a screen.

pub(crate) mod admin;
pub(crate) mod approvals;
pub(crate) mod freezes;
pub(crate) mod incidents;
pub(crate) mod marks;
pub(crate) mod overview;
pub(crate) mod ramps;
pub(crate) mod receipt;
pub(crate) mod receipts;
pub(crate) mod tenant;
pub(crate) mod tenants;
pub(crate) mod usage_cost;
