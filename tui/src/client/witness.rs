//! Compares a log with its pin: asks the agent for head, proofs and, after an epoch change, for the first entry; judges
//! with [`super::pins`]. A failed request is an error, never a verdict.

use super::decode;
use super::error::ClientError;
use super::pins::{Checked, Pin, judge, judge_checkpoint, judge_epoch};
use super::session::ReadSession;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::checkpoint::Checkpoint;
use conductor_shared::clock::WallTime;
use conductor_shared::codec::Value;
use conductor_shared::fact::{ControlFact, Fact};
use conductor_shared::http::ReceiptBundle;
use conductor_shared::ids::Origin;
use conductor_shared::merkle::Hash;
use conductor_shared::verify;

fn root(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

fn bad(s: &ReadSession, what: &'static str, why: &str) -> ClientError {
    ClientError::BadAnswer { endpoint: s.agent().endpoint().to_string(), what, why: why.to_owned() }
}

/// The proof that leads from one size to another.
async fn proof(
    s: &ReadSession,
    origin: Origin,
    from: u64,
    to: u64,
) -> Result<(Hash, Vec<Hash>), ClientError> {
    let bearer = s.bearer().await?;
    let c = s.agent().consistency(&bearer, origin.tenant, from, to).await?;
    let read = || Some((root(&c.to_root)?, verify::hashes(&c.proof)?));
    match read() {
        Some(r) if (c.origin, c.from, c.to) == (origin, from, to) => Ok(r),
        Some(_) => Err(bad(s, "consistency", "it answers another question")),
        None => Err(bad(s, "consistency", "hashes that cannot be read")),
    }
}

/// A log that is to be compared with what was seen of it.
pub(crate) struct LogSeen {
    pub(crate) origin: Origin,
    /// Entries that its node said it has.
    pub(crate) shown: u64,
    pub(crate) pin: Option<Pin>,
    /// The pin of an epoch before, when the epoch changed.
    pub(crate) before: Option<(Origin, Pin)>,
}

/// Compares one log. Gives the origin as the agent names it, and the verdict.
pub(crate) async fn check(
    s: &ReadSession,
    log: LogSeen,
    signer: Option<String>,
    seen: WallTime,
) -> Result<(Origin, Checked), ClientError> {
    let LogSeen { origin, shown, pin, before } = log;
    let bearer = s.bearer().await?;
    let head = s.agent().log_head(&bearer, origin.tenant).await?;
    let to_root = root(&head.root).ok_or_else(|| bad(s, "log_head", "a root that cannot be read"))?;
    let same_log = (head.origin.node, head.origin.tenant) == (origin.node, origin.tenant);
    if !same_log {
        return Ok((origin, Checked::Forked(format!("its head speaks of another log, {}", head.origin))));
    }
    if head.origin == origin && head.size < shown {
        let what = format!("its head has {} entries, and {shown} were announced before", head.size);
        return Ok((origin, Checked::Forked(what)));
    }
    // The epoch changed since the request: the pin is now that of the epoch before.
    let (pin, before) = match (pin, before) {
        (Some(p), _) if head.origin != origin => (None, Some((origin, p))),
        other => other,
    };
    let now = Pin { size: head.size, root: to_root, seen, signed: None };
    let judged = match (&pin, &before) {
        (Some(p), _) if head.size > p.size && p.size > 0 => {
            let (said, path) = proof(s, head.origin, p.size, head.size).await?;
            if said == to_root {
                judge(p, head.size, to_root, &path, seen)
            } else {
                Checked::Forked("its head and its proof give different roots for one size".into())
            }
        }
        (Some(p), _) if p.size == 0 => Checked::Grew(now),
        (Some(p), _) => judge(p, head.size, to_root, &[], seen),
        (None, Some((old, p))) => {
            let first = s.agent().receipt_proof(&bearer, origin.tenant, 0).await?;
            judge_epoch(*old, p, now, cites(&first, head.origin))
        }
        (None, None) => Checked::Grew(now),
    };
    let (Checked::Grew(p), Some(cp), Some(key)) = (&judged, &head.checkpoint, signer) else {
        return Ok((head.origin, judged));
    };
    if p.signed.as_ref() == Some(cp) {
        return Ok((head.origin, judged));
    }
    let size = Checkpoint::parse(&cp.text).map_or(0, |c| c.size);
    let path = if size > 0 && size < p.size { proof(s, head.origin, size, p.size).await?.1 } else { vec![] };
    let judged = judge_checkpoint(head.origin, p.clone(), cp, &key, &path);
    Ok((head.origin, judged))
}

/// The log that the first entry cites. `None` when it cites none, or does not verify.
fn cites(first: &ReceiptBundle, origin: Origin) -> Option<(Origin, u64, Hash)> {
    let sealed = verify::receipt(&first.receipt).ok()?;
    (sealed.header.origin == origin && sealed.header.index == 0).then_some(())?;
    let shown = verify::read(&first.receipt).ok()?;
    let Some(Fact::Control(ControlFact::LogOpened(f))) = decode::fact(&shown) else { return None };
    let cites = f.cites?;
    let [Value::Text(o), Value::U64(size), Value::Bytes(root)] = cites.0.as_slice() else { return None };
    Some((o.parse().ok()?, *size, root.as_slice().try_into().ok()?))
}
