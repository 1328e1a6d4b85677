mod issue;
mod revoke;

pub use issue::TokenIssue;
pub use revoke::TokenRevoke;
