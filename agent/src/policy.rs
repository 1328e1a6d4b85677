//! Policy in the agent: the bundle in force, a cache of verdicts, and the workers that ask an engine.
//!
//! The writer never waits for an engine. It looks a verdict up by the digests of bundle and input; what is not known
//! goes to a worker and comes back as the same request, a few times at most. Everything that is not a verdict is a
//! denial: no bundle, an expired one, an engine that errs or takes too long (SPEC, invariant 3).

mod cache;
mod health;
mod remote;
mod workers;

pub use cache::{FRESH, Lookup};
pub use health::Health;
pub use remote::{Opa, OpaConfig};

use crate::intake::queue::Queues;
use crate::intake::request::WriterRequest;
use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cache::VerdictCache;
use conductor_policies::{Bundle, BundleError, Engine, on_own_stack};
use conductor_shared::checkpoint::verify_minisign;
use conductor_shared::clock::{Clock, MonoTime, Now, WallTime};
use conductor_shared::control::ControlState;
use conductor_shared::fail_closed::Class;
use conductor_shared::ids::TenantUid;
use conductor_shared::policy::{Approvals, Role};
use conductor_shared::policy::{Freeze, Input, LoadedBundle, Scope, Statement};
use conductor_shared::reason::Reason;
use conductor_shared::record::PolicyVersion;
use health::Seen;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Times one request is queried at most; beyond that, policy changes faster than it is decided.
pub const TRIES: u8 = 3;
/// Bundles kept besides the loaded one, as candidates for loading.
pub const CANDIDATES: usize = 8;
/// The probe: any answer to it shows that the engine is up.
const PROBE: &str = "{}";

/// What an engine is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Who asks: each tenant has its own share of the workers.
    pub tenant: TenantUid,
    pub digest: [u8; 32],
    /// The input, as engines get it.
    pub json: String,
    /// An admission; everything else both engines must allow.
    pub admit: bool,
}

impl Query {
    pub fn of(tenant: TenantUid, input: &Input<'_>) -> Self {
        Self { tenant, digest: input.digest(), json: input.json(), admit: input.class == "admit" }
    }
}

/// What counts as an answer when an engine has none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// An allow that is no older.
    pub last_known: Option<Duration>,
    /// It was asked about this very request: an error is the answer then, and not a reason to ask once more.
    pub asked: bool,
}

/// The bundle in force.
struct Loaded {
    version: PolicyVersion,
    /// Until when: on the wall clock, and on the monotonic one, whichever is over first.
    ends: Option<(WallTime, MonoTime)>,
    /// `Err` says why there is none to ask.
    engine: Result<Engine, String>,
    bundle: Option<Bundle>,
    cache: VerdictCache,
    seen: Seen,
}

impl Loaded {
    fn built_in() -> Self {
        let bundle = Bundle::built_in();
        Self {
            version: built_in_version(),
            ends: None,
            engine: Engine::prepare(bundle.files()).map_err(|e| e.to_string()),
            bundle: Some(bundle),
            cache: VerdictCache::default(),
            seen: Seen::default(),
        }
    }
}

/// Policy, shared by the writer, the API and the workers.
pub struct Policy {
    loaded: ArcSwap<Loaded>,
    candidates: Mutex<BTreeMap<[u8; 32], Bundle>>,
    /// Why the engine that is asked for admissions did not answer the last probe.
    trouble: Mutex<Option<String>>,
    workers: workers::Workers,
    remote: Option<Opa>,
    clock: Arc<dyn Clock>,
}

impl Policy {
    /// Starts the workers. The built-in bundle is in force until a log says otherwise.
    pub fn start(remote: Option<Opa>, clock: Arc<dyn Clock>, queues: &Arc<Queues>) -> Arc<Self> {
        Self::start_watched(remote, clock, queues, workers::STUCK)
    }

    fn start_watched(
        remote: Option<Opa>,
        clock: Arc<dyn Clock>,
        queues: &Arc<Queues>,
        stuck: Duration,
    ) -> Arc<Self> {
        let (workers, jobs) = workers::Workers::new();
        let policy = Arc::new(Self {
            loaded: ArcSwap::from_pointee(Loaded::built_in()),
            candidates: Mutex::default(),
            trouble: Mutex::default(),
            workers,
            remote,
            clock,
        });
        workers::start(&policy, &jobs, queues, stuck);
        policy
    }

    pub fn version(&self) -> PolicyVersion {
        self.loaded.load().version
    }

    /// What is known about an input now.
    pub fn lookup(&self, tenant: TenantUid, input: &Input<'_>, now: Now, wanted: Wanted) -> Lookup {
        let Wanted { last_known, asked } = wanted;
        let loaded = self.loaded.load();
        let digest = input.digest();
        if self.why_down(&loaded, now).is_some() {
            return loaded.cache.last_known(tenant, &digest, now.mono, last_known);
        }
        let look = loaded.cache.lookup(tenant, &digest, now.mono, (last_known, asked));
        if look == Lookup::Aging {
            // Asked again in the background, so that `last_known` is never far from what the engine really says.
            self.workers.send(workers::Job { query: Query::of(tenant, input), then: workers::Then::Nothing });
            return Lookup::Allow;
        }
        look
    }

    /// Queues a query; the request goes back to the writer with the answer. Returns the request when too many of this
    /// tenant wait.
    #[allow(clippy::result_large_err)] // the request itself comes back
    pub fn ask(&self, query: Query, ask: WriterRequest) -> Result<(), WriterRequest> {
        self.workers.send_ask(query, ask)
    }

    /// Queues a query without waiting: the answer is cached for the next lookup.
    pub fn ask_ahead(&self, query: Query) {
        self.workers.send(workers::Job { query, then: workers::Then::Nothing });
    }

    /// Queues a query and waits for the answer. Returns at once while the engine is down: the probe notices its return.
    /// What tightens is not asked about: it must not wait behind what workloads ask.
    pub async fn prepare(&self, class: Class, query: Query) {
        if class == Class::Tighten || !self.up(self.clock.now()) {
            return;
        }
        let (tx, rx) = oneshot::channel();
        if self.workers.send(workers::Job { query, then: workers::Then::Tell(tx) }) {
            let _ = rx.await;
        }
    }

    /// Loads the bundle that the node's log names. Cheap when nothing changed.
    pub fn follow(&self, control: &ControlState) {
        let wanted = control.policy.as_ref();
        let loaded = self.loaded.load();
        let (revision, digest) = wanted.map_or((0, None), |w| (w.revision, Some(w.digest.0)));
        let same = loaded.version.revision == revision && digest.is_none_or(|d| d == loaded.version.digest);
        if !same {
            self.loaded.store(Arc::new(wanted.map_or_else(Loaded::built_in, |w| self.load(w))));
        }
    }

    fn load(&self, wanted: &LoadedBundle) -> Loaded {
        let digest = wanted.digest.0;
        let bundle = self.candidates.lock().get(&digest).cloned();
        let now = self.clock.now();
        let expires_at = WallTime::from_micros(wanted.expires_at_us);
        Loaded {
            version: PolicyVersion { revision: wanted.revision, digest },
            ends: Some((expires_at, now.mono + (expires_at - now.wall))),
            engine: match &bundle {
                Some(b) => Engine::prepare(b.files()).map_err(|e| e.to_string()),
                None => Err(format!(
                    "the files of bundle {} are not in the store, or this program refuses them (its log says why)",
                    wanted.revision
                )),
            },
            bundle,
            cache: VerdictCache::default(),
            seen: Seen::default(),
        }
    }

    /// Keeps a candidate; returns the digests of those that were dropped for it.
    pub fn keep(&self, bundle: Bundle) -> Vec<[u8; 32]> {
        let mut all = self.candidates.lock();
        let (new, current) = (bundle.digest(), self.loaded.load().version.digest);
        all.insert(new, bundle);
        let mut dropped = Vec::new();
        while all.len() > CANDIDATES + 1 {
            let Some(old) = all.keys().find(|d| **d != new && **d != current).copied() else { break };
            all.remove(&old);
            dropped.push(old);
        }
        dropped
    }

    /// The bundle in force or a candidate, by digest.
    pub fn bundle(&self, digest: &[u8; 32]) -> Option<Bundle> {
        let loaded = self.loaded.load();
        let kept = || self.candidates.lock().get(digest).cloned();
        loaded.bundle.as_ref().filter(|b| b.digest() == *digest).cloned().or_else(kept)
    }

    /// Why a bundle may not be loaded: SPEC, X1.
    pub fn against(
        &self,
        statement: &Statement,
        signature: &str,
        control: &ControlState,
        now: WallTime,
    ) -> Option<Reason> {
        let trusted = control.policy_key.as_deref();
        let file =
            STANDARD.decode(signature).ok().and_then(|b| String::from_utf8(b).ok()).unwrap_or_default();
        let text = statement.text();
        let signed = trusted.is_some_and(|k| verify_minisign(k, text.as_bytes(), &file).is_ok());
        let kept = self.candidates.lock().contains_key(&statement.digest);
        if !signed || !kept || WallTime::from_micros(statement.expires_at_us) <= now {
            return Some(Reason::BundleInvalid);
        }
        let newest = control.policy.as_ref().map_or(0, |p| p.revision);
        (statement.revision <= newest).then_some(Reason::BundleOlder)
    }

    /// Evaluates an input now, for explanations: the verdict and the reasons of the built-in engine.
    pub fn explain(&self, json: &str) -> Result<(bool, Vec<String>), String> {
        let mut engine = self.loaded.load().engine.clone()?;
        let explained = on_own_stack(|| {
            let allow = engine.allows(json).map_err(|e| e.to_string())?;
            Ok((allow, engine.reasons(json).map_err(|e| e.to_string())?))
        });
        explained?
    }
}

/// The version in receipts when no bundle was loaded.
pub fn built_in_version() -> PolicyVersion {
    PolicyVersion { revision: 0, digest: Bundle::built_in().digest() }
}

/// Checks an uploaded archive.
pub fn unpack(bytes: &[u8]) -> Result<Bundle, BundleError> {
    Bundle::unpack(bytes)
}

/// The input for a command that loosens. Role and approvals are true by then: commands without them were denied before.
pub fn about_command<'a>(
    operation: &'a str,
    irreversible: bool,
    (tenant, profile): (&'a str, &'a str),
    freeze: Freeze,
) -> Input<'a> {
    Input {
        version: 1,
        class: if irreversible { "irreversible" } else { "loosen" },
        operation,
        tenant,
        profile,
        principal: "operator",
        scope: Scope { proven: true },
        work: None,
        workflow: None,
        within: None,
        ramp: None,
        freeze,
        role: Some(Role { held: true }),
        approvals: Some(Approvals { enough: true, distinct: true }),
    }
}
