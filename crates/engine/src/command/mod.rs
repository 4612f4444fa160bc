//! What every redis command means to the proxy: its keys, how it is routed, how answers are merged, or why it
//! is not taken.
//!
//! ```text
//!   argv ── lookup::find ──► &'static Command ── route: by key, split, fan out, answer here, not yet, refused
//!             │ (or an error                └── keys::keys ──► which arguments are keys
//!             ▼  in redis' words)                info::write ──► COMMAND's own answers
//! ```
//!
//! The rows are `redis.rs`, written by `cargo xtask gen` from two files: `data/redis-commands.csv` says what
//! servers say about their commands, `data/redis-routes.csv` says what we make of them. Nothing here knows
//! servers, pools or connections.

mod blocking;
mod book;
mod flags;
mod glob;
pub(crate) mod hash;
pub mod info;
mod irregular;
mod keys;
pub mod learn;
mod learnt;
mod listing;
mod lookup;
mod own;
#[rustfmt::skip]
mod redis;
mod scope;
mod set;
mod shareable;

pub use blocking::wait_us;
pub use book::Book;
pub use flags::{Acl, Flags, KeyFlags};
pub use keys::{Begin, Find, KeyError, KeySpec, Keys, blocks, keys, patterns};
pub use learnt::Learnt;
pub use lookup::{FindError, by_name, find};
pub use own::{ClientCall, ClusterCall, Fixed};
pub use scope::Scope;
pub use set::CommandSet;

use std::ops::Range;

use wire::resp::encode;

/// A command or subcommand: one row of the table.
#[derive(Debug)]
pub struct Command {
    /// Upper case; a subcommand has its container's name in front: `CONFIG GET`.
    pub name: &'static str,
    /// The number of arguments with the command word, or, negative, the least number.
    pub arity: i16,
    /// What it does and where it is allowed.
    pub flags: Flags,
    /// The categories of access lists it is in.
    pub acl: Acl,
    /// First key as redis reports it, 0 for none. Routing goes by [`keys`](Self::keys).
    pub first: i16,
    /// Last key as redis reports it; negative counts from the end.
    pub last: i16,
    /// Distance between keys as redis reports it.
    pub step: i16,
    /// Where the keys are, in the form that finds them fastest.
    pub keys: Keys,
    /// Where the keys are, as redis describes it.
    pub specs: &'static [KeySpec],
    /// What the proxy does with it.
    pub route: Route,
    /// Redis' hints to clients, such as `request_policy:all_shards`.
    pub tips: &'static [&'static str],
    /// What else is known about it.
    pub about: About,
    /// The rows of its subcommands.
    subcommands: Range<u16>,
}

/// Facts about a command for its readers. Empty where unknown.
#[derive(Debug)]
pub struct About {
    /// The version of redis, valkey or the module that brought it.
    pub since: &'static str,
    /// The group of commands it is documented under.
    pub group: &'static str,
    /// The module it is part of.
    pub module: &'static str,
    /// The version that advised against it.
    pub deprecated_since: &'static str,
    /// What to use instead.
    pub replaced_by: &'static str,
}

/// What the proxy does with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the server of its keys, which must all be of one server. The reply passes unchanged.
    ByKey,
    /// To every server that has some of its keys; the answers become one.
    Split(Split),
    /// To every server; the answers become one.
    Fanout(Fanout),
    /// Answered here.
    Local(Local),
    /// Of a transaction.
    Session(SessionCommand),
    /// About the keys of all servers, each asked in a way of its own.
    Walk(Walk),
    /// Of pub/sub.
    Pubsub(PubsubCommand),
    /// Not built; the text says what is missing.
    NotYet(&'static str),
    /// Never taken; the text says why.
    Refused(&'static str),
}

/// How a command is taken apart by its keys and its answers put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Values, put back in the order of the keys.
    Mget,
    /// Pairs of key and value; OK if all parts are.
    Mset,
    /// A count per part, added up: DEL UNLINK TOUCH EXISTS.
    Sum,
    /// As MGET, with a path after the keys that every part needs.
    JsonMget,
}

/// How the answers of all servers become one. An error of any server is the answer, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fanout {
    /// The first answer, if no server fails.
    AllOk,
    /// Integers added up.
    Sum,
    /// Arrays strung together, in no order.
    Concat,
    /// Arrays of 0 and 1: 1 where every server says 1.
    And,
    /// The first answer that is not an error; the first error if all are.
    OneOk,
    /// The answer, which must be the same from every server.
    Same,
    /// The same on every server by construction: one is asked.
    First,
    /// Whichever server can be asked.
    Any,
    /// Arrays strung together, each element once.
    Union,
    /// The greatest integer.
    Most,
    /// The least integer.
    Least,
    /// Arrays of names and integers in the same order: for each name the greatest integer.
    Counts,
}

/// The commands answered by the proxy itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after the commands")]
pub enum Local {
    Ping,
    Echo,
    Quit,
    Select,
    Auth,
    Hello,
    Reset,
    Time,
    Info,
    Lolwut,
    ClientSetname,
    ClientGetname,
    ClientId,
    ClientInfo,
    ClientSetinfo,
    Monitor,
    Client(ClientCall),
    Fixed(Fixed),
    Cluster(ClusterCall),
    /// COMMAND and its subcommands: [`info::write`].
    Command(CommandReply),
    /// The HELP of any container: [`info::help`].
    Help,
}

/// The commands of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after the commands")]
pub enum SessionCommand {
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
}

/// What a script or function is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Its text.
    Text,
    /// The SHA1 of its text.
    Sha,
    /// A function's name.
    Function,
}

/// The commands about the keys of all servers that are no plain [`Fanout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// SCAN: one server after another.
    Scan,
    /// RANDOMKEY: of all servers' one, by how many keys each has.
    RandomKey,
    /// WAIT, WAITAOF: the least of all servers.
    Copies,
    /// SCRIPT KILL, FUNCTION KILL: over connections that no script holds up.
    Kill,
    /// FUNCTION STATS: the same way.
    Running,
}

/// The commands of pub/sub that are not for all servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after the commands")]
pub enum PubsubCommand {
    Subscribe,
    Psubscribe,
    Ssubscribe,
    Unsubscribe,
    Punsubscribe,
    Sunsubscribe,
    /// PUBLISH and SPUBLISH.
    Publish,
}

impl PubsubCommand {
    /// Whether it adds subscriptions.
    pub fn subscribes(self) -> bool {
        matches!(self, PubsubCommand::Subscribe | PubsubCommand::Psubscribe | PubsubCommand::Ssubscribe)
    }
}

/// The forms of COMMAND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandReply {
    /// COMMAND alone.
    All,
    /// COMMAND COUNT.
    Count,
    /// COMMAND LIST [FILTERBY ...].
    List,
    /// COMMAND INFO [name ...].
    Info,
    /// COMMAND DOCS [name ...].
    Docs,
    /// COMMAND GETKEYS command arg ...
    GetKeys,
    /// COMMAND GETKEYSANDFLAGS command arg ...
    GetKeysAndFlags,
}

impl Command {
    /// Every row: commands in order of their names, each followed by its subcommands.
    pub fn table() -> &'static [Command] {
        &redis::COMMANDS
    }

    /// The commands that stand alone or contain others.
    pub fn top_level() -> impl Iterator<Item = &'static Command> {
        Self::table().iter().filter(|command| !command.name.contains(' '))
    }

    /// What it contains; empty for most.
    pub fn subcommands(&self) -> &'static [Command] {
        let rows = self.subcommands.start as usize..self.subcommands.end as usize;
        Self::table().get(rows).unwrap_or(&[])
    }

    /// What a script or function is called by; nothing for other commands.
    pub fn script(&self) -> Option<Script> {
        match (self.keys, self.name) {
            (Keys::Specs, "EVAL" | "EVAL_RO") => Some(Script::Text),
            (Keys::Specs, "EVALSHA" | "EVALSHA_RO") => Some(Script::Sha),
            (Keys::Specs, "FCALL" | "FCALL_RO") => Some(Script::Function),
            _ => None,
        }
    }

    /// The name as redis writes it to clients: `get`, `config|get`.
    pub fn full_name(&self) -> String {
        self.name.to_ascii_lowercase().replace(' ', "|")
    }

    /// Whether clients get an answer other than an error; of a container, whether any of its parts is served.
    pub fn served(&self) -> bool {
        match self.route {
            Route::NotYet(_) | Route::Refused(_) => self.subcommands().iter().any(Command::served),
            _ => true,
        }
    }

    /// Whether `count` arguments, the command word included, are enough and not too many.
    #[inline]
    pub fn takes(&self, count: usize) -> bool {
        let least = usize::from(self.arity.unsigned_abs());
        count == least || (count > least && self.arity < 0)
    }

    /// Whether a client may send it before it has given the pool's password.
    pub fn allowed_unauthenticated(&self) -> bool {
        self.flags.has(Flags::NO_AUTH)
    }

    /// Appends the whole error reply that says why the command is not taken.
    pub fn refusal(&self, out: &mut Vec<u8>) {
        let name = self.name;
        let text = match self.route {
            Route::Refused(why) => format!("ERR cashew does not pass on '{name}': {why}"),
            Route::NotYet(why) => format!("ERR cashew does not support '{name}' yet: {why}"),
            _ => format!("ERR cashew does not take '{name}' here"),
        };
        encode::error(text.as_bytes(), out);
    }
}
