//! `conductor replay`: from its arguments to [`crate::replay::run`].

use super::args::ReplayArgs;
use super::context::Context;
use super::output::{CliError, EXIT_FAILED, EXIT_OK, Output};
use crate::client::commands::random;
use crate::client::http::Bearer;
use crate::client::keys::{Readers, read_private};
use crate::client::workload::Workload;
use crate::replay::drive::{Options, Speed};
use crate::replay::run::{ReplaySource, jobs, run};
use conductor_shared::http::MAX_NAME;
use conductor_shared::ids::hex;
use serde_json::json;
use std::time::Duration;

/// Plays and sums up. It fails when any run did not succeed.
pub async fn replay(context: &Context, args: ReplayArgs) -> Result<Output, CliError> {
    context.may_change()?;
    if args.subject_prefix.as_ref().is_some_and(|p| p.len() > MAX_NAME - 20) {
        return Err(CliError::Input(format!("--subject-prefix has at most {} bytes", MAX_NAME - 20)));
    }
    let token = read_private(&args.token_file, Readers::OwnGroup)?;
    let bearer = Bearer::new(token.trim_end_matches(['\r', '\n']))?;
    let source = match args.generate {
        Some(count) => ReplaySource::Generated { count, seed: args.seed },
        None => ReplaySource::Files(args.files),
    };
    let repeat = usize::try_from(args.repeat).unwrap_or(usize::MAX);
    let reading = tokio::task::spawn_blocking(move || jobs(&source, repeat));
    let jobs = reading.await.map_err(|e| CliError::Failed(e.to_string()))?.map_err(CliError::Input)?;
    let workload = Workload::new(context.workload_agent(args.workload_agent)?, bearer, args.tenant);
    let nonce: [u8; 8] = random()?;
    let options = Options {
        workflow: args.workflow,
        env: args.env,
        actor: args.actor,
        action: args.action,
        subject_prefix: args.subject_prefix,
        prompt_sha256: args.prompt.map(|d| conductor_shared::ids::hex(&d)),
        speed: if args.speed > 0.0 { Speed::Times(args.speed) } else { Speed::Max },
        fail_hundredths: args.fail,
        parallel: args.parallel.into(),
        runs: args.runs.into(),
        max_wait: Duration::from_secs(args.max_wait.into()),
        key: format!("replay-{}", hex(&nonce)),
    };
    let summary = run(&workload, jobs, options, context.clock.as_ref()).await;
    let code = if summary.all_succeeded() { EXIT_OK } else { EXIT_FAILED };
    Ok(Output { text: summary.text(), json: json!(summary), code })
}
