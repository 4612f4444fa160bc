//! Addresses of names, resolved anew for every connection so that a moved server is found, and never on
//! a worker's thread.

use std::net::SocketAddr;
use std::time::Duration;

/// So long the resolver may take before the name counts as unknown.
const RESOLVE_WITHIN: Duration = Duration::from_secs(10);

/// So many addresses of one name are tried, so that an attempt ends.
const ADDRESSES: usize = 8;

/// The addresses of `host` in the order to try them; none when it does not resolve.
pub(crate) async fn resolve(host: &str, port: u16) -> Vec<SocketAddr> {
    match tokio::time::timeout(RESOLVE_WITHIN, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => found.take(ADDRESSES).collect(),
        _ => Vec::new(),
    }
}
