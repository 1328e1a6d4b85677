//! For whom a command is, when, and whether it came before.

use super::when;
use crate::command::context::{EvalCtx, may_count};
use crate::intake::request::Signed;
use conductor_shared::command::Audience;
use conductor_shared::control::ControlState;
use conductor_shared::reason::{Reason, Reasons};

pub(super) fn violations(s: &Signed, ctx: &EvalCtx<'_>, log: &ControlState) -> Reasons {
    let c = &s.content;
    let meant = matches!(&c.audience, Audience::Nodes(ids) if ids.contains(&ctx.here));
    let mut reasons = when(!meant, Reason::CommandAudience);
    if !may_count((c.issued_at_us, c.expires_at_us), ctx.now) {
        reasons.add(Reason::CommandExpired);
    }
    if log.commands.contains_key(&s.key()) {
        reasons.add(Reason::CommandReplayed);
    }
    reasons
}
