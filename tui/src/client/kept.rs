//! The files that are kept between starts, read as at a start and written again: what fuzzing holds them to. No command
//! calls it.

use super::node_cache::NodeCache;
use super::outbox::KeptCommand;
use super::pins::Pins;

/// The text of these pins.
pub fn pins(text: &str) -> Result<String, String> {
    Ok(Pins::parse(text)?.text())
}

/// The text of this command in the outbox.
pub fn command(text: &str) -> Result<String, String> {
    let (_, kept) = KeptCommand::parse(text)?;
    kept.text()
}

/// The text of this cache of nodes.
pub fn nodes(text: &str) -> Result<String, String> {
    NodeCache::parse(text)?.text()
}
