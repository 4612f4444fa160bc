//! The types of redis' values, each of which knows how many bytes it takes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::fault::Fault;
use crate::keyspace::{Keyspace, Stored};

/// One key's value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Str(Str),
    Hash(Hash),
    List(List),
    Set(Set),
    Sorted(Sorted),
}

/// A string.
#[derive(Debug, Clone, Default)]
pub(crate) struct Str(pub(crate) Vec<u8>);

/// Fields and values, in the order of the fields' bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hash {
    fields: BTreeMap<Vec<u8>, Vec<u8>>,
    bytes: usize,
}

/// Elements in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct List {
    items: VecDeque<Vec<u8>>,
    bytes: usize,
}

/// Members, in the order of their bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Set {
    members: BTreeSet<Vec<u8>>,
    bytes: usize,
}

/// Members with scores, ordered by score and then by their bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sorted {
    scores: BTreeMap<Vec<u8>, f64>,
    order: BTreeSet<(Score, Vec<u8>)>,
    bytes: usize,
}

/// A score that can be ordered; never NaN, and zero without a sign.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Score(f64);

impl Value {
    /// The type's name, as TYPE answers it.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::Str(_) => "string",
            Value::Hash(_) => "hash",
            Value::List(_) => "list",
            Value::Set(_) => "set",
            Value::Sorted(_) => "zset",
        }
    }
}

impl Stored for Value {
    fn bytes(&self) -> usize {
        match self {
            Value::Str(s) => s.0.len(),
            Value::Hash(h) => h.bytes,
            Value::List(l) => l.bytes,
            Value::Set(s) => s.bytes,
            Value::Sorted(z) => z.bytes,
        }
    }

    fn is_void(&self) -> bool {
        match self {
            Value::Str(_) => false,
            Value::Hash(h) => h.fields.is_empty(),
            Value::List(l) => l.items.is_empty(),
            Value::Set(s) => s.members.is_empty(),
            Value::Sorted(z) => z.scores.is_empty(),
        }
    }
}

impl Hash {
    pub(crate) fn fields(&self) -> &BTreeMap<Vec<u8>, Vec<u8>> {
        &self.fields
    }

    /// Sets a field; true when it is new.
    pub(crate) fn set(&mut self, field: &[u8], value: Vec<u8>) -> bool {
        let removed = self.remove(field);
        self.bytes += field.len() + value.len() + ITEM_COST;
        self.fields.insert(field.to_vec(), value);
        !removed
    }

    pub(crate) fn remove(&mut self, field: &[u8]) -> bool {
        let Some(old) = self.fields.remove(field) else { return false };
        self.bytes -= field.len() + old.len() + ITEM_COST;
        true
    }
}

impl List {
    pub(crate) fn items(&self) -> &VecDeque<Vec<u8>> {
        &self.items
    }

    pub(crate) fn push_front(&mut self, item: &[u8]) {
        self.bytes += item.len() + ITEM_COST;
        self.items.push_front(item.to_vec());
    }

    pub(crate) fn push_back(&mut self, item: &[u8]) {
        self.bytes += item.len() + ITEM_COST;
        self.items.push_back(item.to_vec());
    }

    pub(crate) fn pop_front(&mut self) -> Option<Vec<u8>> {
        let item = self.items.pop_front()?;
        self.bytes -= item.len() + ITEM_COST;
        Some(item)
    }

    pub(crate) fn pop_back(&mut self) -> Option<Vec<u8>> {
        let item = self.items.pop_back()?;
        self.bytes -= item.len() + ITEM_COST;
        Some(item)
    }

    /// Keeps what `keep` says, asked from the front or from the back; answers how many are gone.
    pub(crate) fn retain(&mut self, from_back: bool, mut keep: impl FnMut(&[u8]) -> bool) -> usize {
        let before = self.items.len();
        if from_back {
            self.items.make_contiguous().reverse();
        }
        self.items.retain(|item| {
            let kept = keep(item);
            if !kept {
                self.bytes -= item.len() + ITEM_COST;
            }
            kept
        });
        if from_back {
            self.items.make_contiguous().reverse();
        }
        before - self.items.len()
    }
}

impl Set {
    pub(crate) fn members(&self) -> &BTreeSet<Vec<u8>> {
        &self.members
    }

    pub(crate) fn add(&mut self, member: &[u8]) -> bool {
        let new = self.members.insert(member.to_vec());
        if new {
            self.bytes += member.len() + ITEM_COST;
        }
        new
    }

    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        let gone = self.members.remove(member);
        if gone {
            self.bytes -= member.len() + ITEM_COST;
        }
        gone
    }
}

impl Sorted {
    pub(crate) fn len(&self) -> usize {
        self.scores.len()
    }

    pub(crate) fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// Members and scores, lowest first.
    pub(crate) fn ordered(&self) -> impl DoubleEndedIterator<Item = (&[u8], f64)> {
        self.order.iter().map(|(score, member)| (member.as_slice(), score.0))
    }

    pub(crate) fn set(&mut self, member: &[u8], score: f64) {
        self.remove(member);
        // Adding zero takes the sign off a negative one.
        let score = score + 0.0;
        self.bytes += 2 * (member.len() + ITEM_COST);
        self.scores.insert(member.to_vec(), score);
        self.order.insert((Score(score), member.to_vec()));
    }

    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        let Some(score) = self.scores.remove(member) else { return false };
        self.order.remove(&(Score(score), member.to_vec()));
        self.bytes -= 2 * (member.len() + ITEM_COST);
        true
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Score) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Score) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// A type of value that commands can ask for.
pub(crate) trait Kind: Default {
    fn of(value: &Value) -> Option<&Self>;
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    fn wrap(self) -> Value;
}

macro_rules! kinds {
    ($($kind:ident),*) => {$(
        impl Kind for $kind {
            fn of(value: &Value) -> Option<&$kind> {
                if let Value::$kind(kind) = value { Some(kind) } else { None }
            }
            fn of_mut(value: &mut Value) -> Option<&mut $kind> {
                if let Value::$kind(kind) = value { Some(kind) } else { None }
            }
            fn wrap(self) -> Value {
                Value::$kind(self)
            }
        }
    )*};
}
kinds!(Str, Hash, List, Set, Sorted);

impl Keyspace<Value> {
    /// A key's value as the type a command expects.
    pub(crate) fn read<K: Kind>(&self, key: &[u8]) -> Result<Option<&K>, Fault> {
        match self.value(key) {
            None => Ok(None),
            Some(value) => K::of(value).map(Some).ok_or(Fault::WrongType),
        }
    }

    /// Changes an existing key's value; `None` when there is no such key.
    pub(crate) fn edit<K: Kind, R>(
        &mut self,
        key: &[u8],
        edit: impl FnOnce(&mut K) -> R,
    ) -> Result<Option<R>, Fault> {
        match self.change(key, |value| K::of_mut(value).map(edit)) {
            None => Ok(None),
            Some(None) => Err(Fault::WrongType),
            Some(done) => Ok(done),
        }
    }

    /// Changes a key's value, beginning with an empty one when there is no such key.
    pub(crate) fn make<K: Kind, R>(
        &mut self,
        key: &[u8],
        edit: impl FnOnce(&mut K) -> R,
    ) -> Result<R, Fault> {
        if let Some(value) = self.value(key) {
            K::of(value).ok_or(Fault::WrongType)?;
            return self.edit(key, edit)?.ok_or(Fault::WrongType);
        }
        let mut kind = K::default();
        let result = edit(&mut kind);
        self.insert(key, kind.wrap(), None);
        Ok(result)
    }
}

/// Estimated bytes for keeping one element beside its own.
const ITEM_COST: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_back_to_zero_when_all_is_gone() {
        let mut hash = Hash::default();
        assert!(hash.set(b"f", b"long value".to_vec()) && !hash.set(b"f", b"v".to_vec()));
        assert_eq!(hash.bytes, 2 + ITEM_COST);
        assert!(hash.remove(b"f") && !hash.remove(b"f"));
        assert_eq!(hash.bytes, 0);

        let mut list = List::default();
        for item in [b"a", b"b", b"a", b"c"] {
            list.push_back(item);
        }
        assert_eq!(list.retain(false, |item| item != b"a"), 2);
        assert_eq!(
            (list.pop_front(), list.pop_back(), list.bytes),
            (Some(b"b".to_vec()), Some(b"c".to_vec()), 0)
        );

        let mut set = Set::default();
        assert!(set.add(b"m") && !set.add(b"m") && set.remove(b"m") && !set.remove(b"m"));
        assert_eq!(set.bytes, 0);

        let mut sorted = Sorted::default();
        sorted.set(b"m", 1.0);
        sorted.set(b"m", -0.0);
        assert_eq!(sorted.order.len(), 1);
        assert!(sorted.remove(b"m") && sorted.order.is_empty());
        assert_eq!(sorted.bytes, 0);
    }

    #[test]
    fn retains_from_either_end_in_order() {
        let kept = |from_back| {
            let mut list = List::default();
            ["a", "b", "a", "c", "a"].iter().for_each(|item| list.push_back(item.as_bytes()));
            let mut left = 2;
            list.retain(from_back, |item| {
                let gone = item == b"a" && left > 0;
                left -= i32::from(gone);
                !gone
            });
            list.items.iter().map(|i| String::from_utf8_lossy(i).into_owned()).collect::<String>()
        };
        assert_eq!((kept(false).as_str(), kept(true).as_str()), ("bca", "abc"));
    }
}
