//! The life of a partition, and what each stage of it answers.

use conductor_shared::cause::IncidentCause;
use conductor_shared::fail_closed::Class;
use conductor_shared::reason::Reason;

/// Where a partition is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::VariantArray, strum::FromRepr)]
#[repr(u8)]
pub enum PartitionStatus {
    /// Being read back from the store.
    Loading,
    /// Decides and writes.
    Serving,
    /// A row of it cannot be what it is. Nothing is written to it until it was restored.
    Damaged,
    /// The signer knows a longer or another log: this one is only read.
    RolledBack,
    /// Reserved for restore.
    Restoring,
    /// Reserved for purge.
    Purging,
    /// Reserved for purge: what is left of a purged tenant.
    Tombstone,
}

/// What the rest of the node says about a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// Opened in the node's log when the status begins.
    pub incident: Option<IncidentCause>,
    /// For health: what it stops; empty when nothing.
    pub stops: &'static str,
}

impl PartitionStatus {
    /// The writer decides and writes in it.
    pub fn serves(self) -> bool {
        self == Self::Serving
    }

    /// What it answers to a class: `None` when the class may go on.
    pub fn refuses(self, class: Class) -> Option<Reason> {
        match (self, class) {
            (Self::Serving, _) | (Self::RolledBack | Self::Purging | Self::Tombstone, Class::Read) => None,
            (Self::Damaged, _) => Some(Reason::PartitionDamaged),
            (Self::RolledBack, _) => Some(Reason::LogRolledBack),
            (Self::Loading | Self::Restoring | Self::Purging | Self::Tombstone, _) => {
                Some(Reason::StoreUnavailable)
            }
        }
    }

    /// For people: "acme is damaged".
    pub fn word(self) -> &'static str {
        match self {
            Self::Loading => "is being loaded",
            Self::Serving => "serves",
            Self::Damaged => "is damaged",
            Self::RolledBack => "was rolled back",
            Self::Restoring => "is being restored",
            Self::Purging => "is being purged",
            Self::Tombstone => "was purged",
        }
    }

    /// What it opens and stops.
    pub fn notice(self) -> Notice {
        let (incident, stops) = match self {
            Self::Serving => (None, ""),
            Self::Damaged => (Some(IncidentCause::PartitionDamaged), "everything of the tenant"),
            Self::RolledBack => (Some(IncidentCause::LogRolledBack), "every change of the tenant"),
            Self::Loading | Self::Restoring => (None, "everything of the tenant, for now"),
            Self::Purging | Self::Tombstone => (None, "every change of the tenant"),
        };
        Notice { incident, stops }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strum::VariantArray as _;

    /// SPEC invariant 1: where no receipt can be trusted, nothing that writes is let through, whatever the class.
    #[test]
    fn only_a_serving_partition_writes() {
        let mut table = String::new();
        for status in PartitionStatus::VARIANTS {
            for class in Class::ALL {
                let answer = status.refuses(class);
                if !status.serves() && class != Class::Read {
                    assert!(answer.is_some(), "{status:?} {class:?}");
                }
                table +=
                    &format!("{status:?} {}: {}\n", class.name(), answer.map_or("goes on", Reason::code));
            }
            let n = status.notice();
            assert_eq!(n.stops.is_empty(), status.serves(), "{status:?}");
            table += &format!("{status:?} incident {:?}, stops {:?}\n", n.incident, n.stops);
        }
        insta::assert_snapshot!(table);
    }
}
