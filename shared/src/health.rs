//! Subsystems of an agent: what the failure of each one stops, and what helps. An agent proves each by having it do its work;
//! readiness, consoles, metrics, incidents and the watchdog are all told what was found, by this one table.

use crate::cause::IncidentCause;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A part of an agent that can fail by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subsystem {
    /// The loop that decides.
    Writer,
    /// What makes receipts durable.
    Store,
    /// The node's own log: who may do what, and what policy says.
    NodeLog,
    /// Room for what must be written.
    Disk,
    /// The signer, and that receipts come to be signed.
    Signing,
    /// The engine that says what may run.
    Policy,
    /// The wall clock.
    Clock,
    /// Logs of tenants.
    Partitions,
    /// Where metered events are delivered to.
    Sinks,
}

/// How bad it is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Some of the work stops; what makes things safer goes on.
    Degraded,
    /// Nothing can be written, or nothing that the node says can be relied on: send work elsewhere.
    Down,
}

impl Severity {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// The row of a subsystem.
#[derive(Debug, Clone, Copy)]
pub struct SubsystemRow {
    /// Which.
    pub subsystem: Subsystem,
    /// In metrics and answers.
    pub name: &'static str,
    /// How bad it is when it fails.
    pub severity: Severity,
    /// What its failure stops.
    pub stops: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// The page that goes through it, below `docs/guide`.
    pub page: &'static str,
    /// The incident that the agent opens while it lasts, in the node's own log.
    pub incident: Option<IncidentCause>,
}

/// All of them, in the order in which they are told: what stops most first.
pub const TABLE: [SubsystemRow; 9] = [
    SubsystemRow {
        subsystem: Subsystem::Writer,
        name: "writer",
        severity: Severity::Down,
        stops: "every answer",
        remedy: "See the agent's log and the disk; the service manager starts it again.",
        page: "agent.md",
        incident: None,
    },
    SubsystemRow {
        subsystem: Subsystem::Store,
        name: "store",
        severity: Severity::Down,
        stops: "whatever needs a receipt; reading goes on",
        remedy: "See the agent's log; make room, or put the folder of the database right.",
        page: "agent.md",
        incident: None,
    },
    SubsystemRow {
        subsystem: Subsystem::NodeLog,
        name: "node_log",
        severity: Severity::Down,
        stops: "admissions and whatever loosens; tightening and settling go on",
        remedy: "Put the newer database back. The signer knows how long the log was.",
        page: "recover.md",
        incident: None,
    },
    SubsystemRow {
        subsystem: Subsystem::Disk,
        name: "disk",
        severity: Severity::Degraded,
        stops: "admissions; settling and tightening go on, on what was set aside",
        remedy: "Make room where the database is.",
        page: "agent.md",
        incident: Some(IncidentCause::DiskFull),
    },
    SubsystemRow {
        subsystem: Subsystem::Signing,
        name: "signing",
        severity: Severity::Degraded,
        stops: "whatever loosens; admissions once a tenant's backlog is full",
        remedy: "Bring the signer back (conductor-signer status).",
        page: "signer.md",
        incident: Some(IncidentCause::SignerOutage),
    },
    SubsystemRow {
        subsystem: Subsystem::Policy,
        name: "policy",
        severity: Severity::Degraded,
        stops: "whatever loosens, and admissions unless the profile says last_known",
        remedy: "Load a valid bundle (conductor policy load).",
        page: "policy.md",
        incident: Some(IncidentCause::PolicyOutage),
    },
    SubsystemRow {
        subsystem: Subsystem::Clock,
        name: "clock",
        severity: Severity::Degraded,
        stops: "whatever loosens; admissions and tightening go on",
        remedy: "Set the clock right; then two admins on the node itself: conductor recover time.",
        page: "recover.md",
        // Opened where the clock is watched, with how far it was stepped.
        incident: None,
    },
    SubsystemRow {
        subsystem: Subsystem::Partitions,
        name: "partitions",
        severity: Severity::Degraded,
        stops: "those tenants",
        remedy: "See the incident of each tenant.",
        page: "incidents.md",
        // Opened for each of them, where it is found.
        incident: None,
    },
    SubsystemRow {
        subsystem: Subsystem::Sinks,
        name: "sinks",
        severity: Severity::Degraded,
        stops: "delivery of metered events; they stay in the log and are delivered later",
        remedy: "See conductor sink list; put the receiving end right.",
        page: "sinks.md",
        incident: None,
    },
];

impl Subsystem {
    /// Its row.
    pub fn row(self) -> &'static SubsystemRow {
        // Checked by a test: each stands in the table.
        TABLE.iter().find(|r| r.subsystem == self).unwrap_or(&TABLE[0])
    }
}

/// What is the matter with a subsystem, told with everything that helps, so that an older console can show a newer agent's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Trouble {
    /// Name of the subsystem.
    pub subsystem: String,
    /// How bad it is.
    pub severity: Severity,
    /// Since when, microseconds since the Unix epoch, by the agent's clock.
    pub since_us: u64,
    /// What was found, escaped for display.
    pub detail: String,
    /// What that stops.
    pub stops: String,
    /// What to do.
    pub remedy: String,
    /// The page that goes through it, below `docs/guide`.
    pub page: String,
}

impl Trouble {
    /// What was found of a subsystem.
    pub fn of(subsystem: Subsystem, since_us: u64, detail: &str) -> Self {
        let row = subsystem.row();
        Self {
            subsystem: row.name.to_owned(),
            severity: row.severity,
            since_us,
            detail: crate::untrusted::escape(detail, 300),
            stops: row.stops.to_owned(),
            remedy: row.remedy.to_owned(),
            page: row.page.to_owned(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; it stops {}", self.subsystem, self.detail, self.stops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Health: each subsystem has one row that says everything, and its page exists.
    #[test]
    fn the_table_of_subsystems() {
        let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide");
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.subsystem.row().name, row.name);
            assert!(
                TABLE[..i].iter().all(|r| r.name != row.name && r.subsystem != row.subsystem),
                "{}",
                row.name
            );
            assert!(!row.stops.is_empty() && row.remedy.ends_with('.'), "{}", row.name);
            assert!(guide.join(row.page).is_file(), "{}", row.page);
        }
        let all = [
            Subsystem::Writer,
            Subsystem::Store,
            Subsystem::NodeLog,
            Subsystem::Disk,
            Subsystem::Signing,
            Subsystem::Policy,
            Subsystem::Clock,
            Subsystem::Partitions,
            Subsystem::Sinks,
        ];
        assert!(all.iter().all(|s| s.row().subsystem == *s));
    }
}
