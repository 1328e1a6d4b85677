//! Arguments of `conductor replay`.

// Doc comments here are help texts, read at a terminal: backquotes and brackets would stand in them as they are.
#![allow(clippy::doc_markdown)]

use super::{Digest32, digest, percent};
use crate::client::endpoint::Endpoint;
use clap::Args;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::fact::{ActorType, Env};
use conductor_shared::ids::Ident;
use std::path::PathBuf;

#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// Records in WfFormat 1.5 or 1.6
    #[arg(value_name = "FILE", required_unless_present = "generate", conflicts_with = "generate")]
    pub files: Vec<PathBuf>,
    /// Display id of the tenant that the token belongs to
    #[arg(long)]
    pub tenant: Ident,
    /// Workflow type, from the tenant's catalog
    #[arg(long)]
    pub workflow: Ident,
    /// Where the agent listens to workloads; --agent if not given
    #[arg(long, value_name = "ENDPOINT", env = "CONDUCTOR_WORKLOAD_AGENT", hide_env_values = true)]
    pub workload_agent: Option<Endpoint>,
    /// File with the workload's token (mode 0600)
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
    /// Factor by which to play faster than recorded; "max" or 0 does not wait
    #[arg(long, value_name = "X", default_value = "1", value_parser = speed)]
    pub speed: f64,
    /// production, staging, development or rehearsal
    #[arg(long, default_value = "rehearsal", value_parser = env)]
    pub env: Env,
    /// person, service, schedule or agent
    #[arg(long, default_value = "service", value_parser = actor)]
    pub actor: ActorType,
    /// Action that the runs ask for
    #[arg(long, default_value = "run")]
    pub action: Ident,
    /// Subjects are TEXT and the number of the run; without it each run is its own subject
    #[arg(long, value_name = "TEXT")]
    pub subject_prefix: Option<String>,
    /// SHA-256 of the prompt that the runs declare, where the catalog pins one
    #[arg(long, value_name = "SHA256", value_parser = digest)]
    pub prompt: Option<Digest32>,
    /// Make this share of the runs fail, spread evenly, to rehearse a breach: 0 to 100
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    pub fail: BasisPoints,
    /// Maximum number of open steps of a run
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub parallel: u16,
    /// Maximum number of open runs
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub runs: u16,
    /// Number of times to play everything
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub repeat: u32,
    /// Seconds to retry one request before its denial is final
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub max_wait: u32,
    /// Make up N workflows instead of reading records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub generate: Option<u64>,
    /// Seed of the workflows that --generate makes up
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

fn env(text: &str) -> Result<Env, String> {
    Env::from_word(text).ok_or_else(|| "expected production, staging, development or rehearsal".into())
}

fn actor(text: &str) -> Result<ActorType, String> {
    ActorType::from_word(text).ok_or_else(|| "expected person, service, schedule or agent".into())
}

/// 0 stands for no waiting.
fn speed(text: &str) -> Result<f64, String> {
    if text == "max" {
        return Ok(0.0);
    }
    let x = text.parse::<f64>().ok().filter(|x| x.is_finite() && *x >= 0.0);
    x.ok_or_else(|| "expected a number such as 1, 10 or 0.5, or max".into())
}
