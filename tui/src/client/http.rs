//! A client of one agent: every route for operators, typed. Routes for workloads are in [`super::workload`].
//!
//! Bodies are bounded in both directions; timeouts are 3 s to connect and 15 s for an answer. It must never follow a
//! redirect or use a proxy: both would give the bearer token to somebody else.

use super::endpoint::Endpoint;
use super::error::ClientError;
use super::tls;
use conductor_shared::cost::{CostAnswer, Explained, Rates};
use conductor_shared::http::{
    BundleFiles, BundleKept, Challenge, CommandOutcome, ConfigHistory, ConfigRevision, Consistency,
    DeadLetters, ExplainRequest, Explanation, FreezeList, IncidentList, LogHead, NodeInfo, PolicyShown,
    Preview, PreviewRequest, Problem, ReceiptBundle, ReceiptPage, Recount, RequestList, SessionOpened,
    SignedText, SinkList, SloList, TenantDetail, TenantList, Timeline, Totals,
};
use conductor_shared::ids::{Ident, TenantUid};
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::escape;
use conductor_shared::usage::UsageAnswer;
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// Longest wait for a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for an answer.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest answer except exports, bytes. The largest regular one is a page of 500 receipts.
pub const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// Largest problem document, bytes.
const MAX_PROBLEM: usize = 64 * 1024;

/// A bearer token. It is wiped when dropped, and cannot be printed.
#[derive(Clone)]
pub struct Bearer(Zeroizing<String>);

impl Bearer {
    /// Refuses a token that cannot stand in a header.
    pub fn new(token: impl Into<String>) -> Result<Self, ClientError> {
        let token = Zeroizing::new(token.into());
        let ok = (1..=512).contains(&token.len()) && token.bytes().all(|c| c.is_ascii_graphic());
        if ok {
            Ok(Self(token))
        } else {
            Err(ClientError::Usage("a bearer token is 1 to 512 visible ASCII characters on one line".into()))
        }
    }

    /// The token, for the header.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(..)")
    }
}

/// A client of one agent. Cheap to clone; connections are kept and shared.
#[derive(Debug, Clone)]
pub struct AgentClient {
    endpoint: Endpoint,
    http: reqwest::Client,
}

pub(super) struct Call<'a, B: ?Sized> {
    pub(super) method: Method,
    /// Name in the table of routes.
    pub(super) name: &'static str,
    pub(super) path: String,
    pub(super) bearer: Option<&'a Bearer>,
    pub(super) body: Option<&'a B>,
    pub(super) idempotency_key: Option<&'a str>,
}

impl AgentClient {
    /// A client; does not connect yet.
    pub fn new(endpoint: Endpoint) -> Result<Self, ClientError> {
        let pin = match &endpoint {
            Endpoint::Tls { pin, .. } => Some(*pin),
            Endpoint::Unix(_) | Endpoint::Plain { .. } => None,
        };
        let cannot = |e: &dyn fmt::Display| ClientError::Usage(format!("cannot set up a client: {e}"));
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(pin).map_err(|e| cannot(&e))?)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(REQUEST_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("conductor/", env!("CARGO_PKG_VERSION")));
        if let Endpoint::Unix(path) = &endpoint {
            builder = builder.unix_socket(path.as_path());
        }
        let http = builder.build().map_err(|e| cannot(&e))?;
        Ok(Self { endpoint, http })
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub async fn challenge(&self) -> Result<Challenge, ClientError> {
        self.json(Call::post("session_challenge", "/v1/sessions/challenge", None, None::<&()>)).await
    }

    pub async fn open_session(&self, signed: &SignedText) -> Result<SessionOpened, ClientError> {
        self.json(Call::post("session_open", "/v1/sessions", None, Some(signed))).await
    }

    pub async fn close_session(&self, bearer: &Bearer) -> Result<(), ClientError> {
        let call = Call { method: Method::DELETE, ..Call::get("session_close", "/v1/sessions", bearer) };
        self.send(call, Some(REQUEST_TIMEOUT)).await.map(drop)
    }

    pub async fn command(&self, signed: &SignedText) -> Result<CommandOutcome, ClientError> {
        self.json(Call::post("command", "/v1/commands", None, Some(signed))).await
    }

    pub async fn approval(&self, signed: &SignedText) -> Result<CommandOutcome, ClientError> {
        self.json(Call::post("approval", "/v1/approvals", None, Some(signed))).await
    }

    pub async fn approvals(&self, bearer: &Bearer) -> Result<RequestList, ClientError> {
        self.json(Call::get("approval_list", "/v1/approvals", bearer)).await
    }

    pub async fn freezes(&self, bearer: &Bearer) -> Result<FreezeList, ClientError> {
        self.json(Call::get("freeze_list", "/v1/freezes", bearer)).await
    }

    pub async fn policy(&self, bearer: &Bearer) -> Result<PolicyShown, ClientError> {
        self.json(Call::get("policy_show", "/v1/policy", bearer)).await
    }

    pub async fn policy_upload(
        &self,
        bearer: &Bearer,
        files: &BundleFiles,
    ) -> Result<BundleKept, ClientError> {
        self.json(Call::post("policy_upload", "/v1/policy/bundles", Some(bearer), Some(files))).await
    }

    pub async fn policy_bundle(&self, bearer: &Bearer, digest: &str) -> Result<BundleFiles, ClientError> {
        let hex = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex {
            return Err(ClientError::Usage("a bundle's digest has 64 hex digits".into()));
        }
        self.json(Call::get("policy_bundle", format!("/v1/policy/bundles/{digest}"), bearer)).await
    }

    pub async fn policy_explain(
        &self,
        bearer: &Bearer,
        request: &ExplainRequest,
    ) -> Result<Explanation, ClientError> {
        self.json(Call::post("policy_explain", "/v1/policy/explain", Some(bearer), Some(request))).await
    }

    pub async fn node(&self, bearer: &Bearer) -> Result<NodeInfo, ClientError> {
        self.json(Call::get("node_show", "/v1/node", bearer)).await
    }

    pub async fn tenants(&self, bearer: &Bearer) -> Result<TenantList, ClientError> {
        self.json(Call::get("tenant_list", "/v1/tenants", bearer)).await
    }

    pub async fn tenant(&self, bearer: &Bearer, tenant: TenantUid) -> Result<TenantDetail, ClientError> {
        self.json(Call::get("tenant_show", format!("/v1/tenants/{tenant}"), bearer)).await
    }

    pub async fn preview(
        &self,
        bearer: &Bearer,
        tenant: TenantUid,
        request: &PreviewRequest,
    ) -> Result<Preview, ClientError> {
        let path = format!("/v1/tenants/{tenant}/preview");
        self.json(Call::post("preview", path, Some(bearer), Some(request))).await
    }

    /// `GET /v1/tenants/{tenant}/receipts`, from an index, or the last ones with [`From::Last`].
    pub async fn receipts(
        &self,
        bearer: &Bearer,
        tenant: TenantUid,
        from: From,
        limit: u16,
    ) -> Result<ReceiptPage, ClientError> {
        let path = format!("/v1/tenants/{tenant}/receipts?from={from}&limit={}", limit.min(500));
        self.json(Call::get("receipt_list", path, bearer)).await
    }

    pub async fn receipt_proof(
        &self,
        bearer: &Bearer,
        tenant: TenantUid,
        index: u64,
    ) -> Result<ReceiptBundle, ClientError> {
        let path = format!("/v1/tenants/{tenant}/receipts/{index}/proof");
        self.json(Call::get("receipt_proof", path, bearer)).await
    }

    pub async fn log_head(&self, bearer: &Bearer, tenant: TenantUid) -> Result<LogHead, ClientError> {
        self.json(Call::get("log_head", format!("/v1/tenants/{tenant}/checkpoint"), bearer)).await
    }

    pub async fn consistency(
        &self,
        bearer: &Bearer,
        tenant: TenantUid,
        from: u64,
        to: u64,
    ) -> Result<Consistency, ClientError> {
        let path = format!("/v1/tenants/{tenant}/consistency?from={from}&to={to}");
        self.json(Call::get("consistency", path, bearer)).await
    }

    pub async fn slo(&self, bearer: &Bearer, tenant: TenantUid) -> Result<SloList, ClientError> {
        self.json(Call::get("slo_show", format!("/v1/tenants/{tenant}/slo"), bearer)).await
    }

    /// `GET /v1/incidents`, or those of one log.
    pub async fn incidents(
        &self,
        bearer: &Bearer,
        log: Option<TenantUid>,
    ) -> Result<IncidentList, ClientError> {
        match log {
            None => self.json(Call::get("incident_all", "/v1/incidents", bearer)).await,
            Some(t) => {
                self.json(Call::get("incident_list", format!("/v1/tenants/{t}/incidents"), bearer)).await
            }
        }
    }

    /// `GET /v1/tenants/{tenant}/timeline`: one page, of a time, after an index.
    pub async fn timeline(
        &self,
        bearer: &Bearer,
        tenant: TenantUid,
        (from, to): (Option<u64>, Option<u64>),
        after: Option<u64>,
    ) -> Result<Timeline, ClientError> {
        let given = [("from", from), ("to", to), ("after", after)];
        let query: Vec<String> = given.iter().filter_map(|(k, v)| v.map(|v| format!("{k}={v}"))).collect();
        let path = format!("/v1/tenants/{tenant}/timeline?{}", query.join("&"));
        self.json(Call::get("timeline", path, bearer)).await
    }

    /// `GET /v1/tenants/{tenant}/config`: the newest so many revisions, before one when it is given.
    pub async fn config_history(
        &self,
        bearer: &Bearer,
        tenant: TenantUid,
        limit: u64,
        before: Option<u64>,
    ) -> Result<ConfigHistory, ClientError> {
        let before = before.map_or_else(String::new, |b| format!("&before={b}"));
        let path = format!("/v1/tenants/{tenant}/config?limit={limit}{before}");
        self.json(Call::get("config_history", path, bearer)).await
    }

    pub async fn config_revision(
        &self,
        bearer: &Bearer,
        tenant: TenantUid,
        revision: u64,
    ) -> Result<ConfigRevision, ClientError> {
        let path = format!("/v1/tenants/{tenant}/config/{revision}");
        self.json(Call::get("config_revision", path, bearer)).await
    }

    pub async fn totals(&self, bearer: &Bearer, tenant: TenantUid) -> Result<Totals, ClientError> {
        self.json(Call::get("totals", format!("/v1/tenants/{tenant}/totals"), bearer)).await
    }

    pub async fn usage(
        &self,
        bearer: &Bearer,
        tenant: TenantUid,
        query: &[(&str, String)],
    ) -> Result<UsageAnswer, ClientError> {
        self.json(Call::get("usage", metered(tenant, "usage", query), bearer)).await
    }

    pub async fn cost(
        &self,
        bearer: &Bearer,
        tenant: TenantUid,
        query: &[(&str, String)],
    ) -> Result<CostAnswer, ClientError> {
        self.json(Call::get("cost", metered(tenant, "cost", query), bearer)).await
    }

    pub async fn explain(
        &self,
        bearer: &Bearer,
        tenant: TenantUid,
        query: &[(&str, String)],
    ) -> Result<Explained, ClientError> {
        self.json(Call::get("cost_explain", metered(tenant, "cost/explain", query), bearer)).await
    }

    /// `GET /v1/tenants/{tenant}/usage` or `cost`, as the file that it is.
    pub async fn metered_file(
        &self,
        bearer: &Bearer,
        tenant: TenantUid,
        what: &'static str,
        query: &[(&str, String)],
    ) -> Result<Vec<u8>, ClientError> {
        let answer =
            self.send(Call::get(what, metered(tenant, what, query), bearer), Some(REQUEST_TIMEOUT)).await?;
        self.bounded(what, answer, MAX_ANSWER).await
    }

    /// `GET /v1/tenants/{tenant}/usage/recount`. It may take long.
    pub async fn recount(&self, bearer: &Bearer, tenant: TenantUid) -> Result<Recount, ClientError> {
        let call = Call::get("usage_recount", format!("/v1/tenants/{tenant}/usage/recount"), bearer);
        let answer = self.send(call, None).await?;
        let body = self.bounded("usage_recount", answer, MAX_ANSWER).await?;
        serde_json::from_slice(&body).map_err(|e| self.bad("usage_recount", &e.to_string()))
    }

    pub async fn sinks(&self, bearer: &Bearer) -> Result<SinkList, ClientError> {
        self.json(Call::get("sink_list", "/v1/sinks", bearer)).await
    }

    /// `GET /v1/tenants/{tenant}/dead-letters`: one page, after a number.
    pub async fn dead_letters(
        &self,
        bearer: &Bearer,
        tenant: TenantUid,
        sink: &Ident,
        after: Option<u64>,
        limit: u64,
    ) -> Result<DeadLetters, ClientError> {
        let mut q = vec![("sink", sink.to_string()), ("limit", limit.to_string())];
        q.extend(after.map(|a| ("after", a.to_string())));
        self.json(Call::get("dead_letters", metered(tenant, "dead-letters", &q), bearer)).await
    }

    pub async fn rates(&self, bearer: &Bearer) -> Result<Rates, ClientError> {
        self.json(Call::get("rates", "/v1/rates", bearer)).await
    }

    pub(super) async fn json<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        call: Call<'_, B>,
    ) -> Result<T, ClientError> {
        let name = call.name;
        let answer = self.send(call, Some(REQUEST_TIMEOUT)).await?;
        let body = self.bounded(name, answer, MAX_ANSWER).await?;
        serde_json::from_slice(&body).map_err(|e| self.bad(name, &e.to_string()))
    }

    /// Sends a call and takes only success. `limit` bounds the whole exchange; without it only silence is bounded.
    pub(super) async fn send<B: Serialize + ?Sized>(
        &self,
        call: Call<'_, B>,
        limit: Option<Duration>,
    ) -> Result<Response, ClientError> {
        let name = call.name;
        let mut request = self.http.request(call.method, self.endpoint.base_url() + &call.path);
        if let Some(limit) = limit {
            request = request.timeout(limit);
        }
        if let Some(b) = call.bearer {
            let header = Zeroizing::new(format!("Bearer {}", b.secret()));
            let mut value = reqwest::header::HeaderValue::from_str(&header)
                .map_err(|_| ClientError::Usage("a bearer token is visible ASCII characters".into()))?;
            value.set_sensitive(true);
            request = request.header(reqwest::header::AUTHORIZATION, value);
        }
        if let Some(key) = call.idempotency_key {
            request = request.header(conductor_shared::http::IDEMPOTENCY_KEY, key);
        }
        if let Some(body) = call.body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|e| self.broken(name, &e))?;
        if answer.status().is_success() { Ok(answer) } else { Err(self.refused(name, answer).await) }
    }

    async fn refused(&self, name: &'static str, answer: Response) -> ClientError {
        let status = answer.status();
        let wait = answer.headers().get(reqwest::header::RETRY_AFTER);
        let wait = wait.and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse::<u32>().ok());
        let body = match self.bounded(name, answer, MAX_PROBLEM).await {
            Ok(b) => b,
            Err(e) => return e,
        };
        let Ok(mut p) = serde_json::from_slice::<Problem>(&body) else {
            let text: String = String::from_utf8_lossy(&body).chars().take(120).collect();
            return self.bad(name, &format!("status {status} without a problem document: \"{text}\""));
        };
        if p.retry_after_us.is_none() {
            p.retry_after_us = wait.map(|s| u64::from(s) * 1_000_000);
        }
        if status == StatusCode::UNAUTHORIZED {
            return ClientError::Unauthorised {
                endpoint: self.endpoint.to_string(),
                why: escape(&p.detail, 300),
                remedy: Reason::Unauthenticated.remedy(),
            };
        }
        ClientError::Denied(Box::new(p))
    }

    async fn bounded(
        &self,
        name: &'static str,
        mut answer: Response,
        max: usize,
    ) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|e| self.broken(name, &e))? {
            if body.len() + part.len() > max {
                return Err(self.bad(name, &format!("it is longer than {max} bytes")));
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    pub(super) fn bad(&self, what: &'static str, why: &str) -> ClientError {
        ClientError::BadAnswer { endpoint: self.endpoint.to_string(), what, why: escape(why, 300) }
    }

    pub(super) fn broken(&self, what: &'static str, e: &reqwest::Error) -> ClientError {
        let endpoint = self.endpoint.to_string();
        if let Some(found) = tls::pin_mismatch(e) {
            return ClientError::Pin { endpoint, found };
        }
        if e.is_timeout() && !e.is_connect() {
            return ClientError::TimedOut { endpoint, what, seconds: REQUEST_TIMEOUT.as_secs() };
        }
        unreachable_agent(&self.endpoint, e)
    }
}

/// Path and query of a question about metering.
fn metered(tenant: TenantUid, what: &str, query: &[(&str, String)]) -> String {
    let path = format!("/v1/tenants/{tenant}/{what}");
    // The host is a placeholder: only the percent-encoded query is used.
    let url = reqwest::Url::parse_with_params("http://agent/", query);
    match url.ok().and_then(|u| u.query().map(str::to_owned)) {
        Some(q) => format!("{path}?{q}"),
        None => path,
    }
}

/// No connection: reports the innermost cause, which is the specific one.
pub(super) fn unreachable_agent(endpoint: &Endpoint, e: &(dyn std::error::Error + 'static)) -> ClientError {
    let mut inner: &dyn std::error::Error = e;
    while let Some(next) = inner.source() {
        inner = next;
    }
    let remedy = match endpoint {
        Endpoint::Unix(_) => {
            "Is the agent running, and may you open its socket? (systemctl status conductord; ls -l)"
        }
        Endpoint::Plain { .. } => "Is the agent running, and does it listen there with its demo flag?",
        Endpoint::Tls { .. } => "Is the agent running, and does it listen there?",
    };
    ClientError::Unreachable { endpoint: endpoint.to_string(), why: escape(&inner.to_string(), 200), remedy }
}

impl<'a> Call<'a, ()> {
    pub(super) fn get(name: &'static str, path: impl Into<String>, bearer: &'a Bearer) -> Self {
        Self {
            method: Method::GET,
            name,
            path: path.into(),
            bearer: Some(bearer),
            body: None,
            idempotency_key: None,
        }
    }
}

impl<'a, B: ?Sized> Call<'a, B> {
    pub(super) fn post(
        name: &'static str,
        path: impl Into<String>,
        bearer: Option<&'a Bearer>,
        body: Option<&'a B>,
    ) -> Self {
        Self { method: Method::POST, name, path: path.into(), bearer, body, idempotency_key: None }
    }
}

/// Where a list of receipts begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Index(u64),
    /// So many before the end.
    Last(u64),
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(i) => write!(f, "{i}"),
            Self::Last(n) => write!(f, "-{n}"),
        }
    }
}
