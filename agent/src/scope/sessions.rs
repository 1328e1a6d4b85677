//! Short read-only sessions of operators, bound to node, key and transport. In memory only: a restart ends them all.

use super::OperatorScope;
use super::challenge::{Challenge, Challenges};
use crate::platform::random::{Random, bytes};
use conductor_shared::checkpoint::{key_id, verify_minisign};
use conductor_shared::clock::{MonoTime, Now};
use conductor_shared::control::ControlState;
use conductor_shared::http::SignedText;
use conductor_shared::ids::{KeyId, NodeId, hex, unhex};
use conductor_shared::routes::SESSION_TOKEN;
use conductor_shared::session::{Session, Transport};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::time::Duration;

/// A session lasts this long.
pub const SESSION: Duration = Duration::from_secs(15 * 60);
/// Sessions of one key at a time. One more ends the one of that key that was used longest ago, and nobody else's.
pub const MAX_SESSIONS_PER_KEY: usize = 16;

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
}

struct Open {
    scope: OperatorScope,
    transport: Transport,
    until: MonoTime,
    used: MonoTime,
}

/// All of them. Tokens are kept hashed.
pub struct Sessions {
    challenges: Challenges,
    open: Mutex<HashMap<[u8; 32], Open>>,
}

/// Where and when a session is opened.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    pub node: NodeId,
    pub transport: Transport,
    pub control: &'a ControlState,
    pub now: Now,
}

impl Sessions {
    pub fn new(random: &dyn Random) -> Self {
        Self { challenges: Challenges::new(random), open: Mutex::default() }
    }

    /// A new challenge.
    pub fn challenge(&self, now: Now) -> Challenge {
        self.challenges.issue(now.mono)
    }

    /// Opens a session and gives its token.
    pub fn open(
        &self,
        signed: &SignedText,
        arrival: Arrival<'_>,
        random: &dyn Random,
    ) -> Result<(String, OperatorScope), SessionError> {
        let Arrival { node, transport, control, now } = arrival;
        let id = key_id(&signed.public_key).ok_or(SessionError::Signature)?;
        let key = control.operator(id).ok_or(SessionError::Signature)?;
        verify_minisign(&key.public_key, signed.text.as_bytes(), &signed.signature)
            .map_err(|_| SessionError::Signature)?;
        let text = Session::parse(signed.text.as_bytes()).ok_or(SessionError::Signature)?;
        if text.node != node || text.transport != transport {
            return Err(SessionError::Binding);
        }
        if !self.challenges.take(&text.challenge, id, now.mono) {
            return Err(SessionError::Challenge);
        }
        let scope = OperatorScope { person: key.person, name: key.name.clone(), key_id: id };
        let secret: [u8; 32] = bytes(random);
        let session = Open { scope: scope.clone(), transport, until: now.mono + SESSION, used: now.mono };
        let mut open = self.open.lock();
        open.retain(|_, o| o.until > now.mono && control.operator(o.scope.key_id).is_some());
        make_room(&mut open, id);
        open.insert(Sha256::digest(secret).into(), session);
        Ok((format!("{SESSION_TOKEN}{}", hex(&secret)), scope))
    }

    /// Whose session this is, while it lasts, its key is enrolled and it comes the way it was opened.
    pub fn prove(
        &self,
        bearer: &str,
        transport: Transport,
        control: &ControlState,
        now: Now,
    ) -> Option<(OperatorScope, MonoTime)> {
        let digest = digest(bearer)?;
        let mut open = self.open.lock();
        let o = open.get_mut(&digest)?;
        let good = o.until > now.mono
            && o.transport == transport
            && control.operator(o.scope.key_id).is_some_and(|k| k.person == o.scope.person);
        good.then(|| {
            o.used = now.mono;
            (o.scope.clone(), o.until)
        })
    }

    /// Ends a session. What is none changes nothing.
    pub fn close(&self, bearer: &str) {
        if let Some(digest) = digest(bearer) {
            self.open.lock().remove(&digest);
        }
    }
}

/// Looked up by its hash: the time taken tells nothing about the secret.
fn digest(bearer: &str) -> Option<[u8; 32]> {
    let secret = unhex::<32>(bearer.strip_prefix(SESSION_TOKEN)?)?;
    Some(Sha256::digest(secret).into())
}

/// Ends sessions of this key until one more fits.
fn make_room(open: &mut HashMap<[u8; 32], Open>, key: KeyId) {
    let mut mine: Vec<(MonoTime, [u8; 32])> =
        open.iter().filter(|(_, o)| o.scope.key_id == key).map(|(token, o)| (o.used, *token)).collect();
    mine.sort_unstable();
    let too_many = (mine.len() + 1).saturating_sub(MAX_SESSIONS_PER_KEY);
    for (_, token) in &mine[..too_many] {
        open.remove(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::random::OsRandom;
    use conductor_shared::clock::WallTime;
    use conductor_shared::ids::{Ident, PersonId};
    use conductor_shared::operator::{OperatorKey, Roles};

    const NODE: NodeId = NodeId([7; 16]);

    struct Person {
        pair: minisign::KeyPair,
        person: PersonId,
    }

    impl Person {
        fn enrol(control: &mut ControlState, n: u8) -> Self {
            let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
            let public_key = pair.pk.to_base64();
            let person = PersonId([n; 16]);
            let key = OperatorKey {
                person,
                name: Ident::new(&format!("p{n}")).unwrap(),
                public_key: public_key.clone(),
                roles: Roles::default(),
                since: 0,
                roles_since: None,
                suspended: false,
                revoked: None,
            };
            control.operators.insert(key_id(&public_key).unwrap(), key);
            Self { pair, person }
        }

        fn sign(&self, challenge: Challenge) -> SignedText {
            let session = Session { node: NODE, transport: Transport::Unix, challenge, issued_at_us: 1 };
            let text = session.text();
            let sig = minisign::sign(None, &self.pair.sk, text.as_bytes(), None, None).unwrap();
            SignedText { text, signature: sig.to_string(), public_key: self.pair.pk.to_base64() }
        }
    }

    fn at(us: u64) -> Now {
        Now { wall: WallTime::from_micros(us), mono: MonoTime::from_micros(us) }
    }

    /// C1: a person who opens sessions without end ends their own that was used longest ago, never another's, and is never
    /// refused. A session that was closed makes room at once.
    #[test]
    fn sessions_are_bounded_by_key() {
        let random = OsRandom::default();
        let mut control = ControlState::default();
        let (ana, ben) = (Person::enrol(&mut control, 1), Person::enrol(&mut control, 2));
        let all = Sessions::new(&random);
        let open = |who: &Person, us: u64| {
            let signed = who.sign(all.challenge(at(us)));
            let arrival = Arrival { node: NODE, transport: Transport::Unix, control: &control, now: at(us) };
            all.open(&signed, arrival, &random).unwrap().0
        };
        let lives = |token: &str, us: u64| all.prove(token, Transport::Unix, &control, at(us)).is_some();
        let bens = open(&ben, 1);
        let first = open(&ana, 2);
        let second = open(&ana, 3);
        let mut last = String::new();
        for n in 0..1_050 {
            assert!(lives(&first, 10 + n), "what is in use stays");
            last = open(&ana, 10 + n);
        }
        assert!(!lives(&second, 2_000) && lives(&last, 2_000) && lives(&bens, 2_000));
        assert_eq!(all.open.lock().len(), MAX_SESSIONS_PER_KEY + 1);
        let scope = all.prove(&bens, Transport::Unix, &control, at(2_000)).unwrap().0;
        assert_eq!(scope.person(), ben.person);
        assert!(all.prove(&bens, Transport::Plain, &control, at(2_000)).is_none());
        all.close(&last);
        all.close("cds_nothing");
        assert!(!lives(&last, 2_001) && lives(&first, 2_001));
        assert_eq!(ana.person, PersonId([1; 16]));
    }
}
