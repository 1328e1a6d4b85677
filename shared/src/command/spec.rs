//! What is said of every operation.

use super::values::Values;
use crate::fail_closed::Class;
use crate::ids::Ident;
use crate::operator::Role;

/// Argument names with their values, in order.
pub type Args = Vec<(&'static str, String)>;

/// Which log an operation belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The node's.
    Node,
    /// A tenant's.
    Tenant,
    /// Whichever its object is in.
    AnyLog,
}

/// What a minisign key is for. One purpose a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPurpose {
    /// A person signs commands and approvals with it.
    Operator,
    /// The signer signs checkpoints with it.
    Signer,
    /// Policy bundles are signed with it.
    Policy,
    /// Rate cards are signed with it.
    Billing,
}

/// How a change comes to take effect once everything is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execution {
    /// With its own receipt.
    AtOnce,
    /// When a signed checkpoint covers its proposal.
    OnCheckpoint,
    /// Reserved (purge): after a time in which it can be stopped.
    AfterDelay,
    /// Reserved (restore, export): in slices, from a job.
    Job,
}

impl Execution {
    /// How changes of a class take effect. A recovery waits for no checkpoint, as the signer may be out.
    pub const fn of(class: Class) -> Self {
        match class {
            Class::Loosen | Class::Irreversible => Self::OnCheckpoint,
            Class::Admit | Class::Settle | Class::Tighten | Class::Recover | Class::Read => Self::AtOnce,
        }
    }
}

/// One operation: all that is said of it, apart from its effect, which stands in the fold.
pub trait OperationSpec: Sized {
    /// The public name.
    const NAME: &'static str;
    /// Which log it belongs to.
    const SCOPE: Scope;
    /// Roles of which one is enough. None for an operation that consists of others and takes theirs.
    const ROLES: &'static [Role];
    /// It sets a part of a tenant's configuration, and may stand in a rollback. Who is let in, with which token, is no
    /// configuration: nobody who was shut out comes back that way.
    const CONFIG: bool = false;
    /// Representative values, at least one set, for tests and documents.
    const SAMPLES: &'static [&'static [&'static str]];
    /// How it takes effect, by its class.
    const EXECUTION: fn(Class) -> Execution = Execution::of;

    /// Names and values of its arguments, in order.
    fn args(&self) -> Args;
    /// From the values of its arguments.
    fn parse(v: &Values<'_>) -> Option<Self>;
    /// What it changes: kind and name, separated by a space.
    fn object(&self) -> String;
    /// What it does, in words.
    fn sentence(&self) -> String;

    /// A bound that needs no base, and so may be signed for a node that nobody can look at now. Never loosens, whatever
    /// the current state. Exception: a ramp cap on a rule that does not exist may exceed a broader rule; the node
    /// rejects that, as it comes without a base.
    fn is_absolute(&self) -> bool {
        false
    }

    /// The name that it gives to something new.
    fn names(&self) -> Option<&Ident> {
        None
    }

    /// The minisign public key that it brings in, and what for.
    fn introduces(&self) -> Option<(KeyPurpose, &str)> {
        None
    }
}

/// A kind of operation: its row of the table.
#[derive(Debug)]
pub struct Kind<O: 'static> {
    /// See [`OperationSpec::NAME`].
    pub name: &'static str,
    /// See [`OperationSpec::SCOPE`].
    pub scope: Scope,
    /// See [`OperationSpec::ROLES`].
    pub roles: &'static [Role],
    /// See [`OperationSpec::CONFIG`].
    pub config: bool,
    /// See [`OperationSpec::EXECUTION`].
    pub execution: fn(Class) -> Execution,
    samples: &'static [&'static [&'static str]],
    parse: fn(&Values<'_>) -> Option<O>,
}

impl<O: 'static> Kind<O> {
    pub(super) const fn of<T: OperationSpec + Into<O>>() -> Self {
        const { assert!(!T::SAMPLES.is_empty(), "an operation has a sample") };
        Self {
            name: T::NAME,
            scope: T::SCOPE,
            roles: T::ROLES,
            config: T::CONFIG,
            execution: T::EXECUTION,
            samples: T::SAMPLES,
            parse: |v| T::parse(v).map(Into::into),
        }
    }

    /// An operation of this kind from the values of its arguments.
    pub(super) fn parse(&self, v: &Values<'_>) -> Option<O> {
        (self.parse)(v)
    }

    /// How many samples stand in its file.
    pub fn sample_count(&self) -> usize {
        self.samples.len()
    }

    /// Operations of this kind, at least one.
    pub fn samples(&self) -> impl Iterator<Item = O> {
        self.samples.iter().filter_map(|values| self.parse(&Values::new(values)))
    }
}
