//! CLUSTER: without `cluster_emulation` as a server that is part of none, with it as the one that has all slots, so that clients
//! which insist on a cluster find one.

use crate::command::{ClusterCall, Command, info};
use crate::core::Core;
use config::ClusterEmulation;
use wire::args::ArgView;
use wire::resp::encode;

/// What redis answers to all of CLUSTER, and to READONLY, READWRITE and ASKING.
const DISABLED: &[u8] = b"ERR This instance has cluster support disabled";
const KEYS: &[u8] =
    b"ERR cashew does not know the keys of a slot: they are on the servers that the pool's hash says";

/// Slots of a redis cluster.
const SLOTS: u16 = 16_384;

/// Who a client takes the proxy for.
struct Node {
    id: String,
    host: String,
    port: u16,
}

impl Core {
    pub(crate) fn cluster(
        &mut self,
        c: u32,
        command: &'static Command,
        call: ClusterCall,
        args: ArgView<'_>,
    ) {
        let (resp3, topology) = (self.replies.clients[c].resp3, self.topology.clone());
        let Some(node) = self.node(c) else {
            return self.answer_now(c, |out| encode::error(DISABLED, out));
        };
        let scope = topology.pools[self.replies.clients[c].pool as usize].scope();
        self.answer_now(c, |out| match call {
            ClusterCall::Info => super::local::write_text(INFO, resp3, out),
            ClusterCall::Nodes => {
                let Node { id, host, port } = &node;
                let bus = port.wrapping_add(10_000);
                let line =
                    format!("{id} {host}:{port}@{bus} myself,master - 0 0 1 connected 0-{}\n", SLOTS - 1);
                super::local::write_text(line.as_bytes(), resp3, out);
            }
            ClusterCall::Slots => slots(&node, out),
            ClusterCall::Shards => shards(&node, resp3, out),
            ClusterCall::Keyslot => encode::integer(slot(args.get(2)).into(), out),
            ClusterCall::Myid | ClusterCall::Myshardid => encode::bulk(node.id.as_bytes(), out),
            ClusterCall::Nobody => encode::array_header(0, out),
            ClusterCall::KeysOfSlot => encode::error(KEYS, out),
            ClusterCall::Help => info::help(command, scope, out),
            ClusterCall::Mode => encode::simple(b"OK", out),
        });
    }

    /// Whether the client's pool passes for a cluster.
    pub(crate) fn is_cluster(&self, c: u32) -> bool {
        !matches!(self.view(c).cluster, ClusterEmulation::Off)
    }

    fn node(&self, c: u32) -> Option<Node> {
        let (host, port) = match &self.view(c).cluster {
            ClusterEmulation::Off => return None,
            ClusterEmulation::At(host, port) => (host.clone(), *port),
            // On a unix socket there is no address: clients go on with the one they have.
            ClusterEmulation::Here => self.replies.clients[c]
                .local
                .map_or_else(Default::default, |local| (local.ip().to_canonical().to_string(), local.port())),
        };
        let id = node_id(&format!("{} {host}:{port}", self.view(c).name));
        Some(Node { id, host, port })
    }
}

const INFO: &[u8] = b"cluster_enabled:1\r\ncluster_state:ok\r\ncluster_slots_assigned:16384\r\n\
    cluster_slots_ok:16384\r\ncluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:1\r\n\
    cluster_size:1\r\ncluster_current_epoch:1\r\ncluster_my_epoch:1\r\ncluster_stats_messages_sent:0\r\n\
    cluster_stats_messages_received:0\r\ntotal_cluster_links_buffer_limit_exceeded:0\r\n";

fn slots(node: &Node, out: &mut Vec<u8>) {
    encode::array_header(1, out);
    encode::array_header(3, out);
    encode::integer(0, out);
    encode::integer(i64::from(SLOTS) - 1, out);
    encode::array_header(4, out);
    encode::bulk(node.host.as_bytes(), out);
    encode::integer(node.port.into(), out);
    encode::bulk(node.id.as_bytes(), out);
    encode::array_header(0, out);
}

fn shards(node: &Node, resp3: bool, out: &mut Vec<u8>) {
    encode::array_header(1, out);
    encode::map_header(2, resp3, out);
    encode::bulk(b"slots", out);
    encode::array_header(2, out);
    encode::integer(0, out);
    encode::integer(i64::from(SLOTS) - 1, out);
    encode::bulk(b"nodes", out);
    encode::array_header(1, out);
    encode::map_header(7, resp3, out);
    let texts = [("id", &*node.id), ("ip", &*node.host), ("endpoint", &*node.host)];
    for (name, value) in texts.into_iter().chain([("role", "master"), ("health", "online")]) {
        encode::bulk(name.as_bytes(), out);
        encode::bulk(value.as_bytes(), out);
    }
    for (name, value) in [("port", i64::from(node.port)), ("replication-offset", 0)] {
        encode::bulk(name.as_bytes(), out);
        encode::integer(value, out);
    }
}

/// Forty hexadecimal digits that are the same as long as pool and address are.
fn node_id(text: &str) -> String {
    let numbers = (0u8..3).map(|salt| {
        // FNV-1a of 64 bits.
        [salt].into_iter().chain(text.bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    });
    let mut id: String = numbers.map(|number| format!("{number:016x}")).collect();
    id.truncate(40);
    id
}

/// The slot of a key, by what is between its first brace and the next closing one, if that is anything.
fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // The check value of the polynomial, and what a redis cluster answers.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        let known: [(&[u8], u16); 5] = [
            (b"foo", 12182),
            (b"", 0),
            (b"{foo}bar", 12182),
            (b"a{}b", slot_of_all(b"a{}b")),
            (b"a{foo", slot_of_all(b"a{foo")),
        ];
        for (key, wanted) in known {
            assert_eq!(slot(key), wanted, "{}", key.escape_ascii());
        }
    }

    fn slot_of_all(key: &[u8]) -> u16 {
        crc16(key) % SLOTS
    }

    #[test]
    fn ids_are_as_long_as_those_of_redis_and_differ() {
        let (one, other) = (node_id("pool 127.0.0.1:1"), node_id("pool 127.0.0.1:2"));
        assert_eq!((one.len(), one == other), (40, false));
        assert_eq!(one, node_id("pool 127.0.0.1:1"));
    }
}
