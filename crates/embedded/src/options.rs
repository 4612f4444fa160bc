//! What can be set about an embedded server, and its bounds.

/// The bounds of one embedded server. `Options::default()` fits a trial on any machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Bytes of keys and values kept, with an estimate of what keeping them costs. Over it, the key that was
    /// created first goes first. Looked at before each write, so that one request's worth may come on top.
    pub bytes_max: usize,
    /// Longest request in bytes, of redis only (memcached's is given by its largest item). A longer one is
    /// answered with an error and the connection closed.
    pub request_bytes_max: usize,
    /// Longest reply in bytes; a request that asks for more, by naming a large value often, gets an error
    /// instead.
    pub reply_bytes_max: usize,
    /// Connections at a time; more are told so and closed, in the words of the server they meant.
    pub clients_max: usize,
    /// The password of a redis server's default user; clients need none when this is empty.
    pub password: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            bytes_max: 64 * MIB,
            request_bytes_max: 16 * MIB,
            reply_bytes_max: 64 * MIB,
            clients_max: 1000,
            password: None,
        }
    }
}

const MIB: usize = 1024 * 1024;
