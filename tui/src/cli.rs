//! Plain commands.
