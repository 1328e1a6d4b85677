//! What the process's limit of open files is shared out to. The store's files are reserved first, then the operators'
//! connections; tenants' sockets and workloads' connections have the rest.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// With fewer the agent does not start.
const MIN_FILES: u64 = 640;
/// Standard streams, logs, event queues, signer, sinks, OPA server, folders that are synced.
const AGENT_FILES: u64 = 128;
/// Configured listeners of both kinds at most.
pub const MAX_LISTENERS: u64 = 16;
/// Connections that were hung up on and are not closed yet, of both kinds of listener.
const CLOSING_FILES: u64 = 2 * 64;
/// Files of the store beside its tables: logs, manifest, tables that are being written.
const STORE_BESIDE: u64 = 64;

/// Table files that the store keeps open.
const STORE_FILES: Bounds = Bounds(128, 2_000);
/// Connections of all operators' listeners.
const OPERATOR_CONNECTIONS: Bounds = Bounds(16, 256);
/// Sockets of tenants.
const TENANT_SOCKETS: Bounds = Bounds(16, 2_000);
/// Connections of all workloads' listeners.
const WORKLOAD_CONNECTIONS: Bounds = Bounds(64, 4_096);

/// The least and the most that something gets.
struct Bounds(u64, u64);

impl Bounds {
    fn of(&self, files: u64) -> usize {
        usize::try_from(files.clamp(self.0, self.1)).unwrap_or(usize::MAX)
    }
}

/// How many files each part of the agent may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFiles {
    /// The limit of the process.
    pub limit: u64,
    pub store: usize,
    pub operators: usize,
    pub tenant_sockets: usize,
    pub workloads: usize,
}

/// Raises the limit of this process as far as it helps and the hard limit allows.
pub fn raise() -> Result<OpenFiles, String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((MIN_FILES, MIN_FILES));
    let wanted = all_that_helps().min(hard);
    let raised = soft >= wanted || setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok();
    let limit = if raised { soft.max(wanted) } else { soft };
    if limit < MIN_FILES {
        return Err(format!(
            "only {limit} files may be open, and the agent needs {MIN_FILES}: raise LimitNOFILE to {} (ulimit -n)",
            all_that_helps()
        ));
    }
    let files = share_out(limit);
    if limit < all_that_helps() {
        tracing::warn!(
            "only {limit} files may be open: {} connections of workloads, {} sockets of tenants, {} connections of \
             operators; raise LimitNOFILE to {}",
            files.workloads,
            files.tenant_sockets,
            files.operators,
            all_that_helps()
        );
    }
    Ok(files)
}

/// By the limit as it is now.
pub fn now() -> OpenFiles {
    share_out(getrlimit(Resource::RLIMIT_NOFILE).map_or(MIN_FILES, |(soft, _)| soft))
}

const FIXED: u64 = AGENT_FILES + MAX_LISTENERS + CLOSING_FILES + STORE_BESIDE;

fn all_that_helps() -> u64 {
    FIXED + STORE_FILES.1 + OPERATOR_CONNECTIONS.1 + TENANT_SOCKETS.1 + WORKLOAD_CONNECTIONS.1
}

fn share_out(limit: u64) -> OpenFiles {
    let rest = limit.saturating_sub(FIXED);
    let (store, operators) = (STORE_FILES.of(rest / 2), OPERATOR_CONNECTIONS.of(rest / 16));
    let rest = rest.saturating_sub((store + operators) as u64);
    let tenant_sockets = TENANT_SOCKETS.of(rest / 3);
    let workloads = WORKLOAD_CONNECTIONS.of(rest.saturating_sub(tenant_sockets as u64));
    OpenFiles { limit, store, operators, tenant_sockets, workloads }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C8, C9: from the lowest limit on all parts together fit, and each has what it cannot do without.
    #[test]
    fn everything_fits() {
        for limit in [MIN_FILES, 700, 1_024, 2_600, 4_096, 8_192, 65_536, 1 << 20, u64::MAX] {
            let f = share_out(limit);
            let all = f.store + f.operators + f.tenant_sockets + f.workloads;
            assert!(all as u64 + FIXED <= limit, "{f:?}");
            assert!(
                f.store >= 128 && f.operators >= 16 && f.tenant_sockets >= 16 && f.workloads >= 64,
                "{f:?}"
            );
        }
        let ample = share_out(all_that_helps());
        assert_eq!((ample.store, ample.operators), (2_000, 256));
        assert_eq!((ample.tenant_sockets, ample.workloads), (2_000, 4_096));
    }
}
