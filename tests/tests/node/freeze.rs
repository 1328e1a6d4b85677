//! Freezes and break-glass with real processes: what they stop, what they never stop, and how they end.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::clock::WallTime;
use conductor_shared::command::{Command, Operation, ops};
use conductor_shared::fact::ChangeClass;
use conductor_shared::freeze::Window;
use conductor_shared::http::{FreezeList, ReceiptPage};
use conductor_shared::ids::{GrantId, Ident, TenantUid};
use conductor_shared::profile::Setting;
use conductor_shared::untrusted::UntrustedText;
use conductor_tests::{Node, Tenant, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::Duration;

const NODE: TenantUid = TenantUid::NODE;
const ALL: &str = "viewer,operator,approver,admin,break-glass";

fn ident(text: &str) -> Ident {
    Ident::new(text).unwrap()
}
fn ramp(hundredths: u16) -> Operation {
    Operation::RampSet(ops::RampSet {
        selector: "run/etl".parse().unwrap(),
        hundredths: BasisPoints::saturating(hundredths),
    })
}
fn freeze(name: &str) -> Operation {
    Operation::FreezeSet(ops::FreezeSet { freeze: ident(name), until_us: None })
}
fn open(n: u8, minutes: u64) -> Operation {
    Operation::BreakGlassOpen(ops::BreakGlassOpen {
        grant: GrantId([n; 16]),
        ticket: "INC-7".into(),
        minutes,
    })
}
fn window(node: &Node, from_s: i64, for_s: i64) -> Operation {
    let now = node.now_us() / 1_000_000;
    let at = |s: i64| {
        let s = i64::try_from(now).unwrap() + s;
        let (days, rest) = (s.div_euclid(86_400), s.rem_euclid(86_400));
        // Civil date from days since 1970 (the inverse of the day count of the Gregorian calendar).
        let (mut year, mut left) = (1970, days);
        let leap = |y: i64| (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
        while left >= 365 + i64::from(leap(year)) {
            left -= 365 + i64::from(leap(year));
            year += 1;
        }
        let mut month = 1;
        for length in [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            if left < length {
                break;
            }
            left -= length;
            month += 1;
        }
        let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
        format!("{year}-{month:02}-{:02}T{h:02}:{m:02}:{s:02}Z", left + 1)
    };
    let when = format!("once {} to {}", at(from_s), at(from_s + for_s)).parse().unwrap();
    Operation::ProfileWindow(ops::ProfileWindow {
        profile: ident("default"),
        window: ident("change-freeze"),
        when,
    })
}

fn asks(node: &Node, who: &str, tenant: TenantUid, op: Operation) -> (Command, Vec<String>) {
    let c = node.compose(tenant, op);
    let r = node.send_as(who, &c);
    (c, r.came_to())
}
/// Asked for by one and approved by the other.
fn two(node: &Node, tenant: TenantUid, op: Operation) {
    let (c, asked) = asks(node, "ben", tenant, op);
    assert_eq!(asked, ["requested"]);
    assert_eq!(node.approve("cleo", &c), ["effective"]);
}
fn kinds(node: &Node, tenant: TenantUid) -> Vec<String> {
    let path = format!("/v1/tenants/{tenant}/receipts?from=-20&limit=20");
    let page: ReceiptPage = node.operator().get(&path).read();
    page.receipts.into_iter().map(|r| r.kind_name).collect()
}
fn node_and_tenant() -> (Node, Tenant) {
    let persons = [format!("ben:{ALL}"), format!("cleo:{ALL}"), "dan:viewer,operator".to_owned()];
    let persons: Vec<&str> = persons.iter().map(String::as_str).collect();
    let node = Node::start_with(tempfile::tempdir().unwrap(), "", &persons);
    let a = node.tenant("acme");
    node.command(
        a.uid,
        ops::RampCap { selector: "run/etl".parse().unwrap(), hundredths: BasisPoints::saturating(5000) },
    );
    (node, a)
}

/// Invariant 3: a freeze stops what loosens, and never what makes a site safer; break-glass lifts it for one log, is
/// cited, is not prolonged, and lifts nothing else; a restart forgets none of it.
#[test]
fn a_freeze_and_the_glass() {
    let (mut node, a) = node_and_tenant();
    let b = node.tenant("other");
    let set = node.command(a.uid, freeze("now"));
    assert_eq!(set.class, ChangeClass::Tighten);
    assert_eq!(node.send(&node.compose(a.uid, ramp(9000))).reasons(), ["frozen"]);
    node.command(b.uid, ramp(9000));
    let lower = Operation::RampCap(ops::RampCap {
        selector: "run/etl".parse().unwrap(),
        hundredths: BasisPoints::saturating(4000),
    });
    assert_eq!(node.command(a.uid, lower).class, ChangeClass::Tighten);
    let mut c = node.client(&a.token);
    let started = (0..20).any(|n| c.start_run(&a, Some(&n.to_string())).status == 200);
    assert!(started, "admissions go on");
    // One person alone, without the role, and for another log than the frozen one.
    assert_eq!(asks(&node, "dan", a.uid, open(1, 5)).1, ["role_missing"]);
    let (alone, asked) = asks(&node, "ben", a.uid, open(1, 5));
    assert_eq!(asked, ["requested"], "nobody opens it alone where the profile does not let them");
    assert_eq!(node.approve("ben", &alone), ["self_approval"]);
    two(&node, b.uid, open(9, 5));
    assert_eq!(node.send(&node.compose(a.uid, ramp(9000))).reasons(), ["frozen"], "another tenant's");
    assert_eq!(node.approve("cleo", &alone), ["effective"]);
    assert_eq!(asks(&node, "ben", a.uid, open(2, 60)).1, ["object_exists"], "no extension");
    node.command(a.uid, ramp(6000));
    let told = kinds(&node, a.uid);
    let used = told.iter().rposition(|k| k == "BreakGlassUsed").expect("cited");
    assert_eq!(told[used + 1], "Proposed", "{told:?}");
    assert_eq!(node.control(a.uid).break_glass.expect("it is open").used, 1, "once a command");
    assert_eq!(
        asks(&node, "dan", NODE, Operation::ProfileCreate(ops::ProfileCreate { profile: ident("x") })).1,
        ["role_missing"]
    );
    node.kill_agent();
    node.start_agent();
    let ticket = node.control(a.uid).break_glass.expect("it is open").ticket;
    assert_eq!(ticket, "INC-7");
    node.command(a.uid, ramp(6500));
    let list: FreezeList = node.operator().get("/v1/freezes").read();
    let row = list.tenants.iter().find(|t| t.tenant_uid == a.uid).unwrap();
    assert!(row.frozen && row.profile == ident("default"), "{row:?}");
    // Whoever may tighten closes it; the freeze is on again, and taking it away takes two.
    let close = Operation::BreakGlassClose(ops::BreakGlassClose { grant: GrantId([1; 16]) });
    assert_eq!(asks(&node, "dan", a.uid, close).1, ["effective"]);
    assert_eq!(node.send(&node.compose(a.uid, ramp(9000))).reasons(), ["frozen"]);
    node.command(a.uid, freeze("second"));
    let clear = |f: &str| Operation::FreezeClear(ops::FreezeClear { freeze: ident(f) });
    assert_eq!(asks(&node, "ben", a.uid, clear("now")).1, ["frozen"], "the other one forbids it");
    two(&node, a.uid, open(3, 5));
    two(&node, a.uid, clear("now"));
    two(&node, a.uid, clear("second"));
    node.command(a.uid, ramp(9000));
    node.stop_agent();
    node.check();
}

/// A window holds from its first second on, for all logs of its profile and for the node's own; what was proposed
/// before it is abandoned when it begins in between; when it ends the freeze is over, by a fact.
#[test]
fn a_window_begins_in_between() {
    let (node, a) = node_and_tenant();
    let pid = Pid::from_raw(i32::try_from(node.signer.as_ref().unwrap().id()).unwrap());
    let begins = window(&node, 3, 6);
    let Operation::ProfileWindow(ops::ProfileWindow { when: Window::Once { start: opens, .. }, .. }) = begins
    else {
        unreachable!()
    };
    let up = node.compose(a.uid, ramp(9000));
    assert_eq!(node.command(NODE, begins).class, ChangeClass::Tighten);
    node.command(a.uid, ramp(6000));
    let up = Command { base: node.compose(a.uid, ramp(9000)).base, ..up };
    // Less than the signer may take to answer, more than it takes to propose.
    wait_for("the last second before", 20, || {
        let now = WallTime::from_micros(node.now_us());
        (now + Duration::from_secs(1) > opens).then_some(())
    });
    // Proposed before it begins; the signer answers when it has begun.
    kill(pid, Signal::SIGSTOP).unwrap();
    let woken = std::thread::scope(|s| {
        let sent = s.spawn(|| node.send(&up));
        wait_for("the window opens", 20, || {
            node.control(NODE).active_windows.contains_key(&ident("default")).then_some(())
        });
        kill(pid, Signal::SIGCONT).unwrap();
        sent.join().unwrap()
    });
    assert_eq!((woken.came_to(), woken.reasons()), (vec!["abandoned".to_owned()], vec!["frozen".to_owned()]));
    let create = Operation::TenantCreate(ops::TenantCreate {
        tenant_uid: TenantUid([5; 16]),
        tenant_id: ident("late"),
    });
    assert_eq!(node.send(&node.compose(NODE, create)).reasons(), ["frozen"]);
    wait_for("the window closes", 20, || {
        (!node.control(NODE).active_windows.contains_key(&ident("default"))).then_some(())
    });
    node.command(a.uid, ramp(9000));
    let told = kinds(&node, NODE);
    assert!(told.contains(&"FreezeBegan".to_owned()) && told.contains(&"FreezeEnded".to_owned()), "{told:?}");
}

/// Invariant 4: where the profile lets them, one person opens break-glass alone, at most twice a day over all logs,
/// each time with an incident; what loosens a profile or moves a tenant takes two.
#[test]
fn alone_at_most_twice_a_day() {
    let (mut node, a) = node_and_tenant();
    let b = node.tenant("other");
    let alone = Operation::ProfileSet(ops::ProfileSet {
        profile: ident("default"),
        setting: Setting::BreakGlassAlone(true),
    });
    two(&node, NODE, alone);
    assert_eq!(asks(&node, "ben", a.uid, open(1, 5)).1, ["effective"]);
    let incidents = node.control(a.uid).incidents;
    assert!(incidents.values().any(|i| i.cause.to_string() == "break-glass"), "{incidents:?}");
    assert_eq!(asks(&node, "ben", b.uid, open(2, 5)).1, ["effective"]);
    let close = Operation::BreakGlassClose(ops::BreakGlassClose { grant: GrantId([1; 16]) });
    assert_eq!(asks(&node, "ben", a.uid, close).1, ["effective"]);
    node.kill_agent();
    node.start_agent();
    // Others look at it: not the one who opened it, and not after a restart either.
    let incidents = node.control(a.uid).incidents;
    let review =
        incidents.iter().find(|(_, i)| i.cause.to_string() == "break-glass").expect("to be reviewed");
    let comment = UntrustedText::new("nothing to see here");
    let closed = Operation::IncidentClose(ops::IncidentClose { incident: review.0.0, comment });
    assert_eq!(asks(&node, "ben", a.uid, closed.clone()).1, ["self_approval"]);
    assert_eq!(asks(&node, "cleo", a.uid, closed).1, ["effective"]);
    assert_eq!(asks(&node, "ben", a.uid, open(3, 5)).1, ["requested"], "the third takes a second person");
    assert!(node.control(a.uid).break_glass.is_none());
    node.command(NODE, ops::ProfileCreate { profile: ident("strict") });
    let assign = Operation::ProfileAssign(ops::ProfileAssign { profile: ident("strict") });
    two(&node, a.uid, assign);
    let nowhere = Operation::ProfileAssign(ops::ProfileAssign { profile: ident("nowhere") });
    assert_eq!(asks(&node, "ben", a.uid, nowhere).1, ["object_unknown"]);
    assert_eq!(asks(&node, "cleo", a.uid, open(4, 5)).1, ["requested"], "that profile lets nobody");
}
