//! What the process does for its secrets before it reads one: no core dumps, no reading by debuggers, no swap, no file
//! that others may read.
//!
//! It must never make a missing privilege fatal where the secret is merely less well kept: that is a warning.

use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

/// Value of a limit that is none.
const UNLIMITED: u64 = u64::MAX;

/// Forbids core dumps and files that others may read. For every subcommand that meets a secret. Returns warnings.
pub fn process() -> Vec<String> {
    let mut warnings = Vec::new();
    umask(Mode::from_bits_truncate(0o077));
    if let Err(e) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        warnings.push(format!("core dumps cannot be limited to nothing: {e}"));
    }
    if let Err(e) = nix::sys::prctl::set_dumpable(false) {
        warnings.push(format!("the process cannot be made undumpable: {e}"));
    }
    warnings
}

/// Locks the pages of the process, so that no key reaches the swap. All later ones too where the limit allows it;
/// otherwise only those of now, because an allocation over the limit would end the process.
pub fn lock_memory() -> Result<(), String> {
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, UNLIMITED, UNLIMITED);
    let unlimited = getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft == UNLIMITED);
    let flags = if unlimited {
        MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE
    } else {
        MlockAllFlags::MCL_CURRENT
    };
    match mlockall(flags) {
        Ok(()) => Ok(()),
        Err(e) => Err(format!(
            "the pages of the key cannot be locked ({e}): they may reach the swap; in the unit set LimitMEMLOCK=infinity"
        )),
    }
}
