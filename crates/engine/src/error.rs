//! Why a request could not be served: whose fault it was and what the client reads.

/// What went wrong between the proxy and a server.
///
/// The texts are twemproxy's, which clients and dashboards match on (spec: twemproxy's exact bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nobody listens, or every server of the pool is ejected.
    Refused,
    /// The request's time was up, or the kernel gave up connecting.
    TimedOut,
    /// The server reset the connection.
    Reset,
    /// The server closed the connection.
    Closed,
    /// Writing to a connection that the server had closed.
    BrokenPipe,
    /// The server's name does not resolve.
    HostDown,
    /// There is no way to the server's address.
    Unreachable,
    /// The server sent what is no reply, or a reply that nobody asked for.
    InvalidReply,
    /// The proxy itself is out of descriptors, ports or memory; the server is not to blame.
    Exhausted,
    /// An operator has taken the server out.
    Drained,
    /// So much waits for the server already that more would only cost memory.
    QueueFull,
    /// The server refused the proxy's own AUTH or SELECT; its text was logged.
    HandshakeRefused,
}

impl Cause {
    /// Whether the server has ended the connection, as one may that owes nothing.
    pub(crate) fn is_end(self) -> bool {
        matches!(self, Cause::Closed | Cause::Reset | Cause::BrokenPipe)
    }

    /// The reason as the client reads it, after `-ERR ` or `SERVER_ERROR `.
    pub fn text(self) -> &'static str {
        match self {
            Cause::Refused => "Connection refused",
            Cause::TimedOut => "Connection timed out",
            Cause::Reset => "Connection reset by peer",
            Cause::Closed => "unknown",
            Cause::BrokenPipe => "Broken pipe",
            Cause::HostDown => "Host is down",
            Cause::Unreachable => "No route to host",
            Cause::InvalidReply => "Invalid argument",
            Cause::Exhausted => "the proxy has no descriptors left",
            Cause::Drained => "server is drained for maintenance",
            Cause::QueueFull => "too much waits for the server already",
            Cause::HandshakeRefused => "server refused the proxy's AUTH or SELECT (see the log)",
        }
    }
}
