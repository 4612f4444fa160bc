//! Functions on servers that have lost them.

use testkit::Client;

use crate::farm::Farm;

const LIBRARY: &str =
    "#!lua name=lib\nredis.register_function('twice', function(keys, args) return 2 * args[1] end)";

#[test]
fn every_worker_tells_a_server_that_came_back_empty() {
    let farm = Farm::redis_of(2, 2, &[]);
    let mut clients: Vec<Client> = (0..8).map(|_| farm.client()).collect();
    assert_eq!(clients[0].ask(&["FUNCTION", "LOAD", LIBRARY]), b"$3\r\nlib\r\n");
    assert_eq!(clients[0].ask(&["FUNCTION", "LOAD", LIBRARY]), b"-ERR Library 'lib' already exists\r\n");
    for round in 0..5 {
        for client in &mut clients {
            // As if they were new.
            for server in &farm.servers {
                assert_eq!(server.client().ask(&["FUNCTION", "FLUSH"]), b"+OK\r\n");
            }
            for key in ["a", "b", "c", "d"] {
                assert_eq!(client.ask(&["FCALL", "twice", "1", key, "21"]), b":42\r\n", "round {round}");
            }
            assert_eq!(client.ask(&["FCALL", "thrice", "0"]), b"-ERR Function not found\r\n");
        }
    }
    // What is deleted stays so.
    for client in &mut clients {
        client.ask(&["FCALL", "twice", "0", "1"]);
    }
    assert_eq!(clients[0].ask(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]), b"$3\r\nlib\r\n");
    assert_eq!(clients[0].ask(&["FUNCTION", "FLUSH"]), b"+OK\r\n");
    assert_eq!(clients[0].ask(&["FCALL", "twice", "0", "1"]), b"-ERR Function not found\r\n");
}
