//! Decodes the fact of a receipt. Pure; an unreadable receipt gives none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::fact::Fact;
use conductor_shared::http::ReceiptJson;
use conductor_shared::record::Disclosed;

/// The fact of a receipt. `None` when its kind is unknown here or fields are withheld.
pub fn fact(r: &ReceiptJson) -> Option<Fact> {
    let values = r
        .fields
        .iter()
        .map(|f| Some(Disclosed::from_bytes(&STANDARD.decode(&f.disclosure).ok()?).ok()?.value))
        .collect::<Option<Vec<_>>>()?;
    Fact::from_values(r.kind, &values).ok().flatten()
}
