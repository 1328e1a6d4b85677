//! Kinds of facts that a receipt can hold, as one table. A kind never changes its meaning; a new meaning is a new kind.
//!
//! Control kinds (0x0001 to 0x0fff) commit to each field and are folded into [`crate::control::ControlState`]. Traffic
//! kinds (0x1000 and up) commit to three groups, `who`, `what` and `measure`, each a list of values in the order of
//! the table, and are not folded.

use crate::cause::{Cause, IncidentCause, RollbackCause};
use crate::codec::{Canon, CodecError, Listed, Value, put_list};
use crate::ids::{CommandId, GrantId, Ident, PersonId, RunId, TenantUid};
use crate::untrusted::UntrustedText;

mod words;

pub use words::{ActorType, ChangeClass, Env, Outcome, Verdict};

/// First kind of traffic.
pub const FIRST_TRAFFIC: u16 = 0x1000;

/// The kind of [`StateSnapshot`].
pub const SNAPSHOT: u16 = 0x001b;

/// The names a kind commits to, and for traffic the names inside its groups.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// The number.
    pub kind: u16,
    /// The name.
    pub name: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// Committed names, in order.
    pub fields: &'static [&'static str],
    /// For traffic: the names inside `who`, `what`, `measure`.
    pub groups: Option<[&'static [&'static str]; 3]>,
}

/// The committed names of all traffic kinds.
pub const GROUPS: &[&str] = &["who", "what", "measure"];

macro_rules! facts {
    (
        control { $( $(#[doc = $cdoc:literal])+ $ck:literal $cn:ident { $( $(#[doc = $fdoc:literal])* $cf:ident : $ct:ty ),* $(,)? } )* }
        traffic { $( $(#[doc = $tdoc:literal])+ $tk:literal $tn:ident {
            who { $( $(#[doc = $wdoc:literal])* $wf:ident : $wt:ty ),* $(,)? }
            what { $( $(#[doc = $hdoc:literal])* $hf:ident : $ht:ty ),* $(,)? }
            measure { $( $(#[doc = $mdoc:literal])* $mf:ident : $mt:ty ),* $(,)? }
        } )* }
    ) => {
        $( $(#[doc = $cdoc])+ #[derive(Debug, Clone, PartialEq, Eq)] pub struct $cn { $( $(#[doc = $fdoc])* pub $cf: $ct, )* } )*
        $( $(#[doc = $tdoc])+ #[allow(missing_docs)] // fields named in the words of SPEC.md need no second telling
        #[derive(Debug, Clone, PartialEq, Eq)] pub struct $tn {
            $( $(#[doc = $wdoc])* pub $wf: $wt, )* $( $(#[doc = $hdoc])* pub $hf: $ht, )* $( $(#[doc = $mdoc])* pub $mf: $mt, )* } )*

        /// A fact that changes control state.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum ControlFact { $( $cn($cn), )* }

        /// A fact about work.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum TrafficFact { $( $tn($tn), )* }

        /// Every kind there is.
        pub const SCHEMAS: &[Schema] = &[
            $( Schema { kind: $ck, name: stringify!($cn), meaning: concat!($($cdoc),+), fields: &[$(stringify!($cf)),*], groups: None }, )*
            $( Schema { kind: $tk, name: stringify!($tn), meaning: concat!($($tdoc),+), fields: GROUPS,
                groups: Some([&[$(stringify!($wf)),*], &[$(stringify!($hf)),*], &[$(stringify!($mf)),*]]) }, )*
        ];

        impl ControlFact {
            /// The number of the kind.
            pub fn kind(&self) -> u16 { match self { $( Self::$cn(_) => $ck, )* } }
            /// Values in schema order.
            pub fn values(&self) -> Vec<Value> { match self { $( Self::$cn(f) => vec![ $( f.$cf.to_value() ),* ], )* } }
            /// Appends the encoding of the values, without making them.
            pub fn put_values(&self, out: &mut Vec<u8>) { match self { $( Self::$cn(f) => { $( f.$cf.put(out); )* } )* } }
            /// From values. `None` for a kind this program does not know.
            pub fn from_values(kind: u16, values: &[Value]) -> Result<Option<Self>, CodecError> {
                match kind {
                    $( $ck => { let mut it = values.iter(); let f = $cn { $( $cf: next(&mut it)?, )* }; done(&it)?; Ok(Some(Self::$cn(f))) } )*
                    _ => Ok(None),
                }
            }
        }
        impl TrafficFact {
            /// The number of the kind.
            pub fn kind(&self) -> u16 { match self { $( Self::$tn(_) => $tk, )* } }
            /// The three groups.
            pub fn values(&self) -> Vec<Value> { match self { $( Self::$tn(f) => vec![
                Value::List(vec![$( f.$wf.to_value() ),*]), Value::List(vec![$( f.$hf.to_value() ),*]), Value::List(vec![$( f.$mf.to_value() ),*]) ], )* } }
            /// Appends the encoding of the three groups, without making them.
            #[allow(unused_variables)] // a group may be empty
            pub fn put_values(&self, out: &mut Vec<u8>) { match self { $( Self::$tn(f) => {
                put_list(out, <[&str]>::len(&[$( stringify!($wf) ),*]), |out| { $( f.$wf.put(out); )* });
                put_list(out, <[&str]>::len(&[$( stringify!($hf) ),*]), |out| { $( f.$hf.put(out); )* });
                put_list(out, <[&str]>::len(&[$( stringify!($mf) ),*]), |out| { $( f.$mf.put(out); )* });
            } )* } }
            /// From values. `None` for a kind this program does not know.
            pub fn from_values(kind: u16, values: &[Value]) -> Result<Option<Self>, CodecError> {
                match kind {
                    $( $tk => {
                        let [Value::List(who), Value::List(what), Value::List(measure)] = values else { return Err(CodecError::Expected("three groups")) };
                        #[allow(unused_mut)] // a group may be empty
                        let (mut a, mut b, mut c) = (who.iter(), what.iter(), measure.iter());
                        let f = $tn { $( $wf: next(&mut a)?, )* $( $hf: next(&mut b)?, )* $( $mf: next(&mut c)?, )* };
                        done(&a)?; done(&b)?; done(&c)?;
                        Ok(Some(Self::$tn(f)))
                    } )*
                    _ => Ok(None),
                }
            }
        }
        $( impl From<$cn> for Fact { fn from(f: $cn) -> Self { Fact::Control(ControlFact::$cn(f)) } } )*
        $( impl From<$tn> for Fact { fn from(f: $tn) -> Self { Fact::Traffic(TrafficFact::$tn(f)) } } )*
    };
}

fn next<T: Canon>(it: &mut std::slice::Iter<'_, Value>) -> Result<T, CodecError> {
    it.next().ok_or(CodecError::Expected("more fields")).and_then(T::from_value)
}
fn done(it: &std::slice::Iter<'_, Value>) -> Result<(), CodecError> {
    if it.len() == 0 { Ok(()) } else { Err(CodecError::Expected("fewer fields")) }
}

/// Any fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// Folded.
    Control(ControlFact),
    /// Not folded.
    Traffic(TrafficFact),
}

impl Fact {
    /// The number of the kind.
    pub fn kind(&self) -> u16 {
        match self {
            Fact::Control(f) => f.kind(),
            Fact::Traffic(f) => f.kind(),
        }
    }
    /// Values in schema order.
    pub fn values(&self) -> Vec<Value> {
        match self {
            Fact::Control(f) => f.values(),
            Fact::Traffic(f) => f.values(),
        }
    }
    /// Appends the encoding of the values, without making them.
    pub fn put_values(&self, out: &mut Vec<u8>) {
        match self {
            Fact::Control(f) => f.put_values(out),
            Fact::Traffic(f) => f.put_values(out),
        }
    }
    /// From values. `None` for a kind this program does not know.
    pub fn from_values(kind: u16, values: &[Value]) -> Result<Option<Self>, CodecError> {
        Ok(if kind < FIRST_TRAFFIC {
            ControlFact::from_values(kind, values)?.map(Fact::Control)
        } else {
            TrafficFact::from_values(kind, values)?.map(Fact::Traffic)
        })
    }
}

/// The schema of a kind.
pub fn schema(kind: u16) -> Option<&'static Schema> {
    SCHEMAS.iter().find(|s| s.kind == kind)
}

facts! {
    control {
        /// The first entry of a log: how it came to be.
        0x0001 LogOpened {
            /// `init`, `created`, `restored`...
            reason: String,
            /// Display id of the tenant; of the node for the node log.
            name: Ident,
            /// For an epoch after the first: origin, size and root of the last checkpoint of the one before.
            cites: Option<Listed<Value>>,
        }
        /// A person's key was enrolled while bootstrap was open.
        0x0002 OperatorEnrolled {
            /// The person.
            person: PersonId,
            /// Their short name.
            name: Ident,
            /// Minisign public key, base64 as minisign writes it.
            public_key: String,
            /// Roles on this node.
            roles: Listed<String>,
        }
        /// Bootstrap closed for ever.
        0x0003 BootstrapClosed {
            /// How many persons hold keys.
            persons: u64,
        }
        /// The key whose signatures make this node's checkpoints.
        0x0004 SignerPinned {
            /// Minisign public key, base64 as minisign writes it.
            public_key: String,
        }
        /// A tenant was created on this node.
        0x0005 TenantCreated {
            /// Its uid.
            tenant_uid: TenantUid,
            /// Its display id.
            tenant_id: Ident,
            /// Epoch of its log.
            epoch: u64,
        }
        /// A change took effect at once.
        0x0006 Changed {
            /// The change; see [`crate::command::Operation`].
            change: Listed<String>,
            /// State of the object before.
            before: Listed<String>,
            /// State of the object after.
            after: Listed<String>,
            /// Class as computed.
            class: ChangeClass,
            /// Who.
            person: PersonId,
            /// Why.
            why: UntrustedText,
            /// The command, or zeros when bootstrap did it.
            command_id: CommandId,
            /// When the command ends, microseconds since the Unix epoch.
            expires_at_us: u64,
            /// The agent's wall clock when it judged that, likewise.
            judged_at_us: u64,
            /// Exact bytes of the command.
            text: Vec<u8>,
            /// Its minisign file.
            signature: String,
        }
        /// A change was proposed; it has no effect yet.
        0x0007 Proposed {
            /// The change.
            change: Listed<String>,
            /// State of the object before.
            before: Listed<String>,
            /// State of the object after, should it take effect.
            after: Listed<String>,
            /// Class as computed.
            class: ChangeClass,
            /// Who.
            person: PersonId,
            /// Why.
            why: UntrustedText,
            /// The command.
            command_id: CommandId,
            /// When the command ends, microseconds since the Unix epoch.
            expires_at_us: u64,
            /// The agent's wall clock when it judged that, likewise.
            judged_at_us: u64,
            /// Exact bytes of the command.
            text: Vec<u8>,
            /// Its minisign file.
            signature: String,
        }
        /// A proposed change took effect.
        0x0008 Effective {
            /// Whose command.
            author: PersonId,
            /// The command.
            command_id: CommandId,
            /// Index of its proposal.
            proposal: u64,
            /// SHA-256 of the command's exact text.
            digest: [u8; 32],
            /// Size of the signed checkpoint that covers the proposal.
            checkpoint_size: u64,
            /// Its root.
            checkpoint_root: [u8; 32],
        }
        /// A proposed change will never take effect.
        0x0009 Abandoned {
            /// Whose command.
            author: PersonId,
            /// The command.
            command_id: CommandId,
            /// Index of its proposal.
            proposal: u64,
            /// SHA-256 of the command's exact text.
            digest: [u8; 32],
            /// A reason code.
            why: String,
        }
        /// Something went wrong.
        0x000a IncidentOpened {
            /// Random.
            incident: [u8; 16],
            /// Cause, a word.
            cause: Cause<IncidentCause>,
            /// What happened.
            detail: UntrustedText,
        }
        /// It is over.
        0x000b IncidentClosed {
            /// Which.
            incident: [u8; 16],
            /// How.
            detail: UntrustedText,
        }
        /// The agent started.
        0x000c AgentStarted {
            /// Version of the program.
            version: String,
            /// Random, for this start.
            boot: [u8; 16],
            /// Runs that were open.
            open_runs: u64,
        }
        /// A change was asked for that takes more than one person; it has no effect yet.
        0x000e Requested {
            /// The change.
            change: Listed<String>,
            /// State of the object before.
            before: Listed<String>,
            /// State of the object after, should it take effect.
            after: Listed<String>,
            /// Class as computed.
            class: ChangeClass,
            /// Who.
            person: PersonId,
            /// Why.
            why: UntrustedText,
            /// The command.
            command_id: CommandId,
            /// When the command ends, microseconds since the Unix epoch.
            expires_at_us: u64,
            /// The agent's wall clock when it judged that, likewise.
            judged_at_us: u64,
            /// Exact bytes of the command.
            text: Vec<u8>,
            /// Its minisign file.
            signature: String,
            /// Approvals by others that it takes.
            needed: u64,
            /// Size of the node's log: keys and roles that are younger cannot approve it.
            node_size: u64,
        }
        /// A person approved what another asked for.
        0x000f Approved {
            /// Whose command.
            author: PersonId,
            /// The command.
            command_id: CommandId,
            /// Index of the request.
            request: u64,
            /// SHA-256 of the command's exact text.
            digest: [u8; 32],
            /// Who.
            person: PersonId,
            /// With which key.
            key_id: String,
            /// Exact bytes of the approval.
            text: Vec<u8>,
            /// Its minisign file.
            signature: String,
        }
        /// What was asked for will never take effect: refused, or its time is over.
        0x0010 RequestClosed {
            /// Whose command.
            author: PersonId,
            /// The command.
            command_id: CommandId,
            /// Index of the request.
            request: u64,
            /// SHA-256 of the command's exact text.
            digest: [u8; 32],
            /// Who refused it; zeros when its time was over.
            person: PersonId,
            /// A reason code.
            why: String,
            /// Exact bytes of the refusal, if somebody refused.
            text: Vec<u8>,
            /// Its minisign file.
            signature: String,
        }
        /// A plan went on by itself: what was seen under the step before it was healthy.
        0x0018 RampAdvanced {
            /// Which rule.
            selector: String,
            /// New value, hundredths of a percent.
            hundredths: u64,
            /// Revision of the control state that set the plan.
            plan: u64,
            /// Runs that had settled under the step before.
            settled: u64,
            /// Of these, failed or lost.
            failed: u64,
            /// Size of the signed checkpoint that covers what was seen.
            checkpoint_size: u64,
            /// Its root.
            checkpoint_root: [u8; 32],
        }
        /// A ramp fell by itself: what was seen under its revision breached a threshold.
        0x0019 RampRolledBack {
            /// Which rule.
            selector: String,
            /// Value before, hundredths of a percent.
            from: u64,
            /// Value now, likewise.
            to: u64,
            /// `errors`, `latency`, or `platform`, which says nothing about the revision.
            cause: Cause<RollbackCause>,
            /// Revision of the ramp that was judged.
            revision: u64,
            /// Runs that had settled under it.
            settled: u64,
            /// Of these, failed or lost.
            failed: u64,
            /// Steps whose latency was seen.
            steps: u64,
            /// Their p99, microseconds.
            p99_us: u64,
            /// Receipts not covered by a signed checkpoint.
            backlog: u64,
        }
        /// What proves an incident, and how long it went unnoticed.
        0x001a IncidentEvidence {
            /// Which.
            incident: [u8; 16],
            /// When it began, as far as is known, microseconds since the Unix epoch.
            began_us: u64,
            /// When it was noticed, likewise.
            detected_us: u64,
            /// Indices of receipts of this log.
            receipts: Listed<u64>,
        }
        /// A freeze window of a profile opened.
        0x0011 FreezeBegan {
            /// Of which profile.
            profile: Ident,
            /// Its name.
            window: Ident,
            /// When it will close, as far as can be foreseen, microseconds since the Unix epoch.
            until_us: Option<u64>,
        }
        /// It closed.
        0x0012 FreezeEnded {
            /// Of which profile.
            profile: Ident,
            /// Its name.
            window: Ident,
        }
        /// The time of a freeze that was set on the spot is over.
        0x0013 FreezeOver {
            /// Its name.
            freeze: Ident,
        }
        /// A freeze forbids the command whose receipt follows, and break-glass lifts it.
        0x0014 BreakGlassUsed {
            /// Which break-glass.
            grant: GrantId,
            /// Whose command.
            author: PersonId,
            /// The command.
            command_id: CommandId,
        }
        /// The time of break-glass is over.
        0x0015 BreakGlassOver {
            /// Which.
            grant: GrantId,
        }
        /// What all control facts before it made of the control state of this log; it changes nothing.
        0x001b StateSnapshot {
            /// Digest of the state.
            digest: [u8; 32],
            /// The state, in the encoding that the digest is over.
            state: Vec<u8>,
        }
    }
    traffic {
        /// A run was asked for.
        0x1001 RunDecided {
            who { /// `token:<id>` or `uid:<n>`.
                principal: String }
            what { /// The run; zeros when denied.
                run: RunId, workflow: Ident, env: Env, actor: ActorType, action: Ident,
                /// Whom the work is for; empty when the run itself is the subject.
                subject: UntrustedText, verdict: Verdict,
                /// Reason codes, every one that applies.
                reasons: Listed<String>,
                /// Selector of the ramp that decided; empty when none.
                rule: String }
            measure { /// 0 to 9,999.
                bucket: u64, /// Hundredths of a percent.
                ramp: u64, /// Lease, microseconds.
                lease_us: u64 }
        }
        /// A step was asked for.
        0x1002 StepDecided {
            who { principal: String }
            what { run: RunId, /// Number within the run; 0 when denied.
                step: u64, name: UntrustedText, workflow: Ident, env: Env, actor: ActorType, verdict: Verdict, reasons: Listed<String> }
            measure { lease_us: u64 }
        }
        /// A step ended.
        0x1003 StepFinished {
            who { principal: String }
            what { run: RunId, step: u64, workflow: Ident, env: Env, actor: ActorType, outcome: Outcome }
            measure { /// What the workload claims, microseconds.
                claimed_us: u64, /// What the agent saw, microseconds.
                observed_us: u64, bytes_in: u64, bytes_out: u64 }
        }
        /// A run ended.
        0x1004 RunFinished {
            who { principal: String }
            what { run: RunId, workflow: Ident, env: Env, actor: ActorType, outcome: Outcome,
                /// Steps that were open and ended with it.
                open_steps: u64 }
            measure { observed_us: u64 }
        }
        /// A run or step is still alive.
        0x1005 LeaseRenewed {
            who { principal: String }
            what { run: RunId }
            measure { lease_us: u64, /// Open steps renewed with it.
                steps: u64 }
        }
        /// Somebody in the workflow approved or rejected something.
        0x1006 ApprovalDecided {
            who { principal: String, /// Who decided.
                approver: UntrustedText }
            what { run: RunId, workflow: Ident, env: Env, actor: ActorType, /// What was decided about.
                name: UntrustedText, approved: bool }
            measure { }
        }
        /// A settle came too late: it is recorded and revives nothing.
        0x1007 LateSettle {
            who { principal: String }
            what { run: RunId, /// 0 for the run itself.
                step: u64, /// As claimed.
                outcome: Outcome, /// What it had ended as.
                ended_as: Outcome }
            measure { claimed_us: u64, bytes_in: u64, bytes_out: u64 }
        }
        /// A request was denied before it could be a decision about work.
        0x1008 RequestDenied {
            who { /// Who asked, as far as proved.
                principal: String, /// Transport and peer.
                peer: UntrustedText }
            what { /// Operation.
                operation: String, /// What was named as tenant, never trusted.
                named_tenant: UntrustedText, reasons: Listed<String> }
            measure { }
        }
        /// The same denial came again within a second; this closes the fold.
        0x1009 DenialsFolded {
            who { principal: String }
            what { /// Index of the receipt of the first denial.
                first: u64, reasons: Listed<String>,
                /// True when more may have come than were counted.
                count_lower_bound: bool }
            measure { /// Denials after the first.
                count: u64 }
        }
        /// A command, an approval or a refusal of a person was denied.
        0x100a CommandDenied {
            who { /// Who signed it.
                person: PersonId }
            what { /// The command.
                command_id: CommandId, /// Name of the operation; `approval` for an answer to a request.
                operation: String, /// What it would have changed.
                object: UntrustedText, reasons: Listed<String>,
                /// SHA-256 of the text.
                text_digest: [u8; 32] }
            measure { }
        }
        /// A run was lost: how many of its heartbeats left no receipt of their own, and when the last one came.
        0x100b HeartbeatsFolded {
            who { principal: String }
            what { run: RunId, /// True when more may have come than were counted: the agent was started meanwhile.
                count_lower_bound: bool }
            measure { count: u64, /// Agent's time, microseconds since the Unix epoch.
                last_us: u64 }
        }
    }
}

/// True when facts of this kind are folded.
pub fn is_control(kind: u16) -> bool {
    kind < FIRST_TRAFFIC
}

#[cfg(test)]
mod tests;
