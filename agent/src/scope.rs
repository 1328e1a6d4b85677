//! Who is asking, and the proof of tenant scope.
//!
//! No function reads or writes tenant data without a [`TenantScope`] or an [`OperatorScope`], and such a value comes
//! only from here, from an authenticated request. Its fields are private: it cannot be made elsewhere.

mod challenge;
mod sessions;

pub use sessions::{Arrival, MAX_SESSIONS_PER_KEY, SESSION, SessionError, Sessions};

use conductor_shared::control::ControlState;
use conductor_shared::ids::{Ident, KeyId, PartitionId, PersonId, TenantUid, TokenId, unhex};
use conductor_shared::routes::WORKLOAD_TOKEN;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Proof that a workload of this tenant asks, given by the control state of one incarnation of its partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantScope {
    partition: PartitionId,
    principal: String,
}

impl TenantScope {
    /// The tenant it proves.
    pub fn tenant(&self) -> TenantUid {
        self.partition.tenant
    }
    /// The incarnation that proved it.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }
    /// `token:<id>` or `uid:<n>`, as it stands in receipts.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// For the agent's own acts on a tenant's behalf (a lease that ran out).
    pub(crate) fn of_agent(partition: PartitionId) -> Self {
        Self { partition, principal: "agent".to_owned() }
    }
}

/// Proof that an enrolled operator reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorScope {
    person: PersonId,
    name: Ident,
    key_id: KeyId,
}

impl OperatorScope {
    /// The person.
    pub fn person(&self) -> PersonId {
        self.person
    }
    /// Their short name.
    pub fn name(&self) -> &Ident {
        &self.name
    }
    /// The key they opened the session with.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }
}

/// A workload's bearer token, taken apart; not yet checked.
pub struct TokenParts {
    /// Whose it says it is.
    pub tenant: TenantUid,
    /// Which.
    pub token: TokenId,
    secret: zeroize::Zeroizing<[u8; 32]>,
}

impl TokenParts {
    /// Reads `cdw_<tenant uid>_<token id>_<secret>`.
    pub fn parse(bearer: &str) -> Option<Self> {
        let mut parts = bearer.strip_prefix(WORKLOAD_TOKEN)?.split('_');
        let tenant = parts.next()?.parse().ok()?;
        let token = parts.next()?.parse().ok()?;
        let secret = zeroize::Zeroizing::new(unhex(parts.next()?)?);
        parts.next().is_none().then_some(Self { tenant, token, secret })
    }

    /// Checks it against the control state of the tenant's `partition`, in time that does not depend on the secret.
    pub fn prove(&self, partition: PartitionId, control: &ControlState) -> Option<TenantScope> {
        if partition.tenant != self.tenant {
            return None;
        }
        let known = control.live_token(self.token)?;
        let digest: [u8; 32] = Sha256::digest(self.secret.as_slice()).into();
        bool::from(digest.ct_eq(&known.secret_sha256.0))
            .then(|| TenantScope { partition, principal: format!("token:{}", self.token) })
    }
}

/// Proves a local user on the tenant's own socket.
pub fn prove_peer(partition: PartitionId, control: &ControlState, uid: u32) -> Option<TenantScope> {
    control.peers.contains(&uid).then(|| TenantScope { partition, principal: format!("uid:{uid}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::command::{Operation, ops};
    use conductor_shared::ids::hex;

    /// SPEC invariant 2: only the very secret of a live token proves scope.
    #[test]
    fn only_the_secret_proves() {
        let (tenant, token, secret) = (TenantUid([1; 16]), TokenId([2; 16]), [3u8; 32]);
        let issue = Operation::TokenIssue(ops::TokenIssue {
            token,
            name: Ident::new("t").unwrap(),
            secret_sha256: Sha256::digest(secret).into(),
        });
        let control = ControlState::default().after(&issue);
        let here = PartitionId { tenant, epoch: 2 };
        let bearer = |s: &[u8]| format!("cdw_{tenant}_{token}_{}", hex(s));
        let scope = TokenParts::parse(&bearer(&secret)).unwrap().prove(here, &control).unwrap();
        assert_eq!((scope.partition(), scope.principal()), (here, format!("token:{token}").as_str()));
        assert!(TokenParts::parse(&bearer(&[4; 32])).unwrap().prove(here, &control).is_none());
        assert!(TokenParts::parse(&bearer(&secret)).unwrap().prove(here, &ControlState::default()).is_none());
        let revoked = control.after(&Operation::TokenRevoke(ops::TokenRevoke { token }));
        assert!(TokenParts::parse(&bearer(&secret)).unwrap().prove(here, &revoked).is_none());
        for bad in
            ["", "cdw_", &bearer(&secret)[1..], &format!("{}_", bearer(&secret)), &bearer(&secret[1..])]
        {
            assert!(TokenParts::parse(bad).is_none(), "{bad}");
        }
        assert!(prove_peer(here, &control, 7).is_none());
        let other = PartitionId { tenant: TenantUid([9; 16]), epoch: 2 };
        assert!(TokenParts::parse(&bearer(&secret)).unwrap().prove(other, &control).is_none());
    }
}
