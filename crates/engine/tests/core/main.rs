//! What the engine does, one scenario a test: bytes to a client, bytes at each server, replies, bytes at the client.

mod away;
mod blocking;
mod client_commands;
mod clients;
mod copies;
mod failure;
mod gather;
mod halt;
mod handshake;
mod hush;
mod large;
mod learn;
mod memcache;
mod memory;
mod monitor;
mod pause;
mod pubsub;
mod pubsub_storm;
mod redis;
mod rig;
mod scan;
mod script;
mod select;
mod timeout;
mod tracking;
mod transaction;
