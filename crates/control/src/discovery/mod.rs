//! Where servers are: one file per source.

pub(crate) mod dns;
