//! Memcached: every answer of a pool over real servers is what one server would say, byte for byte.

mod parity;
mod pool;
mod rows;
