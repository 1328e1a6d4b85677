//! The one spelling of an operation in receipts, and the way back. Every other is refused.

use super::ops::Operation;

impl Operation {
    /// The form in receipts: name, then argument names and values in turn.
    pub fn to_list(&self) -> Vec<String> {
        let mut out = vec![self.name().to_owned()];
        for (k, v) in self.args() {
            out.push(k.to_owned());
            out.push(v);
        }
        out
    }

    /// Reads [`Operation::to_list`]; refuses every other spelling. `None` when it is not an operation of this version.
    pub fn from_list(list: &[String]) -> Option<Self> {
        let (name, rest) = list.split_first()?;
        let values: Vec<&str> = rest.chunks(2).filter_map(|c| Some(c.get(1)?.as_str())).collect();
        let op = Self::parse(name, &values)?;
        // One spelling: what was read must be written the same.
        (op.to_list() == list).then_some(op)
    }
}
