//! The screens Usage and Cost, as they are drawn and as they act.

use super::tests::{demo, draw};
use crate::model::Model;
use crate::model::message::{Effect, Fetch, Reply};
use crate::model::tenants::RowKey;
use crate::model::usage_cost::{Choice, CostShown, EVERY, RANGES, UsageShown};
use crate::sample;
use crate::style::{Look, ThemeName};
use crate::testing::{keys, send, tick};
use conductor_shared::clock::{WallTime, micros};
use conductor_shared::cost::{Amounts, Bucket, CostAnswer, CostRow, CostStep};
use conductor_shared::fact::Env;
use conductor_shared::ids::Ident;
use conductor_shared::meter::DAY_US;
use conductor_shared::usage::{Group, RangeShown, Usage, UsageAnswer, UsageRow, UsageStep};

fn range(days: u64) -> RangeShown {
    let to_us = sample::AGENT_US / DAY_US * DAY_US;
    let from_us = to_us - days * DAY_US;
    let show = |us| conductor_shared::time_range::rfc3339(WallTime::from_micros(us));
    RangeShown { from_us, to_us, from: show(from_us), to: show(to_us), time_zone: "UTC".into() }
}

fn used(n: i128) -> Usage {
    Usage {
        runs_started: n,
        steps_executed: 3 * n,
        step_us: n * 1_234_567_890,
        receipts_emitted: 9 * n,
        receipts_signed: 9 * n - 4,
        storage_bytes_written: 4_000 * n,
        storage_bytes: 40_000 * n,
        storage_byte_us: n * 77_000_000_000_000_000,
        ..Usage::default()
    }
}

fn group(workflow: &str, env: Env) -> Group {
    Group { workflow_type: Ident::new(workflow).ok(), env: Some(env), actor_type: None }
}

fn usage(key: RowKey, n: i128) -> UsageAnswer {
    let r = range(30);
    let step = |d: u64| UsageStep {
        from_us: r.from_us + d * DAY_US,
        to_us: r.from_us + (d + 1) * DAY_US,
        from: String::new(),
        totals: used((d * 7 % 23).into()),
        breakdown: vec![],
    };
    let names = ["etl", "a-workflow-with-a-name-that-no-narrow-column-holds-at-all", "mail"];
    UsageAnswer {
        tenant_uid: key.tenant,
        tenant_id: Ident::new("acme").unwrap(),
        as_of_us: r.to_us,
        totals: used(n),
        breakdown: names
            .iter()
            .map(|w| UsageRow { group: group(w, Env::Production), usage: used(n / 3) })
            .collect(),
        steps: (0..30).map(step).collect(),
        range: r,
    }
}

fn cost(key: RowKey, n: i64, currency: &str) -> CostAnswer {
    let r = range(30);
    let amounts =
        |n: i64| Amounts { compute: n, storage: n / 7, signing: n / 100, total: n + n / 7 + n / 100 };
    let row = |bucket, w: &str, n: i64, reconciled| CostRow {
        bucket,
        group: group(w, Env::Staging),
        quantity: i128::from(n),
        unit: bucket_unit(bucket),
        rate_card: (!currency.is_empty()).then_some(3),
        reconciled,
        amount: n,
    };
    CostAnswer {
        tenant_uid: key.tenant,
        tenant_id: Ident::new("acme").unwrap(),
        as_of_us: r.from_us + 10 * DAY_US,
        currency: currency.into(),
        decimals: 6,
        unit: format!("10^-6 {currency}"),
        rate_cards: vec![],
        unpriced: currency.is_empty(),
        reconciled: false,
        totals: amounts(n),
        rows: vec![
            row(Bucket::Compute, "etl", n, true),
            row(Bucket::Storage, "etl", -1_234_567, false),
            row(Bucket::Signing, "mail", n / 100, false),
        ],
        steps: (0..30)
            .map(|d| CostStep {
                from_us: r.from_us + d * DAY_US,
                to_us: r.from_us + (d + 1) * DAY_US,
                amounts: amounts(i64::try_from(d * 11 % 31).unwrap() * 1_000),
            })
            .collect(),
        range: r,
    }
}

fn bucket_unit(b: Bucket) -> String {
    b.unit().to_owned()
}

fn key(m: &Model) -> RowKey {
    m.subject().unwrap()
}

/// Issue 4, Console: usage of a tenant with its chart, table, comparison and export; the period is chosen by one key.
#[test]
fn usage_screen() {
    for (w, h) in [(80, 24), (120, 40), (200, 60)] {
        let mut m = demo();
        keys(&mut m, "9");
        let k = key(&m);
        assert!(tick(&mut m, 90_000_000).contains(&Effect::Fetch(Fetch::Usage(k, RANGES[0].clone()))));
        assert!(
            !tick(&mut m, 93_000_000).iter().any(|e| matches!(e, Effect::Fetch(Fetch::Usage(..)))),
            "not so often"
        );
        insta::assert_snapshot!(format!("usage-waits-{w}x{h}"), draw(&mut m, w, h));
        let shown = UsageShown { now: usage(k, 300), before: usage(k, 240) };
        send(&mut m, Reply::Usage(k, RANGES[0].clone(), Ok(Box::new(shown))));
        insta::assert_snapshot!(format!("usage-{w}x{h}"), draw(&mut m, w, h));
        keys(&mut m, "m j");
        assert!(draw(&mut m, w, h).contains("runs, highest"));
        // The answer for another period is not shown for this one.
        keys(&mut m, "]");
        assert!(draw(&mut m, w, h).contains("Loading."));
        assert!(
            tick(&mut m, 93_200_000).contains(&Effect::Fetch(Fetch::Usage(k, RANGES[1].clone()))),
            "at once"
        );
        keys(&mut m, "[");
        let out = keys(&mut m, "e");
        assert!(
            out.contains(&Effect::Fetch(Fetch::Export(k, "usage", RANGES[0].clone(), "acme".into()))),
            "{out:?}"
        );
        send(&mut m, Reply::Exported(Ok("/tmp/x.csv".into())));
        assert!(draw(&mut m, w, h).contains("Written to /tmp/x.csv"));
        // Old figures say so.
        tick(&mut m, 90_000_000 + 4 * micros(EVERY));
        assert!(draw(&mut m, w, h).contains(" old"));
    }
}

/// Issue 4, Console: cost with the month so far, where it leads, and what was reconciled; without a rate card it says so.
#[test]
fn cost_screen() {
    for (w, h) in [(80, 24), (120, 40), (200, 60)] {
        let mut m = demo();
        keys(&mut m, "0");
        let k = key(&m);
        assert!(tick(&mut m, 90_000_000).contains(&Effect::Fetch(Fetch::Cost(k, RANGES[0].clone()))));
        let shown = |currency: &str| CostShown {
            now: cost(k, 98_765_432, currency),
            before: cost(k, 123_000_000, currency),
            month: cost(k, 30_000_000, currency),
            month_end: WallTime::from_micros(range(30).to_us),
        };
        // Ten of thirty days.
        assert_eq!(shown("EUR").projection(), Some(3 * shown("EUR").month.totals.total));
        send(&mut m, Reply::Cost(k, RANGES[0].clone(), Ok(Box::new(shown("EUR")))));
        insta::assert_snapshot!(format!("cost-{w}x{h}"), draw(&mut m, w, h));
        send(&mut m, Reply::Cost(k, RANGES[0].clone(), Ok(Box::new(shown("")))));
        assert!(draw(&mut m, w, h).contains("No rate card"));
    }
    let mut m = demo();
    m.look = Look::new(ThemeName::Plain, true, true);
    keys(&mut m, "0");
    let k = key(&m);
    let c = |n| cost(k, n, "EUR");
    let shown = CostShown { now: c(7_000_000), before: c(0), month: c(0), month_end: WallTime::EPOCH };
    send(&mut m, Reply::Cost(k, RANGES[0].clone(), Ok(Box::new(shown))));
    let drawn = draw(&mut m, 80, 24);
    assert!(drawn.is_ascii(), "{drawn}");
}

/// Issue 4, Console: any period can be typed; what cannot be understood is said, and the key goes on from the first.
#[test]
fn any_period_can_be_typed() {
    let mut m = demo();
    keys(&mut m, "9");
    let k = key(&m);
    keys(&mut m, ": r a n g e space 2 0 2 3 - 1 0 enter");
    let month = Choice { name: "2023-10".into(), range: "2023-10".into(), step: "1d" };
    assert!(tick(&mut m, 90_000_000).contains(&Effect::Fetch(Fetch::Usage(k, month))));
    assert!(draw(&mut m, 80, 24).contains("usage of acme on node-a, 2023-10, loading"));
    keys(&mut m, ": r a n g e space 2 0 2 3 - 1 3 enter");
    assert!(draw(&mut m, 80, 24).contains("is not understood"));
    keys(&mut m, "esc ]");
    assert!(tick(&mut m, 90_100_000).contains(&Effect::Fetch(Fetch::Usage(k, RANGES[0].clone()))));
    let step = |text: &str| Choice::typed(text, WallTime::from_micros(sample::AGENT_US)).map(|c| c.step);
    assert_eq!(step("12h"), Ok("15m"));
    assert_eq!(step("2023-10-01"), Ok("1h"));
    assert_eq!(step("2023-10-01/2023-10-20"), Ok("1d"));
    assert!(step("2023-10-20/2023-10-01").is_err());
}
