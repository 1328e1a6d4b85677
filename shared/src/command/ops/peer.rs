mod allow;
mod deny;

pub use allow::PeerAllow;
pub use deny::PeerDeny;
