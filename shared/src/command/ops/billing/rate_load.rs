use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::cost::RateCard;
use crate::operator::Role;

/// A small card.
const CARD: &str = "\
     IyBjb25kdWN0b3IvcmF0ZS1jYXJkL3YxCnZlcnNpb24gPSAxCmN1cnJlbmN5ID0gIkVVUiIKZGVjaW1hbHMgPSA2CmVmZmVjdGl2\
     ZV9mcm9tID0gIjIwMjYtMTAtMDFUMDA6MDA6MDBaIgpjb21wdXRlX2hvdXIgPSAxMjAwMDAKc3RvcmFnZV9nYl9tb250aCA9IDIw\
     MDAwCnNpZ25pbmdfbWlsbGlvbiA9IDUwMDAwMAo=";

/// Adds a rate card, which holds from its own date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLoad {
    /// The exact bytes of the TOML file, base64; see [`crate::cost::RateCard`].
    pub card: String,
    /// The billing key's minisign file over them, base64.
    pub signature: String,
}

impl OperationSpec for RateLoad {
    const NAME: &'static str = "rate.load";
    const SCOPE: Scope = Scope::Node;
    const ROLES: &'static [Role] = &[Role::Admin];
    const SAMPLES: &'static [&'static [&'static str]] = &[&[CARD, "eA=="]];

    fn args(&self) -> Args {
        vec![("card", self.card.clone()), ("signature", self.signature.clone())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        let op = Self { card: v.text(0)?.to_owned(), signature: v.text(1)?.to_owned() };
        op.signature_text()?;
        op.rate_card()?;
        Some(op)
    }

    fn object(&self) -> String {
        "rate cards".to_owned()
    }

    fn sentence(&self) -> String {
        let version = self.rate_card().map_or(0, |c| c.version);
        format!("Load rate card version {version}")
    }
}

impl RateLoad {
    /// The TOML file as text.
    pub fn card_text(&self) -> Option<String> {
        base64_text(&self.card)
    }

    /// The minisign file as text.
    pub fn signature_text(&self) -> Option<String> {
        base64_text(&self.signature)
    }

    /// The card, read; its signature is for the agent to verify.
    pub fn rate_card(&self) -> Option<RateCard> {
        RateCard::parse(&self.card_text()?).ok()
    }
}

fn base64_text(text: &str) -> Option<String> {
    use base64::Engine as _;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).ok()?).ok()
}
