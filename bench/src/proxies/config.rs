//! The proxies' configurations, which are equivalent: the same servers, one connection to each where the proxy shares them.

use crate::scenario::Protocol;
use anyhow::{Result, bail};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

/// The same file for nutcracker and cashew. Names of servers, not their ports, decide where keys go, so that
/// every run spreads them alike.
pub(super) fn pool_config(port: u16, protocol: Protocol, servers: &[SocketAddr]) -> String {
    let redis = protocol == Protocol::Redis;
    let mut text = format!(
        "bench:\n  listen: 127.0.0.1:{port}\n  hash: fnv1a_64\n  distribution: ketama\n  redis: {redis}\n  \
         timeout: 5000\n  preconnect: true\n  auto_eject_hosts: false\n  server_connections: 1\n  servers:\n"
    );
    for (at, server) in servers.iter().enumerate() {
        writeln!(text, "    - {server}:1 server{}", at + 1).expect("a String takes all");
    }
    text
}

/// How many clients haproxy may have at most: it has two descriptors for each and does not start when the system allows it
/// too few.
pub(super) fn haproxy_clients() -> u64 {
    let descriptors =
        rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    (descriptors.saturating_sub(HAPROXY_SPARE) / 2).min(HAPROXY_CLIENTS_MAX)
}

pub(super) fn haproxy_config(port: u16, servers: &[SocketAddr], clients: u64) -> Result<String> {
    let Some(first) = servers.first() else { bail!("no server") };
    Ok(format!(
        "global\n  nbthread 1\n  maxconn {clients}\ndefaults\n  mode tcp\n  timeout connect 5s\n  \
         timeout client 60s\n  timeout server 60s\nlisten bench\n  bind 127.0.0.1:{port}\n  server server1 {first}\n"
    ))
}

/// Envoy's redis proxy over the same servers. It sends each request as it comes, which is its default.
pub(super) fn envoy_config(port: u16, servers: &[SocketAddr]) -> String {
    let address = |address: SocketAddr| {
        format!("{{ socket_address: {{ address: {}, port_value: {} }} }}", address.ip(), address.port())
    };
    let mut text = format!(
        r#"static_resources:
  listeners:
  - name: bench
    address: {}
    filter_chains:
    - filters:
      - name: envoy.filters.network.redis_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: bench
          settings: {{ op_timeout: 5s }}
          prefix_routes: {{ catch_all_route: {{ cluster: bench }} }}
  clusters:
  - name: bench
    type: STATIC
    connect_timeout: 5s
    lb_policy: MAGLEV
    load_assignment:
      cluster_name: bench
      endpoints:
      - lb_endpoints:
"#,
        address((Ipv4Addr::LOCALHOST, port).into())
    );
    for &server in servers {
        writeln!(text, "        - endpoint: {{ address: {} }}", address(server)).expect("a String takes all");
    }
    text
}

/// memcached's own proxy over the same servers: all commands go to the pool, which hashes keys.
pub(super) fn mcproxy_config(servers: &[SocketAddr]) -> String {
    let mut text = "function mcp_config_pools(old)\n    return mcp.pool({\n".to_owned();
    for (at, server) in servers.iter().enumerate() {
        let (ip, port) = (server.ip(), server.port());
        writeln!(text, "        mcp.backend('server{}', '{ip}', {port}),", at + 1)
            .expect("a String takes all");
    }
    text + "    })\nend\n\nfunction mcp_config_routes(pool)\n    \
            mcp.attach(mcp.CMD_ANY_STORAGE, function(request) return pool(request) end)\nend\n"
}

/// More than any scenario has.
const HAPROXY_CLIENTS_MAX: u64 = 15_000;
/// Descriptors that are not clients', with room.
const HAPROXY_SPARE: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations() {
        let servers: Vec<SocketAddr> =
            ["127.0.0.1:7001", "127.0.0.1:7002"].map(|s| s.parse().unwrap()).into();
        let pool = pool_config(22_121, Protocol::Memcached, &servers);
        for line in ["  listen: 127.0.0.1:22121\n", "  redis: false\n", "    - 127.0.0.1:7002:1 server2\n"] {
            assert!(pool.contains(line), "{pool}");
        }
        let haproxy = haproxy_config(22_122, &servers, 4_000).unwrap();
        assert!(haproxy.contains("  maxconn 4000\n"), "{haproxy}");
        assert!(haproxy.contains("  bind 127.0.0.1:22122\n  server server1 127.0.0.1:7001\n"), "{haproxy}");
        assert!(haproxy_config(22_122, &[], 4_000).is_err());
        let envoy = envoy_config(22_123, &servers);
        let endpoint =
            "- endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 7002 } } }\n";
        assert!(envoy.contains("port_value: 22123 } }\n") && envoy.ends_with(endpoint), "{envoy}");
        assert!(mcproxy_config(&servers).contains("mcp.backend('server2', '127.0.0.1', 7002),\n"));
    }
}
