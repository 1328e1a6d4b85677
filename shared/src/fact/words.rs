//! The closed lists of words that facts hold.

use crate::codec::{Canon, CodecError, Value};
use crate::words::words;
use serde::{Deserialize, Serialize};

macro_rules! canon_word {
    ($($name:ident),+) => {$(
        impl Canon for $name {
            fn to_value(&self) -> Value {
                Value::Text(self.as_str().to_owned())
            }
            fn put(&self, out: &mut Vec<u8>) {
                crate::codec::Plain::Text(self.as_str()).put(out);
            }
            fn from_value(v: &Value) -> Result<Self, CodecError> {
                match v {
                    Value::Text(t) => Self::from_word(t),
                    _ => None,
                }
                .ok_or(CodecError::Expected(stringify!($name)))
            }
        }
    )+};
}

/// Environment of a piece of work.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::VariantArray,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::Display,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", parse_err_ty = String, parse_err_fn = Self::unknown)]
pub enum Env {
    /// Real.
    Production,
    /// Before real.
    Staging,
    /// In the making.
    Development,
    /// A drill.
    Rehearsal,
}

/// Who or what set a run off.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::VariantArray,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::Display,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", parse_err_ty = String, parse_err_fn = Self::unknown)]
pub enum ActorType {
    /// A person.
    Person,
    /// Another program.
    Service,
    /// A timer.
    Schedule,
    /// An agent that plans for itself.
    Agent,
}

/// How a run or step ended.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::VariantArray,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::Display,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", parse_err_ty = String, parse_err_fn = Self::unknown)]
pub enum Outcome {
    /// As it should.
    Succeeded,
    /// With an error.
    Failed,
    /// Called off.
    Cancelled,
    /// Its lease ran out.
    Lost,
}

/// The answer of a decision.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::VariantArray,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::Display,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", parse_err_ty = String, parse_err_fn = Self::unknown)]
pub enum Verdict {
    /// Go ahead.
    Allow,
    /// Do not.
    Deny,
}

/// Class of a privileged change as it was computed from the state before and after.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::VariantArray,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::Display,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", parse_err_ty = String, parse_err_fn = Self::unknown)]
pub enum ChangeClass {
    /// Nothing is looser than before.
    Tighten,
    /// Something is looser, unordered or unknown.
    Loosen,
}

words!(Env, ActorType, Outcome, Verdict, ChangeClass);
canon_word!(Env, ActorType, Outcome, Verdict, ChangeClass);
