//! Usage, cost, and the data they are computed from.

use super::args::{
    CostCommand, ExportArgs, ExportFormat, ExportWhat, PeriodArgs, RateCommand, UsageCommand, adjustment,
};
use super::change::{Change, carry_out};
use super::context::Context;
use super::output::{CliError, EXIT_FAILED, Output, in_file, table, time};
use super::policy::{public_key_of, read_file};
use super::rate_card::card_text;
use crate::client::keys::{KeyError, KeyFile, write_new};
use crate::client::resolve::{self, Found, TenantName};
use crate::client::session::ReadSession;
use crate::text::format::{gb_hours, hours};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::checkpoint::key_id;
use conductor_shared::command::{Operation, ops};
use conductor_shared::cost::{
    CostAnswer, Difference, Explained, MAX_CARD, RateCard, TYPE_LINE, compare, money, read_invoice,
};
use conductor_shared::untrusted::escape;
use conductor_shared::usage::{Usage, UsageAnswer};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Largest invoice file, bytes.
const MAX_INVOICE: u64 = 16 << 20;
/// Largest file of adjustments, bytes: a command has no room for more.
const MAX_BACKFILL: u64 = 8 << 10;

/// The query of a period.
fn query(p: &PeriodArgs, format: Option<&str>) -> Vec<(&'static str, String)> {
    let mut q = vec![("range", p.range.clone())];
    let optional = [("step", &p.step), ("group_by", &p.group_by), ("tz", &p.tz)];
    q.extend(optional.into_iter().filter_map(|(k, v)| Some((k, v.clone()?))));
    q.extend(format.map(|f| ("format", f.to_owned())));
    q
}

const USAGE_HEAD: [&str; 8] =
    ["", "RUNS", "STEPS", "STEP HOURS", "RECEIPTS", "SIGNED", "STORED BYTES", "GB-HOURS"];

fn usage_row(name: String, u: &Usage) -> Vec<String> {
    vec![
        name,
        u.runs_started.to_string(),
        u.steps_executed.to_string(),
        hours(u.step_us),
        u.receipts_emitted.to_string(),
        u.receipts_signed.to_string(),
        u.storage_bytes.to_string(),
        gb_hours(u.storage_byte_us),
    ]
}

fn usage_text(a: &UsageAnswer) -> String {
    let mut text = format!(
        "tenant  {}\nfrom    {}\nto      {} ({})\n\n",
        a.tenant_id,
        escape(&a.range.from, 40),
        escape(&a.range.to, 40),
        escape(&a.range.time_zone, 64)
    );
    let mut rows: Vec<_> = a.breakdown.iter().map(|r| usage_row(r.group.name(), &r.usage)).collect();
    rows.push(usage_row("all".into(), &a.totals));
    text += &table(&USAGE_HEAD, &rows);
    if !a.steps.is_empty() {
        let rows: Vec<_> = a.steps.iter().map(|s| usage_row(escape(&s.from, 40), &s.totals)).collect();
        text.push('\n');
        text += &table(&USAGE_HEAD, &rows);
    }
    text
}

pub async fn usage(context: &Context, command: UsageCommand) -> Result<Output, CliError> {
    match command {
        UsageCommand::Show(p) => {
            let session = context.session().await?;
            let found = resolve::tenant(&session, &p.tenant).await?;
            let a = session.agent().usage(&session.bearer().await?, found.uid, &query(&p, None)).await?;
            Ok(Output::ok(usage_text(&a), json!(a)))
        }
        UsageCommand::Recount(t) => {
            let session = context.session().await?;
            let found = resolve::tenant(&session, &t.tenant).await?;
            let r = session.agent().recount(&session.bearer().await?, found.uid).await?;
            let mut text = format!("{} receipts counted again, {} of them erased\n", r.receipts, r.erased);
            for d in &r.differences {
                let of = d
                    .labels
                    .as_ref()
                    .map_or(String::new(), |l| format!(" {} {} {}", l.workflow_type, l.env, l.actor_type));
                let (what, rollups, receipts) =
                    (escape(&d.what, 60), escape(&d.rollups, 400), escape(&d.receipts, 400));
                let _ = writeln!(
                    text,
                    "DIFFERS {what} {}{of}\n  rollups  {rollups}\n  receipts {receipts}",
                    d.number
                );
            }
            if r.differences.is_empty() {
                text.push_str("rollups and receipts agree");
            }
            let code = if r.differences.is_empty() { 0 } else { EXIT_FAILED };
            Ok(Output { text, json: json!(r), code })
        }
        UsageCommand::Correct { tenant, add, file, change } => {
            context.may_change()?;
            let mut adjustments = add;
            if let Some(file) = file {
                let bytes = read_file(&file, MAX_BACKFILL)?;
                let text = String::from_utf8(bytes).map_err(|e| in_file(&file, e))?;
                let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
                for (n, line) in lines {
                    adjustments
                        .push(adjustment(line).map_err(|e| in_file(&file, format!("line {}: {e}", n + 1)))?);
                }
            }
            let session = context.session().await?;
            let tenant = resolve::tenant(&session, &tenant).await?;
            let operation = Operation::UsageCorrect(ops::UsageCorrect { adjustments });
            let change_of = Change { confirm: tenant.name.clone(), tenant, operation, tightens: false };
            carry_out(context, &session, change_of, &change).await
        }
    }
}

fn cost_text(a: &CostAnswer) -> String {
    let amount = |n: i64| money(n, a.decimals, &a.currency);
    let mut text = format!(
        "tenant      {}\nfrom        {}\nto          {} ({})\n",
        a.tenant_id,
        escape(&a.range.from, 40),
        escape(&a.range.to, 40),
        escape(&a.range.time_zone, 64)
    );
    let cards: Vec<String> = a.rate_cards.iter().map(|c| c.version.to_string()).collect();
    let cards = if cards.is_empty() {
        "none: nothing has a price (conductor rate load)".into()
    } else {
        cards.join(" ")
    };
    let _ = writeln!(text, "rate cards  {cards}\nreconciled  {}", if a.reconciled { "yes" } else { "no" });
    if a.unpriced && !a.rate_cards.is_empty() {
        text.push_str("warning     some of the period has no rate card, and no amount\n");
    }
    text.push('\n');
    let rows: Vec<Vec<String>> = a
        .rows
        .iter()
        .map(|r| {
            let card = r.rate_card.map_or("-".to_owned(), |v| v.to_string());
            let agreed = if r.reconciled { "yes" } else { "no" };
            vec![
                r.bucket.as_str().to_owned(),
                r.group.name(),
                r.quantity.to_string(),
                escape(&r.unit, 40),
                card,
                agreed.to_owned(),
                amount(r.amount),
            ]
        })
        .collect();
    text += &table(&["BUCKET", "OF", "QUANTITY", "UNIT", "CARD", "RECONCILED", "AMOUNT"], &rows);
    let t = a.totals;
    let _ = write!(
        text,
        "\ncompute     {}\nstorage     {}\nsigning     {}\ntotal       {}",
        amount(t.compute),
        amount(t.storage),
        amount(t.signing),
        amount(t.total)
    );
    for s in &a.steps {
        let _ = write!(text, "\n{}  {}", time(s.from_us), amount(s.amounts.total));
    }
    text
}

fn explained_text(e: &Explained) -> String {
    let mut text = format!(
        "{} of {}, {} to {}\n",
        e.bucket.as_str(),
        e.group.name(),
        escape(&e.range.from, 40),
        escape(&e.range.to, 40)
    );
    let rows: Vec<Vec<String>> = e
        .parts
        .iter()
        .map(|p| {
            let card = p.rate_card.map_or("-".to_owned(), |v| v.to_string());
            vec![
                time(p.from_us),
                time(p.to_us),
                card,
                p.quantity.to_string(),
                p.price.to_string(),
                p.product.to_string(),
            ]
        })
        .collect();
    text += &table(&["FROM", "TO", "CARD", "QUANTITY", "PRICE", "PRODUCT"], &rows);
    let _ = writeln!(
        text,
        "amount {} of {} = sum of products / {} ({} in one {})",
        e.amount,
        escape(&e.amount_unit, 20),
        e.divisor,
        escape(&e.unit, 30),
        escape(&e.priced_per, 60)
    );
    if e.kept_before != 0 {
        let _ = writeln!(text, "kept before, over the whole period: {}", e.kept_before);
    }
    for v in &e.events {
        let _ = writeln!(text, "receipt {} at {}: {} adds {}", v.receipt, time(v.at_us), v.quantity, v.adds);
    }
    match e.next {
        Some(_) => text.push_str("more events: --all"),
        None => text.push_str("all events"),
    }
    text
}

pub async fn cost(context: &Context, command: CostCommand) -> Result<Output, CliError> {
    match command {
        CostCommand::Show(p) => {
            let session = context.session().await?;
            let found = resolve::tenant(&session, &p.tenant).await?;
            let a = session.agent().cost(&session.bearer().await?, found.uid, &query(&p, None)).await?;
            Ok(Output::ok(cost_text(&a), json!(a)))
        }
        CostCommand::Explain { period, bucket, workflow, env, actor_type, all } => {
            let session = context.session().await?;
            let found = resolve::tenant(&session, &period.tenant).await?;
            let mut q = query(&period, None);
            q.push(("bucket", bucket.as_str().to_owned()));
            let labels = [
                ("workflow_type", workflow.map(|w| w.to_string())),
                ("env", env.map(|e| e.to_string())),
                ("actor_type", actor_type.map(|a| a.to_string())),
            ];
            q.extend(labels.into_iter().filter_map(|(k, v)| Some((k, v?))));
            let mut e = session.agent().explain(&session.bearer().await?, found.uid, &q).await?;
            while let Some(next) = e.next.filter(|_| all) {
                let mut more = q.clone();
                more.push(("after", next.to_string()));
                let page = session.agent().explain(&session.bearer().await?, found.uid, &more).await?;
                if page.next == Some(next) {
                    return Err(CliError::Failed("the agent gives the same page of events again".into()));
                }
                e.events.extend(page.events);
                e.next = page.next;
            }
            Ok(Output::ok(explained_text(&e), json!(e)))
        }
        CostCommand::Compare { tenant, month, invoice } => {
            let session = context.session().await?;
            let c = compared(&session, &tenant, &month, &invoice).await?;
            Ok(c.output())
        }
        CostCommand::Reconcile { tenant, month, invoice, change } => {
            context.may_change()?;
            let session = context.session().await?;
            let c = compared(&session, &tenant, &month, &invoice).await?;
            if !c.differences.is_empty() {
                return Ok(c.output());
            }
            let t = c.answer.totals;
            let operation = Operation::CostReconcile(ops::CostReconcile {
                month,
                amounts: [t.compute, t.storage, t.signing],
                invoice_sha256: c.digest,
            });
            let change_of =
                Change { confirm: c.tenant.name.clone(), tenant: c.tenant, operation, tightens: false };
            carry_out(context, &session, change_of, &change).await
        }
    }
}

/// An invoice compared with what was metered.
struct Compared {
    tenant: Found,
    answer: CostAnswer,
    digest: [u8; 32],
    lines: usize,
    differences: Vec<Difference>,
}

async fn compared(
    session: &ReadSession,
    tenant: &TenantName,
    month: &str,
    invoice: &Path,
) -> Result<Compared, CliError> {
    let bytes = read_file(invoice, MAX_INVOICE)?;
    let digest = Sha256::digest(&bytes).into();
    let text = String::from_utf8(bytes).map_err(|e| in_file(invoice, e))?;
    let lines = read_invoice(&text).map_err(|e| in_file(invoice, e))?;
    let tenant = resolve::tenant(session, tenant).await?;
    let q = [("range", month.to_owned()), ("group_by", "workflow_type,env".to_owned())];
    let answer = session.agent().cost(&session.bearer().await?, tenant.uid, &q).await?;
    let differences = compare(&lines, &answer.rows).map_err(|e| in_file(invoice, e))?;
    Ok(Compared { tenant, answer, digest, lines: lines.len(), differences })
}

impl Compared {
    fn output(&self) -> Output {
        let a = &self.answer;
        let amount = |n: Option<i64>| n.map_or("none".to_owned(), |n| money(n, a.decimals, &a.currency));
        let rows: Vec<Vec<String>> = self
            .differences
            .iter()
            .map(|d| {
                let by = d.invoiced.unwrap_or(0) - d.metered.unwrap_or(0);
                vec![
                    d.bucket.as_str().to_owned(),
                    format!("{}/{}", d.workflow_type, escape(&d.env, 20)),
                    amount(d.invoiced),
                    amount(d.metered),
                    amount(Some(by)),
                ]
            })
            .collect();
        let same = rows.is_empty();
        let text = if same {
            format!("{} lines agree to the unit; total {}", self.lines, amount(Some(a.totals.total)))
        } else {
            let head = ["BUCKET", "OF", "INVOICED", "METERED", "DIFFERENCE"];
            format!("{}\nwhere a metered amount comes from: conductor cost explain", table(&head, &rows))
        };
        let json = json!({
            "tenant": self.tenant.name, "agree": same, "lines": self.lines, "unit": a.unit,
            "totals": a.totals, "differences": self.differences,
        });
        Output { text, json, code: if same { 0 } else { EXIT_FAILED } }
    }
}

pub async fn export(context: &Context, args: ExportArgs) -> Result<Output, CliError> {
    let format = match args.format {
        ExportFormat::Json => "json",
        ExportFormat::Csv => "csv",
        ExportFormat::Focus => "focus",
    };
    let what = match args.what {
        ExportWhat::Usage => "usage",
        ExportWhat::Cost => "cost",
    };
    if (what, format) == ("usage", "focus") {
        return Err(CliError::Input("FOCUS is about cost: conductor export cost --format focus".into()));
    }
    let session = context.session().await?;
    let found = resolve::tenant(&session, &args.period.tenant).await?;
    let q = query(&args.period, Some(format));
    let bytes = session.agent().metered_file(&session.bearer().await?, found.uid, what, &q).await?;
    let text = String::from_utf8(bytes)
        .map_err(|_| CliError::Failed("the agent sent something that is not text".into()))?;
    match args.out {
        None => Ok(Output::ok(super::output::lines(&text), json!({ "format": format, "text": text }))),
        Some(out) => {
            write_new(&out, 0o600, text.as_bytes())?;
            let place = escape(&out.to_string_lossy(), 200);
            let said = format!("{what} of {} written to {place} ({} bytes)", found.name, text.len());
            Ok(Output::ok(said, json!({ "file": place, "format": format, "bytes": text.len() })))
        }
    }
}

fn card_file(path: &Path) -> Result<(String, RateCard), CliError> {
    let text = String::from_utf8(read_file(path, MAX_CARD as u64)?).map_err(|e| in_file(path, e))?;
    let card = RateCard::parse(&text).map_err(|e| in_file(path, escape(&e, 600)))?;
    Ok((text, card))
}

fn signature_of(path: &Path) -> PathBuf {
    let mut p = path.as_os_str().to_owned();
    p.push(".minisig");
    p.into()
}

pub async fn rate(context: &Context, command: RateCommand) -> Result<Output, CliError> {
    match command {
        RateCommand::List => {
            let session = context.session().await?;
            let r = session.agent().rates(&session.bearer().await?).await?;
            let key = r
                .billing_key
                .as_deref()
                .and_then(key_id)
                .map_or_else(|| "no key yet".into(), |id| id.to_string());
            let mut text = format!("trusts          {key}\n");
            for c in &r.cards {
                text.push('\n');
                text += &card_text(c);
            }
            if r.cards.is_empty() {
                text.push_str("no rate card: nothing has a price (conductor rate load)");
            }
            Ok(Output::ok(text, json!(r)))
        }
        RateCommand::Check { card } => {
            let (_, card) = card_file(&card)?;
            Ok(Output::ok(card_text(&card), json!(card)))
        }
        RateCommand::Sign { card } => {
            let (text, _) = card_file(&card)?;
            let key = context.key.as_ref().ok_or(KeyError::Missing)?;
            let key = KeyFile::load(key)?.unlock_at_terminal().await?;
            let signed = key.sign(&text, TYPE_LINE)?;
            let out = signature_of(&card);
            write_new(&out, 0o644, signed.signature.as_bytes())?;
            let place = escape(&out.to_string_lossy(), 200);
            let text = format!("signature  {place}\nkey        {}\nnext       conductor rate load", key.id());
            Ok(Output::ok(text, json!({ "signature": place, "key": key.id() })))
        }
        RateCommand::Trust { public_key, change } => {
            context.may_change()?;
            let session = context.session().await?;
            let public_key = public_key_of(&public_key)?;
            let confirm = key_id(&public_key).map_or_else(String::new, |id| id.to_string());
            let operation = Operation::RateTrust(ops::RateTrust { public_key });
            let c = Change { tenant: Found::node(), confirm, operation, tightens: false };
            carry_out(context, &session, c, &change).await
        }
        RateCommand::Load { card, change } => {
            context.may_change()?;
            let (text, read) = card_file(&card)?;
            let signature = read_file(&signature_of(&card), 1024)?;
            let session = context.session().await?;
            let operation = Operation::RateLoad(ops::RateLoad {
                card: STANDARD.encode(text),
                signature: STANDARD.encode(signature),
            });
            let confirm = format!("version-{}", read.version);
            let c = Change { tenant: Found::node(), confirm, operation, tightens: false };
            carry_out(context, &session, c, &change).await
        }
    }
}
