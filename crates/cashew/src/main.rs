//! `cashew`: a sharding proxy for memcached and redis, drop-in for twemproxy (nutcracker).

mod cli;
mod ctl;
mod daemon;
mod demo;
mod pid_file;
mod start;

use std::process::ExitCode;

fn main() -> ExitCode {
    start::main()
}
