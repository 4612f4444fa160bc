//! Addresses of names, resolved anew for every connection so that a moved server is found, and never on
//! a worker's thread.

use std::net::SocketAddr;
use std::time::Duration;

/// So long the resolver may take before the name counts as unknown.
const RESOLVE_WITHIN: Duration = Duration::from_secs(10);

/// The first address of `host`; nothing when it does not resolve.
pub(crate) async fn resolve(host: &str, port: u16) -> Option<SocketAddr> {
    let found = tokio::time::timeout(RESOLVE_WITHIN, tokio::net::lookup_host((host, port))).await;
    found.ok()?.ok()?.next()
}
