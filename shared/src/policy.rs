//! Policy: what a rule engine is asked, and the signed statement by which a bundle of rules is known.
//!
//! Policy sees facts, never numbers: there are few distinct inputs, so a cache can answer the hot path. Policy can only deny
//! more than the rules in this crate.
//!
//! ```text
//! conductor/bundle/v1
//! revision: decimal, rises with every bundle
//! digest: SHA-256 of the bundle's files, hex
//! built_at_us: decimal, microseconds since the Unix epoch
//! expires_at_us: decimal
//! ```

use crate::ids::{hex, parse_decimal, unhex};
use crate::record::PolicyVersion;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// First line of a bundle's statement.
pub const BUNDLE_LINE: &str = "conductor/bundle/v1";
/// No statement is longer.
const MAX_STATEMENT: usize = 512;
/// Begins what an input's digest hashes.
const INPUT_TAG: &[u8] = b"conductor/policy-input/v1\0";

/// What a policy key signs: which files, in which order of revisions, until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// Rises with every bundle; 0 is the one built in.
    pub revision: u64,
    /// SHA-256 of the files.
    pub digest: [u8; 32],
    /// When it was built, microseconds since the Unix epoch.
    pub built_at_us: u64,
    /// From then on it is not valid.
    pub expires_at_us: u64,
}

impl Statement {
    /// The one text.
    pub fn text(&self) -> String {
        format!(
            "{BUNDLE_LINE}\nrevision: {}\ndigest: {}\nbuilt_at_us: {}\nexpires_at_us: {}\n",
            self.revision,
            hex(&self.digest),
            self.built_at_us,
            self.expires_at_us
        )
    }

    /// Reads the one text; `None` for every other, and for revision 0, which nobody signs.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok().filter(|t| t.len() <= MAX_STATEMENT)?;
        let mut lines = text.split('\n');
        (lines.next()? == BUNDLE_LINE).then_some(())?;
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(": ");
        let s = Self {
            revision: parse_decimal(field("revision")?).filter(|r| *r > 0)?,
            digest: unhex(field("digest")?)?,
            built_at_us: parse_decimal(field("built_at_us")?)?,
            expires_at_us: parse_decimal(field("expires_at_us")?)?,
        };
        (s.text() == text).then_some(s)
    }

    /// As receipts name it.
    pub fn version(&self) -> PolicyVersion {
        PolicyVersion { revision: self.revision, digest: self.digest }
    }
}

/// The bundle that a node uses, according to its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LoadedBundle {
    /// Its revision.
    pub revision: u64,
    /// SHA-256 of its files.
    pub digest: crate::ids::Digest,
    /// From then on it is not valid, microseconds since the Unix epoch.
    pub expires_at_us: u64,
}

/// What an engine is asked. The names are those of `policies/input.schema.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Input<'a> {
    /// Version of this shape: 1.
    pub version: u8,
    /// `admit`, `loosen` or `irreversible`: nothing else is asked.
    pub class: &'a str,
    /// `run.start`, `step.start`, or the operation of a command.
    pub operation: &'a str,
    /// Display id of the tenant, or of the node.
    pub tenant: &'a str,
    /// Profile it has.
    pub profile: &'a str,
    /// `workload` or `operator`.
    pub principal: &'a str,
    /// Whose request it is.
    pub scope: Scope,
    /// Admissions: which work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work: Option<Work<'a>>,
    /// Admissions: the catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Workflow>,
    /// Admissions: quotas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
    /// Admissions: ramp and kill switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp: Option<Ramp>,
    /// Freeze windows.
    pub freeze: Freeze,
    /// Commands: the signer's role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Commands: other persons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Approvals>,
}

macro_rules! facts_of {
    ($($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $fdoc:literal])+ $field:ident),* })*) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        pub struct $name { $($(#[doc = $fdoc])+ pub $field: bool),* }
        impl $name {
            // Begins with its presence, so that no group can be mistaken for another.
            fn hash(this: Option<Self>, h: &mut Pieces) {
                match this {
                    Some(g) => h.add(&[1, $(u8::from(g.$field)),*]),
                    None => h.add(&[0]),
                }
            }
        }
    )*};
}

facts_of! {
    /// Whose request it is.
    Scope {
        /// The tenant named is the one that the credentials belong to.
        proven
    }
    /// The tenant's catalog.
    Workflow {
        /// The workflow type is in it.
        registered,
        /// The declared prompt is the pinned one, or none is pinned.
        prompt_fits
    }
    /// Quotas, each true while it is kept.
    Within {
        /// Open runs.
        concurrent_runs,
        /// Steps a second.
        step_rate,
        /// Receipts without a signed checkpoint.
        receipt_backlog
    }
    /// Ramp and kill switch.
    Ramp {
        /// The subject is among those that the ramp includes.
        included,
        /// A kill switch covers it.
        killed
    }
    /// Freeze windows.
    Freeze {
        /// One is on.
        active,
        /// Break-glass lifts it.
        break_glass
    }
    /// The role that the operation asks for.
    Role {
        /// The signer has it.
        held
    }
    /// Approvals by other persons.
    Approvals {
        /// As many as it takes.
        enough,
        /// By persons other than the requester, each once.
        distinct
    }
}

/// Which work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Work<'a> {
    /// Action.
    pub action: &'a str,
    /// Workflow type.
    pub workflow: &'a str,
    /// Environment.
    pub env: &'a str,
    /// Kind of actor.
    pub actor: &'a str,
}

/// SHA-256 over small pieces, collected in a buffer first: hashing each by itself takes several times as long.
struct Pieces {
    hash: Sha256,
    room: [u8; 512],
    len: usize,
}

impl Pieces {
    fn new() -> Self {
        Self { hash: Sha256::new(), room: [0; 512], len: 0 }
    }

    fn add(&mut self, piece: &[u8]) {
        if let Some(room) = self.room.get_mut(self.len..self.len + piece.len()) {
            room.copy_from_slice(piece);
            self.len += piece.len();
            return;
        }
        self.hash.update(&self.room[..self.len]);
        self.len = 0;
        self.hash.update(piece);
    }

    fn text(&mut self, t: &str) {
        self.add(&u32::try_from(t.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.add(t.as_bytes());
    }

    fn digest(mut self) -> [u8; 32] {
        self.hash.update(&self.room[..self.len]);
        self.hash.finalize().into()
    }
}

impl Input<'_> {
    /// SHA-256 over every field with its length: the cache key of a verdict. Allocates nothing.
    pub fn digest(&self) -> [u8; 32] {
        let mut h = Pieces::new();
        h.add(INPUT_TAG);
        h.add(&[self.version]);
        for t in [self.class, self.operation, self.tenant, self.profile, self.principal] {
            h.text(t);
        }
        match self.work {
            Some(w) => {
                h.add(&[1]);
                for t in [w.action, w.workflow, w.env, w.actor] {
                    h.text(t);
                }
            }
            None => h.add(&[0]),
        }
        Scope::hash(Some(self.scope), &mut h);
        Workflow::hash(self.workflow, &mut h);
        Within::hash(self.within, &mut h);
        Ramp::hash(self.ramp, &mut h);
        Freeze::hash(Some(self.freeze), &mut h);
        Role::hash(self.role, &mut h);
        Approvals::hash(self.approvals, &mut h);
        h.digest()
    }

    /// The document that engines get.
    pub fn json(&self) -> String {
        // Strings and booleans: it cannot fail, and an empty document is denied by every engine.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn admission() -> Input<'static> {
        Input {
            version: 1,
            class: "admit",
            operation: "run.start",
            tenant: "acme",
            profile: "default",
            principal: "workload",
            scope: Scope { proven: true },
            work: Some(Work { action: "run", workflow: "etl", env: "production", actor: "service" }),
            workflow: Some(Workflow { registered: true, prompt_fits: true }),
            within: Some(Within { concurrent_runs: true, step_rate: true, receipt_backlog: true }),
            ramp: Some(Ramp { included: true, killed: false }),
            freeze: Freeze { active: false, break_glass: false },
            role: None,
            approvals: None,
        }
    }

    /// DESIGN, Signed texts: one text, and no other is read; revision 0 is nobody's to sign.
    #[test]
    fn one_statement() {
        let s = Statement { revision: 3, digest: [7; 32], built_at_us: 1, expires_at_us: 2 };
        insta::assert_snapshot!("bundle-vector", s.text());
        assert_eq!(Statement::parse(s.text().as_bytes()), Some(s));
        for bad in [
            s.text() + "\n",
            s.text().replace("bundle", "command"),
            s.text().replace("revision: 3", "revision: 03"),
            s.text().replace("revision: 3", "revision: 0"),
            s.text().replace('\n', "\r\n"),
            "x".repeat(10_000),
        ] {
            assert_eq!(Statement::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    /// SPEC, X1 (memo): two inputs that differ anywhere have two digests, and the same text moved from one field to the
    /// next is a difference.
    #[test]
    fn every_field_counts() {
        let a = admission();
        let w = a.work.unwrap();
        let mut all = vec![
            a,
            Input { class: "loosen", ..a },
            Input { operation: "step.start", ..a },
            Input { tenant: "acm", profile: "edefault", ..a },
            Input { principal: "operator", ..a },
            Input { scope: Scope { proven: false }, ..a },
            Input { work: None, ..a },
            Input { work: Some(Work { action: "ru", workflow: "netl", ..w }), ..a },
            Input { work: Some(Work { env: "staging", ..w }), ..a },
            Input { work: Some(Work { actor: "human", ..w }), ..a },
            Input { role: Some(Role { held: false }), ..a },
            Input { role: Some(Role { held: true }), ..a },
            Input { workflow: None, ..a },
            Input { within: None, ..a },
            Input { ramp: None, ..a },
        ];
        for bits in 1..4u8 {
            let (x, y) = (bits & 1 > 0, bits & 2 > 0);
            all.push(Input { freeze: Freeze { active: x, break_glass: y }, ..a });
            all.push(Input { workflow: Some(Workflow { registered: !x, prompt_fits: !y }), ..a });
            all.push(Input { ramp: Some(Ramp { included: !x, killed: y }), ..a });
            all.push(Input { approvals: Some(Approvals { enough: x, distinct: y }), ..a });
        }
        for bits in 0..7u8 {
            let within = Within {
                concurrent_runs: bits & 1 > 0,
                step_rate: bits & 2 > 0,
                receipt_backlog: bits & 4 > 0,
            };
            all.push(Input { within: Some(within), ..a });
        }
        // Longer than what is put together at a time.
        let x = "x".repeat(63);
        let long = Work { action: &x, workflow: &x, env: &x, actor: &x };
        let long =
            Input { class: &x, operation: &x, tenant: &x, profile: &x, principal: &x, work: Some(long), ..a };
        for proven in [true, false] {
            for actor in [&x[..62], &x] {
                let work = long.work.map(|w| Work { actor, ..w });
                all.push(Input { scope: Scope { proven }, work, ..long });
            }
        }
        let digests: BTreeSet<_> = all.iter().map(Input::digest).collect();
        assert_eq!(digests.len(), all.len());
        let documents: BTreeSet<_> = all.iter().map(Input::json).collect();
        assert_eq!(documents.len(), all.len());
        insta::assert_snapshot!("input-of-an-admission", a.json());
    }

    /// SPEC, X1 (memo): the digest is over every byte, however the pieces fall.
    #[test]
    fn pieces_are_hashed_as_one_text() {
        for each in [1, 5, 64, 511, 512, 513, 2_000] {
            let mut h = Pieces::new();
            let text: Vec<u8> = (0..=255).cycle().take(3_000).collect();
            text.chunks(each).for_each(|piece| h.add(piece));
            assert_eq!(h.digest(), <[u8; 32]>::from(Sha256::digest(&text)), "{each}");
        }
    }
}
