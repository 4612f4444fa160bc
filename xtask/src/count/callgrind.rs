//! Reading what callgrind writes: a part of its format, with names and positions spelt out
//! (`--compress-strings=no --compress-pos=no`).
//!
//! ```text
//!   events: Ir sysCount sysTime
//!   ob=/path/of/program
//!   fn=name                   all that follows is this function's, until the next
//!   12 345 6                  line of code, then one number per event; those left out are 0
//!   cob=..., cfn=other        a call: the next two lines
//!   calls=3 40                how often; and the line after it has the callee's cost, which is counted there already
//!   12 9999
//! ```

use std::collections::BTreeMap;

/// What a program spent.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Profile {
    /// Instructions of the program's own functions.
    pub(super) program: BTreeMap<String, u64>,
    /// Those of the libraries that the system brings.
    pub(super) libraries: BTreeMap<String, u64>,
    /// System calls, without those that read the clock: outside valgrind they are none.
    pub(super) calls: u64,
    /// How often memory was asked for.
    pub(super) allocations: u64,
}

/// Reads one file. `program` is the path of the program that was counted.
///
/// Answers nothing when the file is not of the expected form.
pub(super) fn parse(text: &str, program: &str) -> Option<Profile> {
    let mut profile = Profile::default();
    let mut calls_column = None;
    let (mut object, mut function, mut callee) = ("", "", "");
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some((key, value)) = line.split_once('=') {
            match key {
                "ob" => object = value,
                "fn" => function = value,
                "cfn" => callee = value,
                "calls" => {
                    // A call outside of what is counted is named when a system call came of it, with no instructions.
                    let counted = lines.next()?.split(' ').nth(1) != Some("0");
                    if ALLOCATORS.contains(&callee) && counted {
                        profile.allocations += value.split(' ').next()?.parse::<u64>().ok()?;
                    }
                }
                _ => {}
            }
        } else if let Some(events) = line.strip_prefix("events: ") {
            let mut events = events.split(' ');
            if events.next() != Some("Ir") {
                return None;
            }
            calls_column = events.position(|event| event == "sysCount");
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            let mut numbers = line.split(' ').skip(1).map(str::parse::<u64>);
            let instructions = numbers.next()?.ok()?;
            let of = if object == program { &mut profile.program } else { &mut profile.libraries };
            *of.entry(function.to_owned()).or_default() += instructions;
            if let Some(calls) = calls_column.and_then(|column| numbers.nth(column))
                && !function.contains("clock_gettime")
            {
                profile.calls += calls.ok()?;
            }
        }
    }
    let complete = calls_column.is_some() && !profile.program.is_empty();
    complete.then_some(profile)
}

/// The C library's functions that give memory.
const ALLOCATORS: [&str; 6] = ["malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign", "memalign"];

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# callgrind format
version: 1
cmd:  /t/count sockets
desc: Trigger: --dump-after=count::measured
positions: line
event: sysTime : sysTime (elapsed ms)
events: Ir sysCount sysTime
summary: 1234 5

ob=/t/count
fl=/src/core.rs
fn=engine::core::Core::handle
10 100
fi=/src/slab.rs
11 20
fe=/src/core.rs
cob=/lib/libc.so.6
cfi=./malloc.c
cfn=malloc
calls=3 200
12 3000 1
13 1 2 9

fn=worker::tick::Worker::turn
20 7 4
cfn=malloc
calls=1980 200
21 0 2

ob=/lib/libc.so.6
fl=./malloc.c
fn=malloc
30 90 1
cfn=_int_malloc
calls=2 40
31 8

fn=clock_gettime@@GLIBC_2.17
40 6 30

ob=/t/count
fn=engine::core::Core::handle
10 1000
";

    #[test]
    fn costs_are_added_up_by_function() {
        let of = |rows: &[(&str, u64)]| rows.iter().map(|(name, cost)| ((*name).to_owned(), *cost)).collect();
        let expected = Profile {
            program: of(&[("engine::core::Core::handle", 1121), ("worker::tick::Worker::turn", 7)]),
            libraries: of(&[("malloc", 90), ("clock_gettime@@GLIBC_2.17", 6)]),
            calls: 2 + 4 + 1,
            allocations: 3,
        };
        assert_eq!(parse(FILE, "/t/count"), Some(expected));
    }

    #[test]
    fn anything_else_is_nothing() {
        for text in [
            "",
            "hello\n",
            &FILE.replace("sysCount", "sysTime"),
            &FILE.replace("Ir ", "Dr "),
            &FILE.replace("10 100", "10 x"),
            &FILE.replace("calls=3 200\n", "calls=many 200\n"),
        ] {
            assert_eq!(parse(text, "/t/count"), None, "{text}");
        }
        assert_eq!(parse(FILE, "/t/other"), None, "nothing of the program was counted");
    }
}
