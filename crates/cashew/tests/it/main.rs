//! The whole binary, from outside: real clients, real servers, one test binary.

mod auto_timeout;
mod away;
mod bulk;
mod cli;
mod clients;
mod failure;
mod farm;
mod fragments;
mod interleave;
mod large;
mod limits;
mod memcache;
mod parity;
mod placement;
mod random;
mod redis;
mod rig;
mod signals;
mod stats;
