//! Where a request goes: one file per way to route.

mod fanout;
mod local;
mod memcache;
mod redis;
mod split;
mod standby;
