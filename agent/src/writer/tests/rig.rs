//! The writer with its queues, its store and a signer at hand, without HTTP.

use crate::checkpoint::job::CheckpointJob;
use crate::health::{Health, Sources};
use crate::intake::queue::Queues;
use crate::intake::request::{
    CommandReply, NewRun, Reply, Signed, SignedApproval, WorkloadOp, WriterRequest,
};
use crate::node::check::check;
use crate::node::init::{Bootstrap, init};
use crate::partition::SNAPSHOT_EVERY;
use crate::partition::published::Registry;
use crate::platform::clock::RealClock;
use crate::platform::random::{OsRandom, Random};
use crate::policy::{Policy, Query, about_command};
use crate::rollout::controller::Pace;
use crate::scope::TenantScope;
use crate::signer::keys::{self, SigningKey};
use crate::store::{Batch, Row, SpaceLimits};
use crate::writer::{Parts, TightenLimit, Writer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::checkpoint::Checkpoint;
use conductor_shared::clock::Clock;
use conductor_shared::command::{Audience, Command, Operation};
use conductor_shared::fact::{ActorType, Env};
use conductor_shared::fail_closed::Class;
use conductor_shared::http::CommandStatus;
use conductor_shared::ids::{CommandId, Ident, KeyId, PartitionId, PersonId, TenantUid};
use conductor_shared::operator::{Answer, Approval};
use conductor_shared::policy::Freeze;
use conductor_shared::stream::SignerState;
use conductor_shared::untrusted::UntrustedText;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

/// Any number of tightenings by one person.
const UNBOUNDED: TightenLimit = TightenLimit { most: usize::MAX, window: Duration::ZERO };
pub(super) const NO_RESERVE: SpaceLimits = SpaceLimits { reserve_bytes: 0, low_bytes: 0, critical_bytes: 0 };

pub(super) struct Node {
    pub(super) queues: Arc<Queues>,
    pub(super) board: Arc<Registry>,
    pub(super) policy: Arc<Policy>,
    pub(super) clock: Arc<RealClock>,
    number: u128,
    threads: Vec<std::thread::JoinHandle<()>>,
    /// Whoever holds it keeps the signer from signing.
    pub(super) signer: Arc<parking_lot::Mutex<()>>,
    pub(super) folder: tempfile::TempDir,
}

pub(super) fn ident(text: &str) -> Ident {
    Ident::new(text).unwrap()
}

pub(super) fn first(n: u32) -> PartitionId {
    let mut uid = [7; 16];
    uid[..4].copy_from_slice(&n.to_be_bytes());
    PartitionId { tenant: TenantUid(uid), epoch: 1 }
}

/// A signature's second line: algorithm, key id, and nothing that anybody checks here.
pub(super) fn signature_by(key: KeyId) -> String {
    let mut raw = [0; 74];
    raw[2..10].copy_from_slice(&key.0);
    raw[2..10].reverse();
    STANDARD.encode(raw)
}

/// Signs what the writer asks to have signed.
pub(super) struct Signer {
    pub(super) key: SigningKey,
    pub(super) jobs: crossbeam_channel::Receiver<CheckpointJob>,
}

impl Signer {
    pub(super) fn sign(&self, job: CheckpointJob) -> WriterRequest {
        let signed = job.items.iter().map(|i| {
            let c = Checkpoint { origin: i.origin, size: i.size, root: i.root };
            (i.cell.id, c, self.key.checkpoint(&c).unwrap())
        });
        let signed = signed.collect();
        drop(job);
        WriterRequest::Signed(self.key.public.base64.clone(), signed)
    }
}

impl Node {
    /// With a writer and a signer on threads of their own.
    pub(super) fn start() -> Self {
        Self::with_snapshots(SNAPSHOT_EVERY)
    }

    /// The same, where one person tightens only so much alone.
    pub(super) fn start_limited(tighten: TightenLimit) -> Self {
        Self::run(Self::in_parts(SNAPSHOT_EVERY, tighten))
    }

    /// The same, with another number of control facts between snapshots.
    pub(super) fn with_snapshots(every: u64) -> Self {
        Self::run(Self::in_parts(every, UNBOUNDED))
    }

    fn run((mut node, writer, signer): (Self, Writer, Signer)) -> Self {
        let held = Arc::clone(&node.signer);
        let queues = Arc::clone(&node.queues);
        node.threads = vec![
            std::thread::spawn(move || writer.run()),
            std::thread::spawn(move || {
                for job in &signer.jobs {
                    drop(held.lock());
                    let _ = queues.push(signer.sign(job));
                }
            }),
        ];
        node
    }

    /// With the writer in the hands of the test, which runs each of its steps.
    pub(super) fn by_hand() -> (Self, Writer, Signer) {
        Self::in_parts(SNAPSHOT_EVERY, UNBOUNDED)
    }

    fn in_parts(snapshot_every: u64, tighten: TightenLimit) -> (Self, Writer, Signer) {
        let folder = tempfile::tempdir().unwrap();
        let (signer, _) = keys::generate(None).unwrap();
        let ana = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let clock = Arc::new(RealClock::default());
        let random: Arc<dyn Random> = Arc::new(OsRandom::default());
        let (data, key_folder) = (folder.path().join("data"), folder.path().join("keys"));
        let ben = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let (admin, approver) = (vec!["operator".into(), "admin".into()], vec!["approver".into()]);
        let bootstrap = Bootstrap {
            data: &data,
            keys: &key_folder,
            name: ident("test"),
            signer_key: signer.public.base64.clone(),
            operators: vec![
                (ident("ana"), ana.pk.to_base64(), admin),
                (ident("ben"), ben.pk.to_base64(), approver),
            ],
            limits: NO_RESERVE,
        };
        let node_id = init(bootstrap, &*clock, &random).unwrap();
        let (board, queues) = (Arc::new(Registry::new(node_id, [1; 16])), Arc::new(Queues::default()));
        let (ask, jobs) = crossbeam_channel::bounded(2);
        let policy = Policy::start(None, Arc::clone(&clock) as Arc<dyn Clock>, &queues);
        let health = Health::new(Sources {
            board: Arc::clone(&board),
            queues: Arc::clone(&queues),
            policy: Arc::clone(&policy),
            sinks: vec![],
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        });
        let parts = Parts {
            data,
            keys: key_folder,
            node_id,
            limits: NO_RESERVE,
            lease: Duration::from_secs(3_600),
            tighten,
            slo: Pace { every: Duration::from_secs(10), bake: Duration::from_secs(3_600) },
            snapshot_every,
            clock_tolerance: Duration::MAX,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random,
            queues: Arc::clone(&queues),
            board: Arc::clone(&board),
            policy: Arc::clone(&policy),
            health,
            checkpoints: Some(ask),
            runtime: None,
        };
        let writer = Writer::open(parts).unwrap();
        board.set_signer(SignerState::Up, "");
        let node =
            Self { queues, board, policy, clock, number: 0, threads: vec![], signer: Arc::default(), folder };
        (node, writer, Signer { key: signer, jobs })
    }

    pub(super) fn create(&self, tenants: std::ops::Range<u32>) -> Result<(), String> {
        let list = tenants.map(|n| (first(n).tenant, ident(&format!("tenant-{n}")))).collect();
        let (to, answer) = oneshot::channel();
        self.queues.push(WriterRequest::CreateTenants(list, to)).unwrap();
        answer.blocking_recv().unwrap()
    }

    /// A command as the API hands it on, verified. Policy is asked before: the writer waits for no engine.
    pub(super) fn command(&mut self, log: PartitionId, operation: Operation) -> Signed {
        self.number += 1;
        let cell = self.board.get(log.tenant).unwrap();
        let freeze = Freeze { active: false, break_glass: false };
        let input = about_command(operation.name(), false, (cell.name.as_str(), "default"), freeze);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.policy.prepare(Class::Loosen, Query::of(log.tenant, &input)));
        let now = self.clock.now().wall.as_micros();
        let content = Command {
            command_id: CommandId(self.number.to_be_bytes()),
            audience: Audience::Nodes(vec![self.board.node_id]),
            tenant: log.tenant,
            base: Some(cell.view.load().control.object_digest(&operation)),
            operation,
            reason: UntrustedText::new("test"),
            issued_at_us: now,
            expires_at_us: now + 60_000_000,
            nonce: [0; 16],
        };
        let (key_id, person) = self.person("ana");
        let signature = format!("untrusted comment: test\n{}\n", signature_by(key_id));
        let text = content.text().into_bytes();
        Signed { text, content, signature, person, key_id, local: true }
    }

    pub(super) fn person(&self, name: &str) -> (KeyId, PersonId) {
        let node = self.board.node().unwrap().view.load_full();
        let (id, key) = node.control.operators.iter().find(|(_, k)| k.name == ident(name)).unwrap();
        (*id, key.person)
    }

    /// What ben says to a command: go ahead.
    pub(super) fn approval(&self, signed: &Signed) -> SignedApproval {
        let now = self.clock.now().wall.as_micros();
        let content = Approval {
            command_id: signed.content.command_id,
            command_digest: Sha256::digest(&signed.text).into(),
            node: self.board.node_id,
            tenant: signed.content.tenant,
            verdict: Answer::Approve,
            issued_at_us: now,
            expires_at_us: now + 60_000_000,
            nonce: [0; 16],
        };
        let (key_id, person) = self.person("ben");
        let text = content.text().into_bytes();
        SignedApproval { text, content, signature: String::new(), person, key_id, local: true }
    }

    pub(super) fn send(&self, log: PartitionId, signed: Signed) -> oneshot::Receiver<CommandReply> {
        let (to, answer) = oneshot::channel();
        self.queues.push(WriterRequest::Command(log, Box::new(signed), to)).unwrap();
        answer
    }

    pub(super) fn change(&mut self, log: PartitionId, operation: Operation) {
        let signed = self.command(log, operation);
        let outcome = self.send(log, signed).blocking_recv().unwrap().unwrap();
        assert_eq!(outcome.status, CommandStatus::Effective, "{:?}", outcome.reasons);
    }

    pub(super) fn ask(&self, log: PartitionId, op: WorkloadOp) -> oneshot::Receiver<Reply> {
        let (to, answer) = oneshot::channel();
        self.queues.push(WriterRequest::work(TenantScope::of_agent(log), op, None, to)).unwrap();
        answer
    }

    pub(super) fn largest_step(&self) -> usize {
        self.board.largest_step.load(Ordering::Relaxed)
    }

    pub(super) fn wait_for(&self, what: &str, holds: impl Fn(&Registry) -> bool) {
        for _ in 0..3_000 {
            if holds(&self.board) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{what}");
    }

    /// Every row agrees with the receipts.
    pub(super) fn stop(self) -> tempfile::TempDir {
        let folder = self.stop_damaged();
        let at = |name| folder.path().join(name);
        assert_eq!(check(&at("data"), &at("keys"), NO_RESERVE).unwrap(), Vec::<String>::new());
        folder
    }

    /// With the database and its rows as a test damaged them.
    pub(super) fn stop_damaged(self) -> tempfile::TempDir {
        self.queues.close();
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.folder
    }
}

/// Writes a row that cannot be what it is.
pub(super) fn damage(node: &Node, log: PartitionId, row: Row) {
    let store = node.board.store.load_full().unwrap();
    let mut batch = Batch::default();
    batch.put(&store.family(log).unwrap(), &row.key(), 64);
    store.write(batch).unwrap();
}

pub(super) fn all_allowed(asked: Vec<oneshot::Receiver<Reply>>) {
    for answer in asked {
        answer.blocking_recv().unwrap().unwrap();
    }
}

pub(super) fn run() -> WorkloadOp {
    WorkloadOp::StartRun(NewRun {
        workflow: ident("etl"),
        env: Env::Production,
        actor: ActorType::Service,
        action: ident("run"),
        subject: None,
        prompt: None,
    })
}
