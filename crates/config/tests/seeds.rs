//! The fuzz target's body over its seeds and the samples, so that neither rots between two runs of the fuzzer.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/bodies/config.rs"]
mod body;

#[test]
fn every_seed_gives_settings_or_mistakes_with_their_lines() {
    for name in ["fuzz/seeds/config", "conf"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
        let seeds: Vec<_> = fs::read_dir(&folder).expect("there are seeds").collect();
        assert!(seeds.len() >= 3, "{} has few seeds", folder.display());
        for seed in seeds {
            let path = seed.expect("readable").path();
            println!("{}", path.display()); // shown when it fails
            let bytes = fs::read(&path).expect("readable");
            body::run(&bytes);
            // Cut at the end of every line and in the middle of it.
            for end in (0..bytes.len()).filter(|end| bytes[*end] == b'\n' || end % 7 == 0) {
                body::run(&bytes[..end]);
            }
        }
    }
}
