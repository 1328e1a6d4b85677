//! A real OPA server as the engine: fed with the bundle that the agent verified, over a unix socket whose peer must be
//! the expected user. An answer counts only with the nonce of its question and the digest of the bundle; anything else,
//! undefined included, is no verdict.

use conductor_policies::Bundle;
use conductor_shared::ids::hex;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Handle;

/// A question that takes longer is not answered (SPEC, invariant 3).
const LIMIT: Duration = Duration::from_millis(500);
/// A bundle that takes longer to be taken is not there.
const FEED_LIMIT: Duration = Duration::from_secs(5);
/// Bytes of an answer at most, and of the list of all modules, which OPA tells parsed.
const MAX_ANSWER: usize = 64 << 10;
const MAX_LIST: usize = 64 << 20;
/// Packages that nobody else's modules may be in: what rules say, and what ties it to a question.
const OURS: [&str; 2] = ["conductor", AGENT];
const AGENT: &str = "conductor_agent";
/// Connections kept.
const POOL: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpaConfig {
    /// Its unix socket.
    pub socket: PathBuf,
    /// The user it must run as; the agent's own unless given.
    #[serde(default)]
    pub uid: Option<u32>,
}

/// Why it gave no verdict.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpaError {
    /// Not reached, or gone.
    #[error("OPA at {0}: {1}")]
    Reach(PathBuf, String),
    /// Somebody else listens there.
    #[error("OPA at {0} runs as user {1}, expected {2}: set policy.opa.uid, or find out who that is")]
    Peer(PathBuf, u32, u32),
    /// It took too long.
    #[error("OPA at {0} did not answer in {1:?}")]
    Slow(PathBuf, Duration),
    /// It answered, and it is no verdict.
    #[error("OPA at {0}: {1}")]
    Answer(PathBuf, String),
}

type Sender = SendRequest<Full<Bytes>>;

/// The policies that it has.
#[derive(Deserialize)]
struct List {
    result: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    ast: Module,
}

#[derive(Deserialize)]
struct Module {
    package: Package,
}

/// `data`, and the names of the package.
#[derive(Deserialize)]
struct Package {
    path: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    value: serde_json::Value,
}

impl Listed {
    /// Put there by an agent.
    fn is_fed(&self) -> bool {
        OURS.iter().any(|p| self.id.strip_prefix(p).is_some_and(|rest| rest.starts_with('/')))
    }

    /// It is in a package whose rules decide.
    fn decides(&self) -> bool {
        self.ast.package.path.get(1).is_none_or(|p| OURS.iter().any(|o| p.value == *o))
    }
}

pub struct Opa {
    config: OpaConfig,
    runtime: Handle,
    pool: Mutex<Vec<Sender>>,
    /// Digest of the bundle that it has, as far as is known.
    fed: Mutex<Option<[u8; 32]>>,
}

impl Opa {
    /// Reaches it when first asked.
    pub fn new(config: OpaConfig, runtime: Handle) -> Self {
        Self { config, runtime, pool: Mutex::default(), fed: Mutex::default() }
    }

    /// May it? Blocks; never called on the runtime's own threads.
    pub(super) fn ask(&self, bundle: &Bundle, input: &str) -> Result<bool, OpaError> {
        if *self.fed.lock() != Some(bundle.digest()) {
            self.feed(bundle)?;
        }
        if let Some(verdict) = self.question(bundle, input)? {
            return Ok(verdict);
        }
        // It was restarted and lost the bundle.
        self.feed(bundle)?;
        let undefined = || self.wrong("the answer is undefined");
        self.question(bundle, input)?.ok_or_else(undefined)
    }

    fn question(&self, bundle: &Bundle, input: &str) -> Result<Option<bool>, OpaError> {
        let mut nonce = [0u8; 16];
        getrandom::fill(&mut nonce).map_err(|e| self.wrong(&e.to_string()))?;
        let document: serde_json::Value =
            serde_json::from_str(input).map_err(|e| self.wrong(&e.to_string()))?;
        let body = serde_json::json!({ "input": { "nonce": hex(&nonce), "document": document } });
        let answer = self.call(Method::POST, &format!("/v1/data/{AGENT}/answer"), body.to_string(), LIMIT)?;
        read_answer(&answer, &hex(&nonce), &hex(&bundle.digest())).map_err(|e| self.wrong(&e))
    }

    /// Uploads the files, and last the rule that names them.
    fn feed(&self, bundle: &Bundle) -> Result<(), OpaError> {
        let mut fed = self.fed.lock();
        *fed = None;
        let names: Vec<String> = bundle.rules().map(|(n, _)| format!("conductor/{n}")).collect();
        // The rule that answers goes first, so that nothing half fed does.
        for old in self.fed_modules()?.iter().filter(|id| !names.contains(id)) {
            self.call(Method::DELETE, &format!("/v1/policies/{old}"), String::new(), FEED_LIMIT)?;
        }
        let data = bundle.data().map_err(|e| self.wrong(&e.to_string()))?;
        self.call(Method::PUT, "/v1/data/conductor", data, FEED_LIMIT)?;
        for (name, (_, text)) in names.iter().zip(bundle.rules()) {
            self.call(Method::PUT, &format!("/v1/policies/{name}"), text.to_owned(), FEED_LIMIT)?;
        }
        let rule = answering_rule(&hex(&bundle.digest()));
        self.call(Method::PUT, &format!("/v1/policies/{AGENT}/answer.rego"), rule, FEED_LIMIT)?;
        *fed = Some(bundle.digest());
        Ok(())
    }

    /// The modules that an agent put there. Anybody else's that could say what is allowed is refused by name.
    fn fed_modules(&self) -> Result<Vec<String>, OpaError> {
        let list = self.call(Method::GET, "/v1/policies", String::new(), FEED_LIMIT)?;
        let list: List = serde_json::from_slice(&list).map_err(|e| self.wrong(&e.to_string()))?;
        let (fed, others): (Vec<Listed>, Vec<Listed>) = list.result.into_iter().partition(Listed::is_fed);
        if let Some(other) = others.iter().find(|l| l.decides()) {
            let ours = OURS.join(" and ");
            return Err(self.wrong(&format!(
                "its module {} stands in a package that only this agent may fill ({ours}): remove it from OPA",
                other.id
            )));
        }
        Ok(fed.into_iter().map(|l| l.id).collect())
    }

    /// It answers, and by nobody else's rules.
    pub(super) fn probe(&self, bundle: &Bundle, input: &str) -> Result<(), OpaError> {
        self.fed_modules()?;
        self.ask(bundle, input).map(drop)
    }

    fn wrong(&self, what: &str) -> OpaError {
        OpaError::Answer(self.config.socket.clone(), what.chars().take(300).collect())
    }

    fn call(&self, method: Method, path: &str, body: String, limit: Duration) -> Result<Bytes, OpaError> {
        let exchange = async {
            let most = if method == Method::GET { MAX_LIST } else { MAX_ANSWER };
            match tokio::time::timeout(limit, self.exchange((method, path, body), most)).await {
                Ok(done) => done,
                Err(_) => Err(OpaError::Slow(self.config.socket.clone(), limit)),
            }
        };
        self.runtime.block_on(exchange)
    }

    async fn exchange(
        &self,
        (method, path, body): (Method, &str, String),
        most: usize,
    ) -> Result<Bytes, OpaError> {
        let gone = |e: &dyn std::fmt::Display| OpaError::Reach(self.config.socket.clone(), e.to_string());
        let mut sender = self.sender().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "opa")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| self.wrong(&e.to_string()))?;
        let response = sender.send_request(request).await.map_err(|e| gone(&e))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), most).collect().await;
        let body = body.map_err(|e| self.wrong(&e.to_string()))?.to_bytes();
        if !status.is_success() {
            return Err(self.wrong(&format!("{status}: {}", String::from_utf8_lossy(&body))));
        }
        let mut pool = self.pool.lock();
        if pool.len() < POOL {
            pool.push(sender);
        }
        Ok(body)
    }

    async fn sender(&self) -> Result<Sender, OpaError> {
        let kept = || self.pool.lock().pop();
        while let Some(mut s) = kept() {
            if s.ready().await.is_ok() {
                return Ok(s);
            }
        }
        let path = &self.config.socket;
        let gone = |e: &dyn std::fmt::Display| OpaError::Reach(path.clone(), e.to_string());
        let stream = UnixStream::connect(path).await.map_err(|e| gone(&e))?;
        let found = stream.peer_cred().map_err(|e| gone(&e))?.uid();
        let expected = self.config.uid.unwrap_or_else(|| nix::unistd::geteuid().as_raw());
        if found != expected {
            return Err(OpaError::Peer(path.clone(), found, expected));
        }
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| gone(&e))?;
        self.runtime.spawn(connection);
        Ok(sender)
    }
}

/// The rule that is asked: it ties the verdict to the question and to the bundle.
fn answering_rule(digest: &str) -> String {
    format!(
        "package {AGENT}\n\ndefault allowed := false\n\nallowed if data.conductor.allow == true with input as input.document\n\nanswer := {{\"nonce\": input.nonce, \"digest\": \"{digest}\", \"allow\": allowed}}\n"
    )
}

/// The verdict; `None` when it is undefined.
fn read_answer(body: &[u8], nonce: &str, digest: &str) -> Result<Option<bool>, String> {
    #[derive(Deserialize)]
    struct Envelope {
        #[serde(default)]
        result: Option<Answer>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Answer {
        nonce: String,
        digest: String,
        allow: bool,
    }
    let envelope: Envelope = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    match envelope.result {
        None => Ok(None),
        Some(a) if a.nonce != nonce => Err("it answers another question".into()),
        Some(a) if a.digest != digest => Err("it answers by another bundle".into()),
        Some(a) => Ok(Some(a.allow)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DESIGN, OPA: an answer carries the query's nonce and the bundle's digest; undefined is no verdict.
    #[test]
    fn only_a_bound_answer_counts() {
        let answer = |text: &str| read_answer(text.as_bytes(), "n1", "d1");
        assert_eq!(answer(r#"{"result":{"nonce":"n1","digest":"d1","allow":true}}"#), Ok(Some(true)));
        assert_eq!(answer(r#"{"result":{"nonce":"n1","digest":"d1","allow":false}}"#), Ok(Some(false)));
        assert_eq!(answer(r#"{"decision_id":"x"}"#), Ok(None));
        for lie in [
            r#"{"result":{"nonce":"n0","digest":"d1","allow":true}}"#,
            r#"{"result":{"nonce":"n1","digest":"d0","allow":true}}"#,
            r#"{"result":{"digest":"d1","allow":true}}"#,
            r#"{"result":{"nonce":"n1","digest":"d1","allow":"true"}}"#,
            r#"{"result":true}"#,
            "true",
            "",
        ] {
            assert!(answer(lie).is_err(), "{lie}");
        }
    }
}
