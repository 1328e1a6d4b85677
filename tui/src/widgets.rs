//! Small parts that screens are drawn from. They know no model.

pub(crate) mod gauge;
pub(crate) mod table;
