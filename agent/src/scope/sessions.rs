//! Short read-only sessions of operators, bound to node, key and transport. In memory only: a restart ends them all.

use super::OperatorScope;
use crate::platform::random::{Random, bytes};
use conductor_shared::checkpoint::{key_id, verify_minisign};
use conductor_shared::clock::{MonoTime, Now};
use conductor_shared::control::ControlState;
use conductor_shared::http::SignedText;
use conductor_shared::ids::{NodeId, hex, unhex};
use conductor_shared::routes::SESSION_TOKEN;
use conductor_shared::session::{Session, Transport};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::time::Duration;

/// A session lasts this long.
pub const SESSION: Duration = Duration::from_secs(15 * 60);
/// No more sessions at a time.
pub const MAX_SESSIONS: usize = 1_000;
const CHALLENGE: Duration = Duration::from_secs(60);
const MAX_CHALLENGES: usize = 1_000;

/// Why no session was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The signature, the key or the text is not right.
    #[error("the session text is not signed by an enrolled operator's key")]
    Signature,
    /// Made for another node or another way of reaching it.
    #[error("the session text is for another node or transport")]
    Binding,
    /// Unknown, used or old.
    #[error("the challenge is unknown, used or over a minute old; ask for a new one")]
    Challenge,
    /// Too many.
    #[error("too many sessions are open; close some")]
    TooMany,
}

struct Open {
    scope: OperatorScope,
    transport: Transport,
    until: MonoTime,
}

/// All of them. Tokens are kept hashed.
#[derive(Default)]
pub struct Sessions {
    challenges: Mutex<HashMap<[u8; 16], MonoTime>>,
    open: Mutex<HashMap<[u8; 32], Open>>,
}

impl Sessions {
    /// A new challenge.
    pub fn challenge(&self, now: Now, random: &dyn Random) -> Option<[u8; 16]> {
        let mut all = self.challenges.lock();
        all.retain(|_, until| *until > now.mono);
        if all.len() >= MAX_CHALLENGES {
            return None;
        }
        let c = bytes(random);
        all.insert(c, now.mono + CHALLENGE);
        Some(c)
    }

    /// Opens a session; gives its token and when it ends.
    pub fn open(
        &self,
        signed: &SignedText,
        node: NodeId,
        transport: Transport,
        control: &ControlState,
        now: Now,
        random: &dyn Random,
    ) -> Result<(String, OperatorScope, MonoTime), SessionError> {
        let id = key_id(&signed.public_key).ok_or(SessionError::Signature)?;
        let key = control.operator(id).ok_or(SessionError::Signature)?;
        verify_minisign(&key.public_key, signed.text.as_bytes(), &signed.signature)
            .map_err(|_| SessionError::Signature)?;
        let text = Session::parse(signed.text.as_bytes()).ok_or(SessionError::Signature)?;
        if text.node != node || text.transport != transport {
            return Err(SessionError::Binding);
        }
        let known = {
            let mut all = self.challenges.lock();
            all.remove(&text.challenge)
        };
        known.filter(|until| *until > now.mono).ok_or(SessionError::Challenge)?;
        let scope = OperatorScope { person: key.person, name: key.name.clone(), key_id: id };
        let secret: [u8; 32] = bytes(random);
        let until = now.mono + SESSION;
        let mut open = self.open.lock();
        open.retain(|_, o| o.until > now.mono);
        if open.len() >= MAX_SESSIONS {
            return Err(SessionError::TooMany);
        }
        open.insert(Sha256::digest(secret).into(), Open { scope: scope.clone(), transport, until });
        Ok((format!("{SESSION_TOKEN}{}", hex(&secret)), scope, until))
    }

    /// Whose session this is, while it lasts, its key is enrolled and it comes the way it was opened.
    pub fn prove(
        &self,
        bearer: &str,
        transport: Transport,
        control: &ControlState,
        now: Now,
    ) -> Option<(OperatorScope, MonoTime)> {
        let secret = unhex::<32>(bearer.strip_prefix(SESSION_TOKEN)?)?;
        // Looked up by its hash: the time taken tells nothing about the secret.
        let digest: [u8; 32] = Sha256::digest(secret).into();
        let open = self.open.lock();
        let o = open.get(&digest)?;
        let good = o.until > now.mono
            && o.transport == transport
            && control.operator(o.scope.key_id).is_some_and(|k| k.person == o.scope.person);
        good.then(|| (o.scope.clone(), o.until))
    }
}
