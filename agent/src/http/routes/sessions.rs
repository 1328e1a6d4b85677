//! Sessions of operators: signing a challenge opens one.

use crate::http::access::Person;
use crate::http::auth::{self, Caller, Peer};
use crate::http::conn_limit::Owner;
use crate::http::error::ApiError;
use crate::http::input::Body;
use crate::http::state::ApiState;
use crate::scope::{Arrival, SESSION};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use conductor_shared::http::{Challenge, SessionOpened, SignedText};
use conductor_shared::ids::hex;
use conductor_shared::operator::GrantedRole;
use conductor_shared::reason::Reason;

pub(crate) async fn challenge(State(api): State<ApiState>) -> Json<Challenge> {
    Json(Challenge { challenge: hex(&api.sessions.challenge(api.clock.now())), node: api.node_info() })
}

pub(crate) async fn open(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Body(signed): Body<SignedText>,
) -> Result<Json<SessionOpened>, ApiError> {
    let control = api.node_control()?;
    let now = api.clock.now();
    let arrival = Arrival { node: api.node_id, transport: peer.transport, control: &control, now };
    match api.sessions.open(&signed, arrival, &*api.random) {
        Ok((token, scope)) => {
            peer.show(Owner::Person(scope.person()));
            let roles = control
                .operators
                .get(&scope.key_id())
                .map(|k| k.roles.iter().map(GrantedRole::word).collect());
            Ok(Json(SessionOpened {
                token,
                expires_at_us: (now.wall + SESSION).as_micros(),
                person: scope.name().clone(),
                roles: roles.unwrap_or_default(),
            }))
        }
        Err(e) => {
            let on_record =
                auth::denied(&api, &peer, "session_open", &Caller::Unknown, "", Reason::Unauthenticated)
                    .await;
            let mut p = on_record.0;
            p.detail = e.to_string();
            Err(ApiError(p))
        }
    }
}

/// Whoever is done with a session ends it, so that its place is free for the next.
pub(crate) async fn close(State(api): State<ApiState>, _: Person, headers: HeaderMap) -> StatusCode {
    api.sessions.close(auth::bearer(&headers).unwrap_or(""));
    StatusCode::NO_CONTENT
}
