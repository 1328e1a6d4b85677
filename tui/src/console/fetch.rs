//! Reads from agents, for the screen. An error is a sentence, escaped.

use crate::client::error::ClientError;
use crate::client::http::From;
use crate::client::keys::write_new;
use crate::client::session::ReadSession;
use crate::model::receipts::Proved;
use crate::model::tenants::RowKey;
use crate::model::usage_cost::{Choice, CostShown, UsageShown};
use crate::text::wrap::safe;
use conductor_shared::clock::WallTime;
use conductor_shared::command::Operation;
use conductor_shared::http::{
    FreezeList, IncidentRow, Preview, PreviewRequest, ReceiptPage, RequestRow, SloStatus, TimelineRow,
};
use conductor_shared::ids::Origin;
use conductor_shared::time_range::{rfc3339, utc_month};
use conductor_shared::usage::RangeShown;
use conductor_shared::verify::{self, Trust, TrustedKey, Verdict};
use std::path::PathBuf;

type Asked<T> = Result<T, ClientError>;

/// The error as a sentence for the screen.
#[allow(clippy::needless_pass_by_value)] // passed to `map_err`
pub(super) fn text(e: ClientError) -> String {
    safe(&e.to_string(), 600)
}

/// From an index; negative counts from the end.
pub(super) async fn receipts(s: &ReadSession, key: RowKey, from: i128, limit: u64) -> Asked<ReceiptPage> {
    let bearer = s.bearer().await?;
    let at = u64::try_from(from.unsigned_abs()).unwrap_or(u64::MAX);
    let from = if from < 0 { From::Last(at) } else { From::Index(at) };
    let limit = u16::try_from(limit).unwrap_or(500);
    s.agent().receipts(&bearer, key.tenant, from, limit).await
}

pub(super) async fn requests(s: &ReadSession) -> Asked<Vec<RequestRow>> {
    Ok(s.agent().approvals(&s.bearer().await?).await?.requests)
}

pub(super) async fn incidents(s: &ReadSession) -> Asked<Vec<IncidentRow>> {
    Ok(s.agent().incidents(&s.bearer().await?, None).await?.incidents)
}

pub(super) async fn freezes(s: &ReadSession) -> Asked<Box<FreezeList>> {
    s.agent().freezes(&s.bearer().await?).await.map(Box::new)
}

pub(super) async fn slo(s: &ReadSession, key: RowKey) -> Asked<Vec<SloStatus>> {
    Ok(s.agent().slo(&s.bearer().await?, key.tenant).await?.ramps)
}

pub(super) async fn preview(s: &ReadSession, key: RowKey, operation: &Operation) -> Asked<Preview> {
    let bearer = s.bearer().await?;
    let request = PreviewRequest { operation: operation.to_list() };
    s.agent().preview(&bearer, key.tenant, &request).await
}

/// A receipt with its proof, verified and put in words here. `signer`: the pinned key of the node.
pub(super) async fn proof(
    s: &ReadSession,
    key: RowKey,
    index: u64,
    signer: Option<String>,
) -> Asked<Box<Proved>> {
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
    let mut report = verify::one(&bundle.receipt, &bundle.proof, bundle.checkpoint.as_ref(), &trust);
    let other = |o: &Origin| (o.node, o.tenant) != (node, key.tenant);
    if bundle.receipt.index != index || report.origin.is_some_and(|o| other(&o)) {
        report.inclusion = Verdict::Refuted("it is another receipt than the one asked for".into());
    }
    Ok(Box::new(Proved { receipt: verify::read(&bundle.receipt).ok(), report }))
}

/// The query of one of the periods.
fn period(c: &Choice) -> Vec<(&'static str, String)> {
    vec![("range", c.range.to_string()), ("step", c.step.to_owned())]
}

/// The same length just before.
fn before(range: &RangeShown) -> Vec<(&'static str, String)> {
    let (from, to) = (WallTime::from_micros(range.from_us), WallTime::from_micros(range.to_us));
    let begin = from - (to - from);
    vec![("range", format!("{}/{}", rfc3339(begin), rfc3339(from)))]
}

pub(super) async fn usage(s: &ReadSession, key: RowKey, range: &Choice) -> Asked<Box<UsageShown>> {
    let bearer = s.bearer().await?;
    let now = s.agent().usage(&bearer, key.tenant, &period(range)).await?;
    let before = s.agent().usage(&bearer, key.tenant, &before(&now.range)).await?;
    Ok(Box::new(UsageShown { now, before }))
}

pub(super) async fn cost(s: &ReadSession, key: RowKey, range: &Choice) -> Asked<Box<CostShown>> {
    let bearer = s.bearer().await?;
    let now = s.agent().cost(&bearer, key.tenant, &period(range)).await?;
    let before = s.agent().cost(&bearer, key.tenant, &before(&now.range)).await?;
    let month = s.agent().cost(&bearer, key.tenant, &[("range", "month".to_owned())]).await?;
    let begin = WallTime::from_micros(month.range.from_us);
    let month_end = utc_month(begin).map_or(WallTime::from_micros(month.range.to_us), |(_, p)| p.to);
    Ok(Box::new(CostShown { now, before, month, month_end }))
}

/// Writes a CSV file where the console was started, and never over another.
pub(super) async fn export(
    s: &ReadSession,
    key: RowKey,
    (what, range): (&'static str, &Choice),
    name: &str,
) -> Result<String, String> {
    let mut q = period(range);
    q.extend([("format", "csv".to_owned()), ("group_by", "workflow_type,env".to_owned())]);
    let bytes = async { s.agent().metered_file(&s.bearer().await?, key.tenant, what, &q).await };
    let bytes = bytes.await.map_err(text)?;
    // A typed period may hold slashes and colons.
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

/// The first pages of a timeline; an incident fits in fewer.
pub(super) async fn timeline(s: &ReadSession, key: RowKey, from: WallTime) -> Asked<Vec<TimelineRow>> {
    const PAGES: usize = 5;
    let (mut rows, mut after) = (vec![], None);
    for _ in 0..PAGES {
        let bearer = s.bearer().await?;
        let page = s.agent().timeline(&bearer, key.tenant, (Some(from.as_micros()), None), after).await?;
        rows.extend(page.rows);
        after = page.next.filter(|n| after.is_none_or(|a| *n > a));
        if after.is_none() {
            break;
        }
    }
    Ok(rows)
}
