//! Recovery from a lost signer or a stepped clock. It takes two admins on the node itself; the agent decides by its own
//! rules alone.

use super::args::RecoverCommand;
use super::change::{Change, carry_out};
use super::context::Context;
use super::output::{CliError, Output, time};
use super::policy::public_key_of;
use crate::client::clock::SystemClock;
use crate::client::resolve::Found;
use conductor_shared::cause::IncidentCause;
use conductor_shared::clock::Clock as _;
use conductor_shared::command::{Operation, ops};
use conductor_shared::ids::{TenantUid, unhex};
use std::fmt::Write as _;
use std::io::Write as _;

fn node(operation: Operation) -> Change {
    let tenant = Found { uid: TenantUid::NODE, name: "node".into() };
    Change { tenant, confirm: "node".into(), operation, tightens: false }
}

pub async fn recover(context: &Context, command: RecoverCommand) -> Result<Output, CliError> {
    context.may_change()?;
    let session = context.session().await?;
    match command {
        RecoverCommand::Time { change } => {
            let bearer = session.bearer().await?;
            let open = session.agent().incidents(&bearer, Some(TenantUid::NODE)).await?.incidents;
            let doubted = open.iter().find(|i| i.cause == IncidentCause::Clock);
            let incident = doubted.and_then(|i| unhex(&i.incident)).ok_or_else(|| {
                CliError::Input("the node's clock is not in doubt: there is nothing to confirm".into())
            })?;
            let now_us = session.agent().node(&bearer).await?.now_us;
            if !context.json {
                let mut said = format!("the node's clock says   {}\n", time(now_us));
                let _ =
                    writeln!(said, "this machine's clock is {}", time(SystemClock.now().wall.as_micros()));
                let _ = write!(said, "compare both with a clock that you trust before you go on\n\n");
                let _ = std::io::stderr().write_all(said.as_bytes());
            }
            carry_out(
                context,
                &session,
                node(Operation::TimeConfirm(ops::TimeConfirm { incident, now_us })),
                &change,
            )
            .await
        }
        RecoverCommand::Signer { public_key, change } => {
            let public_key = public_key_of(&public_key)?;
            carry_out(
                context,
                &session,
                node(Operation::SignerReplace(ops::SignerReplace { public_key })),
                &change,
            )
            .await
        }
    }
}
