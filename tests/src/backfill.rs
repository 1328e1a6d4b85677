//! Receipts of work at times of one's choice, written into a tenant's partition of a node that is stopped: by the
//! writer's own code, without its queues. What tests of months and benches of millions of events begin with.

use conductor_agent::keys::{Key, KeyStore};
use conductor_agent::ledger::Appended;
use conductor_agent::metering::DayRow;
use conductor_agent::partition::{Loader, PartitionState};
use conductor_agent::platform::random::{OsRandom, Random};
use conductor_agent::staging::BatchBuilder;
use conductor_agent::store::{Row, RowKind, SpaceLimits, Store};
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::clock::{MonoTime, Now, WallTime};
use conductor_shared::codec::Listed;
use conductor_shared::command::{Operation, ops};
use conductor_shared::fact::{
    ApprovalDecided, ChangeClass, Effective, Fact, Outcome, Proposed, RunDecided, StepFinished, Verdict,
};
use conductor_shared::ids::{CommandId, Ident, NodeId, PartitionId, PersonId, RunId, TenantUid};
use conductor_shared::meter::{Adjustment, Labels, Sums};
use conductor_shared::record::PolicyVersion;
use conductor_shared::untrusted::UntrustedText;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A partition that is written to.
pub struct Backfill {
    /// The node's database, opened directly.
    pub store: Arc<Store>,
    /// The partition as the writer holds it.
    pub live: PartitionState,
    keys: PathBuf,
    node: NodeId,
    stage: Option<BatchBuilder>,
    random: Arc<dyn Random>,
    unit: (u64, Key),
    now_us: u64,
}

impl Backfill {
    /// Opens a partition of a stopped node.
    pub fn open(data: &Path, keys: &Path, node: NodeId, tenant: TenantUid) -> Self {
        let store = Arc::new(Store::open(&data.join("db"), SpaceLimits::default()).expect("a database"));
        let random: Arc<dyn Random> = Arc::new(OsRandom::default());
        let mut live = load(&store, keys, node, tenant);
        let unit = live.new_unit(&*random).expect("a key");
        Self { store, live, keys: keys.to_owned(), node, stage: None, random, unit, now_us: 0 }
    }

    /// Goes on with another partition of the node.
    pub fn turn_to(&mut self, tenant: TenantUid) {
        self.commit();
        self.live = load(&self.store, &self.keys, self.node, tenant);
        self.unit = self.live.new_unit(&*self.random).expect("a key");
    }

    /// Forgets what is in memory and reads it back, as after a kill; what was staged and not committed is lost.
    pub fn crash(&mut self) {
        self.stage = None;
        let tenant = self.live.p.id.tenant;
        self.turn_to(tenant);
    }

    fn stage(&mut self, at_us: u64) -> &mut BatchBuilder {
        self.now_us = at_us;
        let (random, now) = (
            Arc::clone(&self.random),
            Now { wall: WallTime::from_micros(at_us), mono: MonoTime::from_micros(at_us) },
        );
        let st =
            self.stage.get_or_insert_with(|| BatchBuilder::new(0, now, random, PolicyVersion::built_in()));
        st.now = now;
        st
    }

    /// Puts a fact on record.
    pub fn append(&mut self, at_us: u64, fact: &Fact) -> Appended {
        self.stage(at_us);
        let st = self.stage.as_mut().expect("a stage");
        self.live.append(st, fact, (self.unit.0, &self.unit.1))
    }

    /// A run is admitted.
    pub fn run(&mut self, at_us: u64, l: &Labels) -> Appended {
        let fact = RunDecided {
            principal: "token:00000000000000000000000000000000".into(),
            run: RunId([1; 16]),
            workflow: l.workflow_type.clone(),
            env: l.env,
            actor: l.actor_type,
            action: Ident::new("run").expect("a name"),
            subject: UntrustedText::default(),
            verdict: Verdict::Allow,
            reasons: Listed(vec![]),
            rule: String::new(),
            bucket: 1,
            ramp: 10_000,
            lease_us: 60_000_000,
        };
        self.append(at_us, &fact.into())
    }

    /// Appends the receipt of a finished step.
    pub fn step(&mut self, at_us: u64, l: &Labels, claimed_us: u64) -> Appended {
        let fact = StepFinished {
            principal: "token:00000000000000000000000000000000".into(),
            run: RunId([1; 16]),
            step: 1,
            workflow: l.workflow_type.clone(),
            env: l.env,
            actor: l.actor_type,
            outcome: Outcome::Succeeded,
            claimed_us,
            observed_us: claimed_us,
            bytes_in: 1,
            bytes_out: 2,
        };
        self.append(at_us, &fact.into())
    }

    /// Appends the receipt of an approval inside a workflow.
    pub fn approval(&mut self, at_us: u64, l: &Labels) -> Appended {
        let fact = ApprovalDecided {
            principal: "token:00000000000000000000000000000000".into(),
            approver: UntrustedText::new("eva"),
            run: RunId([1; 16]),
            workflow: l.workflow_type.clone(),
            env: l.env,
            actor: l.actor_type,
            name: UntrustedText::new("go"),
            approved: true,
        };
        self.append(at_us, &fact.into())
    }

    /// Corrections take effect, as by a command of an operator.
    pub fn correct(&mut self, at_us: u64, list: &[Adjustment]) {
        let mut id = [0; 16];
        getrandom::fill(&mut id).expect("randomness");
        let (command_id, op) =
            (CommandId(id), Operation::UsageCorrect(ops::UsageCorrect { adjustments: list.to_vec() }));
        self.stage(at_us);
        let st = self.stage.as_mut().expect("a stage");
        let proposed = Proposed {
            change: Listed(op.to_list()),
            before: Listed(vec![]),
            after: Listed(vec![]),
            class: ChangeClass::Loosen,
            person: PersonId([0; 16]),
            why: UntrustedText::new("late"),
            command_id,
            expires_at_us: at_us,
            judged_at_us: at_us,
            text: vec![],
            signature: String::new(),
        };
        let p = self.live.control_fact(st, proposed).expect("written");
        let effective = Effective {
            author: PersonId([0; 16]),
            command_id,
            proposal: p.index,
            digest: Sha256::digest(b"").into(),
            checkpoint_size: 0,
            checkpoint_root: [0; 32],
        };
        self.live.control_fact(st, effective).expect("written");
        self.live.correct(&self.store, st, list).expect("corrected");
    }

    /// Writes what was staged.
    pub fn commit(&mut self) {
        if let Some(mut st) = self.stage.take() {
            self.live.stage_counters(&mut st);
            self.store.write(st.rows.seal(&*self.random).expect("sealed")).expect("written");
        }
    }

    /// Marks all of the log as signed; the signature is none.
    pub fn sign(&mut self) {
        self.stage(self.now_us);
        let (origin, size, root) = (self.live.p.origin, self.live.log.size(), self.live.log.root());
        let text = Checkpoint { origin, size, root }.text();
        let st = self.stage.as_mut().expect("a stage");
        let signed = SignedCheckpoint { text, signature: String::new() };
        self.live.log.set_checkpoint(&mut st.rows, &self.live.p, size, signed);
        self.commit();
    }

    /// Packed days of a tenant: number, labels and sums.
    pub fn days(&self, tenant: TenantUid, mut each: impl FnMut(u32, &Labels, &Sums)) {
        let live = load(&self.store, &self.keys, self.node, tenant);
        for (row, value) in self.store.rows(&live.p.family, &Row::scan_of(RowKind::Day)).expect("rows") {
            let Row::Day(day) = row else { panic!("not a day: {row:?}") };
            let plain = live.p.open(&row.key(), &value).expect("its own row");
            for (series, (_, sums)) in DayRow::decode(&plain).expect("a day").0 {
                each(day, &live.meters.labels()[series as usize], &sums);
            }
        }
    }

    /// Makes all of it durable and lets go of the database.
    pub fn close(mut self) {
        self.commit();
        self.store.sync().expect("durable");
    }
}

fn load(store: &Arc<Store>, keys: &Path, node: NodeId, tenant: TenantUid) -> PartitionState {
    let mut keys = KeyStore::open(keys).expect("a key store");
    let now = Now::default();
    let ctx =
        Loader { store, keys: &mut keys, node, now, lease: Duration::from_secs(60), cuts_since: now.wall };
    PartitionState::load(ctx, PartitionId { tenant, epoch: 1 }, None).expect("a partition")
}
