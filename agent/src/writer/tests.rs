//! The writer with its queues, its store and a signer at hand, without HTTP.

mod attacks;

use super::{Parts, TightenLimit, Writer};
use crate::checkpoint::job::CheckpointJob;
use crate::health::{Health, Sources};
use crate::intake::queue::Queues;
use crate::intake::request::{
    CommandReply, NewRun, Reply, Signed, SignedApproval, WorkloadOp, WriterRequest,
};
use crate::node::check::check;
use crate::node::init::{Bootstrap, init};
use crate::partition::PartitionStatus;
use crate::partition::published::Registry;
use crate::platform::clock::RealClock;
use crate::platform::random::{OsRandom, Random};
use crate::policy::{Policy, Query, about_command};
use crate::rollout::controller::Pace;
use crate::scope::TenantScope;
use crate::signer::keys::{self, SigningKey};
use crate::staging::STEP_ROWS;
use crate::store::{Batch, Row, SpaceLimits};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::checkpoint::Checkpoint;
use conductor_shared::clock::Clock;
use conductor_shared::command::{Audience, Command, Operation, ops};
use conductor_shared::fact::{ActorType, Env, Outcome};
use conductor_shared::fail_closed::Class;
use conductor_shared::http::CommandStatus;
use conductor_shared::ids::{CommandId, Ident, KeyId, PartitionId, PersonId, RunId, TenantUid};
use conductor_shared::meter::HOUR_US;
use conductor_shared::operator::{Answer, Approval};
use conductor_shared::policy::Freeze;
use conductor_shared::profile::Setting;
use conductor_shared::quota::QuotaKind;
use conductor_shared::reason::Reason;
use conductor_shared::stream::SignerState;
use conductor_shared::untrusted::UntrustedText;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

const LIMITS: SpaceLimits = SpaceLimits { reserve_bytes: 0, low_bytes: 0, critical_bytes: 0 };

struct Node {
    queues: Arc<Queues>,
    board: Arc<Registry>,
    policy: Arc<Policy>,
    clock: Arc<RealClock>,
    number: u128,
    /// Whoever holds it keeps the signer from signing.
    signer: Arc<parking_lot::Mutex<()>>,
    threads: Vec<std::thread::JoinHandle<()>>,
    folder: tempfile::TempDir,
}

fn ident(text: &str) -> Ident {
    Ident::new(text).unwrap()
}

fn first(n: u32) -> PartitionId {
    let mut uid = [7; 16];
    uid[..4].copy_from_slice(&n.to_be_bytes());
    PartitionId { tenant: TenantUid(uid), epoch: 1 }
}

/// A signature's second line: algorithm, key id, and nothing that anybody checks here.
fn signature_by(key: KeyId) -> String {
    let mut raw = [0; 74];
    raw[2..10].copy_from_slice(&key.0);
    raw[2..10].reverse();
    STANDARD.encode(raw)
}

/// Signs what the writer asks to have signed.
fn sign(
    jobs: crossbeam_channel::Receiver<CheckpointJob>,
    signer: &SigningKey,
    queues: &Queues,
    held: &parking_lot::Mutex<()>,
) {
    for job in jobs {
        drop(held.lock());
        let signed = job.items.iter().map(|i| {
            let c = Checkpoint { origin: i.origin, size: i.size, root: i.root };
            (i.cell.id, c, signer.checkpoint(&c).unwrap())
        });
        let signed = signed.collect();
        drop(job);
        let _ = queues.push(WriterRequest::Signed(signer.public.base64.clone(), signed));
    }
}

impl Node {
    fn start() -> Self {
        Self::start_limited(TightenLimit { most: usize::MAX, window: Duration::ZERO })
    }

    fn start_limited(tighten: TightenLimit) -> Self {
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
            limits: LIMITS,
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
            limits: LIMITS,
            lease: Duration::from_secs(3_600),
            tighten,
            slo: Pace { every: Duration::from_secs(10), bake: Duration::from_secs(3_600) },
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
        let (of_signer, held) = (Arc::clone(&queues), Arc::<parking_lot::Mutex<()>>::default());
        let signer_held = Arc::clone(&held);
        let threads = vec![
            std::thread::spawn(move || writer.run()),
            std::thread::spawn(move || sign(jobs, &signer, &of_signer, &held)),
        ];
        Self { queues, board, policy, clock, number: 0, signer: signer_held, threads, folder }
    }

    fn create(&self, tenants: std::ops::Range<u32>) -> Result<(), String> {
        let list = tenants.map(|n| (first(n).tenant, ident(&format!("tenant-{n}")))).collect();
        let (to, answer) = oneshot::channel();
        self.queues.push(WriterRequest::CreateTenants(list, to)).unwrap();
        answer.blocking_recv().unwrap()
    }

    /// A command as the API hands it on, verified. Policy is asked before: the writer waits for no engine.
    fn command(&mut self, log: PartitionId, operation: Operation) -> Signed {
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

    fn person(&self, name: &str) -> (KeyId, PersonId) {
        let node = self.board.node().unwrap().view.load_full();
        let (id, key) = node.control.operators.iter().find(|(_, k)| k.name == ident(name)).unwrap();
        (*id, key.person)
    }

    /// What ben says to a command: go ahead.
    fn approval(&self, signed: &Signed) -> SignedApproval {
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

    fn send(&self, log: PartitionId, signed: Signed) -> oneshot::Receiver<CommandReply> {
        let (to, answer) = oneshot::channel();
        self.queues.push(WriterRequest::Command(log, Box::new(signed), to)).unwrap();
        answer
    }

    fn change(&mut self, log: PartitionId, operation: Operation) {
        let signed = self.command(log, operation);
        let outcome = self.send(log, signed).blocking_recv().unwrap().unwrap();
        assert_eq!(outcome.status, CommandStatus::Effective, "{:?}", outcome.reasons);
    }

    fn ask(&self, log: PartitionId, op: WorkloadOp) -> oneshot::Receiver<Reply> {
        let (to, answer) = oneshot::channel();
        self.queues.push(WriterRequest::work(TenantScope::of_agent(log), op, None, to)).unwrap();
        answer
    }

    fn largest_step(&self) -> usize {
        self.board.largest_step.load(Ordering::Relaxed)
    }

    fn wait_for(&self, what: &str, holds: impl Fn(&Registry) -> bool) {
        for _ in 0..3_000 {
            if holds(&self.board) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{what}");
    }

    /// Every row agrees with the receipts.
    fn stop(self) {
        self.queues.close();
        for thread in self.threads {
            thread.join().unwrap();
        }
        let at = |name| self.folder.path().join(name);
        assert_eq!(check(&at("data"), &at("keys"), LIMITS).unwrap(), Vec::<String>::new());
    }

    /// With the database and its rows as a test damaged them.
    fn stop_damaged(self) {
        self.queues.close();
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

/// Writes a row that cannot be what it is.
fn damage(node: &Node, log: PartitionId, row: Row) {
    let store = node.board.store.load_full().unwrap();
    let mut batch = Batch::default();
    batch.put(&store.family(log).unwrap(), &row.key(), 64);
    store.write(batch).unwrap();
}

fn all_allowed(asked: Vec<oneshot::Receiver<Reply>>) {
    for answer in asked {
        answer.blocking_recv().unwrap().unwrap();
    }
}

fn run() -> WorkloadOp {
    WorkloadOp::StartRun(NewRun {
        workflow: ident("etl"),
        env: Env::Production,
        actor: ActorType::Service,
        action: ident("run"),
        subject: None,
        prompt: None,
    })
}

/// docs/design/write-path.md, one step: no step of the writer touches more rows than its bound. Longer work (many tenants at
/// once, their checkpoints, the end of a run with every step open beside others, a window that freezes all) is staged in
/// slices.
#[test]
fn no_step_touches_more_rows_than_its_bound() {
    const TENANTS: u32 = 500;
    let mut node = Node::start();
    node.create(0..TENANTS).unwrap();
    assert!(node.largest_step() > STEP_ROWS / 4, "a step is used: {}", node.largest_step());
    node.wait_for("all are signed", |b| b.all().iter().all(|c| c.view.load().backlog() == 0));

    let log = first(0);
    let set = |kind| Operation::QuotaSet(ops::QuotaSet { kind, limit: 1_000_000 });
    node.change(log, Operation::WorkflowRegister(ops::WorkflowRegister { workflow: ident("etl") }));
    for quota in [QuotaKind::StepRate, QuotaKind::StepBurst, QuotaKind::ReceiptBacklog] {
        node.change(log, set(quota));
    }
    let runs: Vec<RunId> =
        (0..3).map(|_| node.ask(log, run()).blocking_recv().unwrap().unwrap().run_id).collect();
    for run in &runs {
        for _ in 0..4 {
            let start = || WorkloadOp::StartStep { run: *run, name: UntrustedText::new("s") };
            let asked: Vec<_> = (0..250).map(|_| node.ask(log, start())).collect();
            all_allowed(asked);
        }
    }
    let finish = |run: &RunId| WorkloadOp::FinishRun { run: *run, outcome: Outcome::Succeeded };
    let asked: Vec<_> = runs.iter().map(|run| node.ask(log, finish(run))).collect();
    all_allowed(asked);
    assert_eq!(node.board.get(log.tenant).unwrap().view.load().open_runs, 0);
    assert!(node.largest_step() <= STEP_ROWS, "{}", node.largest_step());
    node.stop();
}

/// docs/design/write-path.md, when something fails: a partition that was damaged while it served does not keep the store
/// from being opened again after a failure, nor the signer from being asked.
#[test]
fn a_damaged_partition_holds_nothing_up() {
    let mut node = Node::start();
    node.create(0..2).unwrap();
    let (bad, good) = (first(0), first(1));
    let register = || Operation::WorkflowRegister(ops::WorkflowRegister { workflow: ident("etl") });
    node.change(bad, register());
    let run = node.ask(bad, run()).blocking_recv().unwrap().unwrap().run_id;
    let finish = || WorkloadOp::FinishRun { run, outcome: Outcome::Succeeded };
    node.ask(bad, finish()).blocking_recv().unwrap().unwrap();
    node.wait_for("all are signed", |b| b.all().iter().all(|c| c.view.load().backlog() == 0));
    damage(&node, bad, Row::EndedRun(run.0));
    let denied = node.ask(bad, finish()).blocking_recv().unwrap().unwrap_err();
    assert_eq!(denied.reasons, Reason::PartitionDamaged.into());
    // A loosening waits for a signature.
    node.change(good, register());
    let store = node.board.store.load_full().unwrap();
    store.fail();
    drop(store);
    node.wait_for("the store is open again", |b| b.store.load().as_ref().is_some_and(|s| !s.has_failed()));
    let kill = Operation::KillSet(ops::KillSet { selector: "*/*".parse().unwrap(), drain: false });
    node.change(good, kill);
    node.stop_damaged();
}

/// docs/design/write-path.md, when something fails: a start that cannot write its own receipt serves nobody, and leaves no
/// log with a hole in it.
#[test]
fn a_start_that_fails_is_tried_again() {
    let mut node = Node::start();
    node.create(0..1).unwrap();
    let (units, away) = (node.folder.path().join("keys/units"), node.folder.path().join("away"));
    std::fs::rename(&units, &away).unwrap();
    let store = node.board.store.load_full().unwrap();
    store.fail();
    drop(store);
    node.wait_for("the start fails", |b| b.store_error().contains("units"));
    let denied = node.ask(first(0), run()).blocking_recv().unwrap().unwrap_err();
    assert_eq!(denied.reasons, Reason::StoreUnavailable.into());
    std::fs::rename(&away, &units).unwrap();
    node.wait_for("the store is open again", |b| b.store.load().as_ref().is_some_and(|s| !s.has_failed()));
    node.change(first(0), Operation::WorkflowRegister(ops::WorkflowRegister { workflow: ident("etl") }));
    node.stop();
}

/// docs/design/write-path.md, when something fails: a checkpoint whose effect meets a damaged row stops that partition, and
/// all others are signed on.
#[test]
fn signing_goes_on_past_a_damaged_effect() {
    let mut node = Node::start();
    node.create(0..2).unwrap();
    let (bad, good) = (first(0), first(1));
    let register = || Operation::WorkflowRegister(ops::WorkflowRegister { workflow: ident("etl") });
    node.change(bad, register());
    let two_days_ago = node.clock.now().wall - Duration::from_secs(48 * 3_600);
    let hour = two_days_ago.as_micros() / HOUR_US;
    damage(&node, bad, Row::Quarters(hour.try_into().unwrap()));
    let word = format!("run_started {} production service etl 1 1", hour * HOUR_US);
    let correct = ops::UsageCorrect { adjustments: vec![word.parse().unwrap()] };
    let signed = node.command(bad, Operation::UsageCorrect(correct));
    let denied = node.send(bad, signed).blocking_recv().unwrap().unwrap_err();
    assert_eq!(denied.reasons, Reason::StoreUnavailable.into());
    assert_eq!(node.board.get(bad.tenant).unwrap().status(), PartitionStatus::Damaged);
    node.change(good, register());
    node.stop_damaged();
}

/// docs/design/write-path.md, rows that are not in the store yet: a request is approved in the moment it was made, before
/// anything of it is durable.
#[test]
fn a_request_is_approved_before_it_is_in_the_store() {
    let mut node = Node::start();
    let profile = ops::ProfileCreate { profile: ident("strict") };
    node.change(PartitionId::NODE, Operation::ProfileCreate(profile));
    for seconds in 100..110 {
        let setting = Setting::parse("last_known_s", &seconds.to_string()).unwrap();
        let set = ops::ProfileSet { profile: ident("strict"), setting };
        let signed = node.command(PartitionId::NODE, Operation::ProfileSet(set));
        let approval = node.approval(&signed);
        let requested = node.send(PartitionId::NODE, signed);
        let (to, approved) = oneshot::channel();
        node.queues.push(WriterRequest::Approval(PartitionId::NODE, Box::new(approval), to)).unwrap();
        assert_eq!(requested.blocking_recv().unwrap().unwrap().status, CommandStatus::Requested);
        let outcome = approved.blocking_recv().unwrap().unwrap();
        assert_eq!(outcome.status, CommandStatus::Effective, "{:?}", outcome.reasons);
    }
    node.stop();
}

/// docs/design/write-path.md, incarnations: what was taken for one incarnation of a partition is refused by another.
#[test]
fn another_incarnation_is_refused() {
    let mut node = Node::start();
    node.create(0..1).unwrap();
    let (now, then) = (first(0), PartitionId { epoch: 2, ..first(0) });
    let denied = node.ask(then, run()).blocking_recv().unwrap().unwrap_err();
    assert_eq!(denied.reasons, Reason::PartitionReplaced.into());
    let kill = Operation::KillSet(ops::KillSet { selector: "*/*".parse().unwrap(), drain: false });
    let signed = node.command(now, kill.clone());
    let denied = node.send(then, signed).blocking_recv().unwrap().unwrap_err();
    assert_eq!(denied.reasons, Reason::PartitionReplaced.into());
    assert!(node.board.get(now.tenant).unwrap().view.load().control.kills.is_empty());
    node.change(now, kill);
    node.stop();
}
