//! Every bound on what may come over the wire, with its reason.
//!
//! A bound is checked when a length is read, before anybody waits or reserves memory for it.

/// Bounds on requests and replies. One value per pool or listener; cheap to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one whole request. Spans hold 32 bits, so anything above 4 GiB counts as 4 GiB.
    pub request_bytes: u64,
    /// Bytes of one RESP argument; redis' proto-max-bulk-len.
    pub bulk_bytes: u64,
    /// Arguments of one request, the command word included.
    pub args: u32,
    /// Bytes of an inline request, or of a RESP count or length line, without its line end.
    pub inline_bytes: u32,
    /// Bytes of one whole reply.
    pub reply_bytes: u64,
    /// Bytes of one line of a reply without its line end.
    pub reply_line_bytes: u32,
    /// Bytes of one memcached data block.
    pub value_bytes: u64,
}

impl Limits {
    /// memcached's longest key in bytes (`KEY_MAX_LENGTH`), the same in every build.
    pub const KEY_BYTES: usize = 250;

    /// memcached's longest command line without its line end, except for lines of keys.
    pub const COMMAND_BYTES: usize = 2048;

    /// memcached closes when more blanks than this come before an over-long line of keys.
    pub const LEADING_BLANKS: usize = 100;

    /// memcached's largest `<bytes>`: two more are added to it in a 32-bit signed number.
    pub const DATA_BYTES: u64 = i32::MAX as u64 - 2;

    /// No bounds: for walking over a reply that was already accepted.
    pub const NONE: Limits = Limits {
        request_bytes: u64::MAX,
        bulk_bytes: u64::MAX,
        args: u32::MAX,
        inline_bytes: u32::MAX,
        reply_bytes: u64::MAX,
        reply_line_bytes: u32::MAX,
        value_bytes: u64::MAX,
    };

    /// Bytes of one request, as far as spans can point.
    pub(crate) fn request_cap(&self) -> u64 {
        self.request_bytes.min(u32::MAX as u64)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_bytes: VALUE + FRAME,
            bulk_bytes: VALUE,
            args: ARGS,
            inline_bytes: 65_536, // redis' PROTO_INLINE_MAX_SIZE
            reply_bytes: VALUE + FRAME,
            reply_line_bytes: 1 << 20, // errors quote script text, and scripts may answer long status lines
            value_bytes: VALUE,
        }
    }
}

/// redis' default for one argument. memcached's own bound is the server's to say (`-I`, 1 MiB by default).
const VALUE: u64 = 512 << 20;

/// Room beside one value of the largest size for the command, its key and its options.
const FRAME: u64 = 64 << 10;

/// redis before 7 had this bound; later ones allow more than 2^31, which nobody sends in good faith.
const ARGS: u32 = 1 << 20;

// A largest value with its command line fits a request, and a request fits its spans.
const _: () = assert!(FRAME as usize > Limits::COMMAND_BYTES + Limits::KEY_BYTES);
const _: () = assert!(VALUE + FRAME <= u32::MAX as u64);
const _: () = assert!(VALUE <= Limits::DATA_BYTES);
