//! Every error a client can get, with redis' exact text (7.0).

use std::fmt;

use super::request::Broken;

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The key holds another type.
    WrongType,
    /// Too few or too many arguments for the command named.
    Arity(String),
    /// No such command; the rest is part of the text.
    UnknownCommand(String),
    /// A container command has no such subcommand: container, what was asked for.
    UnknownSubcommand(&'static str, String),
    /// Options that do not go together or are none.
    Syntax,
    /// An argument or value is no 64-bit integer.
    NotInteger,
    /// An argument or value is no number.
    NotFloat,
    /// A hash's value is no 64-bit integer.
    HashNotInteger,
    /// The result of an increment does not fit 64 bits.
    Overflow,
    /// DECRBY by a number that has no opposite.
    DecrementOverflow,
    /// The result of an increment is no finite number.
    NotFinite,
    /// A count below 0.
    NotPositive,
    /// An expiry in the past or beyond all bounds; the command's name.
    InvalidExpire(String),
    /// A string's offset below 0.
    Offset,
    /// A string would grow beyond the longest request.
    StringTooLong,
    /// The reply would be longer than the server's bound.
    ReplyTooLong,
    /// RENAME of a key that is not there.
    NoSuchKey,
    /// SELECT of a database beyond the last.
    DbIndex,
    /// SCAN with something that is no cursor.
    InvalidCursor,
    /// ZADD with a score that is not a number, or an increment leading there.
    ScoreNotNumber,
    /// ZADD, EXPIRE: options that exclude each other.
    NxAndXx,
    /// ZADD: options that exclude each other.
    GtLtNx,
    /// EXPIRE: options that exclude each other.
    ExpireNx,
    /// EXPIRE: options that exclude each other.
    ExpireGtLt,
    /// EXPIRE with an option that is none.
    ExpireOption(String),
    /// ZADD INCR with several members.
    IncrPairs,
    /// HELLO with a version that is no number.
    ProtocolNotInteger,
    /// HELLO with another version than 2 or 3.
    NoProto,
    /// HELLO with an option that is none, or lacks its arguments.
    HelloOption(String),
    /// HELLO without the password that is needed.
    HelloNoAuth,
    /// A command before the password.
    NoAuth,
    /// A wrong password.
    WrongPass,
    /// AUTH where no password is set.
    AuthUnneeded,
    /// CLIENT SETNAME with spaces or control characters.
    ClientName,
    /// CLIENT SETINFO with such a value; the attribute's name.
    ClientInfo(String),
    /// CLIENT SETINFO with another attribute.
    ClientInfoOption(String),
    /// What redis can do and this server cannot.
    NotHere(&'static str),
    /// The request could not be read; the connection is closed.
    Protocol(Broken),
}

impl Fault {
    /// No such command: its name and the first arguments, shortened as redis does.
    pub(crate) fn unknown_command(args: &[Vec<u8>]) -> Fault {
        let name = args.first().map(|name| shortened(name, 128)).unwrap_or_default();
        let mut shown = String::new();
        for arg in args.iter().skip(1) {
            if shown.len() >= 128 {
                break;
            }
            let room = 128 - shown.len();
            shown.push_str(&format!("'{}' ", shortened(arg, room)));
        }
        Fault::UnknownCommand(format!("'{name}', with args beginning with: {shown}"))
    }

    /// No such subcommand of `container`.
    pub(crate) fn unknown_subcommand(container: &'static str, name: &[u8]) -> Fault {
        Fault::UnknownSubcommand(container, shortened(name, 128))
    }
}

/// The first bytes of an argument as they may stand in an error line, without line ends.
pub(crate) fn shortened(bytes: &[u8], max: usize) -> String {
    let part = bytes.get(..max).unwrap_or(bytes);
    String::from_utf8_lossy(part).replace(['\r', '\n'], " ")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::WrongType => {
                f.write_str("WRONGTYPE Operation against a key holding the wrong kind of value")
            }
            Fault::Arity(name) => write!(f, "ERR wrong number of arguments for '{name}' command"),
            Fault::UnknownCommand(rest) => write!(f, "ERR unknown command {rest}"),
            Fault::UnknownSubcommand(container, name) => {
                write!(f, "ERR unknown subcommand '{name}'. Try {container} HELP.")
            }
            Fault::Syntax => f.write_str("ERR syntax error"),
            Fault::NotInteger => f.write_str("ERR value is not an integer or out of range"),
            Fault::NotFloat => f.write_str("ERR value is not a valid float"),
            Fault::HashNotInteger => f.write_str("ERR hash value is not an integer"),
            Fault::Overflow => f.write_str("ERR increment or decrement would overflow"),
            Fault::DecrementOverflow => f.write_str("ERR decrement would overflow"),
            Fault::NotFinite => f.write_str("ERR increment would produce NaN or Infinity"),
            Fault::NotPositive => f.write_str("ERR value is out of range, must be positive"),
            Fault::InvalidExpire(name) => write!(f, "ERR invalid expire time in '{name}' command"),
            Fault::Offset => f.write_str("ERR offset is out of range"),
            Fault::StringTooLong => {
                f.write_str("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
            }
            Fault::ReplyTooLong => f.write_str("ERR the reply would be longer than this server sends"),
            Fault::NoSuchKey => f.write_str("ERR no such key"),
            Fault::DbIndex => f.write_str("ERR DB index is out of range"),
            Fault::InvalidCursor => f.write_str("ERR invalid cursor"),
            Fault::ScoreNotNumber => f.write_str("ERR resulting score is not a number (NaN)"),
            Fault::NxAndXx => f.write_str("ERR XX and NX options at the same time are not compatible"),
            Fault::GtLtNx => f.write_str("ERR GT, LT, and/or NX options at the same time are not compatible"),
            Fault::ExpireNx => {
                f.write_str("ERR NX and XX, GT or LT options at the same time are not compatible")
            }
            Fault::ExpireGtLt => f.write_str("ERR GT and LT options at the same time are not compatible"),
            Fault::ExpireOption(option) => write!(f, "ERR Unsupported option {option}"),
            Fault::IncrPairs => f.write_str("ERR INCR option supports a single increment-element pair"),
            Fault::ProtocolNotInteger => {
                f.write_str("ERR Protocol version is not an integer or out of range")
            }
            Fault::NoProto => f.write_str("NOPROTO unsupported protocol version"),
            Fault::HelloOption(option) => write!(f, "ERR Syntax error in HELLO option '{option}'"),
            Fault::HelloNoAuth => f.write_str(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
                 HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select \
                 the RESP protocol version at the same time",
            ),
            Fault::NoAuth => f.write_str("NOAUTH Authentication required."),
            Fault::WrongPass => f.write_str("WRONGPASS invalid username-password pair or user is disabled."),
            Fault::AuthUnneeded => f.write_str(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ),
            Fault::ClientName => {
                f.write_str("ERR Client names cannot contain spaces, newlines or special characters.")
            }
            Fault::ClientInfo(name) => {
                write!(f, "ERR {name} cannot contain spaces, newlines or special characters.")
            }
            Fault::ClientInfoOption(name) => write!(f, "ERR Unrecognized option '{name}'"),
            Fault::NotHere(what) => write!(f, "ERR {what} is not supported by this embedded server"),
            Fault::Protocol(broken) => write!(f, "ERR Protocol error: {broken}"),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::InvalidMultibulkLength => f.write_str("invalid multibulk length"),
            Broken::InvalidBulkLength => f.write_str("invalid bulk length"),
            Broken::ExpectedBulk(got) if got.is_ascii_graphic() => {
                write!(f, "expected '$', got '{}'", char::from(*got))
            }
            Broken::ExpectedBulk(_) => f.write_str("expected '$', got ' '"),
            Broken::TooBigInline => f.write_str("too big inline request"),
            Broken::TooBigCount => f.write_str("too big mbulk count string"),
            Broken::TooBigBulkCount => f.write_str("too big bulk count string"),
            Broken::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
            Broken::TooLong(bytes) => write!(f, "request longer than {bytes} bytes"),
        }
    }
}
