//! How much processor time the container may use: `cpu.max` of cgroup v2, `cpu.cfs_quota_us` of v1.
//!
//! A limit anywhere above holds too, so every group from ours up to the root is asked and the smallest answer counts.

use std::fs;
use std::path::Path;

/// The quota in processors, rounded up; `None` without one.
pub(crate) fn cpu_quota() -> Option<usize> {
    smallest_quota(Path::new("/sys/fs/cgroup"), &fs::read_to_string("/proc/self/cgroup").ok()?)
}

/// `groups` is what /proc/self/cgroup says: a line `hierarchy:controllers:path` for each hierarchy.
fn smallest_quota(mount: &Path, groups: &str) -> Option<usize> {
    groups.lines().filter_map(|line| quota_of_line(mount, line)).min()
}

fn quota_of_line(mount: &Path, line: &str) -> Option<usize> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    if controllers.is_empty() {
        return up_to_root(mount, path, quota_v2);
    }
    controllers.split(',').find(|&controller| controller == "cpu")?;
    // Some systems mount the pair, and most link its parts to it.
    let quota = |name| up_to_root(&mount.join(name), path, quota_v1);
    quota("cpu").or_else(|| quota(controllers))
}

/// Inside a container the path may be the host's and lead nowhere here; the root then is the container's own group.
fn up_to_root(mount: &Path, path: &str, quota: fn(&Path) -> Option<usize>) -> Option<usize> {
    let path = Path::new(path.trim_start_matches('/'));
    path.ancestors().filter_map(|group| quota(&mount.join(group))).min()
}

fn quota_v2(group: &Path) -> Option<usize> {
    let text = fs::read_to_string(group.join("cpu.max")).ok()?;
    let (quota, period) = text.trim_end().split_once(' ')?;
    processors(quota, period) // "max" is no number, and no limit
}

fn quota_v1(group: &Path) -> Option<usize> {
    let read = |name| fs::read_to_string(group.join(name)).ok();
    processors(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?) // -1 is no limit
}

fn processors(quota: &str, period: &str) -> Option<usize> {
    let (quota, period): (u64, u64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    let whole = quota.checked_add(period)?.checked_sub(1)?.checked_div(period)?;
    Some(usize::try_from(whole).ok()?.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn the_smallest_limit_from_the_group_to_the_root_counts() {
        let v2 = "0::/a/b\n";
        check("none", v2, &[("a/cpu.max", "max 100000\n")], None);
        check("own", v2, &[("a/b/cpu.max", "150000 100000\n")], Some(2));
        check("above", v2, &[("a/b/cpu.max", "400000 100000\n"), ("a/cpu.max", "100000 100000\n")], Some(1));
        check("small", v2, &[("a/b/cpu.max", "1000 100000\n")], Some(1));
        check("container", "0::/\n", &[("cpu.max", "250000 100000\n")], Some(3));
        check("odd", v2, &[("a/b/cpu.max", "5 0\n"), ("a/cpu.max", "garbage")], None);

        let v1 = "5:memory:/x\n4:cpu,cpuacct:/x\n";
        let quota = |dir: &str, us: &'static str| {
            [(format!("{dir}/cpu.cfs_quota_us"), us), (format!("{dir}/cpu.cfs_period_us"), "100000\n")]
        };
        check("v1", v1, &quota("cpu/x", "210000\n"), Some(3));
        check("v1-pair", v1, &quota("cpu,cpuacct", "100000\n"), Some(1));
        check("v1-none", v1, &quota("cpu/x", "-1\n"), None);
    }

    fn check(name: &str, groups: &str, files: &[(impl AsRef<str>, &str)], expected: Option<usize>) {
        let mount = TempDir::new(name);
        for (file, text) in files {
            let file = mount.0.join(file.as_ref());
            fs::create_dir_all(file.parent().expect("below the mount")).expect("directory");
            fs::write(file, text).expect("file");
        }
        assert_eq!(smallest_quota(&mount.0, groups), expected, "{name}");
    }

    struct TempDir(PathBuf);

    impl TempDir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("cashew-cgroup-{}-{name}", std::process::id()));
            fs::create_dir_all(&dir).expect("temporary directory");
            Self(dir)
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            _ = fs::remove_dir_all(&self.0);
        }
    }
}
