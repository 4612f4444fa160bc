//! Where a request goes: one file per way to route.

mod acl;
mod blocking;
mod client_line;
pub(crate) mod clients;
mod cluster;
pub(crate) mod copies;
pub(crate) mod divide;
mod fanout;
mod fixed;
mod gather;
pub(crate) mod halt;
mod hush;
mod info;
mod learnt;
mod local;
mod memcache;
mod pubsub;
mod redis;
mod scan;
mod script;
pub(crate) mod select;
mod split;
mod standby;
mod transaction;
pub(crate) mod walk;

pub(crate) use client_line::address;
pub(crate) use split::Share;
