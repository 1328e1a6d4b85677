//! The core without HTTP: writer, store and a signer in the same process, driven through the writer's own queues.

use conductor_agent::checkpoint::job::CheckpointJob;
use conductor_agent::health::{Health, Sources};
use conductor_agent::intake::queue::Queues;
use conductor_agent::intake::request::{Signed, WorkloadOp, WriterRequest};
use conductor_agent::node::init::{Bootstrap, init};
use conductor_agent::partition::published::Registry;
use conductor_agent::platform::clock::RealClock;
use conductor_agent::platform::random::OsRandom;
use conductor_agent::policy::{Policy, Query, about_command};
use conductor_agent::scope::{TenantScope, TokenParts};
use conductor_agent::signer::keys::{self, SigningKey};
use conductor_agent::store::SpaceLimits;
use conductor_agent::writer::{Parts, TightenLimit, Writer};
use conductor_shared::checkpoint::Checkpoint;
use conductor_shared::clock::Clock;
use conductor_shared::command::{Audience, Command, Operation, ops};
use conductor_shared::fail_closed::Class;
use conductor_shared::http::CommandStatus;
use conductor_shared::ids::{CommandId, Ident, TenantUid, TokenId, hex};
use conductor_shared::policy::Freeze;
use conductor_shared::quota::QuotaKind;
use conductor_shared::stream::SignerState;
use conductor_shared::untrusted::UntrustedText;
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// The token of every tenant. Nothing listens: it opens no door.
const TOKEN: TokenId = TokenId([5; 16]);
const SECRET: [u8; 32] = [6; 32];

/// The writer with its queues and a signer, in this process and without HTTP.
pub(crate) struct Core {
    pub queues: Arc<Queues>,
    pub board: Arc<Registry>,
    pub tenants: Vec<TenantUid>,
    pub signing: Arc<Signing>,
    clock: Arc<RealClock>,
    policy: Arc<Policy>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

/// Cost of signing so far.
#[derive(Default)]
pub(crate) struct Signing {
    /// Processor time of the signing thread, microseconds.
    pub micros: AtomicU64,
    /// Number of checkpoints signed.
    pub count: AtomicU64,
}

/// Processor time of this thread, microseconds.
pub(crate) fn thread_cpu_micros() -> u64 {
    let t = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock");
    u64::try_from(t.tv_sec()).unwrap_or(0) * 1_000_000 + u64::try_from(t.tv_nsec()).unwrap_or(0) / 1_000
}

pub(crate) fn ident(text: &str) -> Ident {
    Ident::new(text).expect("an identifier")
}

fn parts(
    dir: &Path,
    board: &Arc<Registry>,
    queues: &Arc<Queues>,
    clock: &Arc<RealClock>,
) -> (Parts, crossbeam_channel::Receiver<CheckpointJob>) {
    let (jobs_in, jobs) = crossbeam_channel::bounded(2);
    let policy = Policy::start(None, Arc::clone(clock) as Arc<dyn Clock>, queues);
    let health = Health::new(Sources {
        board: Arc::clone(board),
        queues: Arc::clone(queues),
        policy: Arc::clone(&policy),
        sinks: vec![],
        clock: Arc::clone(clock) as Arc<dyn Clock>,
    });
    let parts = Parts {
        data: dir.join("data"),
        keys: dir.join("keys"),
        node_id: board.node_id,
        limits: SpaceLimits::default(),
        lease: Duration::from_secs(3_600),
        tighten: TightenLimit { most: usize::MAX, window: Duration::ZERO },
        slo: conductor_agent::rollout::controller::Pace {
            every: Duration::from_secs(10),
            bake: Duration::from_secs(3_600),
        },
        snapshot_every: conductor_agent::partition::SNAPSHOT_EVERY,
        clock_tolerance: Duration::from_secs(2),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        random: Arc::new(OsRandom::default()),
        queues: Arc::clone(queues),
        board: Arc::clone(board),
        policy: Arc::clone(&policy),
        health,
        checkpoints: Some(jobs_in),
        runtime: None,
    };
    (parts, jobs)
}

impl Core {
    /// A new node in this folder, with tenants whose quotas do not bind.
    pub(crate) fn start(dir: &Path, tenants: usize) -> Self {
        let (signer, _) = keys::generate(None).expect("a key");
        let ana = minisign::KeyPair::generate_unencrypted_keypair().expect("a key");
        let clock = Arc::new(RealClock::default());
        let bootstrap = Bootstrap {
            data: &dir.join("data"),
            keys: &dir.join("keys"),
            name: ident("bench"),
            signer_key: signer.public.base64.clone(),
            operators: vec![(ident("ana"), ana.pk.to_base64(), vec!["operator".into(), "admin".into()])],
            limits: SpaceLimits::default(),
        };
        let node = init(
            bootstrap,
            &*clock,
            &(Arc::new(OsRandom::default()) as Arc<dyn conductor_agent::platform::random::Random>),
        )
        .expect("a node");
        let mut core = Self::open(dir, Arc::new(Registry::new(node, [1; 16])), clock, signer);
        core.create(tenants);
        core
    }

    fn open(dir: &Path, board: Arc<Registry>, clock: Arc<RealClock>, signer: SigningKey) -> Self {
        let queues = Arc::new(Queues::default());
        let (parts, jobs) = parts(dir, &board, &queues, &clock);
        let policy = Arc::clone(&parts.policy);
        let writer = Writer::open(parts).expect("opens");
        board.set_signer(SignerState::Up, "");
        let (told, signing) = (Arc::clone(&queues), Arc::new(Signing::default()));
        let spent = Arc::clone(&signing);
        let threads = vec![
            std::thread::spawn(move || writer.run()),
            std::thread::spawn(move || {
                for job in jobs {
                    let list = job.items.iter().map(|i| {
                        let c = Checkpoint { origin: i.origin, size: i.size, root: i.root };
                        (i.cell.id, c, signer.checkpoint(&c).expect("signed"))
                    });
                    let begun = thread_cpu_micros();
                    let list: Vec<_> = list.collect();
                    spent.micros.fetch_add(thread_cpu_micros() - begun, Ordering::Relaxed);
                    spent.count.fetch_add(list.len() as u64, Ordering::Relaxed);
                    drop(job);
                    let _ = told.push(WriterRequest::Signed(signer.public.base64.clone(), list));
                }
            }),
        ];
        Self { queues, board, tenants: vec![], signing, clock, policy, threads }
    }

    fn create(&mut self, tenants: usize) {
        let mut uid = [7u8; 16];
        let list: Vec<_> = (0..tenants)
            .map(|i| {
                uid[..8].copy_from_slice(&(i as u64).to_be_bytes());
                (TenantUid(uid), ident(&format!("tenant-{i:05}")))
            })
            .collect();
        self.tenants = list.iter().map(|(t, _)| *t).collect();
        let (tx, rx) = oneshot::channel();
        self.queues.push(WriterRequest::CreateTenants(list, tx)).expect("taken");
        rx.blocking_recv().expect("answered").expect("created");
    }

    /// Registers the workflow and lifts the quotas, as commands.
    pub(crate) fn lift(&self) {
        let set = |kind: QuotaKind| Operation::QuotaSet(ops::QuotaSet { kind, limit: kind.max() });
        let operations = [
            Operation::WorkflowRegister(ops::WorkflowRegister { workflow: ident("etl") }),
            Operation::TokenIssue(ops::TokenIssue {
                token: TOKEN,
                name: ident("bench"),
                secret_sha256: Sha256::digest(SECRET).into(),
            }),
            set(QuotaKind::StepRate),
            set(QuotaKind::StepBurst),
            set(QuotaKind::ReceiptBacklog),
        ];
        let mut number = 0u128;
        for chunk in self.tenants.chunks(60) {
            for op in &operations {
                let mut waiting = vec![];
                for tenant in chunk {
                    number += 1;
                    let (tx, rx) = oneshot::channel();
                    let signed = self.signed(*tenant, op, number);
                    let about = self.board.about(*tenant);
                    self.queues.push(WriterRequest::Command(about, Box::new(signed), tx)).expect("taken");
                    waiting.push(rx);
                }
                for rx in waiting {
                    let outcome = rx.blocking_recv().expect("answered").expect("allowed");
                    assert_eq!(outcome.status, CommandStatus::Effective, "{:?}", outcome.reasons);
                }
            }
        }
    }

    /// A command as the API hands it to the writer, which waits for no engine: policy is asked before.
    fn signed(&self, tenant: TenantUid, op: &Operation, number: u128) -> Signed {
        let shared = self.board.get(tenant).expect("a tenant");
        let freeze = Freeze { active: false, break_glass: false };
        let input = about_command(op.name(), false, (shared.name.as_str(), "default"), freeze);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(self.policy.prepare(Class::Loosen, Query::of(tenant, &input)));
        let now = self.clock.now().wall.as_micros();
        let command = Command {
            command_id: CommandId(number.to_be_bytes()),
            audience: Audience::Nodes(vec![self.board.node_id]),
            tenant,
            base: Some(shared.view.load().control.object_digest(op)),
            operation: op.clone(),
            reason: UntrustedText::new("bench"),
            issued_at_us: now,
            expires_at_us: now + 60_000_000,
            nonce: [0; 16],
        };
        let node = self.board.node().expect("a node log").view.load();
        let (key_id, key) = node.control.operators.iter().next().expect("an operator");
        Signed {
            text: command.text().into_bytes(),
            content: command,
            signature: String::new(),
            person: key.person,
            key_id: *key_id,
            local: true,
        }
    }

    /// Proof of a tenant's scope, from the token that [`Core::lift`] had issued.
    pub(crate) fn scope(&self, tenant: TenantUid) -> TenantScope {
        let shared = self.board.get(tenant).expect("a tenant");
        let token = TokenParts::parse(&Self::bearer(tenant)).expect("a token");
        token.prove(shared.id, &shared.view.load().control).expect("it was issued")
    }

    /// The bearer token that [`Core::lift`] had issued for a tenant.
    pub(crate) fn bearer(tenant: TenantUid) -> String {
        format!("cdw_{tenant}_{TOKEN}_{}", hex(&SECRET))
    }

    /// Sends a request that must be allowed, and waits for its answer.
    pub(crate) fn ask(&self, tenant: TenantUid, op: WorkloadOp) -> conductor_shared::http::Decided {
        let (tx, rx) = oneshot::channel();
        self.queues.push(WriterRequest::work(self.scope(tenant), op, None, tx)).expect("taken");
        rx.blocking_recv().expect("answered").expect("allowed")
    }

    /// Waits until its store is quiet.
    pub(crate) fn settle(&self) {
        settle(|| self.board.store.load().as_ref().map_or(0, |s| s.merging()));
    }

    /// Stops it, and waits.
    pub(crate) fn stop(self) {
        self.queues.close();
        for t in self.threads {
            let _ = t.join();
        }
        drop(self.board);
        std::thread::sleep(Duration::from_millis(50));
    }

    pub(crate) fn node(&self) -> conductor_shared::ids::NodeId {
        self.board.node_id
    }
}

/// Waits until the store merges no more files, and for half a minute at most: a peer's round shares the disk with nobody.
pub(crate) fn settle(merging: impl Fn() -> u64) {
    let mut quiet = 0;
    for _ in 0..1_500 {
        quiet = if merging() == 0 { quiet + 1 } else { 0 };
        // Between one merge and the next there is a moment with none.
        if quiet == 10 {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Opens a node that is there, and tells how long it took.
pub(crate) fn reopen(dir: &Path, node: conductor_shared::ids::NodeId) -> Duration {
    let clock = Arc::new(RealClock::default());
    let board = Arc::new(Registry::new(node, [2; 16]));
    let queues = Arc::new(Queues::default());
    let (parts, _jobs) = parts(dir, &board, &queues, &clock);
    let begun = std::time::Instant::now();
    let writer = Writer::open(parts).expect("opens");
    let took = begun.elapsed();
    queues.close();
    writer.run();
    took
}
