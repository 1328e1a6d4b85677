//! The stream: overview, facts in commit order, resume and resync, garbage.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::{Operation, ops};
use conductor_shared::ids::TenantUid;
use conductor_shared::stream::{MAX_OPEN, Summary, ToConsole};
use conductor_tests::provision::{create_tenants, provisioned};
use conductor_tests::{Node, PATIENCE, Tenant, wait_for};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

type Socket = tokio_tungstenite::WebSocketStream<tokio::net::UnixStream>;

async fn connect(node: &Node, bearer: &str) -> Result<Socket, tokio_tungstenite::tungstenite::Error> {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
    let mut r = "ws://agent/v1/stream".into_client_request().unwrap();
    r.headers_mut().insert("authorization", format!("Bearer {bearer}").parse().unwrap());
    let s = tokio::net::UnixStream::connect(node.operator_socket()).await.unwrap();
    tokio_tungstenite::client_async(r, s).await.map(|(s, _)| s)
}

async fn next(s: &mut Socket) -> Option<Message> {
    tokio::time::timeout(PATIENCE, s.next()).await.expect("a sign of life").and_then(Result::ok)
}

async fn until<T>(s: &mut Socket, mut f: impl FnMut(ToConsole) -> Option<T>) -> T {
    loop {
        let message = next(s).await.expect("the stream goes on");
        if let Message::Text(t) = message
            && let Some(found) = f(serde_json::from_str(&t).unwrap())
        {
            return found;
        }
    }
}

async fn say(s: &mut Socket, v: serde_json::Value) {
    s.send(Message::Text(v.to_string().into())).await.unwrap();
}

/// A node with the tenants acme and bolt, and an operator's session.
async fn site() -> (Node, Tenant, Tenant, String) {
    tokio::task::spawn_blocking(|| {
        let node = Node::start();
        let (a, b, session) = (node.tenant("acme"), node.tenant("bolt"), node.operator().bearer);
        (node, a, b, session)
    })
    .await
    .unwrap()
}

/// A stream that has said hello, and the boot of the agent that answered.
async fn hello(node: &Node, session: &str) -> (Socket, String) {
    let mut s = connect(node, session).await.unwrap();
    say(&mut s, json!({"type": "hello", "version": 1})).await;
    let boot = until(&mut s, |m| match m {
        ToConsole::Hello { node, resumed: false, .. } => Some(node.boot),
        _ => None,
    })
    .await;
    (s, boot)
}

fn cap(node: &Node, tenant: &Tenant, hundredths: u16) {
    let op = Operation::RampCap(ops::RampCap {
        selector: "run/etl".parse().unwrap(),
        hundredths: BasisPoints::saturating(hundredths),
    });
    tokio::task::block_in_place(|| node.command(tenant.uid, op));
}

/// The next fact: its tenant, number and words.
async fn fact(s: &mut Socket) -> (TenantUid, u64, String) {
    until(s, |m| match m {
        ToConsole::Fact { tenant, node_seq, receipt } => Some((tenant, node_seq, receipt.summary)),
        _ => None,
    })
    .await
}

/// Stream: only for operators; first the overview of all tenants, then the state and the facts of those that were
/// opened, in commit order.
#[tokio::test(flavor = "multi_thread")]
async fn overview_and_facts() {
    let (node, a, b, session) = site().await;
    assert!(connect(&node, &a.token).await.is_err(), "a workload has no stream");
    let (mut s, _) = hello(&node, &session).await;
    let mut names = vec![];
    loop {
        match next(&mut s).await.unwrap() {
            Message::Binary(frame) => {
                names.extend(Summary::read_all(&frame).unwrap().into_iter().map(|s| s.name.to_string()));
            }
            Message::Text(t) if t.contains("overview_end") => break,
            _ => {}
        }
    }
    assert_eq!(names, ["acme", "bolt"]);
    say(&mut s, json!({"type": "open", "tenant": a.uid})).await;
    let (seq, ramps) = until(&mut s, |m| match m {
        ToConsole::State { tenant, node_seq, state } if tenant == a.uid => {
            Some((node_seq, state.ramps.len()))
        }
        _ => None,
    })
    .await;
    assert_eq!(ramps, 0);
    cap(&node, &b, 100);
    cap(&node, &a, 200);
    let (tenant, node_seq, words) = fact(&mut s).await;
    assert_eq!(tenant, a.uid, "only what was opened");
    assert!(node_seq > seq);
    assert!(words.starts_with("ramp.cap run/etl 200"), "{words}");
}

/// Stream: a console that comes back gets what it missed; after a restart, or from the future, the stream begins again
/// and says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_resumes_or_says_why_not() {
    let (node, a, _, session) = site().await;
    let (mut s, boot) = hello(&node, &session).await;
    say(&mut s, json!({"type": "open", "tenant": a.uid})).await;
    until(&mut s, |m| matches!(m, ToConsole::State { .. }).then_some(())).await;
    cap(&node, &a, 200);
    let (_, seen, _) = fact(&mut s).await;
    s.close(None).await.unwrap();
    cap(&node, &a, 150);
    let resume = |boot: &str, seq: u64| json!({"type": "hello", "version": 1, "resume": {"boot": boot, "node_seq": seq, "open": [a.uid]}});
    let mut s = connect(&node, &session).await.unwrap();
    say(&mut s, resume(&boot, seen)).await;
    until(&mut s, |m| matches!(m, ToConsole::Hello { resumed: true, .. }).then_some(())).await;
    let (_, _, again) = fact(&mut s).await;
    assert!(again.starts_with("ramp.cap run/etl 150"), "{again}");
    for bad in [resume("another", seen), resume(&boot, 1 << 60)] {
        let mut s = connect(&node, &session).await.unwrap();
        say(&mut s, bad).await;
        let resynced =
            |m| matches!(m, ToConsole::Hello { resumed: false, resync: Some(_), .. }).then_some(());
        until(&mut s, resynced).await;
    }
}

/// Bad input: garbage ends a stream with a reason, and harms nobody.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_ends_a_stream() {
    let (node, _, _, session) = site().await;
    for bad in ["", "{", "{\"type\":\"dance\"}", "{\"type\":\"hello\",\"version\":99}"] {
        let mut s = connect(&node, &session).await.unwrap();
        s.send(Message::Text(bad.into())).await.unwrap();
        let why = until(&mut s, |m| match m {
            ToConsole::End { why } => Some(why),
            _ => None,
        })
        .await;
        assert!(["hello_expected", "version_unknown"].contains(&why.as_str()), "{why}");
    }
    let mut s = connect(&node, &session).await.unwrap();
    // The agent may hang up before it has taken it all.
    let _ = s.send(Message::Binary(vec![7; 300_000].into())).await;
    while next(&mut s).await.is_some() {}
    assert_eq!(tokio::task::block_in_place(|| node.client("").get("/healthz").status), 200);
}

/// A stream follows so many logs at a time and says when one is too many; what it follows already goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_follows_so_many_logs() {
    let (node, a) = tokio::task::block_in_place(|| {
        let mut node = Node::start();
        let a = node.tenant("acme");
        node.stop_agent();
        create_tenants(&node, MAX_OPEN);
        node.spawn_agent();
        wait_for("it serves", 60, || {
            let r = node.client("").once("GET", "/readyz", b"", &[]).ok()?;
            (r.status == 200).then_some(())
        });
        (node, a)
    });
    let session = tokio::task::block_in_place(|| node.operator().bearer);
    let (mut s, _) = hello(&node, &session).await;
    say(&mut s, json!({"type": "open", "tenant": a.uid.to_string()})).await;
    for n in 0..MAX_OPEN {
        say(&mut s, json!({"type": "open", "tenant": provisioned(n).to_string()})).await;
    }
    let mut opened = 0;
    let (refused, why) = until(&mut s, |m| match m {
        ToConsole::State { .. } => {
            opened += 1;
            None
        }
        ToConsole::Resync { tenant, why } => Some((tenant, why)),
        _ => None,
    })
    .await;
    assert_eq!((opened, refused), (MAX_OPEN, Some(provisioned(MAX_OPEN - 1))), "{why}");
    cap(&node, &a, 5_000);
    let (tenant, _, words) = fact(&mut s).await;
    assert_eq!(tenant, a.uid, "{words}");
}

/// Stream: a console that does not read for a while holds nothing up, and then gets to the present state, with every
/// control fact in order and without beginning anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_catches_up() {
    let node = Node::start();
    let a = tokio::task::block_in_place(|| node.tenant("acme"));
    let session = tokio::task::block_in_place(|| node.operator().bearer);
    let mut s = connect(&node, &session).await.unwrap();
    say(&mut s, json!({"type": "hello", "version": 1})).await;
    until(&mut s, |m| matches!(m, ToConsole::OverviewEnd).then_some(())).await;
    say(&mut s, json!({"type": "open", "tenant": a.uid.to_string()})).await;
    until(&mut s, |m| matches!(m, ToConsole::State { .. }).then_some(())).await;
    // Far more than a socket's buffers hold.
    let last = tokio::task::block_in_place(|| {
        let mut last = 0;
        for i in 0..300u16 {
            let selector = "run/etl".parse().unwrap();
            let done = node
                .command(a.uid, ops::RampCap { selector, hundredths: BasisPoints::saturating(9_000 - i) });
            last = done.receipt.index;
        }
        let mut c = node.client(&a.token);
        for i in 0..1_000 {
            let r = c.start_run(&a, Some(&format!("s{i}")));
            assert!(r.status == 200 || r.status == 403 || r.status == 429, "{}", r.status);
        }
        last
    });
    let mut indices = vec![];
    while indices.last() != Some(&last) {
        match next(&mut s).await.unwrap() {
            Message::Text(t) => match serde_json::from_str(&t).unwrap() {
                ToConsole::Fact { receipt, .. } => indices.push(receipt.index),
                ToConsole::Resync { .. } | ToConsole::OverviewBegin { .. } => panic!("it began anew"),
                _ => {}
            },
            Message::Binary(frame) => {
                // Latest wins: at most one summary of a tenant in a frame.
                assert!(Summary::read_all(&frame).unwrap().len() <= 1);
            }
            _ => {}
        }
    }
    assert!(indices.windows(2).all(|w| w[0] < w[1]), "{indices:?}");
    assert!(indices.len() >= 300, "{}", indices.len());
}
