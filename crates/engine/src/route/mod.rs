//! Where a request goes: one file per way to route.

mod blocking;
mod fanout;
mod local;
mod memcache;
mod pubsub;
mod redis;
mod scan;
mod script;
mod split;
mod standby;
mod transaction;
pub(crate) mod walk;

pub(crate) use split::Share;
