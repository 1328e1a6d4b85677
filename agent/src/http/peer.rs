//! The client of a connection, and the listener it came to.
//!
//! Operators have listeners of their own: whatever workloads and strangers do on theirs, a tightening finds a place. So each
//! kind of listener serves its own routes and takes its own credentials, and sends all others away before a body is read.

use super::conn_limit::{ConnPermit, Owner};
use super::request_body::BodyBudget;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use conductor_shared::ids::TenantUid;
use conductor_shared::routes::{ROUTES, Right, SESSION_TOKEN, WORKLOAD_TOKEN};
use conductor_shared::session::Transport;
use std::sync::Arc;

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// Operators' sessions, commands and approvals.
    Operators,
    /// Workloads of all tenants, by their tokens.
    Workloads,
    /// Workloads of one tenant, on its own unix socket.
    Tenant(TenantUid),
}

impl ListenerKind {
    /// True when it answers those who may call a route.
    fn serves(self, right: Right) -> bool {
        match self {
            Self::Operators => right.of_persons(),
            // Whoever names a tenant is denied on record, not sent away.
            Self::Workloads | Self::Tenant(_) => right.of_workload() || right == Right::Log,
        }
    }

    /// Why a request belongs to another listener, if it does.
    pub(super) fn misdirected(self, path: &str, headers: &HeaderMap) -> Option<&'static str> {
        let bearer = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or("");
        let (_, token) = bearer.split_once(' ').unwrap_or(("", ""));
        let foreign = if self == Self::Operators { WORKLOAD_TOKEN } else { SESSION_TOKEN };
        let route = ROUTES.iter().find(|r| is_path_of(r.path, path));
        let here = route.is_none_or(|r| self.serves(r.right)) && !token.trim_start().starts_with(foreign);
        match (here, self) {
            (true, _) => None,
            (false, Self::Operators) => {
                Some("this listener is for operators; workloads ask at one of `listen` in the configuration")
            }
            (false, _) => Some(
                "this listener is for workloads; operators connect to one of `listen_operators` in the configuration",
            ),
        }
    }
}

fn is_path_of(route: &str, path: &str) -> bool {
    let (mut route, mut path) = (route.split('/'), path.split('/'));
    loop {
        match (route.next(), path.next()) {
            (None, None) => return true,
            (Some(word), Some(_)) if word.starts_with("{*") => return true,
            (Some(word), Some(part)) if word == part || word.starts_with('{') => {}
            _ => return false,
        }
    }
}

/// The client of a connection.
#[derive(Clone)]
pub(super) struct Peer {
    pub transport: Transport,
    /// Unix user id; only on a unix socket.
    pub uid: Option<u32>,
    /// IP address on TCP, without the port: that changes with each connection.
    pub address: String,
    pub listener: ListenerKind,
    /// The place of its connection, held by whatever outlives the request.
    pub(super) place: Option<Arc<ConnPermit>>,
    /// Memory for its bodies.
    pub(super) bodies: Arc<BodyBudget>,
}

impl Peer {
    /// True on the operators' unix socket of this node.
    pub(super) fn local(&self) -> bool {
        self.transport == Transport::Unix && self.listener == ListenerKind::Operators
    }

    /// The tenant whose own socket this is.
    pub(super) fn tenant_socket(&self) -> Option<TenantUid> {
        match self.listener {
            ListenerKind::Tenant(tenant) => Some(tenant),
            ListenerKind::Operators | ListenerKind::Workloads => None,
        }
    }

    /// Name for connection limits and receipts.
    pub(super) fn name(&self) -> String {
        match self.uid {
            Some(uid) => format!("unix uid {uid}"),
            None => format!("tcp {}", self.address),
        }
    }

    /// Whose it is was proved: its connection is no stranger's any more.
    pub(super) fn show(&self, owner: Owner) {
        if let Some(place) = &self.place {
            place.show(owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(bearer: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(bearer).unwrap());
        headers
    }

    /// C1, C9, D3: each route is answered by the listeners of those who may call it, and by no other.
    #[test]
    fn each_listener_serves_its_own() {
        let kinds =
            [ListenerKind::Operators, ListenerKind::Workloads, ListenerKind::Tenant(TenantUid([1; 16]))];
        for route in ROUTES {
            let path = route.path.replace(['{', '}'], "");
            for kind in kinds {
                let here = kind.misdirected(&path, &HeaderMap::new()).is_none();
                assert_eq!(here, kind.serves(route.right), "{path} at {kind:?}");
            }
        }
        let reads = "/v1/tenants/00/usage";
        assert!(kinds[0].misdirected(reads, &headers("Bearer cds_00")).is_none());
        assert!(kinds[0].misdirected(reads, &headers("Bearer cdw_00")).is_some());
        for kind in &kinds[1..] {
            assert!(kind.misdirected(reads, &headers("bearer cds_00")).is_some());
            assert!(kind.misdirected(reads, &headers("Bearer cdw_00")).is_none());
        }
        assert!(kinds[0].misdirected("/nothing", &HeaderMap::new()).is_none(), "left to the router");
    }

    #[test]
    fn paths_are_compared_by_parts() {
        for (route, path, same) in [
            ("/v1/runs/{run}", "/v1/runs/0a", true),
            ("/v1/runs/{run}", "/v1/runs/0a/steps", false),
            ("/v1/runs", "/v1/runs/", false),
            ("/f/{*flag}", "/f/a/b", true),
            ("/f/{*flag}", "/f", false),
        ] {
            assert_eq!(is_path_of(route, path), same, "{path}");
        }
    }
}
