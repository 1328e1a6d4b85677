//! Commands for nodes that are offline: kept, delivered when they are back, and told as "2 of 3 nodes acknowledged".

use conductor_tests::terminal::Terminal;
use conductor_tests::{Node, Tenant, bin, wait_for};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// Three nodes that hold the same tenant under the same operator. The state folder is in the first one's.
struct Fleet {
    nodes: Vec<(Node, Tenant)>,
}

impl Fleet {
    fn start() -> Self {
        let a = Node::start();
        let acme = a.tenant("acme");
        let more: Vec<_> = ["node-2", "node-3"].map(|n| a.sibling(n)).into_iter().collect();
        let mut nodes = vec![(a, acme.clone())];
        for n in more {
            let t = n.tenant_as("acme", acme.uid);
            nodes.push((n, t));
        }
        Self { nodes }
    }

    fn endpoints(&self) -> String {
        let all: Vec<_> =
            self.nodes.iter().map(|(n, _)| format!("unix:{}", n.operator_socket().display())).collect();
        all.join(",")
    }

    fn state(&self) -> PathBuf {
        self.nodes[0].0.path("state")
    }

    /// A plain command at all agents: exit code, JSON, and all that was said.
    fn conductor(&self, agents: &str, args: &[&str]) -> (i32, Value, String) {
        let out = Command::new(bin("conductor"))
            .args(["--json", "--agent", agents, "--key"])
            .arg(self.nodes[0].0.operator_key())
            .args(args)
            .env("XDG_STATE_HOME", self.state())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let said = text.clone() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap(), serde_json::from_str(&text).unwrap_or_default(), said)
    }

    fn get_to_know(&self) {
        for (n, _) in &self.nodes {
            let (code, _, said) =
                self.conductor(&format!("unix:{}", n.operator_socket().display()), &["kill", "show", "acme"]);
            assert_eq!(code, 0, "{said}");
        }
    }

    fn starts_a_run(&self, at: usize) -> u16 {
        let (n, t) = &self.nodes[at];
        n.client(&t.token).start_run(t, None).status
    }
}

/// A fleet in which a kill switch was set while the second node was stopped and the third killed: the command's id and
/// the file in which it is kept.
fn killed_while_two_were_away() -> (Fleet, String, PathBuf) {
    let mut f = Fleet::start();
    f.get_to_know();
    f.nodes[1].0.stop_agent();
    f.nodes[2].0.kill_agent();
    let args = ["kill", "set", "acme", "*/*", "--reason", "bad release"];
    let (code, told, said) = f.conductor(&f.endpoints(), &args);
    assert_eq!(code, 5, "{said}");
    assert_eq!(told["commands"].as_array().unwrap().len(), 1, "{said}");
    let command = &told["commands"][0];
    assert_eq!((command["acknowledged"].as_u64(), command["nodes"].as_array().unwrap().len()), (Some(1), 3));
    assert_eq!(f.starts_a_run(0), 403, "{said}");
    let id = command["command_id"].as_str().unwrap().to_owned();
    let file = f.state().join(format!("conductor/outbox/{id}.json"));
    (f, id, file)
}

impl Fleet {
    /// Delivers what is kept: exit code, how many nodes acknowledged it, and the node at this place.
    fn deliver(&self, more: &[&str], at: usize) -> (i32, u64, Value) {
        let (code, told, said) = self.conductor(&self.endpoints(), &[&["command", "deliver"], more].concat());
        let command = &told["commands"][0];
        (code, command["acknowledged"].as_u64().expect(&said), command["nodes"][at]["state"].clone())
    }

    fn end(mut self) {
        for (n, _) in &mut self.nodes {
            n.stop_agent();
            n.check();
        }
    }
}

/// Operators and commands; Command: one signature serves every node of the audience, those that are offline get it when
/// they are back, once each, and each acknowledges for itself.
#[test]
fn nodes_that_were_away_are_killed_when_they_are_back() {
    let (mut f, id, file) = killed_while_two_were_away();
    let before = std::fs::read(&file).unwrap();
    f.nodes[1].0.start_agent();
    assert_eq!(f.starts_a_run(1), 200, "it has not heard of it");
    let (code, acknowledged, _) = f.deliver(&[], 1);
    assert_eq!((code, acknowledged), (5, 2), "one is still away");
    assert_eq!(f.starts_a_run(1), 403);
    let (n, t) = &f.nodes[1];
    assert_eq!(n.control(t.uid).kills.len(), 1);

    // The answer of an earlier attempt was lost: the node takes it once, and says that it has it.
    let kept = std::fs::read(&file).unwrap();
    std::fs::write(&file, &before).unwrap();
    let (.., second) = f.deliver(&[], 1);
    assert_eq!(second["state"], "acknowledged");
    assert!(second["receipt"]["index"].is_u64(), "the receipt that says so was looked up: {second}");
    std::fs::write(&file, &kept).unwrap();

    f.nodes[2].0.start_agent();
    let (code, acknowledged, _) = f.deliver(&["--wait"], 2);
    assert_eq!((code, acknowledged), (0, 3));
    assert_eq!(f.starts_a_run(2), 403);
    let (code, _, said) = f.conductor(&f.endpoints(), &["command", "drop", &id]);
    assert_eq!(code, 0, "{said}");
    f.end();
}

/// A kill that only waits for another person is not acknowledged, also when its answer was lost and the node says that
/// it has it already. Its receipt is looked up; when the other person has approved it, it is.
#[test]
fn acknowledged_means_in_force() {
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben"]);
    // One more than a person tightens alone; each has run something, so that it counts.
    let tenants: Vec<Tenant> = (0..6).map(|n| node.tenant(&format!("t{n}"))).collect();
    for t in &tenants {
        node.client(&t.token).start_run(t, None).decided();
    }
    let (last, others) = tenants.split_last().unwrap();
    let args =
        |t: &Tenant| ["kill", "set", t.name.as_str(), "*/*", "--reason", "bad release"].map(str::to_owned);
    let cli = |node: &Node, args: &[String]| {
        let out = Command::new(bin("conductor"))
            .args(["--json", "--agent", &format!("unix:{}", node.operator_socket().display()), "--key"])
            .arg(node.operator_key())
            .args(args)
            .env("XDG_STATE_HOME", node.path("state"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let told: Value = serde_json::from_str(&said).unwrap_or_default();
        (
            out.status.code().unwrap(),
            told["commands"][0].clone(),
            said + &String::from_utf8_lossy(&out.stderr),
        )
    };
    for t in others {
        let (code, _, said) = cli(&node, &args(t));
        assert_eq!(code, 0, "{said}");
    }
    node.stop_agent();
    let (code, kept, said) = cli(&node, &args(last));
    assert_eq!(code, 5, "{said}");
    let file =
        node.path("state/conductor/outbox").join(format!("{}.json", kept["command_id"].as_str().unwrap()));
    let unsent = std::fs::read(&file).unwrap();
    node.start_agent();
    let deliver = |node: &Node| {
        let (code, told, said) = cli(node, &["command".to_owned(), "deliver".to_owned()]);
        (code, told["acknowledged"].as_u64().expect(&said), told["nodes"][0]["state"]["state"].clone())
    };
    assert_eq!(deliver(&node), (6, 0, Value::from("requested")));
    std::fs::write(&file, &unsent).unwrap();
    assert_eq!(deliver(&node), (6, 0, Value::from("requested")), "a replay tells nothing: it was looked up");
    assert_eq!(node.client(&last.token).start_run(last, None).status, 200, "and so it is");
    let kept: Value = serde_json::from_slice(&unsent).unwrap();
    let text = kept["signed"]["text"].as_str().unwrap();
    let command = conductor_shared::command::Command::parse(text.as_bytes()).unwrap();
    assert_eq!(node.approve("ben", &command), ["effective"]);
    assert_eq!(deliver(&node), (0, 1, Value::from("acknowledged")));
    assert_eq!(node.client(&last.token).start_run(last, None).status, 403);
}

/// Command: a command that was edited on the disk is taken by no node.
#[test]
fn an_edited_command_is_not_delivered() {
    let (mut f, _, file) = killed_while_two_were_away();
    let edited = std::fs::read_to_string(&file).unwrap().replace("bad release", "good release");
    std::fs::write(&file, edited).unwrap();
    f.nodes[1].0.start_agent();
    f.nodes[2].0.start_agent();
    assert_eq!(f.deliver(&[], 2).1, 1);
    assert_eq!((f.starts_a_run(1), f.starts_a_run(2)), (200, 200));
    f.end();
}

/// Command: what loosens is not kept for nodes that are away, for nobody can look at what it rests on.
#[test]
fn only_tightenings_are_kept() {
    let f = Fleet::start();
    f.get_to_know();
    for (args, why) in [
        (&["kill", "clear", "acme", "*/*", "--reason", "over", "--yes"][..], "speaks to one agent"),
        (&["kill", "set", "acme", "*/*", "--drain"], "speaks to one agent"),
    ] {
        let (code, _, said) = f.conductor(&f.endpoints(), args);
        assert!(code == 2 && said.contains(why), "{code} {said}");
    }
    f.end();
}

/// Operators and commands, in the console: a tenant is frozen on all nodes that hold it with one key more; a node that
/// is away gets it when it is back, by itself.
#[test]
fn the_console_delivers_when_a_node_is_back() {
    let mut f = Fleet::start();
    let t = Terminal::run(
        &f.nodes[0].0,
        (120, 40),
        &format!("--agent {} --key {}", f.endpoints(), f.nodes[0].0.operator_key().display()),
    );
    t.shows("node-3");
    t.press(&["2"]);
    wait_for("all three rows", 20, || (t.screen().matches("acme").count() >= 3).then_some(()));
    wait_for("the nodes are remembered with their tenants", 20, || {
        let text = std::fs::read_to_string(f.state().join("conductor/nodes.json")).ok()?;
        let known: Value = serde_json::from_str(&text).ok()?;
        let held = |n: &Value| n["tenants"].as_object().is_some_and(|t| t.len() == 1);
        (known.as_object()?.values().filter(|n| held(n)).count() == 3).then_some(())
    });
    f.nodes[1].0.kill_agent();
    t.press(&["1"]);
    t.shows("Data of 1 node are not live");
    t.press(&["2", "g", "!", "f"]);
    t.shows("means all nodes that hold it");
    t.press(&["a"]);
    t.shows("on 3 nodes:");
    t.shows("gets it later");
    t.press(&["Enter"]);
    t.shows("2 of 3 nodes acknowledged");
    t.press(&["Enter", "1"]);
    t.shows("it waits for node-2");
    let frozen = |f: &Fleet, at: usize| {
        let (n, t) = &f.nodes[at];
        !n.control(t.uid).freezes.is_empty()
    };
    assert!(frozen(&f, 0) && frozen(&f, 2));
    f.nodes[1].0.start_agent();
    wait_for("it is frozen there too", 40, || frozen(&f, 1).then_some(()));
    wait_for("nothing waits any more", 20, || (!t.screen().contains("waits for node-2")).then_some(()));
    // With one node the same command goes there and nowhere else.
    t.press(&["2", "g", "!", "k"]);
    t.shows("only");
    t.press(&["Enter"]);
    t.shows("Done");
    let killed = |at: usize| {
        let (n, t) = &f.nodes[at];
        !n.control(t.uid).kills.is_empty()
    };
    assert_eq!([0, 1, 2].map(killed).iter().filter(|k| **k).count(), 1);
}
