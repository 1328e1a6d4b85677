//! What can be changed: one list of all operations. Each stands in a file of its own, with all that is said of it; the
//! class of a change is never read off its name, see [`crate::change_class`]. To add one: see ARCHITECTURE, "To add
//! something".

mod billing;
mod breakglass;
mod config;
mod freeze;
mod incident;
mod kill;
mod operator;
mod peer;
mod policy;
mod profile;
mod quota;
mod ramp;
mod recovery;
mod rollout;
mod sink;
mod tenant;
mod token;
mod workflow;

pub use billing::*;
pub use breakglass::*;
pub use config::*;
pub use freeze::*;
pub use incident::*;
pub use kill::*;
pub use operator::*;
pub use peer::*;
pub use policy::*;
pub use profile::*;
pub use quota::*;
pub use ramp::*;
pub use recovery::*;
pub use rollout::*;
pub use sink::*;
pub use tenant::*;
pub use token::*;
pub use workflow::*;

use super::spec::{Args, KeyPurpose, Kind, OperationSpec, Scope};
use super::values::Values;
use crate::ids::Ident;

/// Makes the enum of all operations, the way from each to its own file, and the list of all kinds. No logic stands here.
macro_rules! operations {
    ($($op:ident),+ $(,)?) => {
        /// A change, with its values.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Operation {
            $(
                #[doc = concat!("See [`", stringify!($op), "`].")]
                $op($op),
            )+
        }

        $(
            impl From<$op> for Operation {
                fn from(op: $op) -> Self {
                    Self::$op(op)
                }
            }
        )+

        impl Operation {
            /// All kinds of operations.
            pub const ALL: &'static [Kind<Self>] = &[$(Kind::of::<$op>()),+];

            /// What is said of its kind, whatever its values.
            pub fn kind(&self) -> &'static Kind<Self> {
                match self {
                    $(Self::$op(_) => const { &Kind::of::<$op>() },)+
                }
            }

            /// Names and values of its arguments, in order, as they stand in the text and in receipts.
            pub fn args(&self) -> Args {
                match self { $(Self::$op(op) => op.args(),)+ }
            }

            /// What it changes: kind and name, separated by a space.
            pub fn object(&self) -> String {
                match self { $(Self::$op(op) => op.object(),)+ }
            }

            /// What it does, in words.
            pub fn sentence(&self) -> String {
                match self { $(Self::$op(op) => op.sentence(),)+ }
            }

            /// See [`OperationSpec::is_absolute`].
            pub fn is_absolute(&self) -> bool {
                match self { $(Self::$op(op) => op.is_absolute(),)+ }
            }

            /// See [`OperationSpec::names`].
            pub fn names(&self) -> Option<&Ident> {
                match self { $(Self::$op(op) => op.names(),)+ }
            }

            /// See [`OperationSpec::introduces`].
            pub fn introduces(&self) -> Option<(KeyPurpose, &str)> {
                match self { $(Self::$op(op) => op.introduces(),)+ }
            }
        }
    };
}

operations! {
    RampSet,
    RampCap,
    RampClear,
    KillSet,
    KillClear,
    QuotaSet,
    QuotaCap,
    WorkflowRegister,
    WorkflowRetire,
    WorkflowPin,
    WorkflowUnpin,
    TokenIssue,
    TokenRevoke,
    PeerAllow,
    PeerDeny,
    OperatorEnrol,
    OperatorRoles,
    OperatorSuspend,
    OperatorResume,
    OperatorRevoke,
    PolicyTrust,
    PolicyLoad,
    SloSet,
    PlanSet,
    PlanStop,
    RampOverride,
    IncidentAck,
    IncidentClose,
    TimeConfirm,
    SignerReplace,
    ConfigRollback,
    TenantCreate,
    ProfileCreate,
    ProfileSet,
    ProfileWindow,
    ProfileUnwindow,
    ProfileAssign,
    FreezeSet,
    FreezeClear,
    BreakGlassOpen,
    BreakGlassClose,
    UsageCorrect,
    RateTrust,
    RateLoad,
    CostReconcile,
    SinkReplay,
    SinkRedeliver,
}

impl Operation {
    /// The public name.
    pub fn name(&self) -> &'static str {
        self.kind().name
    }

    /// From its name and the values of its arguments, in order.
    pub(crate) fn parse(name: &str, values: &[&str]) -> Option<Self> {
        Self::ALL.iter().find(|k| k.name == name)?.parse(&Values::new(values))
    }

    /// It belongs to the node's log, and to no tenant's.
    pub fn in_node_log(&self) -> bool {
        self.kind().scope == Scope::Node
    }

    /// It belongs to whichever log its object is in, the node's or a tenant's.
    pub fn in_any_log(&self) -> bool {
        self.kind().scope == Scope::AnyLog
    }

    /// The changes that it consists of, in order: itself, but for a rollback.
    pub fn steps(&self) -> &[Self] {
        match self {
            Self::ConfigRollback(r) => &r.changes,
            one => std::slice::from_ref(one),
        }
    }
}
