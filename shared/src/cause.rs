//! Causes: why an incident was opened, and why a ramp was rolled back. Closed for what Conductor issues, open when read.

use crate::ids::Ident;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why an incident was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum IncidentCause {
    /// The wall clock of the node was stepped.
    Clock,
    /// A ramp was rolled back by its SLO watch.
    AutoRollback,
    /// The signer has not signed for too long.
    SignerOutage,
    /// No valid policy has answered for too long.
    PolicyOutage,
    /// There has been too little room on the disk for too long.
    DiskFull,
    /// One tenant is denied for its quotas at a high rate.
    QuotaFlood,
    /// A log is shorter than what was signed of it.
    LogRolledBack,
    /// A row of a partition cannot be what it is.
    PartitionDamaged,
    /// One person opened break-glass alone.
    BreakGlass,
    /// Two admins confirmed the time.
    TimeConfirmed,
    /// Two admins replaced the signer.
    SignerReplaced,
    /// Two admins changed policy while it was out.
    PolicyRecovered,
}

/// Why a ramp was rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum RollbackCause {
    /// Too many runs failed.
    Errors,
    /// Steps take too long.
    Latency,
    /// A fault of the platform, which says nothing about the revision.
    Platform,
}

/// A cause as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause<C> {
    /// One that this program knows.
    Known(C),
    /// One from a newer program.
    Other(Ident),
}

impl<C: Copy + Into<&'static str>> Cause<C> {
    /// The public word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(c) => (*c).into(),
            Self::Other(word) => word.as_str(),
        }
    }
}

impl<C: FromStr> Cause<C> {
    /// From the public word.
    pub fn read(word: Ident) -> Self {
        word.as_str().parse().map_or(Self::Other(word), Self::Known)
    }
}

impl<C: PartialEq> PartialEq<C> for Cause<C> {
    fn eq(&self, other: &C) -> bool {
        matches!(self, Self::Known(c) if c == other)
    }
}

impl From<IncidentCause> for Cause<IncidentCause> {
    fn from(c: IncidentCause) -> Self {
        Self::Known(c)
    }
}
impl From<RollbackCause> for Cause<RollbackCause> {
    fn from(c: RollbackCause) -> Self {
        Self::Known(c)
    }
}

impl<C: Copy + Into<&'static str>> fmt::Display for Cause<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that a newer program may have, so any identifier.
impl<C> schemars::JsonSchema for Cause<C> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cause".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": crate::ids::IDENT, "description": "A cause, in a word"})
    }
}

impl<C: Copy + Into<&'static str>> Serialize for Cause<C> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}
impl<'de, C: FromStr> Deserialize<'de> for Cause<C> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ident::deserialize(d).map(Self::read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strum::VariantArray as _;

    /// DESIGN, What can never change later: the words are public names, and a newer one survives and is none of them.
    #[test]
    fn the_words_of_causes() {
        let words: Vec<&str> = IncidentCause::VARIANTS.iter().map(Into::into).collect();
        assert_eq!(
            words,
            [
                "clock",
                "auto-rollback",
                "signer-outage",
                "policy-outage",
                "disk-full",
                "quota-flood",
                "log-rolled-back",
                "partition-damaged",
                "break-glass",
                "time-confirmed",
                "signer-replaced",
                "policy-recovered"
            ]
        );
        let words: Vec<&str> = RollbackCause::VARIANTS.iter().map(Into::into).collect();
        assert_eq!(words, ["errors", "latency", "platform"]);
        let read = |json| serde_json::from_str::<Cause<IncidentCause>>(json).unwrap();
        assert_eq!(read(r#""clock""#), IncidentCause::Clock);
        let newer = read(r#""evidence-lost""#);
        assert_eq!(
            (newer.as_str(), &newer),
            ("evidence-lost", &Cause::Other(Ident::new("evidence-lost").unwrap()))
        );
    }
}
