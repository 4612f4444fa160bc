//! RESP, the protocol of redis and its descendants: versions 2 and 3, and the inline form for people.

pub mod encode;
mod inline;
mod inside;
pub mod reply;
pub mod request;

pub use reply::{
    Elements, ReplyError, ReplyKind, ReplyParse, ReplyScan, bulk, elements, error_code, integer,
};
pub use request::{ProtocolError, RequestScan, Scan};
