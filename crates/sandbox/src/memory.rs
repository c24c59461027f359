//! Tells a kill for want of memory from any other, by the kernel's own counter for this control group.

use std::{fs, path::PathBuf};

/// Returns how many processes of this control group the kernel has killed for want of memory, where it says so.
pub(crate) fn oom_kills() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    candidates(&groups).iter().find_map(|file| kills(&fs::read_to_string(file).ok()?))
}

/// Returns the files that may hold the counter, best first: of this group, then of the root that a container sees.
fn candidates(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let path = path.trim_start_matches('/');
        if controllers.split(',').any(|name| name == "memory") {
            files.push(PathBuf::from("/sys/fs/cgroup/memory").join(path).join("memory.oom_control"));
            files.push(PathBuf::from("/sys/fs/cgroup/memory/memory.oom_control"));
        } else if controllers.is_empty() {
            files.push(PathBuf::from("/sys/fs/cgroup").join(path).join("memory.events"));
            files.push(PathBuf::from("/sys/fs/cgroup/memory.events"));
        }
    }
    files
}

/// Reads `oom_kill N` out of `memory.events` (version 2) or `memory.oom_control` (version 1).
fn kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_versions() {
        assert_eq!(kills("low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"), Some(5));
        assert_eq!(kills("oom_kill_disable 0\n"), None);
    }

    #[test]
    fn looks_in_the_own_group_first() {
        let files = candidates("5:pids:/a\n4:memory:/pod/x\n0::/y\n");
        let names: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "/sys/fs/cgroup/memory/pod/x/memory.oom_control",
                "/sys/fs/cgroup/memory/memory.oom_control",
                "/sys/fs/cgroup/y/memory.events",
                "/sys/fs/cgroup/memory.events",
            ]
        );
    }
}
