//! What a person may read, by role. What a role may change is in the table of operations.

use crate::ids::TenantUid;
use crate::operator::{GrantedRole, OperatorKey, Role};

/// How much of a log somebody sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// A viewer: no subjects, no texts and signatures of commands, no digests of tokens.
    Outline,
    /// A workload of the tenant: no texts and signatures of commands, no digests of tokens.
    Own,
    /// Everything.
    Full,
}

/// What this key shows its person of a log: a tenant's, or the node's with [`TenantUid::NODE`].
pub fn sight(key: &OperatorKey, log: TenantUid) -> Option<Sight> {
    let full: &[Role] = if log.is_node() {
        &[Role::Admin, Role::Auditor]
    } else {
        &[Role::Operator, Role::Approver, Role::Auditor]
    };
    if full.iter().any(|role| key.has_role(*role, log)) {
        return Some(Sight::Full);
    }
    key.has_role(Role::Viewer, log).then_some(Sight::Outline)
}

/// The key shows its person at least one log.
pub fn sees_a_log(key: &OperatorKey) -> bool {
    key.roles.iter().any(|granted| match granted {
        GrantedRole::Tenant(_, tenant) => sight(key, *tenant).is_some(),
        GrantedRole::Node(role) => *role != Role::BreakGlass,
        GrantedRole::Other(_) => false,
    })
}

/// The key is one of a role on the whole node by which a person reads: what sums up all tenants is for them.
pub fn sees_the_node(key: &OperatorKey) -> bool {
    key.roles.iter().any(|granted| matches!(granted, GrantedRole::Node(role) if *role != Role::BreakGlass))
}

/// The key can sign some operation on this log, or shows all of it: a preview is for whoever may sign.
pub fn may_preview(key: &OperatorKey, log: TenantUid) -> bool {
    let signs = [Role::Operator, Role::Admin, Role::BreakGlass];
    sight(key, log) == Some(Sight::Full) || signs.iter().any(|role| key.has_role(*role, log))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Ident, PersonId};
    use strum::VariantArray as _;

    const HERE: TenantUid = TenantUid([5; 16]);
    const ELSEWHERE: TenantUid = TenantUid([6; 16]);

    fn key(roles: Vec<GrantedRole>) -> OperatorKey {
        OperatorKey {
            person: PersonId([1; 16]),
            name: Ident::new("ana").unwrap(),
            public_key: String::new(),
            roles: roles.into_iter().collect(),
            since: 3,
            roles_since: None,
            suspended: false,
            revoked: None,
        }
    }

    /// SPEC, Reads: each role, on the node and on one tenant, by what it shows of that tenant, of another, and of the
    /// node's log.
    #[test]
    fn the_law_of_reads() {
        let shown = |roles: Vec<GrantedRole>| {
            let k = key(roles);
            [HERE, ELSEWHERE, TenantUid::NODE].map(|log| match sight(&k, log) {
                None => '-',
                Some(Sight::Outline) => 'o',
                Some(Sight::Own) => unreachable!("a person is no workload"),
                Some(Sight::Full) => 'F',
            })
        };
        let mut lines = vec![];
        for role in Role::VARIANTS {
            for granted in [GrantedRole::Node(*role), GrantedRole::Tenant(*role, HERE)] {
                let what = match granted {
                    GrantedRole::Node(_) => format!("{role}"),
                    _ => format!("{role}@here"),
                };
                let k = key(vec![granted.clone()]);
                let lists = if sees_a_log(&k) { "lists" } else { "" };
                let sums = if sees_the_node(&k) { "sums" } else { "" };
                let [here, elsewhere, node] = shown(vec![granted]);
                lines.push(
                    format!("{what:<16} {here} {elsewhere} {node}  {lists:<5} {sums}").trim_end().to_owned(),
                );
            }
        }
        insta::assert_snapshot!(lines.join("\n"), @r"
        viewer           o o o  lists sums
        viewer@here      o - -  lists
        operator         F F -  lists sums
        operator@here    F - -  lists
        approver         F F -  lists sums
        approver@here    F - -  lists
        admin            - - F  lists sums
        admin@here       - - -
        break-glass      - - -
        break-glass@here - - -
        auditor          F F F  lists sums
        auditor@here     F - -  lists
        ");
        assert_eq!(shown(vec![]), ['-'; 3], "no role, no log");
        assert!(!sees_a_log(&key(vec![GrantedRole::read("release-manager")])), "a newer role shows nothing");
    }
}
