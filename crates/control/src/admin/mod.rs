//! What the process shows to operators.

pub(crate) mod ctl;
pub(crate) mod stats_port;
