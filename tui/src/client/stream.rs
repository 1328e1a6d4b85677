//! Keeps the stream of one agent connected: session, WebSocket, hello, then events.
//!
//! The queue to a slow screen is bounded: summaries and health are merged, newest wins, and when too much else waits the
//! socket is not read. Reconnects use a capped, jittered back-off that no key press resets.

use super::error::ClientError;
use super::event::AgentEvent;
use super::session::ReadSession;
use super::ws::{Stream, StreamError, StreamMessage, connect_ws};
use crate::text::wrap::safe;
use conductor_shared::ids::TenantUid;
use conductor_shared::stream::{FromConsole, Resume, Summary, ToConsole, VERSION};
use futures_util::{SinkExt as _, StreamExt as _};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc;

/// An agent that is silent for this long is lost.
const SILENCE: Duration = Duration::from_secs(10);
/// A ping is sent after this much silence.
const PING: Duration = Duration::from_secs(4);
/// Longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(15);
/// Events that may wait for the loop before the socket is no longer read.
const QUEUE: usize = 1_024;

/// An order of the console to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// State and facts of this partition.
    Open(TenantUid),
    Close(TenantUid),
}

/// Events for the screen, in order; pending summaries are merged, newest wins.
#[derive(Default)]
struct EventQueue {
    queue: VecDeque<AgentEvent>,
    merged: HashMap<TenantUid, Summary>,
}

impl EventQueue {
    fn push(&mut self, msg: AgentEvent) {
        if let AgentEvent::Health(h) = msg {
            let old = self.queue.iter_mut().find_map(|m| match m {
                AgentEvent::Health(o) => Some(o),
                _ => None,
            });
            match old {
                Some(o) => *o = h,
                None => self.queue.push_back(AgentEvent::Health(h)),
            }
            return;
        }
        self.flush();
        self.queue.push_back(msg);
    }

    fn merge(&mut self, batch: Vec<Summary>) {
        self.merged.extend(batch.into_iter().map(|s| (s.tenant, s)));
    }

    fn flush(&mut self) {
        if !self.merged.is_empty() {
            let batch = std::mem::take(&mut self.merged).into_values().collect();
            self.queue.push_back(AgentEvent::Summaries(batch));
        }
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.merged.is_empty()
    }

    fn pop(&mut self) -> Option<AgentEvent> {
        if self.queue.is_empty() {
            self.flush();
        }
        self.queue.pop_front()
    }
}

/// Where the next connection resumes the stream.
#[derive(Default)]
struct ResumePoint {
    open: Vec<TenantUid>,
    boot: String,
    node_seq: u64,
    complete: bool,
}

impl ResumePoint {
    fn order(&mut self, o: Order) {
        let (Order::Open(t) | Order::Close(t)) = o;
        self.open.retain(|x| *x != t);
        if matches!(o, Order::Open(_)) {
            self.open.push(t);
        }
    }
}

/// Keeps the stream of an agent connected until the loop ends.
pub(crate) async fn keep(
    agent: usize,
    session: ReadSession,
    mut orders: mpsc::Receiver<Order>,
    out: mpsc::Sender<(usize, AgentEvent)>,
) {
    let mut kept = ResumePoint::default();
    let mut attempt = 0u32;
    loop {
        if out.send((agent, AgentEvent::Connecting)).await.is_err() {
            return;
        }
        kept.complete = false;
        let Some(why) = once(agent, &session, &mut kept, &mut orders, &out).await else { return };
        attempt = if kept.complete { 0 } else { attempt.saturating_add(1) };
        let retry = backoff(attempt);
        if out.send((agent, AgentEvent::Lost { why, retry })).await.is_err() {
            return;
        }
        let pause = tokio::time::sleep(retry);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                o = orders.recv() => match o {
                    Some(o) => kept.order(o),
                    None => return,
                },
            }
        }
    }
}

/// How long to wait before the next try: doubling from half a second, capped, and anywhere in the upper
/// half of that, so that consoles do not come back all at once.
fn backoff(attempt: u32) -> Duration {
    let full = (Duration::from_millis(500) * (1 << attempt.min(5))).min(LONGEST);
    let mut b = [0u8; 2];
    // Without randomness the wait is merely not jittered.
    let _ = getrandom::fill(&mut b);
    full / 2 + full / 2 * u32::from(u16::from_be_bytes(b)) / 65_536
}

/// One connection, until it is lost. Says why; `None` when the screen is gone.
async fn once(
    agent: usize,
    session: &ReadSession,
    kept: &mut ResumePoint,
    orders: &mut mpsc::Receiver<Order>,
    out: &mpsc::Sender<(usize, AgentEvent)>,
) -> Option<String> {
    let mut waiting = EventQueue::default();
    let mut ws = match connect(session, kept, &mut waiting).await {
        Ok(ws) => ws,
        Err(e) => return Some(e),
    };
    let mut quiet = 0u32;
    loop {
        let went = tokio::select! {
            frame = tokio::time::timeout(PING, ws.next()), if waiting.queue.len() < QUEUE => match frame {
                Err(_) => {
                    quiet += 1;
                    ping(&mut ws, quiet).await
                }
                Ok(frame) => {
                    quiet = 0;
                    take(frame, kept, &mut waiting, &mut ws).await
                }
            },
            order = orders.recv() => send_order(order?, kept, &mut ws).await,
            room = out.reserve(), if !waiting.is_empty() => {
                let room = room.ok()?;
                if let Some(event) = waiting.pop() {
                    room.send((agent, event));
                }
                Ok(())
            }
        };
        if let Err(why) = went {
            // Events received before the end are still shown.
            while let Some(event) = waiting.pop() {
                out.send((agent, event)).await.ok()?;
            }
            return Some(why);
        }
    }
}

/// After `quiet` intervals of silence: a ping, or the end.
async fn ping(ws: &mut Stream, quiet: u32) -> Result<(), String> {
    if PING * quiet >= SILENCE {
        return Err(format!("nothing came for {} s", SILENCE.as_secs()));
    }
    ws.send(StreamMessage::Ping(vec![].into())).await.map_err(|e| e.to_string())
}

async fn send_order(order: Order, kept: &mut ResumePoint, ws: &mut Stream) -> Result<(), String> {
    kept.order(order);
    let msg = match order {
        Order::Open(tenant) => FromConsole::Open { tenant },
        Order::Close(tenant) => FromConsole::Close { tenant },
    };
    say(ws, &msg).await
}

async fn say(ws: &mut Stream, msg: &FromConsole) -> Result<(), String> {
    let text = serde_json::to_string(msg).map_err(|e| e.to_string())?;
    ws.send(StreamMessage::text(text)).await.map_err(|e| safe(&e.to_string(), 120))
}

async fn connect(session: &ReadSession, kept: &ResumePoint, out: &mut EventQueue) -> Result<Stream, String> {
    let plain = |e: ClientError| safe(&e.to_string(), 300);
    let opened = session.get().await.map_err(plain)?;
    let mut ws = match connect_ws(session.agent().endpoint(), &opened.bearer).await {
        Ok(ws) => ws,
        Err(e) => {
            // The agent was restarted and does not know the session any more; the next try opens another.
            session.forget().await;
            return Err(plain(e));
        }
    };
    let roles = opened.roles.iter().map(|r| safe(r, 30)).collect();
    out.push(AgentEvent::Session { person: opened.person.to_string(), roles });
    let resume = (!kept.boot.is_empty()).then(|| Resume {
        boot: kept.boot.clone(),
        node_seq: kept.node_seq,
        open: kept.open.clone(),
    });
    say(&mut ws, &FromConsole::Hello { version: VERSION, resume }).await?;
    Ok(ws)
}

/// Takes one frame, or the end of the stream. An error ends the connection.
async fn take(
    frame: Option<Result<StreamMessage, StreamError>>,
    kept: &mut ResumePoint,
    out: &mut EventQueue,
    ws: &mut Stream,
) -> Result<(), String> {
    let text = match frame {
        None | Some(Ok(StreamMessage::Close(_))) => return Err("the agent closed the stream".into()),
        Some(Err(e)) => return Err(safe(&e.to_string(), 120)),
        Some(Ok(StreamMessage::Binary(b))) => {
            let batch = Summary::read_all(&b).map_err(|e| format!("summaries that cannot be read: {e}"))?;
            out.merge(batch);
            return Ok(());
        }
        Some(Ok(StreamMessage::Text(t))) => t,
        Some(Ok(_)) => return Ok(()),
    };
    let msg = serde_json::from_str::<ToConsole>(&text)
        .map_err(|e| format!("a message that cannot be read: {}", safe(&e.to_string(), 100)))?;
    match msg {
        ToConsole::Hello { version, node, node_seq, resumed, resync: _ } => {
            kept.boot.clone_from(&node.boot);
            kept.node_seq = node_seq;
            out.push(AgentEvent::Hello { info: node, version, resumed });
            if !resumed {
                for tenant in kept.open.clone() {
                    say(ws, &FromConsole::Open { tenant }).await?;
                }
            }
        }
        ToConsole::OverviewBegin { tenants } => out.push(AgentEvent::OverviewBegin(tenants)),
        ToConsole::OverviewEnd => {
            kept.complete = true;
            out.push(AgentEvent::OverviewEnd);
        }
        ToConsole::Node(h) => out.push(AgentEvent::Health(h)),
        ToConsole::State { tenant, node_seq, state } => {
            kept.node_seq = kept.node_seq.max(node_seq);
            out.push(AgentEvent::State { tenant, state });
        }
        ToConsole::Fact { tenant, node_seq, receipt } => {
            kept.node_seq = kept.node_seq.max(node_seq);
            out.push(AgentEvent::Fact { tenant, receipt });
        }
        ToConsole::Resync { tenant, why: _ } => out.push(AgentEvent::Resync { tenant }),
        ToConsole::End { why } => return Err(format!("the agent ended the stream: {}", safe(&why, 60))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    /// Issue, Console: a slow screen gets the newest of each, in bounded room, and never an end before its rows.
    #[test]
    fn newest_wins_and_order_holds() {
        let mut o = EventQueue::default();
        o.push(AgentEvent::OverviewBegin(1));
        for n in 0..10_000u64 {
            o.merge(vec![Summary { allowed: n, ..sample::summary("acme") }]);
            o.push(AgentEvent::Health(Box::new(sample::health(0, "node-a"))));
        }
        o.push(AgentEvent::OverviewEnd);
        assert!(o.queue.len() <= 4);
        assert!(matches!(o.pop(), Some(AgentEvent::OverviewBegin(1))));
        let mut rest = vec![];
        while let Some(m) = o.pop() {
            rest.push(m);
        }
        let at = |f: fn(&AgentEvent) -> bool| rest.iter().position(f).unwrap();
        assert!(
            matches!(&rest[at(|m| matches!(m, AgentEvent::Summaries(_)))], AgentEvent::Summaries(s) if s[0].allowed == 9_999)
        );
        assert!(at(|m| matches!(m, AgentEvent::Summaries(_))) < at(|m| matches!(m, AgentEvent::OverviewEnd)));
        assert!(o.is_empty());
    }

    /// Issue, Console: the back-off is capped and jittered.
    #[test]
    fn backoff_is_capped() {
        for attempt in 0..80 {
            let wait = backoff(attempt);
            assert!((Duration::from_millis(250)..=LONGEST).contains(&wait), "{attempt}: {wait:?}");
        }
    }
}
