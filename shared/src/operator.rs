//! Persons, their keys and roles; what they sign to prove a key is theirs, and to approve what another asked for.
//!
//! ```text
//! conductor/keys/v1                      conductor/approval/v1
//! person: 32 hex digits                  command_id: 32 hex digits
//! name: ana                              command_digest: SHA-256 of the command's exact text, hex
//! public_key: base64, as minisign        node: 32 hex digits
//!                                        tenant: 32 hex digits (zeros for the node)
//!                                        verdict: approve (or refuse)
//!                                        issued_at_us: decimal, in the agent's time
//!                                        expires_at_us: decimal
//!                                        nonce: 32 hex digits
//! ```
//!
//! Each has exactly one text. Approvals count persons, not keys: one person with two keys is one person.

use crate::ids::{CommandId, Ident, NodeId, PersonId, TenantUid, hex, parse_decimal, unhex};
use crate::untrusted::UntrustedText;
use crate::words::text_schema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// First line of what a new key signs.
pub const KEYS_LINE: &str = "conductor/keys/v1";
/// First line of an approval.
pub const APPROVAL_LINE: &str = "conductor/approval/v1";
/// A person has at most this many roles, counted with the tenants they are limited to.
pub const MAX_ROLES: usize = 64;

/// A role of a person. The list is closed for what Conductor issues.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    strum::VariantArray,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::Display,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Changes a tenant's configuration.
    Operator,
    /// Approves what others asked for.
    Approver,
    /// Changes persons, policy, profiles and the node.
    Admin,
    /// Opens break-glass, and closes it.
    BreakGlass,
    /// Reads, for audits.
    Auditor,
}

/// A role as it was granted to a person. Written as one word: `operator`, or `operator@` and a tenant's uid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantedRole {
    /// On the whole node.
    Node(Role),
    /// On one tenant.
    Tenant(Role, TenantUid),
    /// A word that this program does not know, from a newer one. It grants nothing.
    Other(UntrustedText),
}

impl GrantedRole {
    /// Reads a word of a log or an answer.
    pub fn read(word: &str) -> Self {
        let granted = || match word.split_once('@') {
            Some((role, tenant)) => {
                let tenant = tenant.parse::<TenantUid>().ok().filter(|t| !t.is_node())?;
                Some(Self::Tenant(role.parse().ok()?, tenant))
            }
            None => Some(Self::Node(word.parse().ok()?)),
        };
        granted().unwrap_or_else(|| Self::Other(UntrustedText::new(word)))
    }

    /// The one spelling, as in signed texts and receipts.
    pub fn word(&self) -> String {
        match self {
            Self::Node(role) => role.to_string(),
            Self::Tenant(role, tenant) => format!("{role}@{tenant}"),
            Self::Other(word) => word.raw().to_owned(),
        }
    }

    /// For people: a word from a newer program is marked as such.
    pub fn shown(&self) -> String {
        match self {
            Self::Other(word) => format!("{} (newer)", word.escaped(80)),
            known => known.word(),
        }
    }
}

/// In the order of the words, which is that of signed texts.
impl Ord for GrantedRole {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.word().cmp(&other.word())
    }
}
impl PartialOrd for GrantedRole {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
text_schema!(
    GrantedRole,
    "^[a-z-]+(@[0-9a-f]{32})?$",
    "A role on the node, or on one tenant; a word from a newer program grants nothing"
);

impl Serialize for GrantedRole {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.word())
    }
}
impl<'de> Deserialize<'de> for GrantedRole {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Self::read(&std::borrow::Cow::<'de, str>::deserialize(d)?))
    }
}

/// The roles of a person, in order of their words.
pub type Roles = BTreeSet<GrantedRole>;

/// Reads roles as written in commands: words in order, each once, separated by one space, and all of them known.
pub fn parse_roles(text: &str) -> Option<Roles> {
    let roles: Roles = text.split(' ').map(GrantedRole::read).collect();
    let known = roles.iter().all(|r| !matches!(r, GrantedRole::Other(_)));
    (roles.len() <= MAX_ROLES && known && roles_text(&roles) == text).then_some(roles)
}

/// The one spelling of roles.
pub fn roles_text(roles: &Roles) -> String {
    roles.iter().map(GrantedRole::word).collect::<Vec<_>>().join(" ")
}

/// Roles for people.
pub fn roles_shown(roles: &Roles) -> String {
    roles.iter().map(GrantedRole::shown).collect::<Vec<_>>().join(" ")
}

/// An operator's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OperatorKey {
    /// Whose.
    pub person: PersonId,
    /// Their short name.
    pub name: Ident,
    /// Minisign public key, base64.
    pub public_key: String,
    /// Roles on this node, or on one tenant.
    pub roles: Roles,
    /// Index of the receipt that enrolled it: what it signed counts from there on.
    pub since: u64,
    /// Index of the receipt that gave it its present roles, when that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles_since: Option<u64>,
    /// The person is suspended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// Index of the receipt that revoked it: what it signed before still verifies, and nothing after counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<u64>,
}

impl OperatorKey {
    /// It may sign now.
    pub fn live(&self) -> bool {
        !self.suspended && self.revoked.is_none()
    }
    /// Has a role for a tenant, or for the node with [`TenantUid::NODE`].
    pub fn has_role(&self, role: Role, tenant: TenantUid) -> bool {
        self.roles.iter().any(|granted| match granted {
            GrantedRole::Node(r) => *r == role,
            GrantedRole::Tenant(r, t) => (*r, *t) == (role, tenant),
            GrantedRole::Other(_) => false,
        })
    }
    /// Key and roles are older than the entry of the node's log at this index.
    pub fn older_than(&self, node_index: u64) -> bool {
        self.since.max(self.roles_since.unwrap_or(0)) < node_index
    }
}

/// What a new key signs to prove that its holder has it, and for whom.
pub fn key_statement(person: PersonId, name: &Ident, public_key: &str) -> String {
    format!("{KEYS_LINE}\nperson: {person}\nname: {name}\npublic_key: {public_key}\n")
}

/// What an approver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Go ahead.
    Approve,
    /// Do not.
    Refuse,
}

impl Answer {
    /// The public word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Refuse => "refuse",
        }
    }
}

/// An approval, before or after signing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The command that waits.
    pub command_id: CommandId,
    /// SHA-256 of its exact text: an edit voids the approval.
    pub command_digest: [u8; 32],
    /// The one node it is for.
    pub node: NodeId,
    /// Whose log the command waits in.
    pub tenant: TenantUid,
    /// What the approver says.
    pub verdict: Answer,
    /// In the agent's time, microseconds since the Unix epoch.
    pub issued_at_us: u64,
    /// Likewise.
    pub expires_at_us: u64,
    /// Random.
    pub nonce: [u8; 16],
}

impl Approval {
    /// The one text.
    pub fn text(&self) -> String {
        format!(
            "{APPROVAL_LINE}\ncommand_id: {}\ncommand_digest: {}\nnode: {}\ntenant: {}\nverdict: {}\nissued_at_us: {}\nexpires_at_us: {}\nnonce: {}\n",
            self.command_id,
            hex(&self.command_digest),
            self.node,
            self.tenant,
            self.verdict.as_str(),
            self.issued_at_us,
            self.expires_at_us,
            hex(&self.nonce)
        )
    }

    /// Reads the one text; `None` for every other.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok().filter(|t| t.len() < 1024)?;
        let mut lines = text.split('\n');
        (lines.next()? == APPROVAL_LINE).then_some(())?;
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(": ");
        let a = Self {
            command_id: field("command_id")?.parse().ok()?,
            command_digest: unhex(field("command_digest")?)?,
            node: field("node")?.parse().ok()?,
            tenant: field("tenant")?.parse().ok()?,
            verdict: match field("verdict")? {
                "approve" => Answer::Approve,
                "refuse" => Answer::Refuse,
                _ => return None,
            },
            issued_at_us: parse_decimal(field("issued_at_us")?)?,
            expires_at_us: parse_decimal(field("expires_at_us")?)?,
            nonce: unhex(field("nonce")?)?,
        };
        (a.text() == text).then_some(a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strum::VariantArray as _;

    /// DESIGN, Signed texts: the published vector, one text, and no other type's text is an approval.
    #[test]
    fn one_text() {
        let a = Approval {
            command_id: CommandId([1; 16]),
            command_digest: [2; 32],
            node: NodeId([3; 16]),
            tenant: TenantUid([4; 16]),
            verdict: Answer::Approve,
            issued_at_us: 5,
            expires_at_us: 6,
            nonce: [7; 16],
        };
        insta::assert_snapshot!("approval-vector", a.text());
        assert_eq!(Approval::parse(a.text().as_bytes()), Some(a.clone()));
        let refuse = Approval { verdict: Answer::Refuse, ..a.clone() };
        assert_eq!(Approval::parse(refuse.text().as_bytes()), Some(refuse));
        for bad in [
            a.text() + "\n",
            a.text().replace("approval", "command"),
            a.text().replace("verdict: approve", "verdict: Approve"),
            a.text().replace("issued_at_us: 5", "issued_at_us: 05"),
            a.text().replace('\n', "\r\n"),
        ] {
            assert_eq!(Approval::parse(bad.as_bytes()), None, "{bad}");
        }
        let name = Ident::new("ana").unwrap();
        insta::assert_snapshot!("keys-vector", key_statement(PersonId([9; 16]), &name, "RWQ="));
    }

    /// Issue 3, Operators and commands: roles have one spelling, and a role for one tenant is none for another.
    #[test]
    fn roles_are_exact() {
        let t = TenantUid([5; 16]);
        let roles = parse_roles(&format!("admin operator@{t}")).unwrap();
        let key = OperatorKey {
            person: PersonId([1; 16]),
            name: Ident::new("ana").unwrap(),
            public_key: String::new(),
            roles,
            since: 3,
            roles_since: None,
            suspended: false,
            revoked: None,
        };
        assert!(key.has_role(Role::Admin, t) && key.has_role(Role::Admin, TenantUid::NODE));
        assert!(key.has_role(Role::Operator, t));
        assert!(!key.has_role(Role::Operator, TenantUid([6; 16])));
        assert!(!key.has_role(Role::Operator, TenantUid::NODE));
        assert!(key.older_than(4) && !key.older_than(3));
        for bad in ["", "root", "operator admin", "admin admin", "admin  operator", "admin@x", "admin "] {
            assert_eq!(parse_roles(bad), None, "{bad:?}");
        }
    }

    /// DESIGN, What can never change later: a role from a newer program survives, grants nothing, and is shown as newer.
    #[test]
    fn a_newer_role_grants_nothing() {
        let roles: Roles = serde_json::from_str(r#"["admin@nobody", "auditor", "release-manager"]"#).unwrap();
        assert_eq!(roles_text(&roles), "admin@nobody auditor release-manager");
        assert_eq!(roles_shown(&roles), "admin@nobody (newer) auditor release-manager (newer)");
        let key = OperatorKey {
            person: PersonId([1; 16]),
            name: Ident::new("ana").unwrap(),
            public_key: String::new(),
            roles,
            since: 3,
            roles_since: None,
            suspended: false,
            revoked: None,
        };
        let held: Vec<_> = Role::VARIANTS.iter().filter(|r| key.has_role(**r, TenantUid::NODE)).collect();
        assert_eq!(held, [&Role::Auditor]);
        assert_eq!(parse_roles("release-manager"), None, "nobody grants what this program does not know");
    }
}
