//! Sockets by engine handle, and the tokens that name them in the reactor.
//!
//! ```text
//!   token:  kind (2 bits) | generation (30 bits) | index (32 bits)
//! ```

use engine::id::Id;
use reactor::Token;

/// What a token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Client,
    Conn,
    Listener,
    Special,
}

/// The mailbox.
pub(crate) const MAILBOX: u32 = 0;

/// Splits a token.
#[inline]
pub(crate) fn parse(token: Token) -> (Kind, u32, u32) {
    let kind = match token.0 >> 62 {
        0 => Kind::Client,
        1 => Kind::Conn,
        2 => Kind::Listener,
        _ => Kind::Special,
    };
    (kind, (token.0 >> 32) as u32 & GENERATION_MASK, token.0 as u32)
}

/// The token of something that is no connection.
pub(crate) fn plain_token(kind: Kind, index: u32) -> Token {
    Token((kind as u64) << 62 | u64::from(index))
}

/// The token of a connection.
pub(crate) fn token<K>(kind: Kind, id: Id<K>) -> Token {
    let generation = u64::from(id.generation() & GENERATION_MASK);
    Token((kind as u64) << 62 | generation << 32 | id.index() as u64)
}

const GENERATION_MASK: u32 = (1 << 30) - 1;

/// Things by engine handle.
#[derive(Debug)]
pub(crate) struct Table<K, T> {
    entries: Vec<Option<(Id<K>, T)>>,
}

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Table { entries: Vec::new() }
    }
}

impl<K, T> Table<K, T> {
    /// Puts `value` at `id`; answers what an older life of the place left there.
    pub(crate) fn insert(&mut self, id: Id<K>, value: T) -> Option<T> {
        if self.entries.len() <= id.index() {
            self.entries.resize_with(id.index() + 1, || None);
        }
        self.entries[id.index()].replace((id, value)).map(|(_, old)| old)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: Id<K>) -> Option<&mut T> {
        match self.entries.get_mut(id.index()) {
            Some(Some((own, value))) if *own == id => Some(value),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: Id<K>) -> Option<&T> {
        match self.entries.get(id.index()) {
            Some(Some((own, value))) if *own == id => Some(value),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, id: Id<K>) -> Option<T> {
        self.get_mut(id)?;
        self.entries[id.index()].take().map(|(_, value)| value)
    }

    /// The full handle behind a token's parts.
    #[inline]
    pub(crate) fn find(&self, generation: u32, index: u32) -> Option<Id<K>> {
        let (id, _) = self.entries.get(index as usize)?.as_ref()?;
        (id.generation() & GENERATION_MASK == generation).then_some(*id)
    }

    /// All entries.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Id<K>, &mut T)> {
        self.entries.iter_mut().flatten().map(|(id, value)| (*id, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_one_life_of_a_place() {
        let mut table: Table<(), &str> = Table::default();
        let (old, new) = (Id::new(3, 7), Id::new(3, 8));
        assert_eq!(table.insert(old, "old"), None);
        assert_eq!(table.insert(new, "new"), Some("old"));
        assert!(table.get_mut(old).is_none());
        let (kind, generation, index) = parse(token(Kind::Conn, new));
        assert_eq!(kind, Kind::Conn);
        assert_eq!(table.find(generation, index), Some(new));
        let (_, generation, index) = parse(token(Kind::Conn, old));
        assert_eq!(table.find(generation, index), None);
    }
}
