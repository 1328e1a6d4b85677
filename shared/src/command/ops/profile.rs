mod assign;
mod create;
mod set;
mod unwindow;
mod window;

pub use assign::ProfileAssign;
pub use create::ProfileCreate;
pub use set::ProfileSet;
pub use unwindow::ProfileUnwindow;
pub use window::ProfileWindow;
