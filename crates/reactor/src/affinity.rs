//! Which processors there are to run on, and staying on one.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::cgroup;

/// How many processors this process can keep busy: those the calling thread may run on, and no more than the
/// container's CPU quota (rounded up: a quota of 1.5 is worth two threads). At least 1.
pub fn allowed_cpus() -> usize {
    let cpus = cpu_list().len().max(1);
    cgroup::cpu_quota().map_or(cpus, |quota| cpus.min(quota))
}

/// The numbers of the processors that the calling thread may run on. Empty if the kernel does not tell, as on a machine
/// of more than 1024.
pub fn cpu_list() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
}

/// Keeps the calling thread on one processor. Fails when it may not run there (`InvalidInput`).
pub fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut only = CpuSet::new();
    only.set(cpu);
    Ok(sched_setaffinity(None, &only)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_one_processor_only() {
        let cpus = cpu_list();
        let last = *cpus.last().expect("there is a processor to run this on");
        std::thread::spawn(move || {
            pin(last).expect("it is in the list");
            assert_eq!(cpu_list(), [last]);
            assert_eq!(allowed_cpus(), 1);
        })
        .join()
        .expect("pinned");
        assert_eq!(cpu_list(), cpus, "other threads are as before");
        assert!((1..=cpus.len()).contains(&allowed_cpus()));
    }

    #[test]
    fn processors_that_are_not_there_are_refused() {
        for cpu in [CpuSet::MAX_CPU - 1, CpuSet::MAX_CPU, usize::MAX] {
            assert_eq!(pin(cpu).expect_err("no such processor").kind(), io::ErrorKind::InvalidInput, "{cpu}");
        }
    }
}
