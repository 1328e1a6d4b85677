//! For whom a command is, when, and whether it came before.

use super::when;
use crate::command::context::{EvalCtx, SKEW};
use crate::intake::request::Signed;
use conductor_shared::clock::WallTime;
use conductor_shared::command::{Audience, MAX_LIFE};
use conductor_shared::control::ControlState;
use conductor_shared::reason::{Reason, Reasons};

pub(super) fn violations(s: &Signed, ctx: &EvalCtx<'_>, log: &ControlState) -> Reasons {
    let (c, now) = (&s.content, ctx.now);
    let (issued_at, expires_at) =
        (WallTime::from_micros(c.issued_at_us), WallTime::from_micros(c.expires_at_us));
    let meant = matches!(&c.audience, Audience::Nodes(ids) if ids.contains(&ctx.here));
    let mut reasons = when(!meant, Reason::CommandAudience);
    let early = issued_at > now + SKEW;
    let life = expires_at - issued_at;
    if early || expires_at <= now || life.is_zero() || life > MAX_LIFE {
        reasons.add(Reason::CommandExpired);
    }
    if log.commands.contains_key(&s.key()) {
        reasons.add(Reason::CommandReplayed);
    }
    reasons
}
