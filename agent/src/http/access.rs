//! The gate before every handler: proves who asks and that they have the right of the route's row, before a body is
//! read. What it proved is taken by the handler with an extractor; there is no other way to get one.

use super::auth::{self, Caller, Peer};
use super::error::ApiError;
use super::state::{Api, ApiState};
use crate::partition::published::PartitionCell;
use crate::scope::{OperatorScope, TenantScope};
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use conductor_shared::access::{self, Sight};
use conductor_shared::control::ControlState;
use conductor_shared::ids::{Ident, TenantUid};
use conductor_shared::operator::{OperatorKey, Role};
use conductor_shared::reason::Reason;
use conductor_shared::routes::{Right, Route};
use std::sync::Arc;

/// An operator with the key of their session.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) scope: OperatorScope,
    key: OperatorKey,
}

impl Person {
    pub(super) fn of(scope: OperatorScope, node: &ControlState) -> Option<Self> {
        let key = node.operator(scope.key_id())?.clone();
        Some(Self { scope, key })
    }

    pub(super) fn key(&self) -> &OperatorKey {
        &self.key
    }

    /// What they may read of a log.
    pub(super) fn sight(&self, log: TenantUid) -> Option<Sight> {
        access::sight(&self.key, log)
    }

    pub(super) fn has_role(&self, role: Role, log: TenantUid) -> bool {
        self.key.has_role(role, log)
    }

    /// What sums up all tenants is for them.
    pub(super) fn sees_the_node(&self) -> bool {
        access::sees_the_node(&self.key)
    }

    /// The logs that they may read, with how much of them.
    pub(super) fn logs(&self, api: &Api) -> Vec<(Arc<PartitionCell>, Sight)> {
        let all = api.board.all().into_iter();
        all.filter_map(|cell| self.sight(cell.id.tenant).map(|sight| (cell, sight))).collect()
    }

    /// Roles and key are still the same: what was begun by them may go on.
    pub(super) fn same_rights(&self, other: &Self) -> bool {
        self.scope == other.scope && self.key.roles == other.key.roles
    }
}

/// Who asks, as proved.
#[derive(Clone)]
enum Proved {
    Nobody,
    Person(Person),
    Workload(TenantScope, Arc<PartitionCell>),
}

/// What the gate proved.
#[derive(Clone)]
struct Admitted {
    who: Proved,
    /// The log that the path names, with how much of it may be read.
    log: Option<(Arc<PartitionCell>, Sight)>,
    pass: Pass,
}

/// What a request shows. Streams and downloads show it again with each chunk.
#[derive(Clone)]
struct Pass {
    peer: Peer,
    /// `Authorization` alone.
    headers: HeaderMap,
    route: &'static Route,
    /// The tenant that the path names, as it was named.
    named: Option<String>,
}

/// A log, with how much of it may be read.
type SeenLog = (Arc<PartitionCell>, Sight);

/// Why a request is not let in.
enum Refusal {
    /// On record: who asked as far as proved, what they named, and why.
    Denied(Caller, String, Reason),
    Bad(ApiError),
}

impl From<ApiError> for Refusal {
    fn from(e: ApiError) -> Self {
        Self::Bad(e)
    }
}

impl Pass {
    /// Who shows it, while they may.
    fn prove(&self, api: &Api) -> Result<(Proved, Option<SeenLog>), Refusal> {
        let right = self.route.right;
        if !right.authenticates() {
            return Ok((Proved::Nobody, None));
        }
        if let Some((scope, _)) = auth::session(api, &self.peer, &self.headers) {
            let person = api.board.node_control().and_then(|c| Person::of(scope, &c));
            return person.map_or_else(|| Err(unknown()), |p| self.of_person(api, p));
        }
        match auth::prove(api, &self.peer, &self.headers) {
            Some((scope, cell)) => self.of_workload(api, scope, cell),
            None => Err(unknown()),
        }
    }

    fn of_person(&self, api: &Api, person: Person) -> Result<(Proved, Option<SeenLog>), Refusal> {
        let right = self.route.right;
        let uid = match &self.named {
            None => TenantUid::NODE,
            Some(named) => resolve(api, named)?,
        };
        if right == Right::Workload {
            // A session is no workload's credential.
            return Err(unknown());
        }
        if !right.of_person(&person.key, uid) {
            let named = self.named.clone().unwrap_or_default();
            return Err(Refusal::Denied(Caller::Person(person.scope), named, Reason::RoleMissing));
        }
        let Some(_) = self.named else { return Ok((Proved::Person(person), None)) };
        let cell = api.board.get(uid).ok_or_else(no_such_tenant)?;
        // Who may only preview sees what the operation is about, and nothing else of the log.
        let sight = person.sight(uid).unwrap_or(Sight::Outline);
        Ok((Proved::Person(person), Some((cell, sight))))
    }

    fn of_workload(
        &self,
        api: &Api,
        scope: TenantScope,
        cell: Arc<PartitionCell>,
    ) -> Result<(Proved, Option<SeenLog>), Refusal> {
        let log = match &self.named {
            None => None,
            Some(named) if resolve(api, named).is_ok_and(|uid| uid == scope.tenant()) => {
                Some((Arc::clone(&cell), Sight::Own))
            }
            Some(named) => {
                return Err(Refusal::Denied(Caller::Workload(scope), named.clone(), Reason::ScopeMismatch));
            }
        };
        if !self.route.right.of_workload() {
            let named = self.named.clone().unwrap_or_default();
            return Err(Refusal::Denied(Caller::Workload(scope), named, Reason::RoleMissing));
        }
        Ok((Proved::Workload(scope, cell), log))
    }

    /// The right by which this was begun is still there: the same person with the same roles, or the same workload.
    fn holds(&self, api: &Api, begun: &Proved) -> bool {
        match (self.prove(api), begun) {
            (Ok((Proved::Person(now), _)), Proved::Person(then)) => now.same_rights(then),
            (Ok((Proved::Workload(now, _), _)), Proved::Workload(then, _)) => now == *then,
            _ => false,
        }
    }
}

fn unknown() -> Refusal {
    Refusal::Denied(Caller::Unknown, String::new(), Reason::Unauthenticated)
}

fn no_such_tenant() -> ApiError {
    ApiError::bad(StatusCode::NOT_FOUND, "this node has no such tenant; see GET /v1/tenants")
}

/// The tenant that a path names, by uid or by display id.
fn resolve(api: &Api, named: &str) -> Result<TenantUid, ApiError> {
    let error = match named.parse::<TenantUid>() {
        Ok(uid) => return Ok(uid),
        Err(e) => e,
    };
    let name =
        Ident::new(named).map_err(|_| ApiError::bad(StatusCode::BAD_REQUEST, format!("tenant: {error}")))?;
    let uid = api.board.node_control().and_then(|c| c.tenant_named(&name));
    Ok(uid.unwrap_or(NOBODY))
}

/// What a display id that no tenant has resolves to: only a role on the whole node covers it.
const NOBODY: TenantUid = TenantUid([0xff; 16]);

/// A route, and what is needed to judge who calls it.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) api: ApiState,
    pub(super) route: &'static Route,
}

/// Lets a request through to the handler of its route, or refuses it.
pub(super) async fn gate(State(gate): State<Gate>, r: Request, next: Next) -> Response {
    let (mut parts, body) = r.into_parts();
    match admit(&gate, &mut parts).await {
        Ok(admitted) => {
            parts.extensions.insert(admitted);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refused) => refused.into_response(),
    }
}

async fn admit(Gate { api, route }: &Gate, parts: &mut Parts) -> Result<Admitted, ApiError> {
    let bad = |what: String| ApiError::bad(StatusCode::BAD_REQUEST, what);
    let path = RawPathParams::from_request_parts(parts, &()).await.map_err(|e| bad(e.to_string()))?;
    let named = path.iter().find(|(name, _)| *name == "tenant").map(|(_, value)| value.to_owned());
    let peer = parts.extensions.get::<Peer>().cloned().ok_or_else(|| ungated(route.name.word()))?;
    let authorization = parts.headers.get(header::AUTHORIZATION).cloned();
    let headers = authorization.map(|value| (header::AUTHORIZATION, value)).into_iter().collect();
    let pass = Pass { peer, headers, route, named };
    match pass.prove(api) {
        Ok((who, log)) => Ok(Admitted { who, log, pass }),
        Err(Refusal::Bad(e)) => Err(e),
        Err(Refusal::Denied(caller, named, reason)) => {
            Err(auth::denied(api, &pass.peer, route.name.word(), &caller, &named, reason).await)
        }
    }
}

/// A handler asks for what its route's row does not prove: a bug.
fn ungated(what: &str) -> ApiError {
    tracing::error!("{what}: the route's right does not prove what its handler takes");
    ApiError::bad(StatusCode::INTERNAL_SERVER_ERROR, "this route is not guarded as it should be; report this")
}

fn admitted(parts: &Parts) -> Result<&Admitted, ApiError> {
    parts.extensions.get::<Admitted>().ok_or_else(|| ungated(parts.uri.path()))
}

/// The log that the path names, which the caller may read.
pub(super) struct LogReader {
    pub(super) cell: Arc<PartitionCell>,
    pub(super) sight: Sight,
    pub(super) going_on: GoingOn,
}

impl<S: Sync> FromRequestParts<S> for LogReader {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let a = admitted(parts)?;
        let (cell, sight) = a.log.clone().ok_or_else(|| ungated(parts.uri.path()))?;
        Ok(Self { cell, sight, going_on: GoingOn { pass: a.pass.clone(), begun: a.who.clone() } })
    }
}

impl<S: Sync> FromRequestParts<S> for Person {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match &admitted(parts)?.who {
            Proved::Person(person) => Ok(person.clone()),
            _ => Err(ungated(parts.uri.path())),
        }
    }
}

/// A workload with its own tenant.
pub(super) struct OwnTenant {
    pub(super) scope: TenantScope,
    pub(super) cell: Arc<PartitionCell>,
}

impl<S: Sync> FromRequestParts<S> for OwnTenant {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match &admitted(parts)?.who {
            Proved::Workload(scope, cell) => Ok(Self { scope: scope.clone(), cell: Arc::clone(cell) }),
            _ => Err(ungated(parts.uri.path())),
        }
    }
}

/// Tells whether the right by which a stream or a download was begun is still there.
#[derive(Clone)]
pub(super) struct GoingOn {
    pass: Pass,
    begun: Proved,
}

impl GoingOn {
    pub(super) fn holds(&self, api: &Api) -> bool {
        self.pass.holds(api, &self.begun)
    }
}

impl<S: Sync> FromRequestParts<S> for GoingOn {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let a = admitted(parts)?;
        Ok(Self { pass: a.pass.clone(), begun: a.who.clone() })
    }
}
