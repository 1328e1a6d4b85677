//! For whom a command is, when, and whether it came before.

use super::when;
use crate::command::context::{EvalCtx, SKEW_US};
use crate::intake::request::Signed;
use conductor_shared::command::{Audience, MAX_LIFE_US};
use conductor_shared::control::{CommandKey, ControlState};
use conductor_shared::reason::{Reason, Reasons};

pub(super) fn violations(s: &Signed, ctx: &EvalCtx<'_>, log: &ControlState) -> Reasons {
    let (c, now_us) = (&s.content, ctx.now_us);
    let meant = matches!(&c.audience, Audience::Nodes(ids) if ids.contains(&ctx.here));
    let mut reasons = when(!meant, Reason::CommandAudience);
    let early = c.issued_at_us > now_us.saturating_add(SKEW_US);
    let life = c.expires_at_us.saturating_sub(c.issued_at_us);
    if early || c.expires_at_us <= now_us || c.expires_at_us <= c.issued_at_us || life > MAX_LIFE_US {
        reasons.add(Reason::CommandExpired);
    }
    if log.commands.contains_key(&CommandKey { person: s.person, command: c.command_id }) {
        reasons.add(Reason::CommandReplayed);
    }
    reasons
}
