//! The fuzz targets' bodies over their seeds, so that neither rots between two runs of the fuzzer.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/bodies/wire.rs"]
mod body;

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
