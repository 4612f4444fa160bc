//! Names of scenarios, right and wrong.

use super::*;

#[test]
fn names_are_read() {
    let check =
        |name: &str, expected: Scenario| assert_eq!(Scenario::parse(name).unwrap(), expected, "{name}");
    check("redis-get", USUAL);
    check("redis-set-pipe16", Scenario { mix: Sets, depth: 16, ..USUAL });
    check("redis-get-500", Scenario { clients: 500, ..USUAL });
    check("redis-get-1k-c500-p16", Scenario { value_bytes: 1_024, clients: 500, depth: 16, ..USUAL });
    check("redis-get-p16-500-1k", Scenario { value_bytes: 1_024, clients: 500, depth: 16, ..USUAL });
    check("redis-get-16k", Scenario { value_bytes: 16 << 10, keys: 1_000, ..USUAL });
    check("redis-get-1m", Scenario { value_bytes: 1 << 20, keys: 32, ..USUAL });
    check("redis-mget100-1m", Scenario { value_bytes: 1 << 20, keys_per_get: 100, keys: 100, ..USUAL });
    check("redis-get-16b-idle10000", Scenario { value_bytes: 16, idle: 10_000, ..USUAL });
    check("redis-connect", Scenario { reconnect: true, ..USUAL });
    let memcached = Scenario { protocol: Memcached, ..USUAL };
    check("mc-mix", Scenario { mix: GetsPerSet(10), ..memcached });
    check("mc-get20", Scenario { keys_per_get: 20, ..memcached });
    check("mc-mget20", Scenario { keys_per_get: 20, ..memcached });
}

#[test]
fn every_point_of_the_matrix_has_one_name() {
    let mut names = std::collections::HashSet::new();
    for protocol in ["redis", "mc"] {
        let many = if protocol == "redis" { "mget" } else { "get" };
        let whats = ["get", "set", "mix", "connect"].map(str::to_owned);
        for what in whats.into_iter().chain([10, 20, 100].map(|keys| format!("{many}{keys}"))) {
            for size in ["", "-16b", "-1k", "-16k", "-1m"] {
                for clients in ["", "-1", "-500", "-5000"] {
                    for rest in ["", "-pipe16", "-pipe100", "-idle10000", "-pipe16-idle10"] {
                        let name = format!("{protocol}-{what}{size}{clients}{rest}");
                        assert_eq!(Scenario::parse(&name).unwrap().name(), name);
                        assert!(names.insert(name));
                    }
                }
            }
        }
    }
    assert_eq!(Scenario::parse("redis-get-64b-c50-p1").unwrap().name(), "redis-get");
    let title = |name: &str| Scenario::parse(name).unwrap().title();
    assert_eq!(title("redis-get"), "redis GET");
    assert_eq!(
        title("mc-mix-1k-5000-pipe16"),
        "memcached 10 get : 1 set, 1 KiB, 5,000 clients, pipelined by 16"
    );
}

#[test]
fn other_names_are_refused_and_say_why() {
    let check = |name: &str, says: &str| {
        let error = format!("{:#}", Scenario::parse(name).unwrap_err());
        assert!(error.contains(says), "{name}: {error}");
    };
    check("", "protocol");
    check("http-get", "'http'");
    check("redis", "what is ''");
    check("redis-fetch", "'fetch'");
    check("redis-get20", "'get20'");
    check("redis-mget1", "from 2 to 128");
    check("mc-get129", "from 2 to 128");
    check("redis-get-", "what is ''");
    check("redis-get-0", "from 1");
    check("redis-get-8b", "at least 16");
    check("redis-get-8m", "from 1 to 4");
    check("redis-get-p", "'' is no number");
    check("redis-get-+5", "'+5'");
    check("redis-get-5-c6", "clients twice");
    check("redis-get-1é", "'1é'");
}
