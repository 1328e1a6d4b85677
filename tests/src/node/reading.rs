//! What a node answers about itself and its logs.

use super::Node;
use crate::programs::{bin, wait_for};
use conductor_shared::control::ControlState;
use conductor_shared::http::{LogHead, TenantDetail};
use conductor_shared::ids::{PersonId, TenantUid};
use serde_json::Value;
use std::process::Command;

impl Node {
    /// A tenant as an operator sees it.
    pub fn detail(&self, tenant: TenantUid) -> TenantDetail {
        self.operator().get(&format!("/v1/tenants/{tenant}")).read()
    }

    /// What is in force for a tenant.
    pub fn control(&self, tenant: TenantUid) -> ControlState {
        self.detail(tenant).control
    }

    /// The id of a person.
    pub fn person(&self, name: &str) -> PersonId {
        let operators = self.control(TenantUid::NODE).operators;
        let found = operators.values().find(|operator| operator.name.to_string() == name);
        found.expect("a person").person
    }

    /// The text of `GET /metrics`.
    pub fn metrics(&self) -> String {
        String::from_utf8(self.client("").get("/metrics").body).expect("text")
    }

    /// Waits until the agent's clock has advanced by this much.
    pub fn wait_us(&self, us: u64) {
        let until = self.now_us() + us;
        wait_for("time passes", us / 1_000_000 + 10, || (self.now_us() >= until).then_some(()));
    }

    /// Head of a log: durable size, signed size.
    pub fn head(&self, tenant: TenantUid) -> (u64, u64) {
        let head: LogHead = self.operator().get(&format!("/v1/tenants/{tenant}/checkpoint")).read();
        let signed = head.checkpoint.and_then(|c| c.text.lines().nth(1)?.parse().ok()).unwrap_or(0);
        (head.size, signed)
    }

    /// Waits until everything in a log is signed.
    pub fn all_signed(&self, tenant: TenantUid) -> u64 {
        wait_for("everything is signed", 20, || {
            let (size, signed) = self.head(tenant);
            (size == signed).then_some(size)
        })
    }

    /// The signer's public key, base64.
    pub fn signer_key(&self) -> String {
        let text = std::fs::read_to_string(self.path("signer/signer.pub")).expect("a key");
        text.lines().nth(1).expect("a line").to_owned()
    }

    /// Runs `conductord check` on the stopped agent's data; fails on any difference.
    pub fn check(&self) {
        let out = self.conductord().arg("check").arg("--config").arg(self.path("c.toml")).output();
        let out = out.expect("the program starts");
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{}: {text}", out.status);
    }

    /// Runs a plain command as ana: whether it succeeded, its JSON, and all that it wrote.
    pub fn cli(&self, args: &[&str]) -> (bool, Value, String) {
        let out = Command::new(bin("conductor"))
            .args(["--json", "--agent", &format!("unix:{}", self.operator_socket().display())])
            .arg("--key")
            .arg(self.operator_key())
            .args(args)
            .env("XDG_STATE_HOME", self.path("state"))
            .output()
            .expect("the program starts");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let said = text.clone() + &String::from_utf8_lossy(&out.stderr);
        (out.status.success(), serde_json::from_str(&text).unwrap_or_default(), said)
    }
}
