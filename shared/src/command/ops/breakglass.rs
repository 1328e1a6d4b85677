mod close;
mod open;

pub use close::BreakGlassClose;
pub use open::BreakGlassOpen;
