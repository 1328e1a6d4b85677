//! Memory of this process.

/// Resident memory of this process, bytes; 0 where the system does not tell.
pub fn resident_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    line.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1_024
}
