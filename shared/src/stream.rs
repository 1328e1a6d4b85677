//! The stream from one agent to a console: `GET /v1/stream`, a WebSocket.
//!
//! Text frames are JSON, one message each ([`ToConsole`], [`FromConsole`]). Binary frames carry summaries: any number
//! of them, [`Summary::LEN`] bytes each. After `hello` the agent sends `overview_begin`, the summaries of all tenants
//! in binary frames, and `overview_end`; then, at most twice a second, the summaries that changed (latest wins). Control
//! facts of the partitions one opens come in commit order with their `node_seq`; between two of them of one partition
//! there may be others. Traffic is read by query.

use crate::basis_points::BasisPoints;
use crate::codec::{CodecError, Reader};
use crate::control::ControlState;
use crate::http::{NodeInfo, ReceiptJson};
use crate::ids::{Ident, NodeId, TenantUid};
use crate::merkle::Hash;
use serde::{Deserialize, Serialize};

/// Version of this protocol.
pub const VERSION: u32 = 1;
/// No frame in either direction is larger.
pub const MAX_FRAME: usize = 256 * 1024;
/// Partitions one connection may have open at a time.
pub const MAX_OPEN: usize = 64;

/// What an agent sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToConsole {
    /// First of all.
    Hello {
        /// [`VERSION`] of the agent.
        version: u32,
        /// Who, and what time it is there.
        node: NodeInfo,
        /// Commit sequence up to which the overview that follows is true.
        node_seq: u64,
        /// Whether the stream goes on from where the console left off. If not, `resync` says why.
        resumed: bool,
        /// Why it does not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resync: Option<String>,
    },
    /// Summaries of all tenants follow.
    OverviewBegin {
        /// How many.
        tenants: u64,
    },
    /// They are complete.
    OverviewEnd,
    /// Health of the node, at most twice a second, and at least every second or so as a sign of life.
    Node(Box<NodeHealth>),
    /// Control state of a partition that was opened, complete as of `node_seq`.
    State {
        /// Which.
        tenant: TenantUid,
        /// As of.
        node_seq: u64,
        /// The state.
        state: Box<ControlState>,
    },
    /// A control fact of a partition that is open.
    Fact {
        /// Which.
        tenant: TenantUid,
        /// Its place in commit order.
        node_seq: u64,
        /// The receipt. Fold it with [`ControlState::apply_receipt`].
        receipt: Box<ReceiptJson>,
    },
    /// The console fell behind or asked for what is no longer kept: the partition's state will be sent again.
    Resync {
        /// Which; all that are open when `None`.
        tenant: Option<TenantUid>,
        /// Why.
        why: String,
    },
    /// The agent ends the stream.
    End {
        /// A reason code.
        why: String,
    },
}

/// What a console sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromConsole {
    /// First of all, within 10 s.
    Hello {
        /// [`VERSION`] of the console.
        version: u32,
        /// The `boot` and the last `node_seq` it saw, to go on from there.
        #[serde(default)]
        resume: Option<Resume>,
    },
    /// Send state and facts of this partition from now on.
    Open {
        /// Which.
        tenant: TenantUid,
    },
    /// No longer.
    Close {
        /// Which.
        tenant: TenantUid,
    },
}

/// Where a console left off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// The agent's start.
    pub boot: String,
    /// Last `node_seq` seen.
    pub node_seq: u64,
    /// Partitions that were open; their facts since then follow.
    pub open: Vec<TenantUid>,
}

/// State of the signer as the agent sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignerState {
    /// Signs.
    Up,
    /// Waits for its password.
    Locked,
    /// Does not answer, or answers wrongly.
    Down,
    /// Refuses: its memory and the log disagree.
    Refuses,
}

/// Health of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NodeHealth {
    /// Which.
    pub node_id: NodeId,
    /// Its name.
    pub name: Ident,
    /// The agent's time, microseconds since the Unix epoch.
    pub now_us: u64,
    /// Commit sequence.
    pub node_seq: u64,
    /// The signer.
    pub signer: SignerState,
    /// What is wrong with it, escaped for display; empty when up.
    pub signer_detail: String,
    /// Subsystems that do not do their work, the worst first.
    #[serde(default)]
    pub troubles: Vec<crate::health::Trouble>,
    /// Unsigned receipts of all partitions.
    pub backlog: u64,
    /// Age of the oldest unsigned receipt, microseconds.
    pub backlog_age_us: u64,
    /// Time until the first tenant's backlog quota stops its admissions, at the present rate, microseconds; `None`
    /// when it does not grow or is signed as it comes.
    pub admissions_stop_us: Option<u64>,
    /// Decisions a second over the last 10 s: allowed and denied.
    pub allow_rate: f64,
    /// Likewise.
    pub deny_rate: f64,
    /// Receipts made durable since the start.
    pub receipts: u64,
    /// Tenants.
    pub tenants: u64,
    /// Open runs of all tenants.
    pub open_runs: u64,
    /// Bytes free where the database is.
    pub disk_free: u64,
}

/// A fixed-size summary of one tenant. Numbers are big-endian in its binary form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Which.
    pub tenant: TenantUid,
    /// Display id.
    pub name: Ident,
    /// Flags: see the constants.
    pub flags: u16,
    /// Lowest ramp of any rule, hundredths of a percent; 10,000 without rules.
    pub ramp: BasisPoints,
    /// Durable entries of its log.
    pub size: u64,
    /// Root of those, unsigned.
    pub root: Hash,
    /// Size of its newest signed checkpoint.
    pub signed: u64,
    /// Time of the newest receipt, microseconds since the Unix epoch.
    pub last_us: u64,
    /// Open runs.
    pub open_runs: u32,
    /// Granted.
    pub run_quota: u32,
    /// Taken of the step burst.
    pub steps_used: u32,
    /// Granted.
    pub step_burst: u32,
    /// Granted steps a second.
    pub step_rate: u32,
    /// Granted backlog.
    pub backlog_quota: u32,
    /// Allowed decisions since the tenant was created.
    pub allowed: u64,
    /// Denied decisions, folded ones too.
    pub denied: u64,
    /// Open incidents.
    pub incidents: u16,
    /// Epoch of its log.
    pub epoch: u32,
}

/// [`Summary::flags`]: a kill switch is set.
pub const FLAG_KILLED: u16 = 1;
/// [`Summary::flags`]: a kill switch drains.
pub const FLAG_DRAINING: u16 = 2;
/// [`Summary::flags`]: some ramp is below 100 %.
pub const FLAG_RAMPED: u16 = 4;
/// [`Summary::flags`]: the log holds facts newer than the agent.
pub const FLAG_NEWER: u16 = 8;
/// [`Summary::flags`]: a proposal waits for its checkpoint.
pub const FLAG_PENDING: u16 = 16;
/// [`Summary::flags`]: a quota denied something in the last minute.
pub const FLAG_QUOTA: u16 = 32;
/// A freeze is on: nothing is loosened.
pub const FLAG_FROZEN: u16 = 64;

impl Summary {
    /// Bytes of one summary on the wire.
    pub const LEN: usize = 192;

    /// Appends the binary form.
    pub fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.tenant.0);
        let name = self.name.as_str().as_bytes();
        out.push(u8::try_from(name.len()).unwrap_or(63));
        out.extend_from_slice(name);
        out.resize(start + 80, 0);
        out.extend_from_slice(&self.root);
        for n in [self.size, self.signed, self.last_us, self.allowed, self.denied] {
            out.extend_from_slice(&n.to_be_bytes());
        }
        for n in [
            self.open_runs,
            self.run_quota,
            self.steps_used,
            self.step_burst,
            self.step_rate,
            self.backlog_quota,
            self.epoch,
        ] {
            out.extend_from_slice(&n.to_be_bytes());
        }
        for n in [self.flags, self.ramp.get(), self.incidents] {
            out.extend_from_slice(&n.to_be_bytes());
        }
        out.resize(start + Self::LEN, 0);
    }

    /// Reads the summaries of one binary frame.
    pub fn read_all(frame: &[u8]) -> Result<Vec<Self>, CodecError> {
        if !frame.len().is_multiple_of(Self::LEN) {
            return Err(CodecError::Long(frame.len() % Self::LEN));
        }
        frame.chunks_exact(Self::LEN).map(Self::read).collect()
    }

    fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader(bytes);
        let tenant = TenantUid(r.array()?);
        let len = usize::from(r.u8()?);
        let name: [u8; 63] = r.array()?;
        let name = name.get(..len).and_then(|n| std::str::from_utf8(n).ok()).and_then(|n| Ident::new(n).ok());
        Ok(Self {
            tenant,
            name: name.ok_or(CodecError::Expected("an identifier"))?,
            root: r.array()?,
            size: r.u64()?,
            signed: r.u64()?,
            last_us: r.u64()?,
            allowed: r.u64()?,
            denied: r.u64()?,
            open_runs: r.u32()?,
            run_quota: r.u32()?,
            steps_used: r.u32()?,
            step_burst: r.u32()?,
            step_rate: r.u32()?,
            backlog_quota: r.u32()?,
            epoch: r.u32()?,
            flags: r.u16()?,
            ramp: r.u16()?.try_into().map_err(|_| CodecError::Expected("at most 10,000"))?,
            incidents: r.u16()?,
        })
    }

    /// Receipts not yet covered by a signed checkpoint.
    pub fn backlog(&self) -> u64 {
        self.size.saturating_sub(self.signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Issue 2, Stream: one fixed size for each tenant, whatever it is called.
    #[test]
    fn summaries_are_of_one_size() {
        let s = Summary {
            tenant: TenantUid([1; 16]),
            name: Ident::new(&"n".repeat(63)).unwrap(),
            flags: FLAG_KILLED,
            ramp: BasisPoints::saturating(2),
            size: 3,
            root: [4; 32],
            signed: 1,
            last_us: 6,
            open_runs: 7,
            run_quota: 8,
            steps_used: 9,
            step_burst: 10,
            step_rate: 11,
            backlog_quota: 12,
            allowed: 13,
            denied: 14,
            incidents: 15,
            epoch: 16,
        };
        let short = Summary { name: Ident::new("a").unwrap(), ..s.clone() };
        let mut out = vec![];
        s.put(&mut out);
        short.put(&mut out);
        assert_eq!(out.len(), 2 * Summary::LEN);
        assert_eq!(Summary::read_all(&out).unwrap(), vec![s, short]);
        assert!(Summary::read_all(&out[1..]).is_err());
        out[16] = 200;
        assert!(Summary::read_all(&out).is_err());
    }
}
