"""pymemcache against the proxy: what applications do with it.

Usage: pymemcache_client.py PORT
"""

import sys

from pymemcache.client.base import Client, PooledClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError, MemcacheUnknownCommandError
from pymemcache.serde import pickle_serde

address = ("127.0.0.1", int(sys.argv[1]))


def fails(kind, call, *args, **kwargs):
    try:
        result = call(*args, **kwargs)
    except kind:
        return
    raise AssertionError(f"answered {result!r}")


def single_keys(c):
    assert c.set("a", b"1", noreply=False) is True
    assert c.get("a") == b"1"
    assert c.get("none") is None and c.get("none", b"default") == b"default"
    assert c.add("a", b"2", noreply=False) is False
    assert c.add("b", b"2", noreply=False) is True
    assert c.replace("b", b"3", noreply=False) is True
    assert c.replace("none", b"3", noreply=False) is False
    assert c.append("b", b"end", noreply=False) is True
    assert c.prepend("b", b"start", noreply=False) is True
    assert c.get("b") == b"start3end"
    assert c.delete("b", noreply=False) is True
    assert c.delete("b", noreply=False) is False
    assert c.set("n", b"10", noreply=False)
    assert c.incr("n", 5) == 15 and c.decr("n", 20) == 0
    assert c.incr("none", 1) is None
    assert c.touch("n", 1000, noreply=False) is True
    assert c.touch("none", 1000, noreply=False) is False
    value, unique = c.gets("a")
    assert value == b"1"
    assert c.cas("a", b"2", unique, noreply=False) is True
    assert c.cas("a", b"3", unique, noreply=False) is False
    assert c.cas("none", b"3", unique, noreply=False) is None
    assert c.raw_command(b"gat 1000 a", end_tokens=b"END\r\n") == b"VALUE a 0 1\r\n2\r\n"
    assert c.set("gone", b"x", expire=-1, noreply=False) and c.get("gone") is None


def many_keys(c):
    pairs = {f"key:{n}": f"value {n}".encode() for n in range(200)}
    assert c.set_many(pairs, noreply=False) == []
    assert c.get_many(list(pairs) + ["none:1", "none:2"]) == pairs
    uniques = c.gets_many(list(pairs))
    assert {key: value for key, (value, _) in uniques.items()} == pairs
    assert c.delete_many(list(pairs), noreply=False) is True
    assert c.get_many(list(pairs)) == {}


def without_replies(c):
    # The library does not wait here; what comes next must still be its own.
    for n in range(300):
        c.set(f"quiet:{n % 7}", str(n).encode(), noreply=True)
    for n in range(293, 300):
        assert c.get(f"quiet:{n % 7}") == str(n).encode()
    c.delete("quiet:1", noreply=True)
    c.touch("quiet:2", 0, noreply=True)
    c.incr("quiet:3", 1, noreply=True)
    assert c.get("quiet:1") is None


def errors(c):
    c.set("text", b"abc", noreply=False)
    fails(MemcacheClientError, c.incr, "text", 1)
    fails((MemcacheServerError, MemcacheClientError), c.set, "large", b"x" * (2 << 20), noreply=False)
    fails(MemcacheUnknownCommandError, c.raw_command, b"nosuchcommand")
    assert c.get("text") == b"abc"


def server(c):
    stats = c.stats()
    assert stats[b"curr_items"] > 0, stats
    assert c.version().startswith(b"1.")
    assert c.flush_all(noreply=False) is True
    assert c.get("text") is None


def run(c):
    for part in (single_keys, many_keys, without_replies, errors, server):
        part(c)
    c.close()


run(Client(address))
run(Client(address, no_delay=True, default_noreply=False, timeout=20, connect_timeout=20))
run(PooledClient(address, max_pool_size=4))
c = Client(address, serde=pickle_serde)
assert c.set("object", {"a": [1, 2, 3]}, noreply=False) and c.get("object") == {"a": [1, 2, 3]}
blob = bytes(range(256)) * 2000
assert c.set("blob", blob, noreply=False) and c.get("blob") == blob
print("ok")
