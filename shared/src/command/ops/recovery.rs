mod signer_replace;
mod time_confirm;

pub use signer_replace::SignerReplace;
pub use time_confirm::TimeConfirm;
