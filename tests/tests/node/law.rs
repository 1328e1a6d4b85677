//! The fail-closed law with real processes: operation x outage, what the table says and what was seen, printed.

use super::opa::{Opa, liar, until};
use super::outage::{Place, Standin};
use super::persons::approve;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::{Audience, Command, Operation, ops};
use conductor_shared::fail_closed::{Class, Outage, OutageRule, rule};
use conductor_shared::ids::{CommandId, Ident, PersonId, TenantUid};
use conductor_shared::operator::{key_statement, parse_roles};
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::UntrustedText;
use conductor_tests::{Node, Tenant, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How many times in a row each denial is tried: a breaker must never turn a deny into an allow.
const IN_A_ROW: [usize; 3] = [1, 30, 300];

struct Site {
    node: Node,
    opa: Opa,
    tenant: Tenant,
    persons: u8,
    ramp: u16,
    /// Composed before the store went, which previews are read from.
    prepared: Option<(Command, Command)>,
}

/// What one try came to: `allow`, or the reason of the denial that a person reads first.
fn seen(a: &conductor_tests::Answer) -> String {
    match a.status {
        200 if a.json()["status"] == "abandoned" => a.json()["reasons"][0].as_str().unwrap().to_owned(),
        200 => "allow".to_owned(),
        _ => a.reasons().first().cloned().unwrap_or_else(|| format!("status {}", a.status)),
    }
}

impl Site {
    fn metric(&self, line: &str) -> bool {
        let text = self.node.client("").get("/metrics");
        String::from_utf8(text.body).unwrap().contains(&format!("\n{line}\n"))
    }

    fn send(&self, c: &Command) -> String {
        seen(&self.node.client("").post("/v1/commands", &self.node.signed(&c.text())))
    }

    fn loosening(&self) -> Command {
        let op = Operation::RampSet(ops::RampSet {
            selector: "run/other".parse().unwrap(),
            hundredths: BasisPoints::saturating(self.ramp + 1),
        });
        self.node.compose(self.tenant.uid, op)
    }

    fn irreversible(&mut self) -> Command {
        self.persons += 1;
        let (person, name) = (PersonId([self.persons; 16]), format!("p{}", self.persons));
        let public_key = self.node.new_key(&name);
        let ident = Ident::new(&name).unwrap();
        let signed = self.node.signed_by(&name, &key_statement(person, &ident, &public_key));
        let op = Operation::OperatorEnrol(ops::OperatorEnrol {
            person,
            name: ident,
            public_key,
            roles: parse_roles("viewer").unwrap(),
            proof: STANDARD.encode(signed["signature"].as_str().unwrap()),
        });
        self.node.compose(TenantUid::NODE, op)
    }

    /// Tries an operation of a class, and when it is denied tries it again so many times in a row.
    fn try_it(&mut self, class: Class, again: &[usize], open: &mut Vec<String>) -> String {
        let mut worker = self.node.client(&self.tenant.token);
        match class {
            Class::Admit => {
                let mut answers = vec![];
                for n in 0..again.iter().sum::<usize>().max(1) {
                    let mut body = conductor_tests::node::run_body(&self.tenant, None);
                    // Each another request: the same one over and over is answered later and later.
                    body["action"] = json!(format!("run-{n}"));
                    let r = worker.post("/v1/runs", &body);
                    if r.status == 200 {
                        open.push(r.json()["run_id"].as_str().unwrap().to_owned());
                    }
                    answers.push(seen(&r));
                }
                one_of(answers)
            }
            Class::Settle => {
                let run = open.pop().expect("an open run");
                let done = json!({"tenant_id": self.tenant.name, "outcome": "succeeded"});
                let r = worker.post(&format!("/v1/runs/{run}/finish"), &done);
                if r.status != 200 {
                    open.push(run);
                }
                seen(&r)
            }
            Class::Tighten => {
                self.ramp -= 1;
                let op = Operation::RampCap(ops::RampCap {
                    selector: "run/other".parse().unwrap(),
                    hundredths: BasisPoints::saturating(self.ramp),
                });
                // As a console without a preview does it: absolute, so it needs none.
                let now =
                    self.node.client(&self.tenant.token).get("/v1/node").json()["now_us"].as_u64().unwrap();
                let mut id = [0; 16];
                getrandom::fill(&mut id).unwrap();
                let c = Command {
                    command_id: CommandId(id),
                    audience: Audience::Nodes(vec![self.node.id]),
                    tenant: self.tenant.uid,
                    base: None,
                    operation: op,
                    reason: UntrustedText::new("test"),
                    issued_at_us: now,
                    expires_at_us: now + 60_000_000,
                    nonce: id,
                };
                seen(&self.node.client("").post("/v1/commands", &self.node.signed(&c.text())))
            }
            Class::Loosen => {
                let c = self.prepared.as_ref().map_or_else(|| self.loosening(), |p| p.0.clone());
                one_of((0..again.iter().sum::<usize>().max(1)).map(|_| self.send(&c)).collect())
            }
            Class::Irreversible => {
                let prepared = self.prepared.as_ref().map(|p| p.1.clone());
                let c = prepared.unwrap_or_else(|| self.irreversible());
                let answers: Vec<String> =
                    (0..again.iter().sum::<usize>().max(1)).map(|_| self.send(&c)).collect();
                let answer = one_of(answers);
                if answer != "allow" {
                    return answer;
                }
                match &approve(&self.node, "ben", &c)[..] {
                    [word] if word == "effective" => "allow".into(),
                    other => other.join(" "),
                }
            }
            Class::Read => seen(&self.node.operator().get(&format!("/v1/tenants/{}", self.tenant.uid))),
            Class::Recover => unreachable!("tried in policy.rs: it has a rule of its own"),
        }
    }
}

/// All tries came to the same.
fn one_of(mut answers: Vec<String>) -> String {
    answers.dedup();
    answers.join(" then ")
}

fn expected(class: Class, out: Outage) -> String {
    match rule(class, out) {
        OutageRule::Allow
        | OutageRule::AllowMarked
        | OutageRule::AllowWithinBacklog
        | OutageRule::AllowUnreceipted => "allow".into(),
        // The default profile says deny.
        OutageRule::ByProfile => Reason::PolicyUnavailable.code().into(),
        OutageRule::Deny(r) => r.code().into(),
        OutageRule::ByOwnRule => unreachable!(),
    }
}

/// What stands in the signer's place in an outage.
fn standin(outage: &str) -> Option<Standin> {
    match outage {
        "signer garbage" => Some(Standin::Garbage),
        "signer slow" => Some(Standin::Trickle),
        "signer locked" => Some(Standin::Locked),
        "signer with other key" => Some(Standin::OtherKey),
        "signer that lies" => Some(Standin::Liar),
        _ => None,
    }
}

/// What stands in OPA's place: hangs up on everybody once it is told to.
fn in_place_of_opa(site: &Site, slow: bool) -> Arc<AtomicBool> {
    site.opa.signal(Signal::SIGKILL);
    std::fs::remove_file(&site.opa.socket).unwrap();
    liar(&site.opa.socket, move |method, _, _| {
        if slow {
            std::thread::sleep(Duration::from_secs(2));
        }
        if method == "GET" { json!({"result": []}).to_string() } else { "}{ not JSON".to_owned() }
    })
}

/// What was done to the site, so that it can be undone.
struct Fault {
    outage: &'static str,
    out: Outage,
    signer: Pid,
    place: Option<Place>,
    liar: Option<Arc<AtomicBool>>,
}

impl Fault {
    fn begin(outage: &'static str, out: Outage, site: &mut Site) -> Self {
        let signer = Pid::from_raw(i32::try_from(site.node.signer.as_ref().unwrap().id()).unwrap());
        let mut this = Self { outage, out, signer, place: None, liar: None };
        if this.stops_signer() {
            kill(signer, Signal::SIGSTOP).unwrap();
        } else if out.signer {
            site.node.kill_signer();
        }
        this.place = standin(outage).map(|s| s.take_place(&site.node));
        match outage {
            "policy killed" => site.opa.signal(Signal::SIGKILL),
            "policy stopped" | "both" => site.opa.signal(Signal::SIGSTOP),
            "policy garbage" | "policy slow" => {
                this.liar = Some(in_place_of_opa(site, outage == "policy slow"));
            }
            _ => {}
        }
        if out.store {
            let irreversible = site.irreversible();
            site.prepared = Some((site.loosening(), irreversible));
            std::fs::rename(site.node.path("data/db"), site.node.path("data/aside")).unwrap();
        }
        this
    }

    fn stops_signer(&self) -> bool {
        matches!(self.outage, "signer stopped" | "both")
    }

    fn end(self, site: &mut Site, folder: &std::path::Path) {
        if self.out.store {
            std::fs::rename(site.node.path("data/aside"), site.node.path("data/db")).unwrap();
            site.prepared = None;
        }
        if self.stops_signer() {
            kill(self.signer, Signal::SIGCONT).unwrap();
        } else if self.out.signer {
            if self.place.is_some() {
                drop(self.place);
                std::fs::remove_file(site.node.path("signer.sock")).unwrap();
            }
            site.node.start_signer();
        }
        if let Some(gone) = self.liar {
            gone.store(true, Ordering::Relaxed);
        }
        match self.outage {
            "policy killed" | "policy garbage" | "policy slow" => site.opa = Opa::start(folder),
            "policy stopped" | "both" => site.opa.signal(Signal::SIGCONT),
            _ => {}
        }
    }
}

/// SPEC invariant 3: every cell of the law, with signer and OPA killed, stopped, slow, answering garbage, signing with
/// another key or lying, both out, and the database gone from under the agent; for 1, 30 and 300 failures in a row. The
/// matrix is printed.
#[test]
fn the_law_holds_in_every_outage() {
    let folder = tempfile::tempdir().unwrap();
    let opa = Opa::start(folder.path());
    let config = format!("policy = {{ opa = {{ socket = \"{}\" }} }}\n", opa.socket.display());
    let node = Node::start_with(tempfile::tempdir().unwrap(), &config, &["ben"]);
    until(&node, "");
    let tenant = node.tenant("acme");
    let mut site = Site { node, opa, tenant, persons: 10, ramp: 9_000, prepared: None };
    let mut open = vec![];
    site.try_it(Class::Tighten, &[], &mut open);
    let classes =
        [Class::Admit, Class::Settle, Class::Tighten, Class::Loosen, Class::Irreversible, Class::Read];
    let mut matrix = format!("{:14}{:22}{:22}{}\n", "operation", "outage", "the law", "seen");
    for outage in [
        "none",
        "signer killed",
        "signer stopped",
        "signer garbage",
        "signer slow",
        "signer locked",
        "signer with other key",
        "signer that lies",
        "policy killed",
        "policy stopped",
        "policy garbage",
        "policy slow",
        "both",
        "store",
    ] {
        let out = Outage {
            signer: outage.starts_with("signer") || outage == "both",
            policy: outage.starts_with("policy") || outage == "both",
            store: outage == "store",
        };
        for _ in 0..2 {
            assert_eq!(site.try_it(Class::Admit, &[], &mut open), "allow", "before {outage}");
        }
        let fault = Fault::begin(outage, out, &mut site);
        // What begins an outage is denied by what it meets; the law speaks of what is known to be out.
        if out.signer {
            site.try_it(Class::Tighten, &[], &mut open);
            wait_for("the agent misses the signer", 30, || {
                site.metric("conductor_signer_up 0").then_some(())
            });
        }
        if out.policy {
            site.try_it(Class::Loosen, &[], &mut open);
            wait_for("the agent misses OPA", 30, || site.metric("conductor_policy_up 0").then_some(()));
        }
        if out.store {
            site.try_it(Class::Tighten, &[], &mut open);
            wait_for("the agent misses the store", 30, || site.metric("conductor_store_up 0").then_some(()));
        }
        for class in classes {
            let wanted = expected(class, out);
            let again: &[usize] = if wanted == "allow" { &[] } else { &IN_A_ROW };
            let got = site.try_it(class, again, &mut open);
            matrix += &format!("{:14}{outage:22}{wanted:22}{got}\n", class.name());
            println!("{}", matrix.lines().last().unwrap_or_default());
            assert_eq!(got, wanted, "{} with {outage}\n{matrix}", class.name());
        }
        fault.end(&mut site, folder.path());
        wait_for("all is well again", 40, || {
            ["conductor_signer_up 1", "conductor_policy_up 1", "conductor_store_up 1"]
                .iter()
                .all(|m| site.metric(m))
                .then_some(())
        });
    }
    println!("{matrix}");
    let ramps = site.node.operator().get(&format!("/v1/tenants/{}", site.tenant.uid)).json();
    let now = ramps["control"]["ramps"]["run/other"]["hundredths"].as_u64().unwrap();
    assert!(now <= u64::from(site.ramp) + 1, "nothing was loosened that the matrix does not show");
    site.node.stop_agent();
    site.node.check();
}
