//! What tests need around the proxy: real servers, a raw client, and peers that misbehave on purpose.
//!
//! Blocking threads and sockets only, so that a test reads from top to bottom and no runtime hides an
//! ordering mistake. Everything listens on loopback, everything started is killed and reaped on drop, and
//! every wait has a deadline ([`wait::DEADLINE`]) after which the test fails with a sentence saying what it
//! waited for.
//!
//! ```no_run
//! let redis = testkit::RedisServer::start()?;
//! let mut client = testkit::Client::connect(redis.addr())?;
//! assert_eq!(client.ask(&["SET", "a", "1"]), b"+OK\r\n");
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod cashew;
pub mod client;
pub mod framing;
pub mod peer;
pub mod ports;
pub mod process;
pub mod script;
pub mod spawn;
pub mod temp;
pub mod wait;

pub use cashew::Cashew;
pub use client::{Client, resp};
pub use process::{Process, Signal};
pub use script::{Gate, Peer, Step};
pub use spawn::{Memcached, Nutcracker, RedisServer};
