//! From the name a person types to the uid that commands carry.

use super::error::ClientError;
use super::node_cache::{CachedNode, NodeCache};
use super::session::ReadSession;
use conductor_shared::http::TenantRow;
pub use conductor_shared::ids::NODE_WORD;
use conductor_shared::ids::{Ident, TenantUid};
use conductor_shared::untrusted::escape;

/// What a person wrote for a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantName {
    /// `node`: the node's own log.
    Node,
    /// A uid, 32 hex digits.
    Uid(TenantUid),
    Name(Ident),
}

impl std::str::FromStr for TenantName {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        if s == NODE_WORD {
            return Ok(Self::Node);
        }
        if let Ok(uid) = s.parse::<TenantUid>() {
            return Ok(if uid.is_node() { Self::Node } else { Self::Uid(uid) });
        }
        Ident::new(s)
            .map(Self::Name)
            .map_err(|e| format!("\"{}\": {e}, or a tenant uid, or {NODE_WORD}", escape(s, 80)))
    }
}

impl TenantName {
    /// Whether this tenant is meant: by its whole uid or its whole name, never by a part of either.
    pub fn means(&self, uid: TenantUid, name: &Ident) -> bool {
        match self {
            Self::Node => uid.is_node(),
            Self::Uid(u) => *u == uid,
            Self::Name(n) => n == name,
        }
    }
}

/// A tenant that was found: uid for commands, name for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub uid: TenantUid,
    /// Its display id, or `node`.
    pub name: String,
}

impl Found {
    /// The node's own log.
    pub fn node() -> Self {
        Self { uid: TenantUid::NODE, name: NODE_WORD.into() }
    }
}

/// Looks a name up at the agent.
pub async fn tenant(session: &ReadSession, name: &TenantName) -> Result<Found, ClientError> {
    if *name == TenantName::Node {
        return Ok(Found::node());
    }
    let bearer = session.bearer().await?;
    let list = session.agent().tenants(&bearer).await?;
    let node = CachedNode::of(&session.get().await?.node, &list);
    NodeCache::remember(vec![(session.agent().endpoint().clone(), node)]);
    let list = list.tenants;
    let row = list.iter().find(|t| name.means(t.tenant_uid, &t.tenant_id));
    let found = row.map(|t| Found { uid: t.tenant_uid, name: t.tenant_id.to_string() });
    found.ok_or_else(|| ClientError::Usage(unknown(session, name, &list)))
}

fn unknown(session: &ReadSession, name: &TenantName, list: &[TenantRow]) -> String {
    let asked = match name {
        TenantName::Name(n) => n.to_string(),
        TenantName::Uid(u) => u.to_string(),
        TenantName::Node => NODE_WORD.into(),
    };
    let at = session.agent().endpoint();
    match nearest(&asked, list.iter().map(|t| t.tenant_id.as_str())) {
        Some(near) => format!("{at} has no tenant {asked}: did you mean {near}? (conductor tenant list)"),
        None => format!("{at} has no tenant {asked} (conductor tenant list)"),
    }
}

/// The known word nearest to a given one, if any is near.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|k| (strsim::levenshtein(word, k), k)).min_by_key(|(d, _)| *d)?;
    (scored.0 <= 1 + word.chars().count() / 3).then_some(scored.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC, Words (tenant): a name, a uid or the node's own log; nothing else.
    #[test]
    fn what_people_write() {
        let uid = TenantUid([7; 16]);
        assert_eq!("acme".parse(), Ok(TenantName::Name(Ident::new("acme").unwrap())));
        assert_eq!(uid.to_string().parse(), Ok(TenantName::Uid(uid)));
        assert_eq!("node".parse(), Ok(TenantName::Node));
        assert_eq!("0".repeat(32).parse(), Ok(TenantName::Node));
        let e = "Ac\u{1b}me".parse::<TenantName>().unwrap_err();
        assert!(e.contains("\\u{1b}") && !e.contains('\u{1b}'), "{e}");
    }

    #[test]
    fn near_words() {
        let known = ["public_key", "purpose", "origin", "sizes"];
        assert_eq!(nearest("pubic_key", known.into_iter()), Some("public_key"));
        assert_eq!(nearest("size", known.into_iter()), Some("sizes"));
        assert_eq!(nearest("zzzzzz", known.into_iter()), None);
        assert_eq!(nearest("x", [].into_iter()), None);
    }
}
