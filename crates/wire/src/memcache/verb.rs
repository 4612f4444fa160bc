//! The commands of the classic text protocol and what their lines look like.

/// A command. Those for a server's operator (`slabs`, `lru_crawler`, `shutdown` ...) are unknown to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the command of its name")]
pub enum Verb {
    Get,
    Gets,
    Gat,
    Gats,
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    Cas,
    Incr,
    Decr,
    Touch,
    Delete,
    Version,
    Verbosity,
    FlushAll,
    Stats,
    Quit,
}

/// What follows the command word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `<key>+`
    Keys,
    /// `<exptime> <key>+`
    TouchKeys,
    /// `<key> <flags> <exptime> <bytes>` and data
    Store,
    /// `<key> <flags> <exptime> <bytes> <unique>` and data
    StoreUnique,
    /// `<key> <delta>`
    Count,
    /// `<key> <exptime>`
    Touch,
    /// `<key> [0]`
    Delete,
    /// `[<delay>]`
    Flush,
    /// `<level>`
    Level,
    /// anything
    Free,
}

impl Verb {
    /// The command of that name; names are lower case.
    pub fn parse(word: &[u8]) -> Option<Verb> {
        Some(match word {
            b"get" => Verb::Get,
            b"set" => Verb::Set,
            b"gets" => Verb::Gets,
            b"gat" => Verb::Gat,
            b"gats" => Verb::Gats,
            b"add" => Verb::Add,
            b"replace" => Verb::Replace,
            b"append" => Verb::Append,
            b"prepend" => Verb::Prepend,
            b"cas" => Verb::Cas,
            b"incr" => Verb::Incr,
            b"decr" => Verb::Decr,
            b"touch" => Verb::Touch,
            b"delete" => Verb::Delete,
            b"version" => Verb::Version,
            b"verbosity" => Verb::Verbosity,
            b"flush_all" => Verb::FlushAll,
            b"stats" => Verb::Stats,
            b"quit" => Verb::Quit,
            _ => return None,
        })
    }

    /// The command word.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::Gets => "gets",
            Verb::Gat => "gat",
            Verb::Gats => "gats",
            Verb::Set => "set",
            Verb::Add => "add",
            Verb::Replace => "replace",
            Verb::Append => "append",
            Verb::Prepend => "prepend",
            Verb::Cas => "cas",
            Verb::Incr => "incr",
            Verb::Decr => "decr",
            Verb::Touch => "touch",
            Verb::Delete => "delete",
            Verb::Version => "version",
            Verb::Verbosity => "verbosity",
            Verb::FlushAll => "flush_all",
            Verb::Stats => "stats",
            Verb::Quit => "quit",
        }
    }

    /// Every command.
    pub const ALL: [Verb; 19] = [
        Verb::Get,
        Verb::Gets,
        Verb::Gat,
        Verb::Gats,
        Verb::Set,
        Verb::Add,
        Verb::Replace,
        Verb::Append,
        Verb::Prepend,
        Verb::Cas,
        Verb::Incr,
        Verb::Decr,
        Verb::Touch,
        Verb::Delete,
        Verb::Version,
        Verb::Verbosity,
        Verb::FlushAll,
        Verb::Stats,
        Verb::Quit,
    ];

    /// Which word of its line is the exptime, for commands that give a key one.
    pub fn exptime_word(self) -> Option<usize> {
        match self.shape() {
            Shape::Store | Shape::StoreUnique => Some(3),
            Shape::Touch => Some(2),
            Shape::TouchKeys => Some(1),
            _ => None,
        }
    }

    pub(crate) fn shape(self) -> Shape {
        match self {
            Verb::Get | Verb::Gets => Shape::Keys,
            Verb::Gat | Verb::Gats => Shape::TouchKeys,
            Verb::Set | Verb::Add | Verb::Replace | Verb::Append | Verb::Prepend => Shape::Store,
            Verb::Cas => Shape::StoreUnique,
            Verb::Incr | Verb::Decr => Shape::Count,
            Verb::Touch => Shape::Touch,
            Verb::Delete => Shape::Delete,
            Verb::FlushAll => Shape::Flush,
            Verb::Verbosity => Shape::Level,
            Verb::Version | Verb::Stats | Verb::Quit => Shape::Free,
        }
    }
}

impl Shape {
    /// Fewest and most words of a line, the command and `noreply` included (memcached 1.6.18). Storage
    /// commands may have more, as in later versions.
    pub(crate) fn words(self) -> (usize, usize) {
        const MANY: usize = usize::MAX;
        match self {
            Shape::Keys => (2, MANY),
            Shape::TouchKeys => (2, MANY),
            Shape::Store => (5, MANY),
            Shape::StoreUnique => (6, MANY),
            Shape::Count | Shape::Touch => (3, 4),
            Shape::Delete => (2, 4),
            Shape::Flush => (1, 3),
            Shape::Level => (2, 3),
            Shape::Free => (1, MANY),
        }
    }

    /// From which word on a last `noreply` is that and not a key.
    pub(crate) fn noreply_from(self) -> Option<usize> {
        match self {
            Shape::Keys | Shape::TouchKeys | Shape::Free => None,
            Shape::Flush | Shape::Level => Some(1),
            _ => Some(2),
        }
    }

    /// Whether a data block follows the line.
    pub(crate) fn has_data(self) -> bool {
        matches!(self, Shape::Store | Shape::StoreUnique)
    }
}
