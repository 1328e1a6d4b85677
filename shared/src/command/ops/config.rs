mod rollback;

pub use rollback::ConfigRollback;
