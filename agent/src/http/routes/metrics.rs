//! Prometheus metrics. Label values are bounded, so no metric has a tenant label.

mod exposition;

use crate::http::health::{Audience, node_health};
use crate::http::state::ApiState;
use crate::platform::memory::resident_memory;
use crate::store::StoreMemory;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use conductor_shared::clock::WallTime;
use conductor_shared::health::{Subsystem, TABLE, Trouble};
use conductor_shared::http::SinkStatus;
use conductor_shared::stream::SignerState;
use exposition::Exposition;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

pub(crate) async fn metrics(State(api): State<ApiState>, headers: HeaderMap) -> Response {
    let now = api.clock.now();
    let h = node_health((&api.board, &api.health), &api.node_info(), now, &api.rates, Audience::Node);
    let (mut allowed, mut denied) = (0, 0);
    for s in api.board.all() {
        let v = s.view.load();
        allowed += v.allowed;
        denied += v.denied;
    }
    let load = |a: &std::sync::atomic::AtomicU64| a.load(std::sync::atomic::Ordering::Relaxed);
    let mut r = Registry::with_prefix("conductor");
    let mut counter = |name: &str, help: &str, v: u64| r.register(name, help, ConstCounter::new(v));
    counter("decisions_allowed", "Decisions that allowed, since the tenants were created", allowed);
    counter("decisions_denied", "Decisions that denied, folded ones included", denied);
    counter("receipts_written", "Receipts made durable since the agent started", load(&api.board.receipts));
    counter("commits", "Batches made durable since the agent started", load(&api.board.commits));
    counter(
        "commands_replayed",
        "Commands and approvals refused because they had counted before",
        load(&api.board.replays),
    );
    let mut gauge = |name: &str, help: &str, v: u64| {
        r.register(name, help, ConstGauge::new(i64::try_from(v).unwrap_or(i64::MAX)));
    };
    gauge("tenants", "Tenants on this node", h.tenants);
    gauge("open_runs", "Open runs of all tenants", h.open_runs);
    gauge("receipt_backlog", "Receipts not covered by a signed checkpoint", h.backlog);
    gauge("queue_waiting", "Requests waiting before the writer", api.queues.waiting() as u64);
    gauge("signer_up", "1 when the signer signs", u64::from(h.signer == SignerState::Up));
    let well = |s: Subsystem| u64::from(h.troubles.iter().all(|t| t.subsystem != s.row().name));
    gauge("store_up", "1 when the store writes", well(Subsystem::Store));
    gauge("policy_up", "1 when policy answers", well(Subsystem::Policy));
    let stopped = api.board.all().iter().filter(|s| !s.status().serves()).count();
    gauge("partitions_stopped", "Partitions that do not serve: damaged, rolled back", stopped as u64);
    let largest = api.board.largest_step.load(std::sync::atomic::Ordering::Relaxed);
    gauge(
        "writer_largest_step_rows",
        "Rows of the writer's largest step since the agent started",
        largest as u64,
    );
    gauge("policy_revision", "Revision of the bundle; 0 is the one built in", api.policy.version().revision);
    let (held, merging) =
        api.board.store.load().as_ref().map_or_else(Default::default, |s| (s.memory(), s.merging()));
    gauge("store_merging", "Jobs that write files of the store or merge them, now", merging);
    subsystems(&h.troubles, &mut r);
    let bytes = |v: u64| ConstGauge::new(i64::try_from(v).unwrap_or(i64::MAX));
    r.register_with_unit("disk_free", "Free space where the database is", Unit::Bytes, bytes(h.disk_free));
    memory(held, &mut r);
    let age = ConstGauge::new(h.backlog_age_us as f64 / 1e6);
    r.register_with_unit("receipt_backlog_age", "Age of the oldest unsigned receipt", Unit::Seconds, age);
    sinks(&api, now.wall, &mut r);
    let mut out = String::new();
    if encode(&mut out, &r).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let form = Exposition::accepted(&headers);
    ([(header::CONTENT_TYPE, form.content_type()), (header::VARY, "accept")], form.of(out)).into_response()
}

/// Memory of the process, and of each part of the store.
fn memory(store: StoreMemory, r: &mut Registry) {
    let gauge = |v: u64| i64::try_from(v).unwrap_or(i64::MAX);
    let family = Family::<[(&'static str, &'static str); 1], Gauge>::default();
    let parts = [("memtables", store.memtables), ("blocks", store.blocks), ("open_files", store.open_files)];
    for (part, bytes) in parts {
        family.get_or_create(&[("part", part)]).set(gauge(bytes));
    }
    r.register_with_unit("store_memory", "Memory of the store", Unit::Bytes, family);
    let resident = ConstGauge::new(gauge(resident_memory()));
    r.register_with_unit("resident_memory", "Resident memory of the process", Unit::Bytes, resident);
}

/// One sample for each subsystem.
fn subsystems(troubles: &[Trouble], r: &mut Registry) {
    let family = Family::<[(&'static str, &'static str); 1], Gauge>::default();
    for row in &TABLE {
        let up = i64::from(troubles.iter().all(|t| t.subsystem != row.name));
        family.get_or_create(&[("subsystem", row.name)]).set(up);
    }
    r.register("subsystem_up", "1 when the subsystem does its work", family);
}

type SinkLabel = [(&'static str, String); 1];

/// Metrics by sink: the configuration bounds the names. Each metric is one family with a sample for each sink.
fn sinks(api: &crate::http::state::Api, now: WallTime, r: &mut Registry) {
    let status: Vec<_> =
        api.sinks.iter().map(|s| ([("sink", s.config.name.to_string())], s.status(now))).collect();
    if status.is_empty() {
        return;
    }
    let mut counter = |name: &str, help: &str, of: fn(&SinkStatus) -> u64| {
        let family = Family::<SinkLabel, Counter>::default();
        for (sink, s) in &status {
            family.get_or_create(sink).inc_by(of(s));
        }
        r.register(name, help, family);
    };
    counter("sink_events_delivered", "Events delivered since the agent started", |s| s.delivered);
    counter("sink_failures", "Deliveries that failed since the agent started", |s| s.failures);
    let mut gauge = |name: &str, help: &str, of: fn(&SinkStatus) -> u64| {
        let family = Family::<SinkLabel, Gauge>::default();
        for (sink, s) in &status {
            family.get_or_create(sink).set(i64::try_from(of(s)).unwrap_or(i64::MAX));
        }
        r.register(name, help, family);
    };
    gauge("sink_up", "1 when the sink is open and not all of its deliveries fail", |s| s.delivers.into());
    gauge("sink_tenants_held", "Tenants whose events the sink cannot deliver now", |s| s.tenants_held);
    gauge("sink_dead_letters", "Events that the receiver would not take", |s| s.dead_letters);
    gauge("sink_waiting_receipts", "Receipts not delivered yet", |s| s.waiting_receipts);
    let lag = Family::<SinkLabel, Gauge<f64, AtomicU64>>::default();
    for (sink, s) in &status {
        lag.get_or_create(sink).set(s.lag_us as f64 / 1e6);
    }
    r.register_with_unit("sink_lag", "Age of the oldest receipt that is not delivered", Unit::Seconds, lag);
}
