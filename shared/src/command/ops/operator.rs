mod enrol;
mod resume;
mod revoke;
mod roles;
mod suspend;

pub use enrol::OperatorEnrol;
pub use resume::OperatorResume;
pub use revoke::OperatorRevoke;
pub use roles::OperatorRoles;
pub use suspend::OperatorSuspend;
