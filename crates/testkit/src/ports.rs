//! Ports for programs that cannot be told "any port".
//!
//! Sockets of our own bind port 0. A real server or a proxy reads its port from a command line or a file, so
//! it has to be chosen before anybody listens. Ports below the kernel's ephemeral range are used, because one
//! inside it may be taken as some connection's source port between the choice and the server's start.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

/// A port of 127.0.0.1 that nobody listened on a moment ago and that this process has not handed out before.
///
/// Another process may still take it; who starts a server on it checks that its own server answers.
///
/// # Panics
/// When every candidate is taken.
pub fn free() -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    // Test binaries run side by side; starting at different places keeps them out of each other's way.
    let first = std::process::id().wrapping_mul(97) % COUNT;
    for step in 0..COUNT {
        let Ok(port) = u16::try_from(FIRST + (first + step) % COUNT) else { continue };
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.insert(port);
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

/// `count` different free ports, see [`free`].
pub fn free_many(count: usize) -> Vec<u16> {
    (0..count).map(|_| free()).collect()
}

/// Lowest port handed out: above what services usually claim.
const FIRST: u32 = 20_000;
/// How many candidates: Linux' ephemeral range starts at 32768 unless configured otherwise.
const COUNT: u32 = 12_000;

static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_hands_out_a_port_twice_and_each_can_be_bound() {
        let ports = free_many(50);
        let distinct: HashSet<_> = ports.iter().collect();
        assert_eq!(distinct.len(), 50);
        for port in ports {
            TcpListener::bind(("127.0.0.1", port)).expect("a free port can be bound");
        }
    }

    #[test]
    fn skips_a_port_somebody_listens_on() {
        let held: Vec<_> = (0..20).filter_map(|_| TcpListener::bind(("127.0.0.1", free())).ok()).collect();
        let taken: HashSet<_> = held.iter().filter_map(|l| l.local_addr().ok()).map(|a| a.port()).collect();
        assert!(free_many(20).iter().all(|port| !taken.contains(port)));
    }
}
