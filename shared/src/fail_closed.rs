//! The fail-closed rule: what each class of operation does in each outage, as one table.

use crate::reason::Reason;

/// Class of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Run start, step start.
    Admit,
    /// Finish, heartbeat, cancel.
    Settle,
    /// Makes something safer.
    Tighten,
    /// Makes something riskier.
    Loosen,
    /// Cannot be taken back.
    Irreversible,
    /// Recovery from a lost signer or a broken bundle.
    Recover,
    /// Looks.
    Read,
}

impl Class {
    /// All classes, in the order of the law.
    pub const ALL: [Class; 7] = [
        Self::Admit,
        Self::Settle,
        Self::Tighten,
        Self::Loosen,
        Self::Irreversible,
        Self::Recover,
        Self::Read,
    ];

    /// The public word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Settle => "settle",
            Self::Tighten => "tighten",
            Self::Loosen => "loosen",
            Self::Irreversible => "irreversible",
            Self::Recover => "recover",
            Self::Read => "read",
        }
    }
}

/// What is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outage {
    /// The signer does not sign.
    pub signer: bool,
    /// The policy engine does not answer.
    pub policy: bool,
    /// The store cannot write.
    pub store: bool,
}

/// What the law says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageRule {
    /// Go on.
    Allow,
    /// Go on while the unsigned backlog is within the tenant's quota.
    AllowWithinBacklog,
    /// Go on; the answer is marked as given without the engine.
    AllowMarked,
    /// Deny, unless the profile says `last_known` and the memo has this very input.
    ByProfile,
    /// Decided by the rule of the operation itself.
    ByOwnRule,
    /// Read on, but without a receipt, and nothing is exported.
    AllowUnreceipted,
    /// No.
    Deny(Reason),
}

/// The law.
pub fn rule(class: Class, out: Outage) -> OutageRule {
    use OutageRule::{Allow, AllowMarked, AllowUnreceipted, AllowWithinBacklog, ByOwnRule, ByProfile, Deny};
    if out.store {
        return if class == Class::Read { AllowUnreceipted } else { Deny(Reason::StoreUnavailable) };
    }
    match (class, out.signer, out.policy) {
        (Class::Settle | Class::Read, _, _) | (_, false, false) => Allow,
        (Class::Admit, true, false) => AllowWithinBacklog,
        // Without policy the profile decides; with the signer out too, the stricter of both, and the backlog still
        // bounds what the profile lets through.
        (Class::Admit, _, true) => ByProfile,
        (Class::Tighten, _, true) => AllowMarked,
        (Class::Tighten, true, false) => Allow,
        (Class::Loosen | Class::Irreversible, true, _) => Deny(Reason::SignerUnavailable),
        (Class::Loosen | Class::Irreversible, false, true) => Deny(Reason::PolicyUnavailable),
        (Class::Recover, _, _) => ByOwnRule,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC invariant 3: the law, all 7 x 8 cells of it, as a table that people can read.
    #[test]
    fn the_law() {
        let mut out = String::new();
        for class in Class::ALL {
            for bits in 0..8u8 {
                let o = Outage { signer: bits & 1 > 0, policy: bits & 2 > 0, store: bits & 4 > 0 };
                let down = [(o.signer, "signer"), (o.policy, "policy"), (o.store, "store")];
                let down: Vec<_> = down.iter().filter(|d| d.0).map(|d| d.1).collect();
                out += &format!("{:13} {:20} {:?}\n", class.name(), down.join("+"), rule(class, o));
                if o.store && class != Class::Read {
                    assert_eq!(rule(class, o), OutageRule::Deny(Reason::StoreUnavailable));
                }
                if class == Class::Tighten && !o.store {
                    assert!(
                        !matches!(rule(class, o), OutageRule::Deny(_)),
                        "an outage never stops making things safer"
                    );
                }
                if matches!(class, Class::Loosen | Class::Irreversible) && bits != 0 {
                    assert!(matches!(rule(class, o), OutageRule::Deny(_)), "never loosen in an outage");
                }
            }
        }
        insta::assert_snapshot!("the-law", out);
    }
}
