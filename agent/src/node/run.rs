//! Runs the agent: opens the store, starts the writer, the signing thread, the listeners and the sinks, and stops them in
//! an order that loses no accepted request.

use crate::checkpoint::witness::Witness;
use crate::health::{Health, Sources};
use crate::http::{Api, ApiState, App, ConnLimiter, Listener, Rates, bind_unix, connections_that_fit, serve};
use crate::intake::queue::Queues;
use crate::node::config::{Config, Listen};
use crate::node::init::node_id;
use crate::node::tenant_sockets::TenantSockets;
use crate::partition::published::Registry;
use crate::platform::clock::RealClock;
use crate::platform::random::{OsRandom, Random, bytes};
use crate::policy::{Opa, Policy};
use crate::scope::Sessions;
use crate::signer::client::SignerClient;
use crate::sinks::{Sink, SinkCtx};
use crate::writer::{Parts, Writer};
use conductor_shared::clock::Clock;
use conductor_shared::ids::NodeId;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Why the agent cannot start, as text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

impl StartError {
    fn of(e: impl std::fmt::Display) -> Self {
        Self(e.to_string())
    }
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(config: Config) -> Result<(), StartError> {
    // A write beyond the file size limit must fail with an error, like one to a full disk, and not kill the process.
    let too_large = tokio::signal::unix::SignalKind::from_raw(nix::sys::signal::Signal::SIGXFSZ as i32);
    let _caught = tokio::signal::unix::signal(too_large).map_err(StartError::of)?;
    // Installed first: a signal that comes right after the ready notification must not be lost.
    let signals = StopSignals::listen().map_err(StartError::of)?;
    let core = Core::start(&config).await?;
    let (stop, stopping) = watch::channel(false);
    let api = core.api(&config, &stopping);
    let serving = start_serving(&config, &api, &stopping).await?;
    tracing::info!("node {} is ready", core.node);
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let watching = tokio::spawn(Arc::clone(&core.health).run());
    let watchdog = tokio::spawn(feed_watchdog(Arc::clone(&core.health)));
    signals.wait().await;
    tracing::info!("stopping");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    watchdog.abort();
    watching.abort();
    // First stop connections and requests, then decide and commit what is queued, then end the threads.
    let _ = stop.send(true);
    for s in serving {
        let _ = tokio::time::timeout(Duration::from_secs(6), s).await;
    }
    core.queues.close();
    let _ = tokio::task::spawn_blocking(move || core.writer.join()).await;
    drop(api);
    let _ = tokio::task::spawn_blocking(move || core.signing.join()).await;
    Ok(())
}

/// The running writer and signing threads, and what they share with the rest.
struct Core {
    node: NodeId,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    board: Arc<Registry>,
    queues: Arc<Queues>,
    policy: Arc<Policy>,
    health: Arc<Health>,
    writer: JoinHandle<()>,
    signing: JoinHandle<()>,
}

impl Core {
    async fn start(config: &Config) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(RealClock::default());
        let random: Arc<dyn Random> = Arc::new(OsRandom::default());
        let node = node_id(&config.data, &config.keys, config.space).map_err(StartError::of)?;
        let board = Arc::new(Registry::new(node, bytes(&*random)));
        let queues = Arc::new(Queues::default());
        let opa = config.policy.opa.clone().map(|c| Opa::new(c, tokio::runtime::Handle::current()));
        let policy = Policy::start(opa, Arc::clone(&clock), &queues);
        let health = Health::new(Sources {
            board: Arc::clone(&board),
            queues: Arc::clone(&queues),
            policy: Arc::clone(&policy),
            clock: Arc::clone(&clock),
        });
        let (jobs_in, jobs) = crossbeam_channel::bounded(2);
        let parts = Parts {
            data: config.data.clone(),
            keys: config.keys.clone(),
            node_id: node,
            limits: config.space,
            lease: Duration::from_secs(config.lease_seconds),
            tighten: config.tighten.limit(),
            slo: crate::rollout::controller::Pace {
                every: Duration::from_millis(config.slo.evaluate_ms),
                bake: Duration::from_secs(config.slo.bake_seconds),
            },
            clock_tolerance: Duration::from_millis(config.clock.tolerance_ms),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            queues: Arc::clone(&queues),
            board: Arc::clone(&board),
            policy: Arc::clone(&policy),
            health: Arc::clone(&health),
            checkpoints: Some(jobs_in),
            runtime: Some(tokio::runtime::Handle::current()),
        };
        let writer = tokio::task::spawn_blocking(|| Writer::open(parts)).await.map_err(StartError::of)?;
        let writer = writer.map_err(StartError::of)?;
        let pinned = board.node().and_then(|n| n.view.load().control.signer_key.clone());
        let pinned =
            pinned.ok_or_else(|| StartError("no signer's key is pinned; run `conductord init`".into()))?;
        let writer = std::thread::spawn(move || writer.run());
        let client = SignerClient::new(&config.signer.socket, pinned, config.signer.uid);
        let signing = {
            let (queues, board) = (Arc::clone(&queues), Arc::clone(&board));
            let witness = Witness::open(&config.data);
            std::thread::spawn(move || crate::checkpoint::sign::run(client, &jobs, &queues, &board, witness))
        };
        Ok(Self { node, clock, random, board, queues, policy, health, writer, signing })
    }

    fn api(&self, config: &Config, stopping: &watch::Receiver<bool>) -> ApiState {
        Arc::new(Api {
            board: Arc::clone(&self.board),
            queues: Arc::clone(&self.queues),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            policy: Arc::clone(&self.policy),
            health: Arc::clone(&self.health),
            sessions: Sessions::default(),
            node_id: self.node,
            name: config.name.clone(),
            environment: config.environment.clone(),
            stopping: stopping.clone(),
            rates: Rates::default(),
            recounts: Arc::new(tokio::sync::Semaphore::new(1)),
            rollups: Arc::default(),
            sinks: config.sinks.iter().cloned().map(|c| Arc::new(Sink::new(c))).collect(),
        })
    }
}

/// Starts listeners, tenants' sockets and sinks, each in a task of its own.
async fn start_serving(
    config: &Config,
    api: &ApiState,
    stopping: &watch::Receiver<bool>,
) -> Result<Vec<tokio::task::JoinHandle<()>>, StartError> {
    let app = App::new(Arc::clone(api));
    let limiter = ConnLimiter::new(connections_that_fit());
    let mut serving = Vec::new();
    for listener in bind(config).await? {
        let task = serve(listener, app.clone(), Arc::clone(&limiter), stopping.clone());
        serving.push(tokio::spawn(task));
    }
    if let Some(folder) = &config.tenant_sockets {
        let sockets = TenantSockets::new(folder.clone(), app, limiter, stopping.clone());
        serving.push(tokio::spawn(sockets.run(Arc::clone(&api.board))));
    }
    serving.extend(start_sinks(api, stopping));
    Ok(serving)
}

/// Each sink has its own task, so that a slow receiver delays no other.
fn start_sinks(api: &Api, stopping: &watch::Receiver<bool>) -> Vec<tokio::task::JoinHandle<()>> {
    let start = |sink: &Arc<Sink>| {
        let ctx = SinkCtx {
            board: Arc::clone(&api.board),
            queues: Arc::clone(&api.queues),
            random: Arc::clone(&api.random),
            clock: Arc::clone(&api.clock),
            stopping: stopping.clone(),
        };
        tokio::spawn(crate::sinks::run(Arc::clone(sink), ctx))
    };
    api.sinks.iter().map(start).collect()
}

async fn bind(config: &Config) -> Result<Vec<Listener>, StartError> {
    let mut out = Vec::new();
    for l in config.listeners().map_err(StartError)? {
        out.push(match l {
            Listen::Unix(path) => {
                let l =
                    bind_unix(&path, 0o660).map_err(|e| StartError(format!("{}: {e}", path.display())))?;
                Listener::Unix(l, None)
            }
            Listen::Plain(a) => {
                tracing::warn!("listening on {a} without encryption");
                Listener::Plain(TcpListener::bind(a).await.map_err(|e| StartError(format!("{a}: {e}")))?)
            }
            Listen::Tls(a) => {
                let (acceptor, digest) =
                    crate::node::tls::server(&config.keys, &config.name).map_err(StartError)?;
                let l = TcpListener::bind(a).await.map_err(|e| StartError(format!("{a}: {e}")))?;
                let pin = conductor_shared::ids::hex(&digest);
                tracing::info!("consoles reach this node by https://{a}#sha256={pin}");
                Listener::Tls(l, acceptor, digest)
            }
        });
    }
    Ok(out)
}

/// Reports to the service manager as long as the writer does its work. A mere timer would prove nothing.
async fn feed_watchdog(health: Arc<Health>) {
    let Some(every) = sd_notify::watchdog_enabled() else { return };
    loop {
        tokio::time::sleep(every / 3).await;
        if health.alive() {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

struct StopSignals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// All differences between rows and receipts, as text.
pub fn check(config: &Config) -> Result<Vec<String>, StartError> {
    crate::node::check::check(&config.data, &config.keys, config.space).map_err(StartError::of)
}

/// The trust file for those who verify this node's logs.
pub fn trust_file(node: NodeId, signer_key: &str) -> String {
    format!(
        "# Whoever verifies receipts of this node keeps this file from now on.\n[[key]]\npublic_key = \"{}\"\npurpose = \"checkpoint\"\norigin = \"conductor-log/{node}/\"\n",
        signer_key.trim()
    )
}

/// Reads a minisign `.pub` file, or the bare base64.
pub fn read_public_key(path: &Path) -> Result<String, StartError> {
    let text = std::fs::read_to_string(path).map_err(|e| StartError(format!("{}: {e}", path.display())))?;
    let key = text.lines().find(|l| !l.starts_with("untrusted comment:") && !l.trim().is_empty());
    key.map(|k| k.trim().to_owned())
        .ok_or_else(|| StartError(format!("{}: no public key in it", path.display())))
}
