//! What the proxy says to a request that it will not send to a server, and when it hangs up instead.
//!
//! Texts are those of memcached 1.6.18.

/// Why a request is refused. Always the client's fault; the connection stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such command, or too few or too many words for it.
    Unknown,
    /// A key too long or with a control character; flags, exptime, `<bytes>` or a cas unique that is none.
    BadFormat,
    /// `delete` with something else than `0` and `noreply` behind the key.
    BadDelete,
    /// The delta of `incr` or `decr` is no unsigned number.
    BadDelta,
    /// The exptime of `touch`, `gat` or `flush_all` is no number.
    BadExptime,
    /// The data block does not end in CRLF where `<bytes>` says.
    BadData,
    /// The data block is above the bound.
    TooLarge,
    /// A line of more words than the bound.
    LineTooLong,
}

impl Refusal {
    /// The client's text, without line end.
    pub fn text(self) -> &'static [u8] {
        match self {
            Refusal::Unknown => b"ERROR",
            Refusal::BadFormat => b"CLIENT_ERROR bad command line format",
            Refusal::BadDelete => b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]",
            Refusal::BadDelta => b"CLIENT_ERROR invalid numeric delta argument",
            Refusal::BadExptime => b"CLIENT_ERROR invalid exptime argument",
            Refusal::BadData => b"CLIENT_ERROR bad data chunk",
            Refusal::TooLarge => b"SERVER_ERROR object too large for cache",
            Refusal::LineTooLong => b"CLIENT_ERROR line too long",
        }
    }
}

/// Why the client's connection is closed without a reply, as memcached does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// No line end within memcached's 2048 bytes, or, for a line of keys, within the bound on a request.
    LineTooLong,
    /// A request of HTTP.
    Http,
    /// The binary protocol, which this pool does not speak.
    Binary,
}
