//! Policy profiles, freezes and break-glass, as they are set. What of them governs a log is in `control::profiles`.

use crate::freeze::Window;
use crate::ids::{GrantId, Ident, PersonId, parse_decimal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The profile of every log without another one, and of the node's own log.
pub const DEFAULT: &str = "default";
/// Profiles of a node at most.
pub const MAX_PROFILES: usize = 64;
/// Windows of a profile at most.
pub const MAX_WINDOWS: usize = 32;
/// Freezes of a tenant at most.
pub const MAX_FREEZES: usize = 32;
/// How long a memoised allow may be used at most, seconds.
pub const MAX_LAST_KNOWN_S: u64 = 300;
/// Longest time that break-glass stays open, minutes.
pub const MAX_MINUTES: u64 = 60;
/// How often a day one person may open break-glass alone, where the profile allows it.
pub const ALONE_A_DAY: u64 = 2;
/// A day of receipt times, microseconds.
pub const DAY_US: u64 = 86_400 * crate::clock::SECOND_US;
const MAX_TICKET: usize = 64;

/// How admissions are decided while the policy engine is down.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PolicyOutage {
    /// No.
    #[default]
    Deny,
    /// As the same input was decided shortly before.
    LastKnown,
}

/// A policy profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Profile {
    /// Freeze windows by name.
    pub windows: BTreeMap<Ident, Window>,
    /// One person may open break-glass alone, [`ALONE_A_DAY`] times a day.
    pub break_glass_alone: bool,
    /// While the policy engine is out.
    pub policy_outage: PolicyOutage,
    /// How long a memoised allow may be used then, seconds.
    pub last_known_s: u64,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            windows: BTreeMap::new(),
            break_glass_alone: false,
            policy_outage: PolicyOutage::Deny,
            last_known_s: 60,
        }
    }
}

impl Profile {
    /// True when no setting is looser than in `before`.
    pub fn no_looser_than(&self, before: &Self) -> bool {
        before.windows.iter().all(|(name, w)| self.windows.get(name) == Some(w))
            && self.break_glass_alone <= before.break_glass_alone
            && self.policy_outage <= before.policy_outage
            && self.last_known_s <= before.last_known_s
    }

    /// Sets one setting.
    pub fn set(&mut self, setting: Setting) {
        match setting {
            Setting::BreakGlassAlone(on) => self.break_glass_alone = on,
            Setting::PolicyOutage(p) => self.policy_outage = p,
            Setting::LastKnownS(s) => self.last_known_s = s,
        }
    }
}

/// A setting of a profile with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// See [`Profile::break_glass_alone`].
    BreakGlassAlone(bool),
    /// See [`Profile::policy_outage`].
    PolicyOutage(PolicyOutage),
    /// See [`Profile::last_known_s`].
    LastKnownS(u64),
}

impl Setting {
    /// What there is to set, with its values, for people.
    pub const NAMES: [(&'static str, &'static str); 3] = [
        ("break_glass_alone", "true or false"),
        ("policy_outage", "deny or last_known"),
        ("last_known_s", "1 to 300"),
    ];

    /// The public name.
    pub fn name(self) -> &'static str {
        match self {
            Self::BreakGlassAlone(_) => "break_glass_alone",
            Self::PolicyOutage(_) => "policy_outage",
            Self::LastKnownS(_) => "last_known_s",
        }
    }

    /// The value as written in commands.
    pub fn value(self) -> String {
        match self {
            Self::BreakGlassAlone(on) => on.to_string(),
            Self::PolicyOutage(PolicyOutage::Deny) => "deny".into(),
            Self::PolicyOutage(PolicyOutage::LastKnown) => "last_known".into(),
            Self::LastKnownS(s) => s.to_string(),
        }
    }

    /// From name and value.
    pub fn parse(name: &str, value: &str) -> Option<Self> {
        Some(match (name, value) {
            ("break_glass_alone", "true") => Self::BreakGlassAlone(true),
            ("break_glass_alone", "false") => Self::BreakGlassAlone(false),
            ("policy_outage", "deny") => Self::PolicyOutage(PolicyOutage::Deny),
            ("policy_outage", "last_known") => Self::PolicyOutage(PolicyOutage::LastKnown),
            ("last_known_s", n) => {
                Self::LastKnownS(parse_decimal(n).filter(|s| (1..=MAX_LAST_KNOWN_S).contains(s))?)
            }
            _ => return None,
        })
    }
}

/// An ad hoc freeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Freeze {
    /// When it ends by itself, microseconds since the Unix epoch; `None` when somebody has to clear it.
    pub until_us: Option<u64>,
}

impl Freeze {
    /// It lasts at least as long as another.
    pub fn lasts(self, other: Self) -> bool {
        match (self.until_us, other.until_us) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(a), Some(b)) => a >= b,
        }
    }
}

/// Break-glass, while it is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BreakGlass {
    /// Its id, chosen by the console.
    pub grant: GrantId,
    /// The ticket that it is for.
    pub ticket: String,
    /// How long it is open at most.
    pub minutes: u64,
    /// Who opened it.
    pub person: Option<PersonId>,
    /// Nobody approved it.
    pub alone: bool,
    /// Receipt time of its opening, microseconds since the Unix epoch.
    pub opened_us: u64,
    /// Operations that cited it.
    pub used: u64,
}

/// Whether a text can be a ticket: a link or a number, of characters that mean nothing to a terminal, a table or markup.
pub fn is_ticket(text: &str) -> bool {
    (1..=MAX_TICKET).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-' | b'/' | b':' | b'#'))
}
