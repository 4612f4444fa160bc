//! What the fuzz targets of `wire` do with their bytes. `crates/wire/tests/seeds.rs` does the same with the seeds.

use wire::{Limits, check};

/// The targets by name, each with its rule; a target's seeds are in `fuzz/seeds/<name>/`.
pub(crate) const TARGETS: &[(&str, Rule)] = &[
    ("resp_requests", check::resp_requests),
    ("resp_replies", check::resp_replies),
    ("memcache_requests", check::memcache_requests),
    ("memcache_replies", check::memcache_replies),
];

type Rule = fn(&[u8], &[usize], &Limits);

/// Checks a stream. What follows its last byte 255 are the sizes of the reads it comes in; without one, it comes byte
/// by byte.
pub(crate) fn run(target: &str, data: &[u8]) {
    let (_, rule) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target of this list");
    let (stream, reads) = match data.iter().rposition(|byte| *byte == u8::MAX) {
        Some(at) => (&data[..at], data[at + 1..].iter().copied().map(usize::from).collect()),
        None => (data, vec![1]),
    };
    rule(stream, &reads, &Limits::default());
    rule(stream, &reads, &check::small_limits());
}
