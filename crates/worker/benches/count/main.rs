//! Work for a counter of instructions: `cargo xtask count` runs this below callgrind and compares what it counts with
//! `bench/counts.txt`. Nothing here reads the clock or leaves anything to chance.
//!
//! Each scenario runs several times within [`measured`], whose end makes callgrind write what was spent within
//! [`counted`] to a file of its own. For each file, a line on standard output says which scenario it was and how many
//! requests. Without arguments all run; with some, those of the names or kinds given.

mod ask;
mod bare;
mod scenario;
mod stage;

use ask::Ask;
use bare::Bare;
use scenario::{SCENARIOS, Scenario, What};
use stage::Stage;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let asked =
        |row: &Scenario| words.is_empty() || words.iter().any(|w| w == row.name || w == row.what.kind());
    for row in SCENARIOS.iter().filter(|row| asked(row)) {
        match row.what {
            What::Sockets(cast) => {
                let mut stage = match Stage::new(cast) {
                    Ok(stage) => stage,
                    Err(error) => {
                        eprintln!("{} is left out: {error}", row.name);
                        continue;
                    }
                };
                for _ in 0..PASSES {
                    stage.rewind();
                    measured(&mut || (0..row.times).for_each(|_| stage.round(&mut counted)));
                    println!("{} {}", row.name, row.times * stage.requests_per_round());
                }
            }
            What::Snapshot(size) => {
                let mut bare = Bare::new(size, Ask::Get);
                for _ in 0..2 {
                    measured(&mut || {
                        (0..row.times).for_each(|number| bare.renew(number % 2 == 0, &mut counted))
                    });
                    println!("{} {}", row.name, row.times);
                }
            }
            What::Bare(size, ask) => {
                let mut bare = Bare::new(size, ask);
                for times in [row.times.max(size.clients), row.times] {
                    measured(&mut || (0..times).for_each(|number| bare.ask(number, &mut counted)));
                    println!("{} {times}", row.name);
                }
            }
        }
    }
}

/// The same requests so many times, until all buffers have grown: the last time counts.
const PASSES: usize = 5;

/// The name stands in `xtask/src/count/run.rs`: counters are set to zero before it and written to a file after it.
#[inline(never)]
fn measured(act: &mut dyn FnMut()) {
    act();
    // Two functions that are alike would become one.
    std::hint::black_box(1);
}

/// The name stands in `xtask/src/count/run.rs`: only what happens in here is counted.
#[inline(never)]
fn counted(act: &mut dyn FnMut()) {
    act();
    std::hint::black_box(());
}
