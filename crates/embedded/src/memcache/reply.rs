//! What a command answers, collected so that silence can be kept and a bound as well.

/// The reply to one request.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    bytes: Vec<u8>,
    silent: bool,
    closes: bool,
}

impl Reply {
    /// Keeps silence about this request if `yes`, whatever comes of it.
    pub(crate) fn silence(&mut self, yes: bool) {
        self.silent = yes;
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Adds bytes as they are, with CRLF.
    pub(crate) fn block(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Adds bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// How long it is so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Drops what was collected and answers this line instead.
    pub(crate) fn instead(&mut self, text: &str) {
        self.bytes.clear();
        self.line(text);
    }

    /// Ends the connection without a word about this request.
    pub(crate) fn close(&mut self) {
        self.bytes.clear();
        self.closes = true;
    }

    /// Hands out what is to be sent, gets ready for the next request, and says whether the connection ends.
    pub(crate) fn send(&mut self, out: &mut Vec<u8>) -> bool {
        let this = std::mem::take(self);
        if !this.silent {
            out.extend_from_slice(&this.bytes);
        }
        this.closes
    }
}

/// A line that cannot be understood.
pub(crate) const BAD_LINE: &str = "CLIENT_ERROR bad command line format";
/// No such command.
pub(crate) const ERROR: &str = "ERROR";
