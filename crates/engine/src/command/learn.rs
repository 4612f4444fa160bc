//! Commands that the table does not have, out of what a server answers to COMMAND: those of modules and of newer releases.
//!
//! ```text
//!   COMMAND's reply ── Learner::read ──► Learnt ── PoolView ──► requests whose command `find` does not know
//! ```
//! What is learnt becomes a row like those of the table. A row is made once in a process, however often servers tell of it,
//! and stays: so all that a request may hold on to is a plain reference, and their number is bounded.

use std::collections::BTreeMap;
use std::fmt;

use wire::limits::Limits;
use wire::resp::reply::{ReplyError, ReplyParse, ReplyScan, bulk, elements, integer};

use super::flags::{Acl, Flags, KeyFlags};
use super::keys::{Begin, Find, KeySpec, Keys};
use super::{About, Command, Learnt, by_name, hash};

/// Reads what servers tell of their commands, and keeps the rows that it makes of it.
#[derive(Debug, Default)]
pub struct Learner {
    rows: BTreeMap<&'static str, Vec<&'static Command>>,
    count: usize,
    words: Vec<&'static str>,
}

/// A reply to COMMAND, as it comes.
#[derive(Debug, Default)]
pub struct Listing {
    bytes: Vec<u8>,
    scan: ReplyScan,
}

impl Listing {
    /// Takes more bytes of it; answers whether it is whole. Fails where it is no reply, or one of more than [`LIST_BYTES`].
    pub fn add(&mut self, piece: &[u8]) -> Result<bool, ReplyError> {
        self.bytes.extend_from_slice(piece);
        let limits = Limits { reply_bytes: LIST_BYTES, ..Limits::default() };
        match self.scan.scan(&self.bytes, &limits) {
            ReplyParse::Complete { len, .. } => {
                self.bytes.truncate(len);
                Ok(true)
            }
            ReplyParse::Partial => Ok(false),
            ReplyParse::Invalid(error) => Err(error),
        }
    }
}

/// Why a reply says nothing of commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LearnError {
    /// The server refuses to tell: its own words.
    Refused(String),
    /// No server with commands answers this.
    NoList,
}

impl fmt::Display for LearnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(said) => write!(f, "it answers '{said}' to COMMAND"),
            Self::NoList => f.write_str("its answer to COMMAND is no list of commands"),
        }
    }
}

impl std::error::Error for LearnError {}

/// What a server tells of one command.
pub(super) struct Row {
    name: String,
    arity: i16,
    pub(super) flags: Flags,
    pub(super) acl: Acl,
    first: i16,
    last: i16,
    step: i16,
    specs: Vec<KeySpec>,
    /// Whether it said more of its keys than was understood.
    pub(super) unclear: bool,
}

impl Learner {
    /// What of `listing`, which is whole and in either protocol, is not in the table. Entries that make no sense are
    /// left out, and so is what goes beyond the bounds: [`ENTRIES_MAX`] of a reply, [`ROWS_MAX`] of the process.
    pub fn read(&mut self, listing: &Listing) -> Result<Learnt, LearnError> {
        let reply = listing.bytes.as_slice();
        if let Some(text) = reply.strip_prefix(b"-") {
            let shown = String::from_utf8_lossy(text.get(..text.len().min(SHOWN_MAX)).unwrap_or(text));
            let plain = |c: char| if c.is_control() { ' ' } else { c };
            return Err(LearnError::Refused(shown.trim_end().chars().map(plain).collect()));
        }
        let Some((_, entries)) = elements(reply) else { return Err(LearnError::NoList) };
        let mut learnt = Learnt::default();
        let mut sensible = false;
        for entry in entries.take(ENTRIES_MAX) {
            sensible |= self.entry(entry, &mut learnt).is_some();
        }
        if sensible { Ok(learnt) } else { Err(LearnError::NoList) }
    }

    /// One command and its subcommands. Nothing: it makes no sense.
    fn entry(&mut self, entry: &[u8], learnt: &mut Learnt) -> Option<()> {
        let fields: Vec<&[u8]> = elements(entry)?.1.take(FIELDS).collect();
        let word = upper(text(fields.first()?)?)?;
        integer(fields.get(1)?)?;
        let container = match by_name(word.as_bytes()) {
            Some(command) if command.subcommands().is_empty() => return Some(()),
            Some(command) => command,
            None => {
                let row = self.row(word, &fields)?;
                let Some(command) = self.keep(row) else { return Some(()) };
                learnt.add(command);
                command
            }
        };
        let parts = fields.get(PARTS).and_then(|parts| elements(parts));
        for part in parts.into_iter().flat_map(|(_, parts)| parts.take(PARTS_MAX)) {
            self.part(container, part, learnt);
        }
        Some(())
    }

    fn part(&mut self, container: &'static Command, part: &[u8], learnt: &mut Learnt) -> Option<()> {
        let fields: Vec<&[u8]> = elements(part)?.1.take(FIELDS).collect();
        let full = text(fields.first()?)?;
        // `config|get`; some may say only `get`.
        let word = upper(full.rsplit(|byte| *byte == b'|').next()?)?;
        if by_name(format!("{}|{word}", container.name).as_bytes()).is_some() {
            return Some(());
        }
        let row = self.row(format!("{} {word}", container.name), &fields)?;
        let command = self.keep(row)?;
        learnt.add_part(container, command);
        Some(())
    }

    /// Reads all that is told of a command. Nothing: it makes no sense.
    fn row(&mut self, name: String, fields: &[&[u8]]) -> Option<Row> {
        let number = |at: usize| fields.get(at).and_then(|field| integer(field));
        let small = |at: usize| number(at).and_then(|number| i16::try_from(number).ok());
        let words = |at: usize| -> Vec<&[u8]> {
            let list = fields.get(at).and_then(|list| elements(list));
            list.map_or_else(Vec::new, |(_, words)| words.take(WORDS_MAX).filter_map(text).collect())
        };
        let flags: Vec<Flags> = words(2).into_iter().filter_map(Flags::parse).collect();
        let acl = words(6).into_iter();
        let acl: Vec<Acl> =
            acl.filter_map(|word| Acl::parse(word.strip_prefix(b"@").unwrap_or(word))).collect();
        let arity = small(1).filter(|arity| *arity != 0)?;
        let (first, last, step) = (small(3)?, small(4)?, small(5)?);
        let mut row = Row {
            name,
            arity,
            flags: Flags::of(&flags),
            acl: Acl::of(&acl),
            first,
            last,
            step,
            specs: Vec::new(),
            unclear: false,
        };
        match fields.get(SPECS).and_then(|specs| elements(specs)) {
            Some((count, specs)) => {
                for spec in specs.take(SPECS_MAX) {
                    match self.spec(spec) {
                        Some(spec) => row.specs.push(spec),
                        None => row.unclear = true,
                    }
                }
                row.unclear |= row.specs.len() < count;
            }
            // Before redis 7 there are but three numbers.
            None => row.old_keys(),
        }
        Some(row)
    }

    fn spec(&mut self, spec: &[u8]) -> Option<KeySpec> {
        let words = elements(field(spec, "flags")?)?.1.take(WORDS_MAX).filter_map(text);
        let flags: Vec<KeyFlags> = words.filter_map(KeyFlags::parse).collect();
        let (kind, how) = typed(field(spec, "begin_search")?)?;
        let begin = match kind {
            b"index" => Begin::Index(unsigned(how, "index")?),
            b"keyword" => {
                let from = i16::try_from(integer(field(how, "startfrom")?)?).ok()?;
                Begin::Keyword(self.word(text(field(how, "keyword")?)?)?, from)
            }
            _ => Begin::Unknown,
        };
        let (kind, how) = typed(field(spec, "find_keys")?)?;
        let find = match kind {
            b"range" => Find::Range {
                last: i16::try_from(integer(field(how, "lastkey")?)?).ok()?,
                step: unsigned(how, "keystep")?,
                limit: unsigned(how, "limit")?,
            },
            b"keynum" => Find::Keynum {
                number: unsigned(how, "keynumidx")?,
                first: unsigned(how, "firstkey")?,
                step: unsigned(how, "keystep")?,
            },
            _ => Find::Unknown,
        };
        Some(KeySpec { begin, find, flags: KeyFlags::of(&flags) })
    }

    /// A keyword that is kept as long as the rows are.
    fn word(&mut self, word: &[u8]) -> Option<&'static str> {
        let word = upper(word)?;
        if let Some(known) = self.words.iter().find(|known| **known == word) {
            return Some(known);
        }
        if self.words.len() >= KEYWORDS_MAX {
            return None;
        }
        let word: &'static str = String::leak(word);
        self.words.push(word);
        Some(word)
    }

    /// The one row of the process that says this; nothing when there are too many.
    fn keep(&mut self, row: Row) -> Option<&'static Command> {
        let known = self.rows.get(row.name.as_str());
        if let Some(known) = known.and_then(|rows| rows.iter().find(|command| row.is(command))) {
            return Some(known);
        }
        if self.count >= ROWS_MAX {
            return None;
        }
        self.count += 1;
        let (keys, route) = (row.keys(), row.route());
        let command: &'static Command = Box::leak(Box::new(Command {
            name: String::leak(row.name),
            arity: row.arity,
            flags: row.flags,
            acl: row.acl,
            first: row.first,
            last: row.last,
            step: row.step,
            keys,
            specs: Vec::leak(row.specs),
            route,
            tips: &[],
            about: About { since: "", group: "", module: "", deprecated_since: "", replaced_by: "" },
            subcommands: 0..0,
        }));
        self.rows.entry(command.name).or_default().push(command);
        Some(command)
    }
}

impl Row {
    /// Keys from a first to a last argument, as redis tells of them before it is 7.
    fn old_keys(&mut self) {
        let Ok(first) = u16::try_from(self.first) else { return self.unclear = true };
        if first == 0 {
            return;
        }
        let last = if self.last < 0 { Some(self.last) } else { self.last.checked_sub(self.first) };
        let (Some(last), Ok(step)) = (last, u16::try_from(self.step)) else { return self.unclear = true };
        let find = Find::Range { last, step, limit: 0 };
        // Nobody says what becomes of them.
        self.specs.push(KeySpec { begin: Begin::Index(first), find, flags: KeyFlags::of(&[]) });
        self.unclear |= self.flags.has(Flags::MOVABLEKEYS);
    }

    fn is(&self, command: &Command) -> bool {
        command.name == self.name
            && command.arity == self.arity
            && command.flags == self.flags
            && command.acl == self.acl
            && (command.first, command.last, command.step) == (self.first, self.last, self.step)
            && command.specs == self.specs
            && command.route == self.route()
    }

    /// Where its keys are, channels not counted.
    pub(super) fn specs(&self) -> impl Iterator<Item = &KeySpec> {
        self.specs.iter().filter(|spec| !spec.flags.has(KeyFlags::NOT_KEY))
    }

    fn keys(&self) -> Keys {
        match self.specs.as_slice() {
            [] => Keys::None,
            [KeySpec { begin: Begin::Index(1), find: Find::Range { last: 0, .. }, flags }]
                if !flags.has(KeyFlags::NOT_KEY) =>
            {
                Keys::First
            }
            _ => Keys::Told,
        }
    }
}

/// A command's or subcommand's name in capitals, if it is one.
fn upper(word: &[u8]) -> Option<String> {
    let plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'|';
    let whole = (1..=NAME_MAX).contains(&word.len()) && word.iter().all(plain);
    whole.then(|| word.iter().map(|byte| char::from(byte.to_ascii_uppercase())).collect())
}

/// The text of a bulk or a simple string.
fn text(reply: &[u8]) -> Option<&[u8]> {
    match reply.strip_prefix(b"+") {
        Some(line) => line.strip_suffix(b"\r\n"),
        None => bulk(reply),
    }
}

/// The value of a map's field.
fn field<'r>(map: &'r [u8], name: &str) -> Option<&'r [u8]> {
    let mut parts = elements(map)?.1.take(FIELDS * 2);
    while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
        if text(key) == Some(name.as_bytes()) {
            return Some(value);
        }
    }
    None
}

/// What kind of search or find it is, and its details.
fn typed(map: &[u8]) -> Option<(&[u8], &[u8])> {
    Some((text(field(map, "type")?)?, field(map, "spec")?))
}

fn unsigned(map: &[u8], name: &str) -> Option<u16> {
    u16::try_from(integer(field(map, name)?)?).ok()
}

/// The longest reply to COMMAND that is read, in bytes; that of redis 8 with its modules has some 400 KB.
pub const LIST_BYTES: u64 = 8 << 20;
/// Entries of one reply that are looked at; redis with all its modules has some 600.
pub const ENTRIES_MAX: usize = 4096;
/// Rows that a process makes, each of some 300 bytes and at most some 1000: 4 MB for servers that tell something else
/// every time.
pub const ROWS_MAX: usize = 4096;
/// Subcommands of a container that are looked at.
const PARTS_MAX: usize = 256;
/// Words after which keys are looked for, of all rows.
const KEYWORDS_MAX: usize = 256;
/// Elements of an entry that are looked at: those that redis 7 has.
const FIELDS: usize = 10;
/// Which of them has the key specifications.
const SPECS: usize = 8;
/// And which the subcommands.
const PARTS: usize = 9;
/// Key specifications of a command; redis' own have two at most.
const SPECS_MAX: usize = 8;
/// Flags or categories of a command.
const WORDS_MAX: usize = 64;
/// The longest name of a command or subcommand, in bytes.
pub(super) const NAME_MAX: usize = 64;
/// How much of a server's refusal is shown, in bytes.
const SHOWN_MAX: usize = 128;

const _: () = assert!(NAME_MAX >= hash::WORD_MAX);
