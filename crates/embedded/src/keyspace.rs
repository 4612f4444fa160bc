//! Keys and values within a bound, oldest out first.
//!
//! A plain hash map beside two ordered indexes, and not a cache library, because redis needs what those do
//! not give: values that grow in place, an order in which a scan can stop and go on while keys come and go,
//! expiry to the millisecond, and the promise that what was just written is there. Caches that judge by
//! frequency may refuse a new key at once, which a client would see as a lost write.
//!
//! ```text
//! slots   key → value, born, expires       order    born → key: who is evicted, where a scan goes on
//!                                          expiries (expires, born): who is due
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What a keyspace needs to know of its values.
pub(crate) trait Stored {
    /// Bytes it takes, roughly; asked after every change, so it must not count anew.
    fn bytes(&self) -> usize;

    /// Whether a key with this value does not exist, as of a list whose last element was taken.
    fn is_void(&self) -> bool {
        false
    }
}

/// The keys of one database.
#[derive(Debug)]
pub(crate) struct Keyspace<V> {
    slots: HashMap<Arc<[u8]>, Slot<V>>,
    order: BTreeMap<u64, Arc<[u8]>>,
    expiries: BTreeSet<(u64, u64)>,
    born_next: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Slot<V> {
    value: V,
    /// Grows with every key created, never reused; 0 is nobody's, so that a scan can start there.
    born: u64,
    /// Milliseconds since 1970.
    expires: Option<u64>,
    bytes: usize,
}

impl<V: Stored> Keyspace<V> {
    pub(crate) fn new() -> Keyspace<V> {
        Keyspace {
            slots: HashMap::new(),
            order: BTreeMap::new(),
            expiries: BTreeSet::new(),
            born_next: 1,
            bytes: 0,
        }
    }

    /// How many keys there are. As everywhere here, those due at the last [`Keyspace::expire`] are gone.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of all keys and values with [`KEY_COST`].
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many keys will expire.
    pub(crate) fn expiring(&self) -> usize {
        self.expiries.len()
    }

    pub(crate) fn value(&self, key: &[u8]) -> Option<&V> {
        self.slots.get(key).map(|slot| &slot.value)
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.slots.contains_key(key)
    }

    /// When a key expires, or `Some(None)` for one that does not.
    pub(crate) fn expiry(&self, key: &[u8]) -> Option<Option<u64>> {
        self.slots.get(key).map(|slot| slot.expires)
    }

    /// Sets a key. An existing one keeps its age.
    pub(crate) fn insert(&mut self, key: &[u8], value: V, expires: Option<u64>) {
        if self.slots.contains_key(key) {
            self.change(key, |old| *old = value);
            self.set_expiry(key, expires);
            return;
        }
        if value.is_void() {
            return;
        }
        let key: Arc<[u8]> = key.into();
        let born = self.born_next;
        self.born_next += 1;
        let bytes = value.bytes().saturating_add(key.len()).saturating_add(KEY_COST);
        self.bytes = self.bytes.saturating_add(bytes);
        self.order.insert(born, Arc::clone(&key));
        if let Some(at) = expires {
            self.expiries.insert((at, born));
        }
        self.slots.insert(key, Slot { value, born, expires, bytes });
    }

    /// Changes the value of an existing key, and removes the key when nothing is left of it.
    pub(crate) fn change<R>(&mut self, key: &[u8], change: impl FnOnce(&mut V) -> R) -> Option<R> {
        let slot = self.slots.get_mut(key)?;
        let result = change(&mut slot.value);
        let bytes = slot.value.bytes().saturating_add(key.len()).saturating_add(KEY_COST);
        self.bytes = self.bytes.saturating_sub(slot.bytes).saturating_add(bytes);
        slot.bytes = bytes;
        if slot.value.is_void() {
            self.take(key);
        }
        Some(result)
    }

    /// Sets or lifts the expiry of a key; false when there is no such key.
    pub(crate) fn set_expiry(&mut self, key: &[u8], expires: Option<u64>) -> bool {
        let Some(slot) = self.slots.get_mut(key) else { return false };
        if let Some(at) = slot.expires {
            self.expiries.remove(&(at, slot.born));
        }
        if let Some(at) = expires {
            self.expiries.insert((at, slot.born));
        }
        slot.expires = expires;
        true
    }

    /// Removes a key and hands out its value and expiry.
    pub(crate) fn take(&mut self, key: &[u8]) -> Option<(V, Option<u64>)> {
        let slot = self.slots.remove(key)?;
        self.order.remove(&slot.born);
        if let Some(at) = slot.expires {
            self.expiries.remove(&(at, slot.born));
        }
        self.bytes = self.bytes.saturating_sub(slot.bytes);
        Some((slot.value, slot.expires))
    }

    /// Removes every key that is due. Costs only what it removes.
    pub(crate) fn expire(&mut self, now: u64) {
        while let Some(&(at, born)) = self.expiries.first() {
            if at > now {
                return;
            }
            self.expiries.pop_first();
            if let Some(key) = self.order.get(&born).cloned() {
                self.take(&key);
            }
        }
    }

    /// Removes the key that was created first; false when there is none.
    pub(crate) fn evict(&mut self) -> bool {
        match self.order.first_key_value().map(|(_, key)| Arc::clone(key)) {
            Some(key) => self.take(&key).is_some(),
            None => false,
        }
    }

    /// Removes everything. Scans under way end or go on with what is created later.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.order.clear();
        self.expiries.clear();
        self.bytes = 0;
    }

    /// Every key in order of creation, from those born at `from` on.
    pub(crate) fn from(&self, from: u64) -> impl Iterator<Item = (u64, &[u8], &V)> {
        self.order.range(from..).filter_map(|(born, key)| Some((*born, &**key, self.value(key)?)))
    }
}

/// Estimated bytes for keeping one key: the slot, its place in the order, allocations.
pub(crate) const KEY_COST: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    impl Stored for Vec<u8> {
        fn bytes(&self) -> usize {
            self.len()
        }
        fn is_void(&self) -> bool {
            self == b"void"
        }
    }

    fn space(keys: &[&str]) -> Keyspace<Vec<u8>> {
        let mut space = Keyspace::new();
        for key in keys {
            space.insert(key.as_bytes(), b"value".to_vec(), None);
        }
        space
    }

    fn names(space: &Keyspace<Vec<u8>>, from: u64) -> Vec<String> {
        space.from(from).map(|(_, key, _)| String::from_utf8_lossy(key).into_owned()).collect()
    }

    /// The indexes agree with the slots.
    fn check(space: &Keyspace<Vec<u8>>) {
        assert_eq!(space.order.len(), space.slots.len());
        assert_eq!(space.expiries.len(), space.slots.values().filter(|s| s.expires.is_some()).count());
        let bytes: usize = space.slots.iter().map(|(k, s)| k.len() + s.value.len() + KEY_COST).sum();
        assert_eq!(space.bytes, bytes);
    }

    #[test]
    fn evicts_in_order_of_creation() {
        let mut space = space(&["a", "b", "c"]);
        space.insert(b"a", b"again".to_vec(), None);
        assert_eq!(names(&space, 0), ["a", "b", "c"], "a key that is set again keeps its age");
        assert!(space.evict());
        assert_eq!(names(&space, 0), ["b", "c"]);
        check(&space);
        assert!(space.evict() && space.evict() && !space.evict());
        assert_eq!((space.len(), space.bytes()), (0, 0));
    }

    #[test]
    fn expires_what_is_due_and_nothing_else() {
        let mut space = space(&["a", "b", "c", "d"]);
        space.set_expiry(b"a", Some(10));
        space.set_expiry(b"b", Some(10));
        space.set_expiry(b"c", Some(11));
        space.set_expiry(b"b", None);
        space.expire(9);
        assert_eq!(space.len(), 4);
        space.expire(10);
        assert_eq!(names(&space, 0), ["b", "c", "d"]);
        assert_eq!(
            (space.expiry(b"c"), space.expiry(b"b"), space.expiry(b"a")),
            (Some(Some(11)), Some(None), None)
        );
        check(&space);
    }

    #[test]
    fn counts_bytes_as_values_change() {
        let mut space = space(&["a"]);
        assert_eq!(space.bytes(), KEY_COST + 6);
        space.change(b"a", |v| v.extend_from_slice(b"12345"));
        assert_eq!(space.bytes(), KEY_COST + 11);
        space.insert(b"a", b"".to_vec(), Some(5));
        assert_eq!(space.bytes(), KEY_COST + 1);
        check(&space);
        assert_eq!(space.take(b"a"), Some((b"".to_vec(), Some(5))));
        check(&space);
    }

    #[test]
    fn a_void_value_is_no_key() {
        let mut space = space(&["a"]);
        space.change(b"a", |v| *v = b"void".to_vec());
        space.insert(b"b", b"void".to_vec(), None);
        assert_eq!(space.len(), 0);
        check(&space);
    }

    #[test]
    fn a_scan_goes_on_where_it_stopped() {
        let mut space = space(&["a", "b", "c"]);
        let (born, _, _) = space.from(0).nth(1).expect("three keys");
        space.take(b"a");
        space.insert(b"d", b"new".to_vec(), None);
        assert_eq!(names(&space, born + 1), ["c", "d"]);
    }
}
