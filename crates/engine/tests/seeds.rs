//! The body of the fuzz target `session` over its seeds, and over what random changes make of them.
//!
//! `FUZZ_RUNS=1000000 cargo test -p engine --test seeds` tries more of them.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/bodies/session.rs"]
mod body;
#[path = "../../../fuzz/bodies/mutate.rs"]
mod mutate;

/// Changed seeds per ordinary run.
const RUNS: u64 = 3_000;

/// What makes a change go further than a random byte does.
const WORDS: [&[u8]; 26] = [
    b"_\r\n",
    b"#t\r\n",
    b",nan\r\n",
    b"(1\r\n",
    b"=4\r\ntxt:\r\n",
    b"!3\r\nERR\r\n",
    b"%1\r\n",
    b"~2\r\n",
    b"|1\r\n+a\r\n:1\r\n",
    b">2\r\n+a\r\n",
    b"*2\r\n",
    b"$3\r\n",
    b"+OK\r\n",
    b"+QUEUED\r\n",
    b"-ERR x\r\n",
    b":1\r\n",
    b"\xffa",
    b"\xffb",
    b"\xffc",
    b"\xffA*1\r\n$4\r\nEXEC\r\n\xff",
    b"\xffA*1\r\n$5\r\nMULTI\r\n\xff",
    b"\xffA*1\r\n$5\r\nRESET\r\n\xff",
    b"\xfft\x50\xff",
    b"\xffx\x00\xff",
    b"\xffq\x00\xff",
    b"\xffC*2\r\n$3\r\nGET\r\n$1\r\nk\r\n\xff",
];

fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/session");
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .expect("a target has seeds")
        .map(|seed| seed.expect("readable").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("readable")).collect()
}

#[test]
fn every_seed_keeps_the_rules() {
    let seeds = seeds();
    assert!(seeds.len() >= 3, "there are few seeds");
    for seed in seeds {
        println!("{}", seed.escape_ascii()); // shown when it fails
        (0..=seed.len()).for_each(|end| body::run(&seed[..end]));
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "how much to try is no setting of the proxy")]
fn changed_seeds_keep_the_rules() {
    let seeds = seeds();
    let runs = std::env::var("FUZZ_RUNS").map_or(RUNS, |runs| runs.parse().expect("a number"));
    for run in 0..runs {
        let bytes = mutate::Chance(run).change(&seeds, &WORDS);
        println!("run {run}: {}", bytes.escape_ascii()); // shown when it fails
        body::run(&bytes);
    }
}
