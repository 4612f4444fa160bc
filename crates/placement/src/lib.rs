//! Key → server, exactly as twemproxy places it.
//!
//! ```text
//! key ──HashTag──→ the part that counts ──HashKind──→ 32 bits ──Ring──→ position of a server
//! ```
//!
//! With the hashes and distributions twemproxy has, every key goes where twemproxy (built for x86-64)
//! sends it, so a proxy can be replaced without emptying a cache. `tests/vectors/` holds its recorded
//! answers. One hash (`xxh3`) and three distributions (`maglev`, `jump`, `rendezvous`) are additions.
//!
//! This crate knows no sockets, no clock and no randomness: liveness is told when a ring is built, and a
//! random number is handed in by the caller. A [`Ring`] never changes; build another one and swap it in.

mod distribution;
mod hash;
mod hashtag;
mod jump;
mod ketama;
mod maglev;
mod mix;
mod modula;
mod random;
mod rendezvous;
mod ring;
mod slots;

use std::fmt;

pub use distribution::DistributionKind;
pub use hash::HashKind;
pub use hashtag::HashTag;
pub use ring::{Member, Ring, name_order};

/// How one pool places its keys: which part of a key counts, how it is hashed, and whose it then is.
#[derive(Clone, Debug)]
pub struct Placement {
    /// The pool's `hash:`.
    pub hash: HashKind,
    /// The pool's `hash_tag:`, if it has one.
    pub tag: Option<HashTag>,
    /// The pool's servers, laid out by its `distribution:`.
    pub ring: Ring,
}

impl Placement {
    /// The position of the key's server in the members the ring was built from; `None` when no member
    /// takes keys. `random` is asked for a number only by [`DistributionKind::Random`].
    ///
    /// As in twemproxy an empty key is not hashed but counts as hash 0, and a pool of exactly one server
    /// does not hash at all.
    #[inline(always)] // into the one place where every key passes
    pub fn server(&self, key: &[u8], random: impl FnOnce() -> u32) -> Option<u32> {
        if self.ring.members() == 1 {
            return self.ring.lookup(0, random);
        }
        self.ring.lookup(self.hash_of(key), random)
    }

    /// The position of the server that a key is to go to when those of its first `attempt` attempts cannot take it;
    /// attempt 0 is [`Placement::server`]'s. Depends on the key and the ring alone, so a further server's failing moves
    /// no key but its own. Of no use for [`DistributionKind::Random`].
    pub fn another(&self, key: &[u8], attempt: u32) -> Option<u32> {
        if attempt == 0 {
            return self.server(key, || 0);
        }
        self.ring.lookup(mix::spread(self.hash_of(key), attempt) as u32, || 0)
    }

    #[inline]
    fn hash_of(&self, key: &[u8]) -> u32 {
        let part = self.tag.as_ref().map_or(key, |tag| tag.part(key));
        if part.is_empty() { 0 } else { self.hash.hash(part) }
    }
}

/// A name that is not a hash or not a distribution; its text lists those there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    what: &'static str,
    name: String,
    known: Vec<&'static str>,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not a {}; known are: {}", self.name, self.what, self.known.join(", "))
    }
}

impl std::error::Error for UnknownName {}
