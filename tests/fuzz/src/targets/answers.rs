//! Answers of an agent, by the types that the console reads them with.

use conductor_shared::cost::{CostAnswer, Explained, Rates};
use conductor_shared::fact::{ActorType, Env};
use conductor_shared::http::{
    BundleKept, Challenge, CommandOutcome, ConfigHistory, ConfigRevision, Consistency, DeadLetters, Decided,
    Explanation, FreezeList, IncidentList, LogHead, NodeInfo, PolicyShown, Preview, Problem, ReceiptPage,
    Recount, RequestList, RunView, SessionOpened, SinkList, SloList, TenantDetail, TenantList, Timeline,
    Totals, TotalsRow,
};
use conductor_shared::meter::{Labels, Sums};
use conductor_shared::usage::{Usage, UsageAnswer};
use conductor_shared::verify;
use serde_json::json;

use super::api::{Reader, body, named, survives};
use super::{log, texts};
use crate::corpus::Example;
use crate::target::{Memory, Target};

const TENANT_DETAIL: &str = concat!(
    r#"{"tenant_uid":"02020202020202020202020202020202","control":"#,
    include_str!("../../../../shared/src/control/canonical/full-state.json"),
    r#","size":1,"root":"","checkpoint":{"text":"t","signature":"s"},"open_runs":0}"#
);

const CONFIG_REVISION: &str = concat!(
    r#"{"tenant_uid":"02020202020202020202020202020202","revision":3,"index":7,"time_us":1,"control":"#,
    include_str!("../../../../shared/src/control/canonical/full-state.json"),
    "}"
);

const ANSWERED: [(&str, Reader, &str); 31] = [
    (
        "NodeInfo",
        survives::<NodeInfo>,
        r#"{"node_id":"01010101010101010101010101010101","name":"n1","environment":"e","version":"0.1.0","now_us":1,"boot":"b"}"#,
    ),
    (
        "Challenge",
        survives::<Challenge>,
        r#"{"challenge":"00","node":{"node_id":"01010101010101010101010101010101","name":"n1","environment":"e","version":"0.1.0","now_us":1,"boot":"b","troubles":[]}}"#,
    ),
    (
        "SessionOpened",
        survives::<SessionOpened>,
        r#"{"token":"t","expires_at_us":1,"person":"ana","roles":["admin"]}"#,
    ),
    (
        "Problem",
        survives::<Problem>,
        r#"{"type":"about:blank","title":"t","status":403,"detail":"d","decision":"deny","reasons":["quota_step_rate"],"folded":true,"retry_after_us":7}"#,
    ),
    (
        "Decided",
        survives::<Decided>,
        r#"{"decision":"allow","receipt":{"origin":"conductor-log/01010101010101010101010101010101/02020202020202020202020202020202/1","index":3},"run_id":"03030303030303030303030303030303","step":1,"lease_us":60,"late":"lost"}"#,
    ),
    (
        "RunView",
        survives::<RunView>,
        r#"{"run_id":"03030303030303030303030303030303","workflow_type":"etl","outcome":"lost","started_us":1,"steps":2,"open_steps":0}"#,
    ),
    (
        "CommandOutcome",
        survives::<CommandOutcome>,
        r#"{"command_id":"03030303030303030303030303030303","status":"effective","class":"tighten","receipt":{"origin":"conductor-log/01010101010101010101010101010101/02020202020202020202020202020202/1","index":3},"before":["a"],"after":["b"]}"#,
    ),
    ("TenantDetail", survives::<TenantDetail>, TENANT_DETAIL),
    (
        "TenantList",
        survives::<TenantList>,
        r#"{"tenants":[{"tenant_uid":"02020202020202020202020202020202","tenant_id":"acme","size":1,"signed":1,"open_runs":0}]}"#,
    ),
    ("ReceiptPage", survives::<ReceiptPage>, ""),
    (
        "LogHead",
        survives::<LogHead>,
        r#"{"origin":"conductor-log/01010101010101010101010101010101/02020202020202020202020202020202/1","size":1,"root":"r","checkpoint":null}"#,
    ),
    (
        "Consistency",
        survives::<Consistency>,
        r#"{"origin":"conductor-log/01010101010101010101010101010101/02020202020202020202020202020202/1","from":1,"to":2,"to_root":"r","proof":["p"]}"#,
    ),
    (
        "IncidentList",
        survives::<IncidentList>,
        r#"{"incidents":[{"tenant_uid":"02020202020202020202020202020202","tenant_id":"acme","incident":"i","cause":"clock","detail":"d","receipt":{"origin":"conductor-log/01010101010101010101010101010101/02020202020202020202020202020202/1","index":3},"since_us":1,"began_us":null,"detected_us":2,"receipts":[1],"acknowledged_by":"ana","acknowledged_us":4,"comment":"c"}]}"#,
    ),
    (
        "Timeline",
        survives::<Timeline>,
        r#"{"origin":"conductor-log/01010101010101010101010101010101/02020202020202020202020202020202/1","rows":[{"index":1,"time_us":2,"kind":"k","words":"w","person":null,"incident":null,"unnoticed_us":5}],"next":null}"#,
    ),
    (
        "Preview",
        survives::<Preview>,
        r#"{"class":"loosen","base":"b","before":["a"],"after":[],"since_us":1,"requests":4,"newly_allowed":1,"newly_denied":0,"by_workflow":[{"workflow_type":"etl","requests":4,"newly_allowed":1,"newly_denied":0}],"open_runs_stopped":0,"approvals":2,"frozen":true}"#,
    ),
    (
        "ConfigHistory",
        survives::<ConfigHistory>,
        r#"{"tenant_uid":"02020202020202020202020202020202","revision":3,"rows":[{"revision":3,"index":7,"time_us":1,"person":"ana","why":"w","words":"x","differences":[{"name":"quota steps","before":null,"after":"7"}]}],"next":2}"#,
    ),
    ("ConfigRevision", survives::<ConfigRevision>, CONFIG_REVISION),
    (
        "RequestList",
        survives::<RequestList>,
        r#"{"requests":[{"tenant_uid":"02020202020202020202020202020202","tenant_id":"acme","command_id":"03030303030303030303030303030303","text":"t","class":"loosen","person":"ana","needed":2,"approved":["bob"],"expires_at_us":9,"receipt":{"origin":"conductor-log/01010101010101010101010101010101/02020202020202020202020202020202/1","index":3}}]}"#,
    ),
    (
        "FreezeList",
        survives::<FreezeList>,
        r#"{"now_us":1,"profiles":[{"profile":"default","governs":1,"break_glass_alone":false,"policy_outage":"last_known","last_known_s":60,"windows":[{"window":"w","when":"weekly fri 18:00 for 62h00m Europe/Berlin","active":true,"next_us":2,"next_active":false}]}],"tenants":[{"tenant_uid":"02020202020202020202020202020202","tenant_id":"acme","profile":"default","frozen":true,"freezes":{"f":{"until_us":null}},"break_glass":null}]}"#,
    ),
    (
        "SloList",
        survives::<SloList>,
        r#"{"tenant_uid":"02020202020202020202020202020202","ramps":[{"selector":"run/etl","hundredths":1000,"revision":2,"verdict":"healthy","settled":3,"failed":0,"steps":4,"p99_us":5,"up_us":6,"bake_us":7,"thresholds":{"errors_hundredths":100,"p99_us":0,"backlog":9,"min_settled":1},"plan":"1%@3600s 100%","step":0,"rolled_back_from":500}]}"#,
    ),
    (
        "PolicyShown",
        survives::<PolicyShown>,
        r#"{"revision":1,"digest":"d","expires_at_us":null,"engine":"built-in","trouble":"","down":false,"evaluated_at_us":3,"workers":2,"given_up":0,"trusted_key":"k"}"#,
    ),
    ("BundleKept", survives::<BundleKept>, r#"{"digest":"d"}"#),
    ("Explanation", survives::<Explanation>, r#"{"allow":false,"reasons":["r"],"revision":1,"digest":"d"}"#),
    (
        "SinkList",
        survives::<SinkList>,
        r#"{"sinks":[{"name":"s","target":"t","delivers":true,"delivered":1,"failures":2,"dead_letters":3,"waiting_receipts":4,"lag_us":5,"tenants_held":0,"trouble":""}]}"#,
    ),
    (
        "DeadLetters",
        survives::<DeadLetters>,
        r#"{"letters":[{"number":1,"why":"w","event":{"id":"a","data":[1.5,null]}}]}"#,
    ),
    (
        "Recount",
        survives::<Recount>,
        r#"{"tenant_uid":"02020202020202020202020202020202","receipts":9,"erased":1,"differences":[{"what":"hour","number":7,"labels":{"env":"production","actor_type":"service","workflow_type":"etl"},"rollups":"1","receipts":"2"}]}"#,
    ),
    (
        "CostAnswer",
        survives::<CostAnswer>,
        r#"{"tenant_uid":"02020202020202020202020202020202","tenant_id":"acme","range":{"from_us":0,"to_us":900000000,"from":"1970-01-01T00:00:00Z","to":"1970-01-01T00:15:00Z","time_zone":"UTC"},"as_of_us":1,"currency":"EUR","decimals":6,"unit":"10^-6 EUR","rate_cards":[{"version":1,"currency":"EUR","decimals":6,"effective_from":"2026-10-01T00:00:00Z","compute_hour":120000,"storage_gb_month":20000,"signing_million":500000}],"unpriced":false,"reconciled":true,"totals":{"compute":1,"storage":-2,"signing":3,"total":2},"rows":[{"bucket":"compute","workflow_type":"etl","env":"production","quantity":"-170141183460469231731687303715884105728","unit":"us","rate_card":1,"reconciled":false,"amount":-1}],"steps":[{"from_us":0,"to_us":1,"compute":1,"storage":-2,"signing":3,"total":2}]}"#,
    ),
    (
        "Explained",
        survives::<Explained>,
        r#"{"bucket":"signing","workflow_type":"etl","env":"production","actor_type":"service","range":{"from_us":0,"to_us":900000000,"from":"1970-01-01T00:00:00Z","to":"1970-01-01T00:15:00Z","time_zone":"UTC"},"unit":"us","priced_per":"hour","divisor":"3600000000","parts":[{"from_us":0,"to_us":1,"rate_card":null,"price":7,"quantity":"1","product":"7"}],"amount":0,"amount_unit":"u","kept_before":"0","events":[{"id":"i","receipt":3,"at_us":1,"recorded_us":2,"env":"production","actor_type":"service","workflow_type":"etl","quantity":-1,"adds":"-1"}],"next":null}"#,
    ),
    (
        "Rates",
        survives::<Rates>,
        r#"{"billing_key":null,"cards":[{"version":1,"currency":"EUR","decimals":6,"effective_from":"2026-10-01T00:00:00Z","compute_hour":120000,"storage_gb_month":20000,"signing_million":500000}]}"#,
    ),
    ("Totals", survives::<Totals>, ""),
    ("UsageAnswer", survives::<UsageAnswer>, ""),
];

/// A state is many small maps.
const ANSWERS_TAKE: Memory = Memory { base: 1 << 20, each: 512 };

pub(super) const ANSWERS: Target = Target {
    name: "answers",
    reads: "answers of an agent, as a console reads them: `tui/src/client/http.rs`",
    law: "what is read survives being written",
    max_len: 64 << 10,
    memory: ANSWERS_TAKE,
    inputs: 400,
    examples: answered,
    read: |bytes| body(&ANSWERED, bytes),
};

fn answered() -> Vec<Example> {
    let mut all = named(&ANSWERED);
    all.retain(|e| !e.bytes.ends_with(b"\n"));
    let mut made = |name: &str, body: String| all.push(Example::new(name, format!("{name}\n{body}")));
    let receipts = (0..2).map(|n| verify::read(&log::entry(n)).expect("a receipt")).collect();
    let page = ReceiptPage { origin: log::ORIGIN, size: 2, receipts, next: Some(2) };
    made("ReceiptPage", serde_json::to_string(&page).expect("JSON"));
    let labels =
        Labels { env: Env::Production, actor_type: ActorType::Service, workflow_type: texts::ident("etl") };
    let rows = vec![TotalsRow { labels, sums: Sums::default() }];
    let totals = Totals { tenant_uid: log::TENANT, total: Sums::default(), by_labels: rows };
    made("Totals", serde_json::to_string(&totals).expect("JSON"));
    made("UsageAnswer", usage().to_string());
    all
}

fn usage() -> serde_json::Value {
    let usage = Usage::default();
    let mut row = serde_json::to_value(usage).expect("JSON");
    row["workflow_type"] = "etl".into();
    let range = json!({"from_us": 0, "to_us": 9, "from": "f", "to": "t", "time_zone": "UTC"});
    let step = json!({"from_us": 0, "to_us": 9, "from": "f", "totals": usage, "breakdown": [row]});
    json!({"tenant_uid": log::TENANT, "tenant_id": "acme", "range": range, "as_of_us": 1, "totals": usage,
        "breakdown": [row], "steps": [step]})
}
