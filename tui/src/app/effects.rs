//! Carries effects out, each in its own task, and answers with messages. Decides nothing.

use super::action::ConfirmedAction;
use super::metered::{Choice, CostShown, UsageShown};
use super::msg::{Effect, KeyInfo, Msg, Refusal, Secret};
use super::outgoing::Outgoing;
use super::tenants::RowKey;
use crate::client::endpoint::Endpoint;
use crate::client::error::ClientError;
use crate::client::http::{Agent, From};
use crate::client::keys::{KeyFile, OperatorKey, write_new};
use crate::client::known::Known;
use crate::client::outbox::{Addressee, Kept, Outbox, State};
use crate::client::session::ReadSession;
use crate::client::stream::{Order, keep};
use crate::client::{state, witness};
use crate::view::format::safe;
use conductor_shared::clock::Clock;
use conductor_shared::command::{Command, TYPE_LINE};
use conductor_shared::http::{CommandOutcome, PreviewRequest, ReceiptBundle, TimelineRow};
use conductor_shared::ids::{Ident, NodeId};
use conductor_shared::operator::APPROVAL_LINE;
use conductor_shared::time_range::{rfc3339, utc_month};
use conductor_shared::usage::RangeShown;
use conductor_shared::verify::{Report, Trust, TrustedKey};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};

/// What comes back to the loop.
pub(crate) enum Back {
    /// For the model.
    Msg(Msg),
    /// The key was unlocked.
    Key(Arc<OperatorKey>, KeyInfo),
}

/// Carries effects out.
pub(crate) struct Runner {
    agents: Vec<Agent>,
    sessions: Vec<ReadSession>,
    orders: Vec<mpsc::Sender<Order>>,
    key_file: PathBuf,
    pins_file: Option<PathBuf>,
    outbox: Arc<Mutex<Option<Outbox>>>,
    clock: Arc<dyn Clock>,
    msgs: mpsc::Sender<Msg>,
    back: mpsc::Sender<Back>,
}

/// What it takes to keep a command and deliver it.
struct Way {
    /// One task at a time reads and writes what is kept.
    outbox: Arc<Mutex<Option<Outbox>>>,
    endpoints: Vec<Endpoint>,
    clock: Arc<dyn Clock>,
}

fn text(e: &ClientError) -> String {
    safe(&e.to_string(), 600)
}

impl Runner {
    /// Nothing is connected yet.
    pub(crate) fn new(
        agents: Vec<Agent>,
        key_file: PathBuf,
        pins_file: Option<PathBuf>,
        clock: Arc<dyn Clock>,
        msgs: mpsc::Sender<Msg>,
        back: mpsc::Sender<Back>,
    ) -> Self {
        let outbox = Arc::new(Mutex::new(Outbox::find()));
        Self { agents, sessions: vec![], orders: vec![], key_file, pins_file, outbox, clock, msgs, back }
    }

    fn way(&self) -> Way {
        Way {
            outbox: Arc::clone(&self.outbox),
            endpoints: self.agents.iter().map(|a| a.endpoint().clone()).collect(),
            clock: Arc::clone(&self.clock),
        }
    }

    /// Reads what is on its way since earlier.
    pub(crate) fn outgoing(&self) {
        let (way, out) = (self.way(), self.msgs.clone());
        tokio::spawn(async move {
            let outbox = way.outbox.lock().await;
            let Some(Ok((kept, _))) = outbox.as_ref().map(|o| o.load(way.clock.now().wall_us)) else {
                return;
            };
            let list = kept.iter().map(|(c, k)| Outgoing::of(c, k)).collect();
            let _ = out.send(Msg::Outgoing(list)).await;
        });
    }

    /// Connects to all agents with this key.
    pub(crate) fn start(&mut self, key: &Arc<OperatorKey>) {
        for (n, agent) in self.agents.iter().enumerate() {
            let session = ReadSession::new(agent.clone(), key.clone(), self.clock.clone());
            // One partition's order a place, and as many again.
            let (tx, rx) = mpsc::channel(64);
            tokio::spawn(keep(n, session.clone(), rx, self.msgs.clone()));
            self.sessions.push(session);
            self.orders.push(tx);
        }
    }

    /// Ends the streams and forgets the key. It is wiped when the last task that reads with it has ended.
    pub(crate) fn lock(&mut self) {
        self.orders.clear();
        self.sessions.clear();
    }

    /// Unlocks the key away from the screen.
    pub(crate) fn unlock(&self, password: Option<Secret>) {
        let (path, back) = (self.key_file.clone(), self.back.clone());
        tokio::spawn(async move {
            let unlocked = async {
                let file = KeyFile::load(&path)?;
                let encrypted = file.is_encrypted();
                let key = file.unlock_async(password.map(|p| p.0)).await?;
                Ok::<_, crate::client::keys::KeyError>((key, encrypted))
            };
            let msg = match unlocked.await {
                Ok((key, encrypted)) => {
                    let info = KeyInfo { id: key.id().to_owned(), encrypted };
                    Back::Key(Arc::new(key), info)
                }
                Err(e) => Back::Msg(Msg::Unlocked(Err(safe(&e.to_string(), 200)))),
            };
            let _ = back.send(msg).await;
        });
    }

    fn session(&self, agent: usize) -> Option<ReadSession> {
        self.sessions.get(agent).cloned()
    }

    fn order(&self, key: RowKey, order: Order) {
        // A full queue of orders means a stream that hangs; it is opened anew when it comes back.
        if let Some(tx) = self.orders.get(key.agent) {
            let _ = tx.try_send(order);
        }
    }

    /// Carries out one effect. Leaving, suspending and copying are the loop's.
    #[allow(clippy::too_many_lines)] // one arm for each effect
    pub(crate) fn run(&self, effect: Effect) {
        let out = self.msgs.clone();
        match effect {
            Effect::Quit | Effect::Suspend | Effect::Lock | Effect::Copy(_) | Effect::Forget(_) => {}
            Effect::Open(key) => self.order(key, Order::Open(key.tenant)),
            Effect::Close(key) => self.order(key, Order::Close(key.tenant)),
            Effect::Unlock(secret) => self.unlock(Some(secret)),
            Effect::Check(secret) => {
                let path = self.key_file.clone();
                tokio::spawn(async move {
                    let got = match KeyFile::load(&path) {
                        Ok(f) => f.unlock_async(Some(secret.0)).await.map(drop),
                        Err(e) => Err(e),
                    };
                    let _ = out.send(Msg::Checked(got.map_err(|e| safe(&e.to_string(), 200)))).await;
                });
            }
            Effect::SavePins(text) => self.save_pins(text),
            Effect::Remember(agent, node) => {
                let Some(endpoint) = self.agents.get(agent).map(|a| a.endpoint().clone()) else { return };
                tokio::task::spawn_blocking(move || Known::remember(vec![(endpoint, *node)]));
            }
            Effect::Receipts { key, from, limit } => {
                let Some(s) = self.session(key.agent) else { return };
                tokio::spawn(async move {
                    let got = async {
                        let bearer = s.bearer().await?;
                        let at = u64::try_from(from.unsigned_abs()).unwrap_or(u64::MAX);
                        let from = if from < 0 { From::Last(at) } else { From::Index(at) };
                        let limit = u16::try_from(limit).unwrap_or(500);
                        s.agent().receipts(&bearer, key.tenant, from, limit).await
                    };
                    let got = got.await.map_err(|e| text(&e));
                    let _ = out.send(Msg::Receipts(key, got)).await;
                });
            }
            Effect::Requests(agent) => {
                let Some(s) = self.session(agent) else { return };
                tokio::spawn(async move {
                    let got = async {
                        let bearer = s.bearer().await?;
                        s.agent().approvals(&bearer).await
                    };
                    let got = got.await.map(|l| l.requests).map_err(|e| text(&e));
                    let _ = out.send(Msg::Requests(agent, got)).await;
                });
            }
            Effect::Incidents(agent) => {
                let Some(s) = self.session(agent) else { return };
                tokio::spawn(async move {
                    let got = async { s.agent().incidents(&s.bearer().await?, None).await };
                    let got = got.await.map(|l| l.incidents).map_err(|e| text(&e));
                    let _ = out.send(Msg::Incidents(agent, got)).await;
                });
            }
            Effect::Freezes(agent) => {
                let Some(s) = self.session(agent) else { return };
                tokio::spawn(async move {
                    let got = async { s.agent().freezes(&s.bearer().await?).await };
                    let got = got.await.map(Box::new).map_err(|e| text(&e));
                    let _ = out.send(Msg::Freezes(agent, got)).await;
                });
            }
            Effect::Slo(key) => {
                let Some(s) = self.session(key.agent) else { return };
                tokio::spawn(async move {
                    let got = async { s.agent().slo(&s.bearer().await?, key.tenant).await };
                    let got = got.await.map(|l| l.ramps).map_err(|e| text(&e));
                    let _ = out.send(Msg::Slo(key, got)).await;
                });
            }
            Effect::Usage(key, range) => {
                let Some(s) = self.session(key.agent) else { return };
                tokio::spawn(async move {
                    let got = usage(&s, key, &range).await.map(Box::new).map_err(|e| text(&e));
                    let _ = out.send(Msg::Usage(key, range, got)).await;
                });
            }
            Effect::Cost(key, range) => {
                let Some(s) = self.session(key.agent) else { return };
                tokio::spawn(async move {
                    let got = cost(&s, key, &range).await.map(Box::new).map_err(|e| text(&e));
                    let _ = out.send(Msg::Cost(key, range, got)).await;
                });
            }
            Effect::Export(key, what, range, name) => {
                let Some(s) = self.session(key.agent) else { return };
                tokio::spawn(async move {
                    let got = export(&s, key, (what, &range), &name).await;
                    let _ = out.send(Msg::Exported(got)).await;
                });
            }
            Effect::Timeline(key, from) => {
                let Some(s) = self.session(key.agent) else { return };
                tokio::spawn(async move {
                    let got = timeline(&s, key, from).await.map_err(|e| text(&e));
                    let _ = out.send(Msg::Timeline(key, from, got)).await;
                });
            }
            Effect::Approve { ticket, agent, text, password } => {
                let (s, path) = (self.session(agent), self.key_file.clone());
                tokio::spawn(async move {
                    let got = match s {
                        Some(s) => approve(&s, &path, &text, password).await,
                        None => Err(refusal(&ClientError::Usage("not connected: nothing was sent".into()))),
                    };
                    let _ = out.send(Msg::Answered(ticket, got)).await;
                });
            }
            Effect::Proof { key, index, signer } => {
                let Some(s) = self.session(key.agent) else { return };
                tokio::spawn(async move {
                    let got = proof(&s, key, index, signer).await.map(Box::new).map_err(|e| text(&e));
                    let _ = out.send(Msg::Proof(key, index, got)).await;
                });
            }
            Effect::Preview { ticket, key, operation } => {
                let Some(s) = self.session(key.agent) else { return };
                tokio::spawn(async move {
                    let got = async {
                        let bearer = s.bearer().await?;
                        let request = PreviewRequest { operation: operation.to_list() };
                        s.agent().preview(&bearer, key.tenant, &request).await
                    };
                    let got = got.await.map_err(|e| text(&e));
                    let _ = out.send(Msg::Preview(ticket, got)).await;
                });
            }
            Effect::Send { ticket, action } => {
                let s = self.session(action.target().key.agent);
                let way = self.way();
                tokio::spawn(async move {
                    let msg = if let Some(s) = s {
                        send_or_keep(&s, &action, &way, ticket).await
                    } else {
                        let e = ClientError::Usage("not connected: nothing was sent".into());
                        Msg::Answered(ticket, Err(refusal(&e)))
                    };
                    let _ = out.send(msg).await;
                });
            }
            Effect::Deliver(nodes) => {
                let way = self.way();
                tokio::spawn(async move {
                    let outbox = way.outbox.lock().await;
                    let Some(outbox) = outbox.as_ref() else { return };
                    let got = outbox.deliver(way.clock.now().wall_us, |n| nodes.contains(&n)).await;
                    if let Ok((kept, _)) = got {
                        let list = kept.iter().map(|(c, k)| Outgoing::of(c, k)).collect();
                        let _ = out.send(Msg::Outgoing(list)).await;
                    }
                });
            }
            Effect::CheckLog { agent, origin, size: _, pin, before, signer } => {
                let Some(s) = self.session(agent) else { return };
                let clock = self.clock.clone();
                tokio::spawn(async move {
                    let seen_us = clock.now().wall_us;
                    let got = witness::check(&s, origin, pin, before, signer, seen_us).await;
                    let (origin, got) = match got {
                        Ok((o, c)) => (o, Ok(c)),
                        Err(e) => (origin, Err(text(&e))),
                    };
                    let _ = out.send(Msg::Log(agent, origin, got)).await;
                });
            }
        }
    }

    /// Writes the pins, away from the screen.
    fn save_pins(&self, text: String) {
        let Some(path) = self.pins_file.clone() else { return };
        tokio::task::spawn_blocking(move || {
            // A disk that is full must not take the console away; pins are written again later.
            let _ = state::replace(&path, &text);
        });
    }
}

async fn proof(
    s: &ReadSession,
    key: RowKey,
    index: u64,
    signer: Option<String>,
) -> Result<(ReceiptBundle, Report), ClientError> {
    let bearer = s.bearer().await?;
    let bundle = s.agent().receipt_proof(&bearer, key.tenant, index).await?;
    let node = s.get().await?.node.node_id;
    let keys = signer.map(|public_key| TrustedKey {
        public_key,
        purpose: "checkpoint".into(),
        origin: format!("conductor-log/{node}/"),
        sizes: None,
    });
    let trust = Trust { keys: keys.into_iter().collect() };
    let report =
        conductor_shared::verify::one(&bundle.receipt, &bundle.proof, bundle.checkpoint.as_ref(), &trust);
    Ok((bundle, report))
}

/// The query of one of the periods.
fn period(c: &Choice) -> Vec<(&'static str, String)> {
    vec![("range", c.range.to_string()), ("step", c.step.to_owned())]
}

/// The same length just before.
fn before(range: &RangeShown) -> Vec<(&'static str, String)> {
    let begin = range.from_us.saturating_sub(range.to_us - range.from_us);
    vec![("range", format!("{}/{}", rfc3339(begin), rfc3339(range.from_us)))]
}

async fn usage(s: &ReadSession, key: RowKey, range: &Choice) -> Result<UsageShown, ClientError> {
    let bearer = s.bearer().await?;
    let now = s.agent().usage(&bearer, key.tenant, &period(range)).await?;
    let before = s.agent().usage(&bearer, key.tenant, &before(&now.range)).await?;
    Ok(UsageShown { now, before })
}

async fn cost(s: &ReadSession, key: RowKey, range: &Choice) -> Result<CostShown, ClientError> {
    let bearer = s.bearer().await?;
    let now = s.agent().cost(&bearer, key.tenant, &period(range)).await?;
    let before = s.agent().cost(&bearer, key.tenant, &before(&now.range)).await?;
    let month = s.agent().cost(&bearer, key.tenant, &[("range", "month".to_owned())]).await?;
    let month_end_us = utc_month(month.range.from_us).map_or(month.range.to_us, |(_, p)| p.to_us);
    Ok(CostShown { now, before, month, month_end_us })
}

/// Writes a CSV file where the console was started, and never over another.
async fn export(
    s: &ReadSession,
    key: RowKey,
    (what, range): (&'static str, &Choice),
    name: &str,
) -> Result<String, String> {
    let mut q = period(range);
    q.extend([("format", "csv".to_owned()), ("group_by", "workflow_type,env".to_owned())]);
    let bytes = async { s.agent().metered_file(&s.bearer().await?, key.tenant, what, &q).await };
    let bytes = bytes.await.map_err(|e| text(&e))?;
    // What was typed may hold slashes and colons.
    let range = range.range.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_");
    let write = move |file: PathBuf| write_new(&file, 0o600, &bytes).map_err(|e| safe(&e.to_string(), 300));
    let stem = format!("conductor-{what}-{name}-{range}");
    let done = tokio::task::spawn_blocking(move || {
        let files = std::iter::once(format!("{stem}.csv")).chain((2..100).map(|n| format!("{stem}-{n}.csv")));
        let free = files.map(PathBuf::from).find(|f| !f.exists());
        let file = free.ok_or_else(|| format!("{stem}.csv is there a hundred times"))?;
        write(file.clone())?;
        Ok(std::path::absolute(&file).unwrap_or(file).display().to_string())
    });
    done.await.map_err(|e| e.to_string())?
}

/// The first pages of a timeline: an incident is told in fewer.
async fn timeline(s: &ReadSession, key: RowKey, from: u64) -> Result<Vec<TimelineRow>, ClientError> {
    const PAGES: usize = 5;
    let (mut rows, mut after) = (vec![], None);
    for _ in 0..PAGES {
        let bearer = s.bearer().await?;
        let page = s.agent().timeline(&bearer, key.tenant, (Some(from), None), after).await?;
        rows.extend(page.rows);
        after = page.next.filter(|n| after.is_none_or(|a| *n > a));
        if after.is_none() {
            break;
        }
    }
    Ok(rows)
}

/// An approval is signed with the key unlocked anew: the one that lies open signs none.
async fn approve(
    s: &ReadSession,
    key: &std::path::Path,
    text: &str,
    password: Option<Secret>,
) -> Result<CommandOutcome, Refusal> {
    let locked = |e: crate::client::keys::KeyError| Refusal {
        what: safe(&e.to_string(), 300),
        mend: "Nothing was sent.".into(),
        unknown: false,
    };
    let file = KeyFile::load(key).map_err(locked)?;
    let key = file.unlock_async(password.map(|p| p.0)).await.map_err(locked)?;
    let signed = key.sign(text, APPROVAL_LINE).map_err(locked)?;
    s.agent().approval(&signed).await.map_err(|e| refusal(&e))
}

/// Signs what was confirmed and sends it. A bound that no node, or not every node, took is kept for those that did not.
async fn send_or_keep(s: &ReadSession, action: &ConfirmedAction, way: &Way, ticket: u64) -> Msg {
    let no = |e: &ClientError| Msg::Answered(ticket, Err(refusal(e)));
    let command = match Command::parse(action.text().as_bytes()) {
        Ok(c) => c,
        Err(e) => return no(&ClientError::Usage(format!("this command cannot be signed: {e}"))),
    };
    let signed = match s.key().sign(action.text(), &format!("{TYPE_LINE} {}", command.command_id)) {
        Ok(signed) => signed,
        Err(e) => return no(&e.into()),
    };
    let nodes = action.target().nodes();
    if nodes.len() == 1 {
        match s.agent().command(&signed).await {
            // The node takes a command once, so that sending it again is safe.
            Err(e) if e.may_retry() && command.operation.is_absolute() => {}
            got => return Msg::Answered(ticket, got.map_err(|e| refusal(&e))),
        }
    }
    let addressee = |(node_id, name, agent): (NodeId, Ident, usize)| {
        let endpoint = way.endpoints.get(agent)?.to_string();
        Some(Addressee { node_id, name, endpoint, state: State::Waiting { last: String::new() } })
    };
    let nodes = nodes.into_iter().filter_map(addressee).collect();
    let mut kept = Kept { tenant: action.target().name.to_string(), signed, nodes };
    let outbox = way.outbox.lock().await;
    let keep = |k: &Kept| match outbox.as_ref() {
        Some(o) => o.keep(k),
        None => Err(std::io::Error::other("there is no folder for it: set HOME or XDG_STATE_HOME")),
    };
    // First kept, then sent. To make things safer is not held up by a disk that is full, though.
    let stored = keep(&kept);
    if let Err(e) = kept.deliver(way.clock.now().wall_us, |_| true).await {
        return no(&ClientError::Usage(e));
    }
    let stored = stored.and_then(|()| keep(&kept));
    match stored {
        Err(e) if kept.waiting() > 0 => no(&ClientError::Usage(format!(
            "{}; it could not be kept for the others: {}",
            kept.told(),
            safe(&e.to_string(), 200)
        ))),
        _ => Msg::OnItsWay(ticket, Box::new(Outgoing::of(&command, &kept))),
    }
}

fn refusal(e: &ClientError) -> Refusal {
    let (what, mend) = match e {
        ClientError::Denied(p) if !p.reasons.is_empty() => {
            let each = |f: fn(&conductor_shared::reason::Reason) -> String| {
                p.reasons.iter().map(f).collect::<Vec<_>>().join(" ")
            };
            (each(|r| format!("{r}: {}", r.description().trim())), each(|r| r.remedy().to_owned()))
        }
        ClientError::TimedOut { .. } => {
            (text(e), "Look at the tenant's receipts before you repeat it.".to_owned())
        }
        e => (text(e), String::new()),
    };
    Refusal { what, mend, unknown: matches!(e, ClientError::TimedOut { .. }) }
}
