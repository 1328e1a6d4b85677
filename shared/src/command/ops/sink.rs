mod redeliver;
mod replay;

pub use redeliver::SinkRedeliver;
pub use replay::SinkReplay;
