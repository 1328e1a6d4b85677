//! Rate cards, and the key that signs them.

use crate::Node;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::command::{Operation, ops};
use conductor_shared::cost::TYPE_LINE;
use conductor_shared::ids::TenantUid;

/// Trusts a billing key of its own, with a second person.
pub fn trust(node: &mut Node) {
    let public_key = node.new_key("billing");
    let c = node.request(TenantUid::NODE, ops::RateTrust { public_key });
    assert_eq!(node.approve("ben", &c), ["effective"]);
}

/// A card with these values.
pub fn card(version: u64, from: &str, compute_hour: u64) -> String {
    format!(
        "{TYPE_LINE}\nversion = {version}\ncurrency = \"EUR\"\ndecimals = 6\neffective_from = \"{from}\"\ncompute_hour = {compute_hour}\nstorage_gb_month = 90000000000\nsigning_million = 700000001\n"
    )
}

/// The command that loads a card, signed by a key.
pub fn load(node: &Node, text: &str, key: &str) -> Operation {
    let signed = node.signed_by(key, text);
    let signature = STANDARD.encode(signed["signature"].as_str().unwrap());
    Operation::RateLoad(ops::RateLoad { card: STANDARD.encode(text), signature })
}
