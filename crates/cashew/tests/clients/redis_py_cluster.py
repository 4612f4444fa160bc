"""redis-py's cluster client against a pool with `cluster_emulation`.

Usage: redis_py_cluster.py PORT
"""

import sys

import redis

port = int(sys.argv[1])


def run(r):
    nodes = r.get_nodes()
    assert [(node.port, node.server_type) for node in nodes] == [(port, "primary")], nodes
    for n in range(100):
        assert r.set(f"c:{n}", n) is True
    assert [r.get(f"c:{n}") for n in range(100)] == [str(n) for n in range(100)]
    assert r.mset({"{t}a": 1, "{t}b": 2}) and r.mget("{t}a", "{t}b") == ["1", "2"]
    assert r.delete("{t}a", "{t}b") == 2
    pipe = r.pipeline()
    for n in range(100):
        pipe.incr(f"c:{n}")
    assert pipe.execute() == [n + 1 for n in range(100)]
    assert r.cluster_keyslot("foo") == 12182 == r.keyslot("foo")
    assert r.dbsize() == 100
    assert r.eval("return redis.call('GET', KEYS[1])", 1, "c:1") == "2"
    assert r.readonly() and r.readwrite()
    info = r.cluster_info(target_nodes=redis.RedisCluster.RANDOM)
    assert info["cluster_state"] == "ok" and info["cluster_slots_assigned"] == "16384", info
    assert len(r.cluster_nodes()) == 1 and r.cluster_shards()
    r.flushall()
    r.close()


for protocol in (2, 3):
    run(redis.RedisCluster(host="127.0.0.1", port=port, protocol=protocol, decode_responses=True))
    run(
        redis.RedisCluster(
            host="127.0.0.1", port=port, protocol=protocol, decode_responses=True, read_from_replicas=True
        )
    )
print("ok")
