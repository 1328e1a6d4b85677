mod ack;
mod close;

pub use ack::IncidentAck;
pub use close::IncidentClose;
