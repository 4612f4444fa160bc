//! The closed lists of words that redis uses about commands, as bit sets. The order is the order in which
//! redis 7 lists them in `COMMAND INFO`.

/// Declares a set: each row is a constant and the word redis has for it.
macro_rules! bits {
    ($(#[$doc:meta])* $name:ident { $($flag:ident $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name(u32);

        #[allow(missing_docs, reason = "redis documents these words")]
        impl $name {
            bits!(@row 0; $($flag)*);
        }

        impl $name {
            /// Every word of the set, in redis' order.
            pub const WORDS: &'static [(Self, &'static str)] = &[$((Self::$flag, $word),)*];

            /// The union of `flags`.
            pub const fn of(flags: &[Self]) -> Self {
                let mut bits = 0;
                let mut index = 0;
                while index < flags.len() {
                    bits |= flags[index].0;
                    index += 1;
                }
                Self(bits)
            }

            /// Whether all of `other` is in the set.
            pub const fn has(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The set without `other`.
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// The words in the set, in redis' order.
            pub fn words(self) -> impl Iterator<Item = &'static str> {
                Self::WORDS.iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, word)| *word)
            }

            /// The flag called `word`, in any case.
            pub fn parse(word: &[u8]) -> Option<Self> {
                let row = Self::WORDS.iter().find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(word));
                row.map(|(flag, _)| *flag)
            }
        }
    };
    (@row $bit:expr; $flag:ident $($rest:ident)*) => {
        pub const $flag: Self = Self(1 << ($bit));
        bits!(@row $bit + 1; $($rest)*);
    };
    (@row $bit:expr;) => {};
}

bits! {
    /// What a command does and where it is allowed.
    Flags {
        WRITE "write",
        READONLY "readonly",
        DENYOOM "denyoom",
        MODULE "module",
        ADMIN "admin",
        PUBSUB "pubsub",
        NOSCRIPT "noscript",
        BLOCKING "blocking",
        LOADING "loading",
        STALE "stale",
        SKIP_MONITOR "skip_monitor",
        SKIP_SLOWLOG "skip_slowlog",
        ASKING "asking",
        FAST "fast",
        NO_AUTH "no_auth",
        SENTINEL "sentinel",
        ONLY_SENTINEL "only_sentinel",
        NO_MANDATORY_KEYS "no_mandatory_keys",
        NO_ASYNC_LOADING "no_async_loading",
        NO_MULTI "no_multi",
        MOVABLEKEYS "movablekeys",
        ALLOW_BUSY "allow_busy",
        SCRIPT_RUNNER "script_runner",
        TOUCHES_ARBITRARY_KEYS "touches_arbitrary_keys",
        ALL_DBS "all_dbs",
        EXPERIMENTAL "experimental",
    }
}

bits! {
    /// The categories that access lists speak of; redis writes them with an `@` in front.
    Acl {
        KEYSPACE "keyspace",
        READ "read",
        WRITE "write",
        SET "set",
        SORTEDSET "sortedset",
        LIST "list",
        HASH "hash",
        STRING "string",
        ARRAY "array",
        BITMAP "bitmap",
        HYPERLOGLOG "hyperloglog",
        GEO "geo",
        STREAM "stream",
        PUBSUB "pubsub",
        ADMIN "admin",
        FAST "fast",
        SLOW "slow",
        BLOCKING "blocking",
        DANGEROUS "dangerous",
        CONNECTION "connection",
        TRANSACTION "transaction",
        SCRIPTING "scripting",
        JSON "json",
        SEARCH "search",
        TIMESERIES "timeseries",
        BLOOM "bloom",
        CUCKOO "cuckoo",
        CMS "cms",
        TOPK "topk",
        TDIGEST "tdigest",
    }
}

bits! {
    /// What a command does to a key.
    KeyFlags {
        RO "RO",
        RW "RW",
        OW "OW",
        RM "RM",
        ACCESS "access",
        UPDATE "update",
        INSERT "insert",
        DELETE "delete",
        NOT_KEY "not_key",
        INCOMPLETE "incomplete",
        VARIABLE_FLAGS "variable_flags",
    }
}
