//! Ramps as feature flags, in the words of the `OpenFeature` Remote Evaluation Protocol (OFREP 0.1,
//! <https://github.com/open-feature/protocol>).
//!
//! A flag is `action/workflow`, as a rule is, or a workflow alone for the action `run`. It is on for a subject exactly
//! when the ramp gate would let a run with that subject in: the same bucket, the same rule, the same kill switch.
//! Quotas, prompts and policy do not matter. Evaluating a flag only reads: it starts no run and writes no receipt.

use crate::basis_points::BasisPoints;
use crate::control::ControlState;
use crate::ids::Ident;
use crate::ramp;
use crate::untrusted::MAX_NAME;
use serde::{Deserialize, Serialize};

/// The action of a flag that names none.
const ACTION: &str = "run";
/// Flags of one bulk evaluation at most.
pub const MAX_FLAGS: usize = 4_096;

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flag {
    /// What would be asked for.
    pub action: Ident,
    /// Workflow type.
    pub workflow: Ident,
}

impl Flag {
    /// Reads `action/workflow` or `workflow`. `None` when it cannot be one.
    pub fn parse(key: &str) -> Option<Self> {
        let (action, workflow) = key.split_once('/').unwrap_or((ACTION, key));
        Some(Self { action: Ident::new(action).ok()?, workflow: Ident::new(workflow).ok()? })
    }
}

impl std::fmt::Display for Flag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.action, self.workflow)
    }
}

/// More about an answer, for logs and traces of whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The rule that decided, empty where none does.
    pub rule: String,
    /// Share of subjects it includes.
    pub ramp_hundredths: BasisPoints,
    /// Revision of that rule, 0 where there is none.
    pub revision: u64,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Evaluation {
    /// The flag as it was asked for.
    pub key: String,
    /// The subject is included.
    pub value: bool,
    /// `SPLIT` where the subject decided, `STATIC` where all have the same answer, `DISABLED` where it was killed.
    pub reason: &'static str,
    /// `on` or `off`.
    pub variant: &'static str,
    /// More.
    pub metadata: Metadata,
}

/// What is asked: `POST /ofrep/v1/evaluate/flags`, and the same for one flag.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
pub struct OfrepRequest {
    /// Of whom; nobody in particular unless given.
    #[serde(default)]
    pub context: FlagContext,
}

/// Of whom it is asked. Other members do not matter to a ramp.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
pub struct FlagContext {
    /// The subject.
    #[serde(default, rename = "targetingKey")]
    #[schemars(length(max = MAX_NAME))]
    pub targeting_key: Option<String>,
    /// Display id of the tenant: need not be named, and if it is, must be the one the credentials belong to.
    #[serde(default)]
    pub tenant_id: Option<String>,
}

/// Answers for all flags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Evaluations {
    /// One for each flag.
    pub flags: Vec<Evaluated>,
}

/// An answer, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Evaluated {
    /// The answer.
    Is(Evaluation),
    /// There is none.
    Failed(Failure),
}

/// An error of the protocol, in its form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The flag as it was asked for; none when it is about no one flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// A code of the protocol.
    pub error_code: ErrorCode,
    /// What happened.
    pub error_details: String,
}

/// Codes of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The body cannot be read.
    ParseError,
    /// No subject was named, and it takes one.
    TargetingKeyMissing,
    /// The context is not what it should be.
    InvalidContext,
    /// There is no such flag.
    FlagNotFound,
    /// Something else.
    General,
}

/// Why there is no answer: a code of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// The workflow type is not in the tenant's catalog.
    #[error("the tenant has no such flag: it is action/workflow, and the workflow type must be registered")]
    NotFound,
    /// A share of subjects is included, and no subject was named.
    #[error("a share of subjects is included: name the subject as targetingKey")]
    TargetingKeyMissing,
}

impl FlagError {
    /// The code.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::NotFound => ErrorCode::FlagNotFound,
            Self::TargetingKeyMissing => ErrorCode::TargetingKeyMissing,
        }
    }
}

/// Evaluates one flag under the tenant's ramp key.
pub fn evaluate(
    control: &ControlState,
    ramp_key: &[u8; 32],
    flag: &Flag,
    subject: Option<&str>,
) -> Result<Evaluation, FlagError> {
    if !control.workflows.contains(&flag.workflow) {
        return Err(FlagError::NotFound);
    }
    let (action, workflow) = (flag.action.as_str(), flag.workflow.as_str());
    let rule = ramp::deciding(&control.ramps, action, workflow);
    let share = rule.map_or(BasisPoints::FULL, |(_, r)| r.hundredths);
    let subject = subject.filter(|s| !s.is_empty());
    let (value, reason) = match (control.killed(action, workflow), share, subject) {
        (Some(_), _, _) => (false, "DISABLED"),
        (None, BasisPoints::ZERO, _) => (false, "STATIC"),
        (None, BasisPoints::FULL, _) => (true, "STATIC"),
        (None, _, None) => return Err(FlagError::TargetingKeyMissing),
        (None, _, Some(s)) => {
            (share.includes(ramp::bucket(ramp_key, action, workflow, s.as_bytes())), "SPLIT")
        }
    };
    Ok(Evaluation {
        key: flag.to_string(),
        value,
        reason,
        variant: if value { "on" } else { "off" },
        metadata: Metadata {
            rule: rule.map_or_else(String::new, |(s, _)| s.to_string()),
            ramp_hundredths: share,
            revision: rule.map_or(0, |(_, r)| r.revision),
        },
    })
}

/// All flags there are: each registered workflow type with the action `run` and with each that a rule names. `None` when
/// they are more than [`MAX_FLAGS`].
pub fn all(control: &ControlState) -> Option<Vec<Flag>> {
    let named = control.ramps.keys().chain(control.kills.keys()).filter_map(|s| s.action.clone());
    let actions: std::collections::BTreeSet<Ident> = named.chain(Ident::new(ACTION)).collect();
    if actions.len().checked_mul(control.workflows.len()).is_none_or(|n| n > MAX_FLAGS) {
        return None;
    }
    let of = |w: &Ident| -> Vec<Flag> {
        actions.iter().map(|a| Flag { action: a.clone(), workflow: w.clone() }).collect()
    };
    Some(control.workflows.iter().flat_map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Operation, ops};

    fn state(ops: &[Operation]) -> ControlState {
        let etl = Operation::WorkflowRegister(ops::WorkflowRegister { workflow: Ident::new("etl").unwrap() });
        std::iter::once(&etl).chain(ops).fold(ControlState::default(), |s, op| s.after(op))
    }
    fn ramp(rule: &str, hundredths: u16) -> Operation {
        Operation::RampSet(ops::RampSet {
            selector: rule.parse().unwrap(),
            hundredths: BasisPoints::saturating(hundredths),
        })
    }
    fn ask(s: &ControlState, key: &str, subject: Option<&str>) -> Result<(bool, &'static str), FlagError> {
        evaluate(s, &[7; 32], &Flag::parse(key).unwrap(), subject).map(|e| (e.value, e.reason))
    }

    /// SPEC 3.1: a flag says what the gate would: the most exact rule, kill switches, the subject's bucket.
    #[test]
    fn a_flag_says_what_the_gate_would() {
        let plain = state(&[]);
        assert_eq!(ask(&plain, "etl", None), Ok((true, "STATIC")));
        assert_eq!(ask(&plain, "ml", Some("a")), Err(FlagError::NotFound));
        let half = state(&[ramp("*/*", 0), ramp("run/etl", 5_000)]);
        assert_eq!(ask(&half, "test/etl", None), Ok((false, "STATIC")));
        assert_eq!(ask(&half, "run/etl", None), Err(FlagError::TargetingKeyMissing));
        assert_eq!(ask(&half, "run/etl", Some("")), Err(FlagError::TargetingKeyMissing));
        for n in 0..200 {
            let subject = format!("s-{n}");
            let inside = ramp::bucket(&[7; 32], "run", "etl", subject.as_bytes()) < 5_000;
            assert_eq!(ask(&half, "etl", Some(&subject)), Ok((inside, "SPLIT")));
        }
        for drain in [true, false] {
            let killed =
                half.after(&Operation::KillSet(ops::KillSet { selector: "*/etl".parse().unwrap(), drain }));
            assert_eq!(ask(&killed, "etl", None), Ok((false, "DISABLED")));
        }
        let keys: Vec<String> = all(&half).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(keys, ["run/etl"]);
        let keys = all(&half.after(&ramp("test/*", 1))).unwrap();
        assert_eq!(keys.len(), 2);
    }

    /// SPEC, Bad input: what is no identifier is no flag.
    #[test]
    fn what_is_no_flag() {
        for key in ["", "/", "run/", "/etl", "run/etl/x", "Run/etl", "*/etl", "run/e tl", &"x".repeat(64)] {
            assert_eq!(Flag::parse(key), None, "{key}");
        }
        assert_eq!(Flag::parse("etl"), Flag::parse("run/etl"));
    }
}
