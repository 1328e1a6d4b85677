//! What operators do: sessions, signed commands, and approvals.

use super::{Node, Tenant};
use crate::programs::{random, wait_for, write_secret};
use crate::{Answer, Client};
use conductor_shared::command::{Audience, Command, Operation, ops};
use conductor_shared::fact::ChangeClass;
use conductor_shared::http::{Challenge, CommandOutcome, CommandStatus, NodeInfo, Preview, SessionOpened};
use conductor_shared::ids::{CommandId, Ident, TenantUid, TokenId, hex, unhex};
use conductor_shared::operator::{Answer as ApprovalVerdict, Approval};
use conductor_shared::session::{Session, Transport};
use conductor_shared::untrusted::UntrustedText;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::time::Duration;

/// How long a command or an approval is good for.
const LIFE_US: u64 = 60_000_000;

impl Node {
    /// A client with ana's session. Sessions end with the agent, so each call may open a new one.
    pub fn operator(&self) -> Client {
        let mut session = self.session.lock().expect("not poisoned");
        let mut c = self.client(&session);
        if session.is_empty() || c.get("/v1/node").status != 200 {
            *session = self.session_of("ana").read::<SessionOpened>().token;
            c.bearer.clone_from(&session);
        }
        c
    }

    /// A person's session, or the refusal.
    pub fn session_of(&self, who: &str) -> Answer {
        let mut c = self.client("");
        let challenge: Challenge = c.post("/v1/sessions/challenge", &json!({})).read();
        let session = Session {
            node: self.id,
            transport: Transport::Unix,
            challenge: unhex(&challenge.challenge).expect("hex"),
            issued_at_us: challenge.node.now_us,
        };
        c.post("/v1/sessions", &self.signed_by(who, &session.text()))
    }

    /// The agent's wall clock, microseconds since the Unix epoch.
    pub fn now_us(&self) -> u64 {
        self.operator().get("/v1/node").read::<NodeInfo>().now_us
    }

    /// A text with ana's signature, as a request body.
    pub fn signed(&self, text: &str) -> Value {
        self.signed_by("ana", text)
    }

    /// A text with a person's signature, or with that of a key that is nobody's yet.
    pub fn signed_by(&self, who: &str, text: &str) -> Value {
        let key = match who {
            "ana" => &self.key,
            _ => &self.others.iter().find(|(name, _)| name == who).expect("a person").1,
        };
        let first = text.lines().next();
        let sig = minisign::sign(Some(&key.pk), &key.sk, text.as_bytes(), first, None).expect("signed");
        json!({"text": text, "signature": sig.to_string(), "public_key": key.pk.to_base64()})
    }

    /// A file that only its owner reads.
    pub fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        write_secret(&path, text);
        path
    }

    /// The operator's key as such a file.
    pub fn operator_key(&self) -> PathBuf {
        self.secret("ana.key", &self.key.sk.to_box(Some("test")).expect("a box").into_string())
    }

    /// Another key, known here under a name.
    pub fn new_key(&mut self, name: &str) -> String {
        let key = minisign::KeyPair::generate_unencrypted_keypair().expect("a key");
        let public = key.pk.to_base64();
        self.others.push((name.to_owned(), key));
        public
    }

    /// A person's key under another id, known here under a name.
    pub fn twin_of(&mut self, who: &str, name: &str) -> String {
        const ID: std::ops::Range<usize> = 2..10;
        /// Where the id stands in a secret key, after the algorithms and what its encryption takes.
        const SECRET_ID: std::ops::Range<usize> = 54..62;
        let key = &self.others.iter().find(|(n, _)| n == who).expect("a person").1;
        let (mut public, mut secret) = (key.pk.to_bytes(), key.sk.to_bytes());
        public[ID].fill(7);
        secret[SECRET_ID].fill(7);
        let pk = minisign::PublicKey::from_bytes(&public).expect("a public key");
        let sk = minisign::SecretKey::from_bytes(&secret).expect("a secret key");
        let text = pk.to_base64();
        self.others.push((name.to_owned(), minisign::KeyPair { pk, sk }));
        text
    }

    /// A command, its base taken from a preview.
    pub fn compose(&self, tenant: TenantUid, operation: impl Into<Operation>) -> Command {
        let operation = operation.into();
        let path = format!("/v1/tenants/{tenant}/preview");
        let answer = self.operator().post(&path, &json!({"operation": operation.to_list()}));
        let preview: Preview = answer.read();
        let loosens = preview.class == ChangeClass::Loosen;
        let base = loosens.then(|| unhex(&preview.base).expect("hex"));
        Command { base, ..self.absolute(tenant, operation) }
    }

    /// A command without a base, as it is made where no preview can be had.
    pub fn absolute(&self, tenant: TenantUid, operation: impl Into<Operation>) -> Command {
        let operation = operation.into();
        let now = self.now_us();
        Command {
            command_id: CommandId(random()),
            audience: Audience::Nodes(vec![self.id]),
            tenant,
            base: None,
            operation,
            reason: UntrustedText::new("test"),
            issued_at_us: now,
            expires_at_us: now + LIFE_US,
            nonce: random(),
        }
    }

    /// Signs and sends a command.
    pub fn send(&self, command: &Command) -> Answer {
        self.send_as("ana", command)
    }

    /// Sends a command that another person signed. No session is needed: the signature says who it is.
    pub fn send_as(&self, who: &str, command: &Command) -> Answer {
        self.client("").post("/v1/commands", &self.signed_by(who, &command.text()))
    }

    /// Composes and sends a command that takes a second person.
    pub fn request(&self, tenant: TenantUid, operation: impl Into<Operation>) -> Command {
        let command = self.compose(tenant, operation);
        let answer = self.send(&command);
        assert_eq!(answer.read::<CommandOutcome>().status, CommandStatus::Requested);
        command
    }

    /// A command that must take effect, on the way to what a test is about. A signer that is held up by a busy disk
    /// denies it with a time to come back after; as a client should, it comes back, with a new command.
    pub fn command(&self, tenant: TenantUid, operation: impl Into<Operation>) -> CommandOutcome {
        const TRIES: u32 = 15;
        let op = operation.into();
        for attempt in 1.. {
            let answer = self.send(&self.compose(tenant, op.clone()));
            let held_up = answer.status != 200
                && answer.reasons() == ["signer_unavailable"]
                && answer.problem().retry_after_us.is_some();
            if held_up && attempt < TRIES {
                std::thread::sleep(Duration::from_secs(1));
                continue;
            }
            let outcome: CommandOutcome = answer.read();
            assert_eq!(outcome.status, CommandStatus::Effective, "{op:?}: {answer}\n{}", self.log());
            return outcome;
        }
        unreachable!("the last try is judged")
    }

    /// A person's answer to a request, as it is signed.
    pub fn approval(&self, command: &Command, verdict: ApprovalVerdict) -> Approval {
        let now = self.now_us();
        Approval {
            command_id: command.command_id,
            command_digest: Sha256::digest(command.text()).into(),
            node: self.id,
            tenant: command.tenant,
            verdict,
            issued_at_us: now,
            expires_at_us: now + LIFE_US,
            nonce: [1; 16],
        }
    }

    /// What a person's answer to a request comes to: its status, or the reasons of a denial.
    pub fn answer(&self, who: &str, approval: &Approval) -> Vec<String> {
        let r = self.client("").post("/v1/approvals", &self.signed_by(who, &approval.text()));
        let counted_before = r.reasons() == ["command_replayed"];
        assert!(
            counted_before || r.json()["receipt"]["index"].is_u64(),
            "a receipt, unless it counted before: {r}"
        );
        r.came_to()
    }

    /// What comes of it when a person approves a request.
    pub fn approve(&self, who: &str, command: &Command) -> Vec<String> {
        self.answer(who, &self.approval(command, ApprovalVerdict::Approve))
    }

    /// A tenant with a token and a workflow `etl`.
    pub fn tenant(&self, name: &str) -> Tenant {
        self.tenant_as(name, TenantUid(random()))
    }

    /// The same with the uid that it has on another node.
    pub fn tenant_as(&self, name: &str, uid: TenantUid) -> Tenant {
        let ident = |text: &str| Ident::new(text).expect("a name");
        self.command(TenantUid::NODE, ops::TenantCreate { tenant_uid: uid, tenant_id: ident(name) });
        let (token, secret) = (TokenId(random()), random::<32>());
        let secret_sha256 = Sha256::digest(secret).into();
        self.command(uid, ops::TokenIssue { token, name: ident("t"), secret_sha256 });
        self.command(uid, ops::WorkflowRegister { workflow: ident("etl") });
        Tenant { uid, name: name.to_owned(), token: format!("cdw_{uid}_{token}_{}", hex(&secret)) }
    }

    /// Waits until the agent takes the signer for up, or for down.
    pub fn wait_signer(&self, up: bool) {
        let line = format!("\nconductor_signer_up {}\n", u8::from(up));
        let what = if up { "the signer is back" } else { "the agent notices" };
        wait_for(what, 30, || self.metrics().contains(&line).then_some(()));
    }
}
