//! The WebSocket stream to consoles. Nothing is queued for a slow console: summaries are taken when it is ready for them,
//! and control facts are read from the log. A console that falls out of the event window must resynchronise.

use crate::http::access::{GoingOn, Person};
use crate::http::auth::Peer;
use crate::http::conn_limit::{ConnPermit, MAX_STREAMS, MAX_STREAMS_PER_PERSON};
use crate::http::error::ApiError;
use crate::http::health::{Audience, node_health};
use crate::http::read::blocking;
use crate::http::state::{Api, ApiState};
use crate::ledger::{read_json, read_receipt, redacted};
use crate::partition::published::PartitionCell;
use crate::platform::stopped;
use crate::staging::Event;
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use conductor_shared::access::Sight;
use conductor_shared::clock::Now;
use conductor_shared::http::ReceiptJson;
use conductor_shared::ids::{TenantUid, hex};
use conductor_shared::stream::{
    FromConsole, MAX_FRAME, MAX_OPEN, NodeHealth, Resume, Summary, ToConsole, VERSION,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Send timeout: a console that reads nothing for this long is disconnected.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const BEAT: Duration = Duration::from_millis(500);
/// Health is sent at least this often, as a keep-alive.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Summaries in one frame: at most 64 KiB, so that other messages can go between them.
const CHUNK: usize = 340;
/// Facts sent before summaries are sent again.
const FACTS: usize = 256;

pub(crate) async fn stream(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    person: Person,
    right: GoingOn,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(e) => return upgrade_required(&e),
    };
    let Some(counted) = api.streams.take(person.scope.person()) else {
        let most = format!(
            "{MAX_STREAMS_PER_PERSON} streams of this person are open, or {MAX_STREAMS} of all; close one"
        );
        return ApiError::bad(StatusCode::TOO_MANY_REQUESTS, most).into_response();
    };
    let limits = upgrade.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME);
    limits.on_upgrade(move |socket| async move {
        let mut c = Console {
            api,
            peer,
            person,
            right,
            socket,
            open: BTreeSet::new(),
            sent: 0,
            seen: HashMap::new(),
        };
        let _counted = counted;
        let why = c.serve().await;
        if let Some(why) = why {
            let _ = c.send(&ToConsole::End { why: why.to_owned() }).await;
        }
        let _ = timeout(Duration::from_secs(1), c.socket.send(Message::Close(None))).await;
    })
}

/// A stream without an upgrade to a `WebSocket`.
fn upgrade_required(e: &WebSocketUpgradeRejection) -> Response {
    let what = format!("this route is a WebSocket: {}", e.body_text());
    let mut r = ApiError::bad(StatusCode::UPGRADE_REQUIRED, what).into_response();
    r.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    r.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    r
}

struct Console {
    api: Arc<Api>,
    /// Holds the place of the connection, which the stream keeps until it closes.
    peer: Peer,
    person: Person,
    right: GoingOn,
    socket: WebSocket,
    open: BTreeSet<TenantUid>,
    /// Facts up to this commit sequence were sent.
    sent: u64,
    /// Versions of the summaries last sent.
    seen: HashMap<TenantUid, u64>,
}

/// The connection is closed.
struct Closed;

impl Console {
    async fn frame(&mut self, m: Message) -> Result<(), Closed> {
        let until = Instant::now() + SEND_TIMEOUT;
        let mut sending = std::pin::pin!(self.socket.send(m));
        loop {
            match timeout(BEAT, &mut sending).await {
                Ok(sent) => return sent.map_err(|_| Closed),
                // A console that reads slowly does not keep the stream longer than its right.
                Err(_) if Instant::now() < until && self.right.holds(&self.api) => {}
                Err(_) => return Err(Closed),
            }
        }
    }

    async fn send(&mut self, m: &ToConsole) -> Result<(), Closed> {
        let text = serde_json::to_string(m).map_err(|_| Closed)?;
        self.frame(Message::Text(text.into())).await
    }

    /// Serves until the stream ends. Returns the reason for the console; `None` if it disconnected.
    async fn serve(&mut self) -> Option<&'static str> {
        let hello = match timeout(Duration::from_secs(10), self.socket.recv()).await {
            Ok(Some(Ok(Message::Text(t)))) => serde_json::from_str::<FromConsole>(&t).ok(),
            _ => None,
        };
        let Some(FromConsole::Hello { version, resume }) = hello else { return Some("hello_expected") };
        if version != VERSION {
            return Some("version_unknown");
        }
        self.begin(resume).await.ok()?;
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut life = Instant::now();
        let mut health = String::new();
        let mut stopping = self.api.stopping.clone();
        let mut commits = self.api.board.watch();
        let place = self.peer.place.clone();
        loop {
            tokio::select! {
                () = stopped(&mut stopping) => return Some("stopping"),
                () = hung_up_on(place.as_deref()) => return Some("connections_full"),
                message = self.socket.recv() => match message {
                    Some(Ok(Message::Text(t))) => match serde_json::from_str::<FromConsole>(&t) {
                        Ok(FromConsole::Open { tenant }) => self.open(tenant).await.ok()?,
                        Ok(FromConsole::Close { tenant }) => { self.open.remove(&tenant); }
                        Ok(FromConsole::Hello { .. }) | Err(_) => return Some("message_unknown"),
                    },
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Binary(_))) => return Some("message_unknown"),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                },
                _ = commits.changed(), if !self.open.is_empty() => self.facts().await.ok()?,
                _ = beat.tick() => {
                    // A subscription ends with its session.
                    if !self.right.holds(&self.api) {
                        return Some("session_ended");
                    }
                    self.changed_summaries().await.ok()?;
                    let now = self.api.clock.now();
                    let h = self.health(now);
                    // The age of the backlog and the time change on their own and are not compared.
                    let news = format!("{:?}{:?}{}{}", h.signer, h.troubles, h.receipts, h.backlog);
                    if news != health || life.elapsed() >= KEEP_ALIVE || h.backlog > 0 {
                        health = news;
                        life = Instant::now();
                        self.send(&ToConsole::Node(Box::new(h))).await.ok()?;
                    }
                }
            }
        }
    }

    async fn begin(&mut self, resume: Option<Resume>) -> Result<(), Closed> {
        let board = Arc::clone(&self.api.board);
        let now_seq = board.node_seq();
        let mut resync = None;
        let mut resumed = false;
        if let Some(r) = resume {
            if r.boot != hex(&board.boot) {
                resync = Some("the agent was started anew".to_owned());
            } else if r.node_seq > now_seq {
                resync = Some("the agent has not come that far".to_owned());
            } else if board.events_after(r.node_seq, 0, |_| false).is_none() {
                resync = Some("that is no longer kept".to_owned());
            } else {
                resumed = true;
                self.sent = r.node_seq;
                let open = r.open.into_iter().take(MAX_OPEN);
                self.open =
                    open.filter(|t| self.person.sight(*t).is_some() && board.get(*t).is_some()).collect();
            }
        }
        if !resumed {
            self.sent = now_seq;
        }
        let node = self.api.node_info();
        self.send(&ToConsole::Hello { version: VERSION, node, node_seq: now_seq, resumed, resync }).await?;
        // The list is taken once, so that the overview of a busy node ends.
        let mut all = self.tenants();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        self.send(&ToConsole::OverviewBegin { tenants: all.len() as u64 }).await?;
        for chunk in all.chunks(CHUNK) {
            let mut out = Vec::with_capacity(chunk.len() * Summary::LEN);
            let mono = self.api.clock.now().mono;
            for s in chunk {
                self.seen.insert(s.id.tenant, s.view.load().version);
                s.summary(mono).put(&mut out);
            }
            self.frame(Message::Binary(out.into())).await?;
        }
        self.send(&ToConsole::OverviewEnd).await?;
        self.facts().await
    }

    fn health(&self, now: Now) -> NodeHealth {
        let audience =
            if self.person.sees_the_node() { Audience::Node } else { Audience::Of(self.tenants()) };
        let api = &self.api;
        node_health((&api.board, &api.health), &api.node_info(), now, &api.rates, audience)
    }

    /// The tenants that the console is told about.
    fn tenants(&self) -> Vec<Arc<PartitionCell>> {
        let seen = self.person.logs(&self.api).into_iter().map(|(cell, _)| cell);
        seen.filter(|cell| !cell.id.tenant.is_node()).collect()
    }

    async fn changed_summaries(&mut self) -> Result<(), Closed> {
        let mono = self.api.clock.now().mono;
        let mut out = Vec::new();
        for s in self.tenants() {
            let version = s.view.load().version;
            if self.seen.get(&s.id.tenant) != Some(&version) {
                self.seen.insert(s.id.tenant, version);
                s.summary(mono).put(&mut out);
            }
        }
        for chunk in out.chunks(CHUNK * Summary::LEN) {
            self.frame(Message::Binary(chunk.to_vec().into())).await?;
        }
        Ok(())
    }

    async fn open(&mut self, tenant: TenantUid) -> Result<(), Closed> {
        // First send pending facts of partitions that are open already.
        self.facts().await?;
        // Whoever may not read it is told what they would be told if there were none.
        let found = self.person.sight(tenant).is_some() && self.api.board.get(tenant).is_some();
        if self.open.len() >= MAX_OPEN || !found {
            let why = if found { "too many partitions are open" } else { "no such partition" };
            return self.send(&ToConsole::Resync { tenant: Some(tenant), why: why.to_owned() }).await;
        }
        self.open.insert(tenant);
        self.state(tenant).await
    }

    async fn state(&mut self, tenant: TenantUid) -> Result<(), Closed> {
        let (Some(shared), Some(sight)) = (self.api.board.get(tenant), self.person.sight(tenant)) else {
            return Ok(());
        };
        let node_seq = self.sent;
        let state = Box::new(redacted(&shared.view.load().control, sight));
        self.send(&ToConsole::State { tenant, node_seq, state }).await
    }

    /// Sends new control facts of open partitions. A fact may already be in a state that was sent: the console drops
    /// facts at or below the state's last index.
    async fn facts(&mut self) -> Result<(), Closed> {
        loop {
            // Facts go out in chunks, however many there are: the right is shown again with each.
            if !self.right.holds(&self.api) {
                return Ok(());
            }
            let open = self.open.clone();
            let now_seq = self.api.board.node_seq();
            let found = self.api.board.events_after(self.sent, 0, |t| open.contains(&t));
            let Some(mut events) = found else {
                self.sent = now_seq;
                self.send(&ToConsole::Resync { tenant: None, why: "fell behind".to_owned() }).await?;
                for tenant in open {
                    self.state(tenant).await?;
                }
                return Ok(());
            };
            let whole = events.len() <= FACTS;
            events.truncate(FACTS);
            let last = events.last().map_or(now_seq, |e| e.node_seq);
            for e in events {
                let Some(sight) = self.person.sight(e.partition.tenant) else { continue };
                let Some(receipt) = receipt(Arc::clone(&self.api), e, sight).await else { continue };
                let fact = ToConsole::Fact {
                    tenant: e.partition.tenant,
                    node_seq: e.node_seq,
                    receipt: Box::new(receipt),
                };
                self.send(&fact).await?;
            }
            self.sent = if whole { now_seq.max(last) } else { last };
            if whole {
                return Ok(());
            }
        }
    }
}

/// Waits until the place of this connection is needed for another.
async fn hung_up_on(place: Option<&ConnPermit>) {
    match place {
        Some(place) => place.hung_up_on().await,
        None => std::future::pending().await,
    }
}

async fn receipt(api: Arc<Api>, e: Event, sight: Sight) -> Option<ReceiptJson> {
    let shared = api.board.get(e.partition.tenant).filter(|s| s.id == e.partition)?;
    let read = blocking(&shared, move |store, p| Ok(read_json(&read_receipt(store, p, e.index)?, sight)));
    read.await.ok()
}
