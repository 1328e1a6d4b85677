//! What comes from outside ends somewhere: each bound is met, and one more is refused.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::codec::{CodecError, MAX_DEPTH, Reader, Value};
use conductor_shared::command::{Audience, Command, MAX_AUDIENCE, MAX_REASON, MAX_TEXT, Operation, ops};
use conductor_shared::control::ControlState;
use conductor_shared::cost::{MAX_CARD, MAX_CARDS, MAX_PRICE, RateCard, TYPE_LINE};
use conductor_shared::freeze::Window;
use conductor_shared::ids::{CommandId, Ident, MAX_IDENT, NodeId, TenantUid};
use conductor_shared::meter::{Adjustment, MAX_ADJUSTMENT};
use conductor_shared::ofrep::{MAX_FLAGS, all};
use conductor_shared::operator::{MAX_ROLES, parse_roles};
use conductor_shared::policy::Statement;
use conductor_shared::slo::{MAX_BAKE_S, MAX_STEPS, Plan};
use conductor_shared::untrusted::{MAX_NAME, UntrustedText, fits};

fn ident(text: &str) -> Ident {
    Ident::new(text).unwrap()
}

fn command(operation: Operation) -> Command {
    Command {
        command_id: CommandId([1; 16]),
        audience: Audience::Nodes(vec![NodeId([1; 16])]),
        tenant: TenantUid([3; 16]),
        base: None,
        operation,
        reason: UntrustedText::new("why"),
        issued_at_us: 1,
        expires_at_us: 2,
        nonce: [0; 16],
    }
}

fn kill() -> Operation {
    ops::KillSet { selector: "*/*".parse().unwrap(), drain: false }.into()
}

/// A command's text, its reason and its audience: what is longer is no command, before anything is made of it.
#[test]
fn texts_of_commands_end() {
    let is_read = |c: &Command| Command::parse(c.text().as_bytes()).is_ok();
    let with_reason = |n| Command { reason: UntrustedText::new("x".repeat(n)), ..command(kill()) };
    assert!(is_read(&with_reason(MAX_REASON)) && !is_read(&with_reason(MAX_REASON + 1)));
    let for_nodes = |n: usize| {
        let ids = (0..n as u128).map(|n| NodeId(n.to_be_bytes())).collect();
        Command { audience: Audience::Nodes(ids), ..command(kill()) }
    };
    assert!(is_read(&for_nodes(MAX_AUDIENCE)) && !is_read(&for_nodes(MAX_AUDIENCE + 1)));
    let change = || {
        Operation::from(ops::KillSet {
            selector: format!("a/{}", "w".repeat(MAX_IDENT)).parse().unwrap(),
            drain: true,
        })
    };
    let rollback =
        |n| command(ops::ConfigRollback { revision: 1, changes: (0..n).map(|_| change()).collect() }.into());
    let most = (1..=MAX_TEXT).take_while(|n| rollback(*n).text().len() <= MAX_TEXT).last().unwrap();
    assert!(is_read(&rollback(most)) && !is_read(&rollback(most + 1)));
}

/// Names and identifiers, and how many roles a person is given at a time.
#[test]
fn names_end() {
    assert!(Ident::new(&"x".repeat(MAX_IDENT)).is_ok() && Ident::new(&"x".repeat(MAX_IDENT + 1)).is_err());
    assert!(fits(&"é".repeat(MAX_NAME)) && !fits(&"é".repeat(MAX_NAME + 1)));
    let roles = |n: usize| {
        let words: Vec<_> =
            (1..=n).map(|n| format!("viewer@{}", TenantUid((n as u128).to_be_bytes()))).collect();
        parse_roles(&words.join(" ")).is_some()
    };
    assert!(roles(MAX_ROLES) && !roles(MAX_ROLES + 1));
}

/// Values in values: what is nested deeper is refused before it is read.
#[test]
fn values_nest_so_deep_and_no_deeper() {
    let nested = |n: usize| {
        let value = (0..n).fold(Value::U64(7), |inner, _| Value::List(vec![inner]));
        let mut bytes = vec![];
        value.put(&mut bytes);
        Value::read(&mut Reader(&bytes))
    };
    assert!(nested(MAX_DEPTH).is_ok());
    assert_eq!(nested(MAX_DEPTH + 1), Err(CodecError::Depth));
}

/// Staged plans: steps, and how long one waits.
#[test]
fn plans_end() {
    let plan = |steps: usize, bake: u64| {
        let words: Vec<_> = (1..steps).map(|n| format!("{n}%@{bake}s")).collect();
        format!("{} 100%", words.join(" ")).trim_start().parse::<Plan>().is_ok()
    };
    assert!(plan(MAX_STEPS, MAX_BAKE_S) && !plan(MAX_STEPS + 1, 60) && !plan(2, MAX_BAKE_S + 1));
}

/// A window is a short text, however much white space or whatever else somebody puts in.
#[test]
fn windows_end() {
    let of = |text: String| text.parse::<Window>().is_ok();
    let max = conductor_shared::freeze::MAX_TEXT;
    assert!(!of("x".repeat(max + 1)) && !of(" ".repeat(1 << 20)));
}

/// Rate cards and adjustments: sums of as many as there can be still fit.
#[test]
fn money_ends() {
    let card = |price: u64, more: usize| {
        let text = format!(
            "{TYPE_LINE}\nversion = 1\ncurrency = \"EUR\"\ndecimals = 2\neffective_from = \"2026-10-01T00:00:00Z\"\n\
             compute_hour = {price}\nstorage_gb_month = 1\nsigning_million = 1\n"
        );
        let padding = more.saturating_sub(text.len() + 2);
        RateCard::parse(&format!("{text}#{}\n", " ".repeat(padding)))
    };
    assert!(card(MAX_PRICE, MAX_CARD).is_ok(), "{:?}", card(MAX_PRICE, MAX_CARD));
    assert!(card(MAX_PRICE + 1, 0).is_err() && card(1, MAX_CARD + 1).is_err());
    let step = |n: i64| format!("step_executed 0 production service etl 1 {n}").parse::<Adjustment>();
    for n in [MAX_ADJUSTMENT, -MAX_ADJUSTMENT] {
        assert!(step(n).is_ok_and(|a| a.is_sound()));
    }
    for n in [MAX_ADJUSTMENT + 1, -MAX_ADJUSTMENT - 1, i64::MIN] {
        assert!(!step(n).is_ok_and(|a| a.is_sound()));
    }
}

/// Versions of rate cards rise, and a node keeps so many.
#[test]
fn a_node_keeps_so_many_cards() {
    let load = |version: usize| {
        let text = format!(
            "{TYPE_LINE}\nversion = {version}\ncurrency = \"EUR\"\ndecimals = 2\n\
             effective_from = \"2026-10-01T00:00:00Z\"\ncompute_hour = 1\nstorage_gb_month = 1\nsigning_million = 1\n"
        );
        Operation::from(ops::RateLoad { card: STANDARD.encode(text), signature: STANDARD.encode("x") })
    };
    let all = |n: usize| (1..=n).fold(ControlState::default(), |s, version| s.after(&load(version)));
    assert_eq!([MAX_CARDS, MAX_CARDS + 1].map(|n| all(n).rate_cards.len()), [MAX_CARDS; 2]);
}

/// What comes with a signature is short before it is verified.
#[test]
fn signed_texts_end() {
    let with_signature = |n: usize| {
        let sample =
            |name: &str| Operation::ALL.iter().find(|k| k.name == name).unwrap().samples().next().unwrap();
        let mut list = sample("policy.load").to_list();
        *list.last_mut().unwrap() = "A".repeat(n);
        Operation::from_list(&list).is_some()
    };
    assert!(with_signature(1024) && !with_signature(1025));
    let statement =
        Statement { revision: u64::MAX, digest: [9; 32], built_at_us: u64::MAX, expires_at_us: u64::MAX };
    assert_eq!(Statement::parse(statement.text().as_bytes()), Some(statement));
    assert_eq!(Statement::parse(&vec![b'x'; 1 << 20]), None);
}

/// All flags of a tenant at once: where there are too many, nobody waits for the list.
#[test]
fn flags_end() {
    let with = |n: usize| {
        let workflows = (0..n).map(|n| ident(&format!("w{n}"))).collect();
        all(&ControlState { workflows, ..ControlState::default() }).map(|flags| flags.len())
    };
    assert_eq!((with(MAX_FLAGS), with(MAX_FLAGS + 1)), (Some(MAX_FLAGS), None));
}
