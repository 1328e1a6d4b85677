//! Runs as a workload makes them.

use crate::{Answer, Client, Node, Tenant};
use conductor_shared::ids::RunId;
use serde_json::{Value, json};

/// Body of a request to start a run of `etl`.
pub fn run_body(tenant: &Tenant, subject: Option<&str>) -> Value {
    let mut v = json!({"tenant_id": tenant.name, "workflow_type": "etl", "env": "rehearsal", "actor_type": "service"});
    if let Some(s) = subject {
        v["subject"] = json!(s);
    }
    v
}

impl Client {
    /// Asks to start a run of `etl`.
    pub fn start_run(&mut self, tenant: &Tenant, subject: Option<&str>) -> Answer {
        self.post("/v1/runs", &run_body(tenant, subject))
    }

    /// Ends a run well.
    pub fn finish_run(&mut self, tenant: &Tenant, run: RunId) -> Answer {
        let done = json!({"tenant_id": tenant.name, "outcome": "succeeded"});
        self.post(&format!("/v1/runs/{run}/finish"), &done)
    }
}

/// Runs of three steps, one heartbeat, one approval, an end, and another one that comes too late.
pub fn work(node: &Node, tenant: &Tenant, runs: u64) {
    let mut c = node.client(&tenant.token);
    let name = &tenant.name;
    for n in 0..runs {
        let run = c.start_run(tenant, None).decided().run_id;
        let mut post = |path: &str, body: Value| c.post(&format!("/v1/runs/{run}/{path}"), &body).decided();
        for s in 0..3 {
            let begun = post("steps", json!({"tenant_id": name, "name": format!("s{s}")}));
            let step = begun.step.expect("its number");
            let done = json!({"tenant_id": name, "outcome": "succeeded", "duration_us": 1_000_000 * (n + 1), "bytes_in": 10, "bytes_out": 20});
            post(&format!("steps/{step}/finish"), done);
        }
        post("heartbeat", json!({"tenant_id": name}));
        post("approvals", json!({"tenant_id": name, "name": "go", "approver": "eva", "approved": true}));
        // A late settle is a receipt of the run as well.
        for outcome in ["succeeded", "failed"] {
            post("finish", json!({"tenant_id": name, "outcome": outcome}));
        }
    }
}
