//! Clients that note what was acknowledged, and a log held against it.

use crate::programs::b64;
use crate::{Client, Node, Tenant, run_body};
use conductor_shared::http::{RangeBundle, ReceiptEvidence};
use conductor_shared::ids::{RunId, TenantUid};
use conductor_shared::record::Disclosed;
use conductor_shared::verify::{RangeCheck, Trust, TrustedKey, Verdict, checkpoint, hashes};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What clients were told.
#[derive(Default)]
pub struct Acknowledged {
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// Run starts, by tenant and index: the run.
    runs: BTreeMap<(TenantUid, u64), RunId>,
    /// Everything else, by tenant and index.
    others: Vec<(TenantUid, u64)>,
}

/// Kind of a decision about a run.
const RUN_DECIDED: u16 = 0x1001;

impl Acknowledged {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().expect("not poisoned")
    }

    /// Starts of runs, and everything else.
    pub fn counts(&self) -> (usize, usize) {
        let told = self.told();
        (told.runs.len(), told.others.len())
    }

    /// Notes something other than the start of a run.
    pub fn note(&self, tenant: TenantUid, index: u64) {
        self.told().others.push((tenant, index));
    }

    /// Runs of one step, one after the other, whether the agent lives or not.
    pub fn work(&self, socket: &Path, t: &Tenant, stop: &AtomicBool) {
        let mut c = Client::new(socket, &t.token);
        while !stop.load(Ordering::Relaxed) {
            let Ok(r) = c.once("POST", "/v1/runs", run_body(t, Some("s")).to_string().as_bytes(), &[]) else {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            };
            if r.status != 200 {
                continue;
            }
            let started = r.decided();
            let run = started.run_id;
            self.told().runs.insert((t.uid, started.receipt.index), run);
            let mut tell = |path: String, body: Value| {
                if let Ok(r) = c.once("POST", &path, body.to_string().as_bytes(), &[])
                    && r.status == 200
                {
                    self.note(t.uid, r.decided().receipt.index);
                }
            };
            tell(format!("/v1/runs/{run}/steps"), json!({"tenant_id": t.name, "name": "s"}));
            let done = json!({"tenant_id": t.name, "outcome": "succeeded", "duration_us": 3, "bytes_in": 1, "bytes_out": 1});
            tell(format!("/v1/runs/{run}/steps/1/finish"), done);
            tell(format!("/v1/runs/{run}/finish"), json!({"tenant_id": t.name, "outcome": "succeeded"}));
        }
    }

    /// Fails when the whole log does not prove itself against its checkpoint, or an acknowledged receipt is not in it.
    pub fn is_in_the_log(&self, node: &Node, tenant: TenantUid) {
        let size = node.all_signed(tenant);
        let found = proved_runs(node, tenant, size);
        let told = self.told();
        for ((t, index), run) in &told.runs {
            assert!(
                *t != tenant || found.get(index).is_some_and(|what| what.contains(&run.to_string())),
                "run {run} at {index} is lost"
            );
        }
        for (t, index) in &told.others {
            assert!(*t != tenant || *index < size, "receipt {index} is lost");
        }
    }
}

/// Decisions about runs of a log that proves itself, by index.
fn proved_runs(node: &Node, tenant: TenantUid, size: u64) -> BTreeMap<u64, String> {
    let export = node.operator().get(&format!("/v1/tenants/{tenant}/receipts/export?from=0&to={size}")).body;
    let mut lines = export.split(|b| *b == b'\n').filter(|l| !l.is_empty());
    let head: RangeBundle = serde_json::from_slice(lines.next().expect("a head")).expect("JSON");
    let text = std::fs::read_to_string(node.path("trust.toml")).expect("a trust file");
    let key = text.lines().find_map(|l| l.strip_prefix("public_key = \"")).expect("a key");
    let trust = Trust {
        keys: vec![TrustedKey {
            public_key: key.trim_end_matches('"').to_owned(),
            purpose: "checkpoint".into(),
            origin: format!("conductor-log/{}/", node.id),
            sizes: None,
        }],
    };
    let (signature, cp) = checkpoint(head.checkpoint.as_ref().expect("a checkpoint"), &trust);
    assert_eq!(signature, Verdict::Verified);
    let mut check = RangeCheck::new(0, None);
    let mut found = BTreeMap::new();
    for line in lines {
        let r: ReceiptEvidence = serde_json::from_slice(line).expect("JSON");
        check.push(&r);
        if r.kind == RUN_DECIDED {
            let what = r.fields.iter().find(|f| f.name == "what").expect("its field");
            let d = Disclosed::from_bytes(&b64(&what.disclosure)).expect("a disclosure");
            found.insert(r.index, d.value.to_string());
        }
    }
    assert_eq!(check.entries(), size);
    let proof = |part| hashes(part).expect("hashes");
    let verdicts = check.finish(size, &proof(&head.first_proof), &proof(&head.last_proof), cp.as_ref());
    assert_eq!(verdicts, (Verdict::Verified, Verdict::Verified));
    found
}
