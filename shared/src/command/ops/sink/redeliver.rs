use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::ids::Ident;
use crate::operator::Role;

/// Delivers the events of a range of receipts again, also those that the receiver took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkRedeliver {
    /// Which sink.
    pub sink: Ident,
    /// Index of the first receipt.
    pub from: u64,
    /// Index of the last receipt.
    pub to: u64,
}

impl OperationSpec for SinkRedeliver {
    const NAME: &'static str = "sink.redeliver";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[Role::Operator];
    const SAMPLES: &'static [&'static [&'static str]] = &[&["billing", "100", "250"]];

    fn args(&self) -> Args {
        vec![("sink", self.sink.to_string()), ("from", self.from.to_string()), ("to", self.to.to_string())]
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        let (from, to) = (v.number(1)?, v.number(2)?);
        (from <= to).then_some(Self { sink: v.ident(0)?, from, to })
    }

    fn object(&self) -> String {
        format!("sink {}", self.sink)
    }

    fn sentence(&self) -> String {
        format!("Deliver the events of receipts {} to {} to sink {} again", self.from, self.to, self.sink)
    }
}
