use crate::command::ops::Operation;
use crate::command::spec::{Args, OperationSpec, Scope};
use crate::command::values::Values;
use crate::operator::Role;

/// Takes a tenant's configuration back to an earlier revision: several changes that take effect together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigRollback {
    /// To which revision of the control state, for people; what is changed stands in `changes`.
    pub revision: u64,
    /// What that takes from here, in order, each a change of configuration. At least one.
    pub changes: Vec<Operation>,
}

impl OperationSpec for ConfigRollback {
    const NAME: &'static str = "config.rollback";
    const SCOPE: Scope = Scope::Tenant;
    const ROLES: &'static [Role] = &[];
    const SAMPLES: &'static [&'static [&'static str]] =
        &[&["3", "workflow.register etl", "ramp.set run/etl 7", "kill.clear */*", "profile.assign strict"]];

    fn args(&self) -> Args {
        let each = self.changes.iter().map(|c| ("change", words(c)));
        std::iter::once(("revision", self.revision.to_string())).chain(each).collect()
    }

    fn parse(v: &Values<'_>) -> Option<Self> {
        let changes = v.rest(1);
        let read: Vec<Operation> = changes.iter().map(|c| from_words(c)).collect::<Option<_>>()?;
        (!read.is_empty()).then_some(Self { revision: v.number(0)?, changes: read })
    }

    fn object(&self) -> String {
        "config".to_owned()
    }

    fn sentence(&self) -> String {
        format!("Take the configuration back to revision {} ({} changes)", self.revision, self.changes.len())
    }
}

/// Name and values, separated by spaces: the values of a configuration change have none in them.
fn words(op: &Operation) -> String {
    let values = op.args().into_iter().map(|(_, v)| v);
    std::iter::once(op.name().to_owned()).chain(values).collect::<Vec<_>>().join(" ")
}

fn from_words(text: &str) -> Option<Operation> {
    let (name, values) = text.split_once(' ')?;
    let op = Operation::parse(name, &values.split(' ').collect::<Vec<_>>())?;
    (op.kind().config && words(&op) == text).then_some(op)
}
