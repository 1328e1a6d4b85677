mod replay;

pub use replay::SinkReplay;
