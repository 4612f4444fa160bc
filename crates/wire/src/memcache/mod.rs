//! memcached's classic text protocol. The meta and the binary protocol would be files beside these.

pub mod encode;
pub mod refusal;
pub mod reply;
pub mod stats;
pub mod text;
pub mod verb;

pub use encode::{forward, multiget};
pub use refusal::{CloseReason, Refusal};
pub use reply::{KEY_AT, Piece, ReplyError, ReplyKind, ReplyParse, ReplyScan, Values, values, whole_value};
pub use stats::{is_error, stats};
pub use text::{Request, RequestScan, Scan};
pub use verb::Verb;
