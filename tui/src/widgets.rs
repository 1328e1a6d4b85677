//! Widgets that know no model.

pub(crate) mod gauge;
pub(crate) mod table;
