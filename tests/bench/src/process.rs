//! What the kernel says about this process (`/proc/self`; Linux only).

use std::fs;

/// Resident memory in KiB.
pub(crate) fn resident_kib() -> Result<u64, String> {
    let status = read("/proc/self/status")?;
    number(&status, "VmRSS:").ok_or_else(|| "no VmRSS in /proc/self/status".to_owned())
}

/// How many file descriptors are open.
pub(crate) fn open_files() -> Result<usize, String> {
    fs::read_dir("/proc/self/fd").map(Iterator::count).map_err(|error| format!("cannot list /proc/self/fd: {error}"))
}

/// What the threads of this process, but for the main one, have used since they began.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// How many threads.
    pub(crate) threads: u64,
    /// Time on a CPU, in nanoseconds.
    pub(crate) cpu_ns: u64,
    /// How often a thread went to sleep by itself: once for each wake-up.
    pub(crate) voluntary_switches: u64,
    /// How often a thread was taken off the CPU.
    pub(crate) involuntary_switches: u64,
}

/// Sums over all threads but the main one.
pub(crate) fn usage_beside_main() -> Result<Usage, String> {
    let main = std::process::id().to_string();
    let tasks = fs::read_dir("/proc/self/task").map_err(|error| format!("cannot list /proc/self/task: {error}"))?;
    let mut sum = Usage::default();
    for task in tasks {
        let task = task.map_err(|error| format!("cannot list /proc/self/task: {error}"))?.path();
        if task.file_name().is_some_and(|name| name == main.as_str()) {
            continue;
        }
        let status = read(&format!("{}/status", task.display()))?;
        let schedule = read(&format!("{}/schedstat", task.display()))?;
        let field = |name| number(&status, name).ok_or_else(|| format!("no {name} in {}/status", task.display()));
        sum.threads += 1;
        sum.voluntary_switches += field("voluntary_ctxt_switches:")?;
        sum.involuntary_switches += field("nonvoluntary_ctxt_switches:")?;
        sum.cpu_ns += schedule
            .split_whitespace()
            .next()
            .and_then(|first| first.parse::<u64>().ok())
            .ok_or_else(|| format!("{}/schedstat holds no number", task.display()))?;
    }
    Ok(sum)
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))
}

/// The number behind a line's name.
fn number(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_the_whole_name_of_their_line() {
        let status = "VmRSS:\t    1234 kB\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(number(status, "VmRSS:"), Some(1234));
        assert_eq!(number(status, "voluntary_ctxt_switches:"), Some(5));
        assert_eq!(number(status, "VmSize:"), None);
    }
}
