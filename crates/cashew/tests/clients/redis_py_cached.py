"""redis-py with a cache of its own against the proxy: it never goes on reading what another client has changed.

The library wants to be told of redis 7.4 or newer (`redis_version`).

Usage: redis_py_cached.py PORT
"""

import sys
import time

import redis
from redis.cache import CacheConfig

port = int(sys.argv[1])
KEYS = [f"key:{n}" for n in range(40)]


def reads(what, call, wanted):
    """Asks until the answer is as wanted: messages are under way for a moment."""
    deadline = time.monotonic() + 10
    while (answer := call()) != wanted:
        assert time.monotonic() < deadline, (what, answer, wanted)


def read_all(client):
    for key in KEYS:
        client.get(key)
    client.mget(KEYS)
    return client


def cached():
    return redis.Redis(port=port, protocol=3, decode_responses=True, cache_config=CacheConfig(max_size=1000))


writer = redis.Redis(port=port, protocol=3, decode_responses=True)
clients = [cached() for _ in range(5)]
for number in range(3):
    writer.mset({key: f"{key}={number}" for key in KEYS})
    for client in clients:
        for key in KEYS:
            reads(key, lambda: client.get(key), f"{key}={number}")
        reads("all", lambda: client.mget(KEYS), [f"{key}={number}" for key in KEYS])
        # What is read is kept, unless late news of the write before takes it away: then it is read again.
        reads("kept", lambda: read_all(client).get_cache().size > len(KEYS), True)
    # From the cache, as long as nobody changes it.
    for client in clients:
        assert client.mget(KEYS) == [f"{key}={number}" for key in KEYS]
writer.hset("h", mapping={"a": 1})
assert [client.hgetall("h") for client in clients] == [{"a": "1"}] * 5
writer.hset("h", "a", 2)
for client in clients:
    reads("h", lambda: client.hgetall("h"), {"a": "2"})
# Its own changes, too.
assert clients[0].set("key:0", "mine") is True
for client in clients:
    reads("key:0", lambda: client.get("key:0"), "mine")
writer.flushall()
for client in clients:
    reads("nothing", lambda: client.mget(KEYS), [None] * len(KEYS))
    client.close()
print("ok")
