//! Runs effects, each in its own task, and sends replies. Decides nothing.

use super::fetch::{self, text};
use super::send::{Delivery, approve, refusal, send_or_keep};
use crate::client::error::ClientError;
use crate::client::event::AgentEvent;
use crate::client::http::AgentClient;
use crate::client::keys::{KeyError, KeyFile, UnlockedKey};
use crate::client::node_cache::{CachedNode, NodeCache};
use crate::client::outbox::Outbox;
use crate::client::pins::{self, Pins};
use crate::client::session::ReadSession;
use crate::client::stream::{Order, keep};
use crate::client::witness::{self, LogSeen};
use crate::model::confirmation::ConfirmedAction;
use crate::model::message::{Effect, Fetch, KeyInfo, Reply, Secret};
use crate::model::tenants::RowKey;
use crate::text::wrap::safe;
use conductor_shared::clock::Clock;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};

/// Result of unlocking the key, for the loop.
pub(crate) enum Back {
    Reply(Reply),
    /// The key was unlocked.
    Key(Arc<UnlockedKey>, KeyInfo),
}

/// Channels from tasks to the loop.
pub(crate) struct Channels {
    /// Events of streams, each with its agent.
    pub(crate) events: mpsc::Sender<(usize, AgentEvent)>,
    pub(crate) replies: mpsc::Sender<Reply>,
    pub(crate) back: mpsc::Sender<Back>,
}

pub(crate) struct Runner {
    agents: Vec<AgentClient>,
    sessions: Vec<ReadSession>,
    orders: Vec<mpsc::Sender<Order>>,
    key_file: PathBuf,
    pins_file: Option<PathBuf>,
    outbox: Arc<Mutex<Option<Outbox>>>,
    clock: Arc<dyn Clock>,
    out: Channels,
}

impl Runner {
    /// Nothing is connected yet.
    pub(crate) fn new(
        agents: Vec<AgentClient>,
        key_file: PathBuf,
        pins_file: Option<PathBuf>,
        clock: Arc<dyn Clock>,
        out: Channels,
    ) -> Self {
        let outbox = Arc::new(Mutex::new(Outbox::find()));
        Self { agents, sessions: vec![], orders: vec![], key_file, pins_file, outbox, clock, out }
    }

    fn delivery(&self) -> Delivery {
        Delivery {
            outbox: Arc::clone(&self.outbox),
            endpoints: self.agents.iter().map(|a| a.endpoint().clone()).collect(),
            sessions: self.sessions.clone(),
            clock: Arc::clone(&self.clock),
        }
    }

    /// Loads pending commands of earlier runs.
    pub(crate) fn outgoing(&self) {
        let delivery = self.delivery();
        self.spawn(async move { delivery.outgoing().await });
    }

    /// Connects to all agents with this key.
    pub(crate) fn start(&mut self, key: &Arc<UnlockedKey>) {
        for (n, agent) in self.agents.iter().enumerate() {
            let session = ReadSession::new(agent.clone(), key.clone(), self.clock.clone());
            // Room for an open and a close of each partition.
            let (tx, rx) = mpsc::channel(64);
            tokio::spawn(keep(n, session.clone(), rx, self.out.events.clone()));
            self.sessions.push(session);
            self.orders.push(tx);
        }
    }

    /// Ends the streams and forgets the key, which is wiped when the last task that uses it ends.
    pub(crate) fn lock(&mut self) {
        self.orders.clear();
        for session in self.sessions.drain(..) {
            tokio::spawn(async move { session.close().await });
        }
    }

    /// Ends the sessions with all agents.
    pub(crate) async fn close(&mut self) {
        self.orders.clear();
        futures_util::future::join_all(self.sessions.iter().map(ReadSession::close)).await;
    }

    /// Unlocks the key in a task of its own.
    pub(crate) fn unlock(&self, password: Option<Secret>) {
        let (path, back) = (self.key_file.clone(), self.out.back.clone());
        tokio::spawn(async move {
            let unlocked = async {
                let file = KeyFile::load(&path)?;
                let encrypted = file.is_encrypted();
                let key = file.unlock_async(password.map(|p| p.0)).await?;
                Ok::<_, KeyError>((key, encrypted))
            };
            let msg = match unlocked.await {
                Ok((key, encrypted)) => {
                    let info = KeyInfo { id: key.id().to_owned(), encrypted };
                    Back::Key(Arc::new(key), info)
                }
                Err(e) => Back::Reply(Reply::Unlocked(Err(safe(&e.to_string(), 200)))),
            };
            let _ = back.send(msg).await;
        });
    }

    fn session(&self, agent: usize) -> Option<ReadSession> {
        self.sessions.get(agent).cloned()
    }

    fn order(&self, key: RowKey, order: Order) {
        // A full queue of orders means a stream that hangs; partitions are opened again when it reconnects.
        if let Some(tx) = self.orders.get(key.agent) {
            let _ = tx.try_send(order);
        }
    }

    /// Runs a task and sends its reply to the model.
    fn spawn(&self, task: impl Future<Output = Option<Reply>> + Send + 'static) {
        let out = self.out.replies.clone();
        tokio::spawn(async move {
            if let Some(reply) = task.await {
                let _ = out.send(reply).await;
            }
        });
    }

    /// Runs a task with the session of an agent. Nothing while the key is locked.
    fn ask<F>(&self, agent: usize, task: impl FnOnce(ReadSession) -> F)
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        if let Some(session) = self.session(agent) {
            let task = task(session);
            self.spawn(async move { Some(task.await) });
        }
    }

    /// Runs one effect. The loop itself handles quit, suspend, lock and copy.
    pub(crate) fn run(&self, effect: Effect) {
        match effect {
            Effect::Quit | Effect::Suspend | Effect::Lock | Effect::Copy(_) | Effect::Forget(_) => {}
            Effect::Open(key) => self.order(key, Order::Open(key.tenant)),
            Effect::Close(key) => self.order(key, Order::Close(key.tenant)),
            Effect::Unlock(secret) => self.unlock(Some(secret)),
            Effect::Check(secret) => self.check_password(secret),
            Effect::SavePins(pins) => self.save_pins(*pins),
            Effect::Remember(agent, node) => self.remember(agent, *node),
            Effect::Fetch(fetch) => self.fetch(fetch),
            Effect::Approve { ticket, agent, text, password } => self.approve(ticket, agent, text, password),
            Effect::Send { ticket, action } => self.send(ticket, action),
            Effect::Deliver(nodes) => {
                let delivery = self.delivery();
                self.spawn(async move { delivery.deliver(&nodes).await });
            }
        }
    }

    /// Reads from an agent.
    fn fetch(&self, fetch: Fetch) {
        match fetch {
            Fetch::Receipts { key, from, limit } => self.ask(key.agent, async move |s| {
                Reply::Receipts(key, fetch::receipts(&s, key, from, limit).await.map_err(text))
            }),
            Fetch::Requests(agent) => self
                .ask(agent, async move |s| Reply::Requests(agent, fetch::requests(&s).await.map_err(text))),
            Fetch::Incidents(agent) => self
                .ask(agent, async move |s| Reply::Incidents(agent, fetch::incidents(&s).await.map_err(text))),
            Fetch::Freezes(agent) => {
                self.ask(agent, async move |s| Reply::Freezes(agent, fetch::freezes(&s).await.map_err(text)));
            }
            Fetch::Slo(key) => {
                self.ask(key.agent, async move |s| Reply::Slo(key, fetch::slo(&s, key).await.map_err(text)));
            }
            Fetch::Timeline(key, from) => self.ask(key.agent, async move |s| {
                Reply::Timeline(key, from, fetch::timeline(&s, key, from).await.map_err(text))
            }),
            Fetch::Usage(key, range) => self.ask(key.agent, async move |s| {
                let got = fetch::usage(&s, key, &range).await.map_err(text);
                Reply::Usage(key, range, got)
            }),
            Fetch::Cost(key, range) => self.ask(key.agent, async move |s| {
                let got = fetch::cost(&s, key, &range).await.map_err(text);
                Reply::Cost(key, range, got)
            }),
            Fetch::Export(key, what, range, name) => self.ask(key.agent, async move |s| {
                Reply::Exported(fetch::export(&s, key, (what, &range), &name).await)
            }),
            Fetch::Proof { key, index, signer } => self.ask(key.agent, async move |s| {
                Reply::Proof(key, index, fetch::proof(&s, key, index, signer).await.map_err(text))
            }),
            Fetch::Preview { ticket, key, operation } => self.ask(key.agent, async move |s| {
                Reply::Preview(ticket, fetch::preview(&s, key, &operation).await.map_err(text))
            }),
            Fetch::CheckLog { agent, origin, shown, pin, before, signer } => {
                let seen = self.clock.now().wall;
                self.ask(agent, async move |s| {
                    let log = LogSeen { origin, shown, pin, before };
                    match witness::check(&s, log, signer, seen).await {
                        Ok((origin, checked)) => Reply::Log(agent, origin, Ok(checked)),
                        Err(e) => Reply::Log(agent, origin, Err(text(e))),
                    }
                });
            }
        }
    }

    /// Checks the password again, in a task of its own.
    fn check_password(&self, secret: Secret) {
        let path = self.key_file.clone();
        self.spawn(async move {
            let got = match KeyFile::load(&path) {
                Ok(f) => f.unlock_async(Some(secret.0)).await.map(drop),
                Err(e) => Err(e),
            };
            Some(Reply::Checked(got.map_err(|e| safe(&e.to_string(), 200))))
        });
    }

    fn approve(&self, ticket: u64, agent: usize, text: String, password: Option<Secret>) {
        let (session, path) = (self.session(agent), self.key_file.clone());
        self.spawn(async move {
            let got = match session {
                Some(s) => approve(&s, &path, &text, password).await,
                None => Err(refusal(not_connected())),
            };
            Some(Reply::Answered(ticket, got))
        });
    }

    fn send(&self, ticket: u64, action: ConfirmedAction) {
        let (session, delivery) = (self.session(action.target().key.agent), self.delivery());
        self.spawn(async move {
            Some(match session {
                Some(s) => send_or_keep(&s, &action, &delivery, ticket).await,
                None => Reply::Answered(ticket, Err(refusal(not_connected()))),
            })
        });
    }

    fn remember(&self, agent: usize, node: CachedNode) {
        let Some(endpoint) = self.agents.get(agent).map(|a| a.endpoint().clone()) else { return };
        tokio::task::spawn_blocking(move || NodeCache::remember(vec![(endpoint, node)]));
    }

    /// Writes the pins, in a task of its own.
    fn save_pins(&self, pins: Pins) {
        let Some(path) = self.pins_file.clone() else { return };
        self.spawn(async move {
            let saved = tokio::task::spawn_blocking(move || pins::save(&path, pins)).await.ok()?;
            Some(Reply::Pins(saved.map(|(pins, forked)| (Box::new(pins), forked))))
        });
    }
}

fn not_connected() -> ClientError {
    ClientError::Usage("not connected: nothing was sent".into())
}
