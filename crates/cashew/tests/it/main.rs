//! The whole binary, from outside: real clients, real servers, one test binary.

mod farm;
mod memcache;
mod parity;
mod placement;
mod redis;
mod rig;
