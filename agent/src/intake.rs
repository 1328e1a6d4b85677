//! What the writer is asked: requests, the bounded queues in which they wait, and the answers on their way back.

pub mod queue;
pub mod reject;
pub mod reply;
pub mod request;

pub(crate) use reject::refuse;
pub use reject::tell;
