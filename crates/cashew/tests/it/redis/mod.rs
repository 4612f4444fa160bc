//! Redis: every answer of a pool over real servers is what one server would say, byte for byte.

mod across;
mod auth;
mod parity;
mod refused;
mod script;
mod sockets;
