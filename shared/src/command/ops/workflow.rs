mod pin;
mod register;
mod retire;
mod unpin;

pub use pin::WorkflowPin;
pub use register::WorkflowRegister;
pub use retire::WorkflowRetire;
pub use unpin::WorkflowUnpin;
