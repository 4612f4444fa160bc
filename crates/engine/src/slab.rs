//! Entries at stable places, reused after they are gone.
//!
//! Parts of the engine refer to each other by plain index (the referrer keeps the entry alive) and
//! to the outside by [`Id`], which names the entry's life too.

use crate::id::Id;
use std::ops::{Index, IndexMut};

/// No entry.
pub const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    next_free: u32,
    value: Option<T>,
}

/// A growing array with a free list.
#[derive(Debug)]
pub struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { entries: Vec::new(), free: NONE, len: 0 }
    }
}

impl<T> Slab<T> {
    /// Puts `value` in a free place.
    #[inline]
    pub fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        let index = if self.free == NONE { self.grow() } else { self.free };
        let entry = &mut self.entries[index as usize];
        self.free = entry.next_free;
        // There was none that would have to be dropped.
        std::mem::forget(entry.value.replace(value));
        index
    }

    /// A new place, which is free.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> u32 {
        self.entries.push(Entry { generation: 0, next_free: NONE, value: None });
        (self.entries.len() - 1) as u32
    }

    /// Takes the entry out; its place and a new generation are free for the next.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        let entry = self.entries.get_mut(index as usize)?;
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        entry.next_free = self.free;
        self.free = index;
        self.len -= 1;
        Some(value)
    }

    /// The handle of a living entry.
    #[inline]
    pub fn id<K>(&self, index: u32) -> Id<K> {
        Id::new(index, self.entries[index as usize].generation)
    }

    /// Takes the entry out and drops it, as [`Slab::remove`] does where nobody wants it back.
    #[inline(always)]
    pub fn discard(&mut self, index: u32) {
        let Some(entry) = self.entries.get_mut(index as usize).filter(|entry| entry.value.is_some()) else {
            return;
        };
        entry.value = None;
        entry.generation = entry.generation.wrapping_add(1);
        entry.next_free = self.free;
        self.free = index;
        self.len -= 1;
    }

    /// The entry behind a handle, if that life goes on.
    #[inline]
    pub fn live_mut<K>(&mut self, id: Id<K>) -> Option<&mut T> {
        let entry = self.entries.get_mut(id.index())?;
        if entry.generation == id.generation() { entry.value.as_mut() } else { None }
    }

    /// The index behind a handle, if that life goes on.
    #[inline]
    pub fn live<K>(&self, id: Id<K>) -> Option<u32> {
        let entry = self.entries.get(id.index())?;
        (entry.generation == id.generation() && entry.value.is_some()).then_some(id.index() as u32)
    }

    /// The entry at `index`, if there is one.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        self.entries.get(index as usize)?.value.as_ref()
    }

    /// The entry at `index`, if there is one.
    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.entries.get_mut(index as usize)?.value.as_mut()
    }

    /// How many entries live.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing lives.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The living entries, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().filter_map(|entry| entry.value.as_mut())
    }

    /// The living entries with their indices.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries.iter().enumerate().filter_map(|(i, e)| e.value.as_ref().map(|v| (i as u32, v)))
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, index: u32) -> &T {
        self.entries[index as usize].value.as_ref().expect("referrers keep the entry alive")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    #[inline(always)]
    fn index_mut(&mut self, index: u32) -> &mut T {
        self.entries[index as usize].value.as_mut().expect("referrers keep the entry alive")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_outlived_finds_nothing() {
        let mut slab = Slab::default();
        let a = slab.insert("a");
        let id: Id<()> = slab.id(a);
        assert_eq!(slab.live(id), Some(a));
        slab.remove(a);
        assert_eq!(slab.live(id), None);
        let b = slab.insert("b");
        assert_eq!(a, b, "the place is used again");
        assert_eq!(slab.live(id), None);
        assert_eq!(slab[b], "b");
        assert_eq!(slab.len(), 1);
        let id: Id<()> = slab.id(b);
        assert_eq!(slab.live_mut(id).copied(), Some("b"));
        slab.discard(b);
        slab.discard(b);
        assert_eq!(slab.live_mut(id), None);
        assert_eq!(slab.len(), 0);
    }
}
