//! The routes of workloads: may this run or step go ahead, and how it ended. Used by the replay.
//!
//! A mutation takes an idempotency key, so that sending it again after a broken connection does nothing twice.

use super::error::ClientError;
use super::http::{AgentClient, Bearer, Call};
use conductor_shared::http::{Decided, FinishRun, FinishStep, OfTenant, RunView, StartRun, StartStep};
use conductor_shared::ids::{Ident, RunId};

/// A workload's connection to its agent.
#[derive(Debug, Clone)]
pub struct Workload {
    agent: AgentClient,
    bearer: Bearer,
    tenant: Ident,
}

impl Workload {
    /// For the tenant that the token belongs to.
    pub fn new(agent: AgentClient, bearer: Bearer, tenant: Ident) -> Self {
        Self { agent, bearer, tenant }
    }

    pub fn tenant(&self) -> &Ident {
        &self.tenant
    }

    fn of_tenant(&self) -> OfTenant {
        OfTenant { tenant_id: self.tenant.clone() }
    }

    async fn post<B: serde::Serialize>(
        &self,
        name: &'static str,
        path: String,
        body: &B,
        key: &str,
    ) -> Result<Decided, ClientError> {
        let mut call = Call::post(name, path, Some(&self.bearer), Some(body));
        call.idempotency_key = Some(key);
        self.agent.json(call).await
    }

    pub async fn start_run(&self, body: &StartRun, key: &str) -> Result<Decided, ClientError> {
        self.post("run_start", "/v1/runs".into(), body, key).await
    }

    pub async fn start_step(&self, run: RunId, body: &StartStep, key: &str) -> Result<Decided, ClientError> {
        self.post("step_start", format!("/v1/runs/{run}/steps"), body, key).await
    }

    pub async fn finish_step(
        &self,
        run: RunId,
        step: u64,
        body: &FinishStep,
        key: &str,
    ) -> Result<Decided, ClientError> {
        self.post("step_finish", format!("/v1/runs/{run}/steps/{step}/finish"), body, key).await
    }

    pub async fn heartbeat(&self, run: RunId, key: &str) -> Result<Decided, ClientError> {
        self.post("run_heartbeat", format!("/v1/runs/{run}/heartbeat"), &self.of_tenant(), key).await
    }

    pub async fn finish_run(&self, run: RunId, body: &FinishRun, key: &str) -> Result<Decided, ClientError> {
        self.post("run_finish", format!("/v1/runs/{run}/finish"), body, key).await
    }

    pub async fn cancel_run(&self, run: RunId, key: &str) -> Result<Decided, ClientError> {
        self.post("run_cancel", format!("/v1/runs/{run}/cancel"), &self.of_tenant(), key).await
    }

    pub async fn show_run(&self, run: RunId) -> Result<RunView, ClientError> {
        let path = format!("/v1/runs/{run}?tenant_id={}", self.tenant);
        self.agent.json(Call::get("run_show", path, &self.bearer)).await
    }
}
