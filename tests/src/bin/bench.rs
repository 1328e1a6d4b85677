//! Measures; see bench/.
fn main() {}
