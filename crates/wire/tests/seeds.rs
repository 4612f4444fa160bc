//! The fuzz targets' bodies over their seeds, so that neither rots between two runs of the fuzzer.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/bodies/wire.rs"]
mod body;
#[path = "../../../fuzz/bodies/mutate.rs"]
mod mutate;

/// Changed seeds per target and ordinary run.
const RUNS: u64 = 3_000;

/// What makes a change of a redis reply go further than a random byte does.
const WORDS: [&[u8]; 20] = [
    b"_\r\n",
    b"#t\r\n",
    b"#f\r\n",
    b",1.5\r\n",
    b",-inf\r\n",
    b"(-12345678901234567890\r\n",
    b"=7\r\ntxt:abc\r\n",
    b"!3\r\nERR\r\n",
    b"%1\r\n",
    b"%2\r\n",
    b"~2\r\n",
    b"|1\r\n",
    b">2\r\n",
    b"*2\r\n",
    b"*-1\r\n",
    b"$3\r\n",
    b":1\r\n",
    b"+a\r\n",
    b"\r\n",
    b"999999999999999999999",
];

#[test]
fn every_seed_keeps_the_rules() {
    for (name, _) in body::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(name);
        let seeds: Vec<_> = fs::read_dir(&folder).expect("a target has seeds").collect();
        assert!(seeds.len() >= 3, "{} has few seeds", folder.display());
        for seed in seeds {
            let path = seed.expect("readable").path();
            println!("{}", path.display()); // shown when it fails
            let bytes = fs::read(&path).expect("readable");
            body::run(name, &bytes);
            // Cut anywhere, and in other reads.
            for end in 0..bytes.len() {
                body::run(name, &[&bytes[..end], &[255, 3, 1, 7]].concat());
            }
        }
    }
}

/// `FUZZ_RUNS=1000000 cargo test -p wire --test seeds` tries more of them.
#[test]
#[allow(clippy::disallowed_methods, reason = "how much to try is no setting of the proxy")]
fn changed_seeds_keep_the_rules() {
    let runs = std::env::var("FUZZ_RUNS").map_or(RUNS, |runs| runs.parse().expect("a number"));
    for (name, _) in body::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(name);
        let seeds =
            fs::read_dir(&folder).expect("a target has seeds").map(|seed| seed.expect("readable").path());
        let mut paths: Vec<_> = seeds.collect();
        paths.sort();
        let seeds: Vec<_> = paths.iter().map(|path| fs::read(path).expect("readable")).collect();
        for run in 0..runs {
            let bytes = mutate::Chance(run).change(&seeds, &WORDS);
            println!("{name}, run {run}: {}", bytes.escape_ascii()); // shown when it fails
            body::run(name, &bytes);
        }
    }
}
