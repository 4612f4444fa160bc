//! Typed handles: an index into a slab with the generation of the entry, so that a handle kept too
//! long finds nothing instead of somebody else.

use std::marker::PhantomData;

/// A handle to an entry of a [`crate::slab::Slab`].
pub struct Id<K> {
    index: u32,
    generation: u32,
    kind: PhantomData<fn() -> K>,
}

impl<K> Id<K> {
    /// The handle of entry `index` in its life `generation`.
    pub fn new(index: u32, generation: u32) -> Self {
        Id { index, generation, kind: PhantomData }
    }

    /// The entry's place; small and dense, so it may index an array beside the slab.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// Which life of the entry is meant.
    pub fn generation(self) -> u32 {
        self.generation
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Id<K> {}

impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.generation == other.generation
    }
}

impl<K> Eq for Id<K> {}

impl<K> std::fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// A client's connection to the proxy.
pub type ClientId = Id<crate::client::Client>;
/// The proxy's connection to a server.
pub type ConnId = Id<crate::server_conn::ServerConn>;
