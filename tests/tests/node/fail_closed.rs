//! The fail-closed law with real processes: operation x outage, what the table says and what was seen, printed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::{Command, Operation, ops};
use conductor_shared::fail_closed::{Class, Outage, OutageRule, rule};
use conductor_shared::ids::{Ident, PersonId, RunId, TenantUid};
use conductor_shared::operator::{key_statement, parse_roles};
use conductor_shared::reason::Reason;
use conductor_tests::fake_signer::{FakeSigner, Standin};
use conductor_tests::opa::{Opa, liar, until};
use conductor_tests::{Node, Tenant, run_body, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How many times in a row each denial is tried: a breaker must never turn a deny into an allow.
const IN_A_ROW: [usize; 3] = [1, 30, 300];

const CLASSES: [Class; 6] =
    [Class::Admit, Class::Settle, Class::Tighten, Class::Loosen, Class::Irreversible, Class::Read];

const OUTAGES: [&str; 14] = [
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
];

struct Site {
    node: Node,
    opa: Opa,
    tenant: Tenant,
    persons: u8,
    ramp: u16,
    /// The last tightening that took effect.
    capped: u16,
    /// Composed before the store went, which previews are read from.
    prepared: Option<(Command, Command)>,
}

/// What one try came to: `allow`, or the reason of the denial that a person reads first.
fn seen(a: &conductor_tests::Answer) -> String {
    let reason = a.reasons().first().cloned();
    match a.status {
        200 => reason.unwrap_or_else(|| "allow".to_owned()),
        _ => reason.unwrap_or_else(|| format!("status {}", a.status)),
    }
}

impl Site {
    fn metric(&self, line: &str) -> bool {
        self.node.metrics().contains(&format!("\n{line}\n"))
    }

    fn send(&self, c: &Command) -> String {
        seen(&self.node.send(c))
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
    fn try_it(&mut self, class: Class, again: &[usize], open: &mut Vec<RunId>) -> String {
        let times = again.iter().sum::<usize>().max(1);
        match class {
            Class::Admit => self.admit(times, open),
            Class::Settle => {
                let run = open.pop().expect("an open run");
                let r = self.node.client(&self.tenant.token).finish_run(&self.tenant, run);
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
                let answer = self.send(&self.node.absolute(self.tenant.uid, op));
                if answer == "allow" {
                    self.capped = self.ramp;
                }
                answer
            }
            Class::Loosen => {
                let c = self.prepared.as_ref().map_or_else(|| self.loosening(), |p| p.0.clone());
                one_of((0..times).map(|_| self.send(&c)).collect())
            }
            Class::Irreversible => {
                let prepared = self.prepared.as_ref().map(|p| p.1.clone());
                let c = prepared.unwrap_or_else(|| self.irreversible());
                let answer = one_of((0..times).map(|_| self.send(&c)).collect());
                if answer != "allow" {
                    return answer;
                }
                match &self.node.approve("ben", &c)[..] {
                    [word] if word == "effective" => "allow".into(),
                    other => other.join(" "),
                }
            }
            Class::Read => seen(&self.node.operator().get(&format!("/v1/tenants/{}", self.tenant.uid))),
            Class::Recover => unreachable!("tried in policy.rs: it has a rule of its own"),
        }
    }

    fn admit(&self, times: usize, open: &mut Vec<RunId>) -> String {
        let mut worker = self.node.client(&self.tenant.token);
        let mut answers = vec![];
        for n in 0..times {
            let mut body = run_body(&self.tenant, None);
            // Each another request: the same one over and over is answered later and later.
            body["action"] = json!(format!("run-{n}"));
            let r = worker.post("/v1/runs", &body);
            if r.status == 200 {
                open.push(r.decided().run_id);
            }
            answers.push(seen(&r));
        }
        one_of(answers)
    }

    /// What begins an outage is denied by what it meets; the law speaks of what is known to be out.
    fn until_noticed(&mut self, out: Outage, open: &mut Vec<RunId>) {
        for (is_out, class, part) in [
            (out.signer, Class::Tighten, "signer"),
            (out.policy, Class::Loosen, "policy"),
            (out.store, Class::Tighten, "store"),
        ] {
            if is_out {
                self.try_it(class, &[], open);
                let line = format!("conductor_{part}_up 0");
                wait_for(&format!("the agent misses the {part}"), 30, || self.metric(&line).then_some(()));
            }
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
    place: Option<FakeSigner>,
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

/// Invariant 3: every cell of the law, with signer and OPA killed, stopped, slow, answering garbage, signing with
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
    let mut site = Site { node, opa, tenant, persons: 10, ramp: 9_000, capped: 9_000, prepared: None };
    let mut open = vec![];
    site.try_it(Class::Tighten, &[], &mut open);
    let mut matrix = format!("{:14}{:22}{:22}{}\n", "operation", "outage", "the law", "seen");
    for outage in OUTAGES {
        let out = Outage {
            signer: outage.starts_with("signer") || outage == "both",
            policy: outage.starts_with("policy") || outage == "both",
            store: outage == "store",
        };
        for _ in 0..2 {
            assert_eq!(site.try_it(Class::Admit, &[], &mut open), "allow", "before {outage}");
        }
        let fault = Fault::begin(outage, out, &mut site);
        site.until_noticed(out, &mut open);
        for class in CLASSES {
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
    let ramps = site.node.control(site.tenant.uid).ramps;
    let now = ramps.values().next().expect("the ramp of run/other").hundredths.get();
    // Without a store a tightening is denied.
    assert!(now <= site.capped + 1, "nothing was loosened that the matrix does not show");
    site.node.stop_agent();
    site.node.check();
}
