"""redis-py against the proxy: connecting as the library does by itself, and what applications do with it.

Usage: redis_py.py PORT [PASSWORD]
"""

import sys
import threading

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

port = int(sys.argv[1])
password = sys.argv[2] if len(sys.argv) > 2 else None


def fails(kind, text, call, *args, **kwargs):
    """The call must raise an error of this kind with this text; the connection must be usable afterwards."""
    try:
        result = call(*args, **kwargs)
    except kind as error:
        assert text in str(error), (text, error)
    else:
        raise AssertionError(f"{text}: answered {result!r}")


def strings(r):
    assert r.set("s:1", "value") is True
    assert r.get("s:1") == "value"
    assert r.get("s:none") is None
    assert r.set("s:1", "other", nx=True) is None
    assert r.set("s:1", "new", get=True) == "value"
    assert r.set("s:2", "x", ex=1000) is True
    assert 990 <= r.ttl("s:2") <= 1000
    assert r.expire("s:2", 2000, gt=True)
    assert r.persist("s:2")
    assert r.getex("s:2", ex=100) == "x"
    assert r.getdel("s:2") == "x"
    assert r.incr("n:1", 5) == 5 and r.decr("n:1") == 4
    assert r.incrbyfloat("n:2", 1.5) == 1.5
    assert r.append("s:3", "abc") == 3 and r.strlen("s:3") == 3
    assert r.setrange("s:3", 1, "XY") == 3 and r.getrange("s:3", 0, -1) == "aXY"
    assert r.type("s:1") == "string" and r.object("encoding", "n:1") == "int"


def many_keys(r):
    pairs = {f"m:{n}": str(n) for n in range(100)}
    assert r.mset(pairs) is True
    names = list(pairs) + ["m:none", "m:7"]
    assert r.mget(names) == [pairs.get(name) for name in names]
    assert r.exists(*names) == 101
    assert r.touch(*names) == 101
    assert r.unlink(*names) == 100
    assert r.delete("m:1") == 0


def collections(r):
    assert r.hset("h:1", mapping={"a": 1, "b": 2}) == 2
    assert r.hgetall("h:1") == {"a": "1", "b": "2"}
    assert r.hmget("h:1", "a", "none") == ["1", None]
    assert r.hincrby("h:1", "a", 10) == 11
    assert dict(r.hscan_iter("h:1")) == {"a": "11", "b": "2"}
    assert r.rpush("l:1", "a", "b", "c") == 3
    assert r.lrange("l:1", 0, -1) == ["a", "b", "c"]
    assert r.lpop("l:1", 2) == ["a", "b"]
    assert r.lmove("{l}1", "{l}2") is None
    assert r.sadd("t:1", "x", "y") == 2 and r.smembers("t:1") == {"x", "y"}
    assert set(r.sscan_iter("t:1")) == {"x", "y"}
    assert r.zadd("z:1", {"a": 1, "b": 2, "c": 3}) == 3
    scores = r.zrange("z:1", 0, -1, withscores=True)
    assert [tuple(pair) for pair in scores] == [("a", 1.0), ("b", 2.0), ("c", 3.0)], scores
    assert r.zrange("z:1", "(1", "+inf", byscore=True, offset=0, num=1) == ["b"]
    assert r.zrank("z:1", "c") == 2 and r.zscore("z:1", "none") is None
    assert r.zincrby("z:1", 5, "a") == 6.0
    assert [tuple(pair) for pair in r.zpopmin("z:1")] == [("b", 2.0)]
    assert r.pfadd("p:1", "a", "b") == 1 and r.pfcount("p:1") == 2
    assert r.setbit("b:1", 7, 1) == 0 and r.bitcount("b:1") == 1
    assert r.geoadd("g:1", [13.36, 38.11, "Palermo", 15.08, 37.5, "Catania"]) == 2
    assert r.geosearch("g:1", member="Palermo", radius=200, unit="km", sort="ASC") == ["Palermo", "Catania"]


def streams(r):
    first = r.xadd("x:1", {"a": "1"})
    second = r.xadd("x:1", {"b": "2"})
    assert r.xlen("x:1") == 2
    assert r.xrange("x:1") == [(first, {"a": "1"}), (second, {"b": "2"})]
    assert r.xgroup_create("x:1", "g", id="0") is True
    read = r.xreadgroup("g", "me", {"x:1": ">"}, count=1)
    assert first in str(read), read
    assert r.xack("x:1", "g", first) == 1
    assert r.xinfo_stream("x:1")["length"] == 2


def pipelines(r):
    pipe = r.pipeline(transaction=False)
    for n in range(1000):
        pipe.set(f"pipe:{n}", n)
        pipe.get(f"pipe:{n}")
        pipe.incr("pipe:count")
    replies = pipe.execute()
    assert replies[0::3] == [True] * 1000
    assert replies[1::3] == [str(n) for n in range(1000)]
    assert replies[2::3] == list(range(1, 1001))
    pipe.set("pipe:text", "x").lpush("pipe:text", "y").get("pipe:text")
    replies = pipe.execute(raise_on_error=False)
    assert replies[0] is True and replies[2] == "x"
    assert isinstance(replies[1], redis.ResponseError) and "WRONGTYPE" in str(replies[1])


def transactions(r):
    pipe = r.pipeline()
    pipe.set("{t}a", 1).incr("{t}a").get("{t}a")
    assert pipe.execute() == [True, 2, "2"]
    pipe.multi()
    pipe.set("{t}a", "text").incr("{t}a")
    replies = pipe.execute(raise_on_error=False)
    assert replies[0] is True and "not an integer" in str(replies[1])
    pipe.set("{t}a", 1).sunion([f"u:{n}" for n in range(20)])
    fails(redis.exceptions.ResponseError, "hash tag", pipe.execute)
    assert r.get("{t}a") == "text"

    def double(pipe):
        now = int(pipe.get("{t}n") or 1)
        pipe.multi()
        pipe.set("{t}n", now * 2)

    r.delete("{t}n")
    for _ in range(5):
        assert r.transaction(double, "{t}n") == [True]
    assert r.get("{t}n") == "32"
    with r.pipeline() as pipe:
        pipe.watch("{t}n")
        r.set("{t}n", "other")
        pipe.multi()
        pipe.set("{t}n", "mine")
        try:
            pipe.execute()
            raise AssertionError("a watched key was changed")
        except redis.WatchError:
            pass
    assert r.get("{t}n") == "other"
    with r.lock("lock:1", timeout=10):
        assert not r.lock("lock:1", blocking=False).acquire()
    assert r.lock("lock:1", blocking=False, timeout=10).acquire()
    r.delete("lock:1")


def waiting(r):
    assert r.blpop(["{w}none"], timeout=0.05) is None
    answered = []
    waiter = threading.Thread(target=lambda: answered.append(r.blpop(["{w}none", "{w}l"], timeout=0)))
    waiter.start()
    r.rpush("{w}l", "element")
    waiter.join()
    assert list(answered[0]) == ["{w}l", "element"], answered
    r.delete("{w}l")
    r.xadd("{w}s", {"f": "v"})
    assert r.xread({"{w}s": "0"}, block=1000)
    assert not r.xread({"{w}s": "$"}, block=10)


def listening(r):
    seen = []
    listener = r.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(*[f"news:{n}" for n in range(10)])
    listener.psubscribe(**{"alerts:*": lambda message: seen.append(message["data"])})
    # The library reads confirmations as it reads messages.
    while not (listener.subscribed and r.pubsub_numpat() == 1 and len(r.pubsub_channels("news:*")) == 10):
        listener.get_message(timeout=0.01)
    for n in range(10):
        assert r.publish(f"news:{n}", f"item {n}") == 1
    assert r.publish("alerts:1", "fire") == 1
    messages = []
    while len(messages) < 10 or not seen:
        message = listener.get_message(timeout=10)
        if message and message["type"] == "message":
            messages.append((message["channel"], message["data"]))
    assert sorted(messages) == [(f"news:{n}", f"item {n}") for n in range(10)]
    assert seen == ["fire"]
    assert dict(r.pubsub_numsub("news:1", "none")) == {"news:1": 1, "none": 0}
    listener.unsubscribe()
    listener.punsubscribe()
    while listener.subscribed:
        listener.get_message(timeout=0.01)
    # The proxy tells the server a moment later, and then nobody is counted.
    while r.publish("news:1", "late") != 0:
        pass
    with listener:
        listener.ssubscribe("shard:1")
        while not r.pubsub_shardchannels():
            listener.get_message(timeout=0.01)
        r.spublish("shard:1", "x")
        while (message := listener.get_message(timeout=10)) is None or message["type"] != "smessage":
            pass
        assert message["data"] == "x"
        listener.ping()
    pipe = r.pipeline()
    pipe.set("{p}k", "v").publish("{p}c", "m")
    assert pipe.execute() == [True, 0]


def clients(r):
    me = r.client_id()
    with redis.Redis(port=port, password=password, decode_responses=True) as other:
        number = other.client_id()
        assert {str(me), str(number)} <= {line["id"] for line in r.client_list()}
        assert [line["id"] for line in r.client_list(client_id=[number])] == [str(number)]
        assert r.client_info()["cmd"] == "client|info"
        assert r.client_kill_filter(_id=number) == 1
        assert str(number) not in {line["id"] for line in r.client_list()}
        woken = []
        # The library has connected anew.
        assert other.client_id() != number
        number = other.client_id()
        waiter = threading.Thread(target=lambda: woken.append(other.blpop(["{w}none"], timeout=0)))
        waiter.start()
        while not r.client_unblock(number):
            pass
        waiter.join()
        assert woken == [None], woken
    assert r.client_getredir() == -1
    assert r.acl_whoami() == "default"
    assert r.acl_users() == ["default"] and r.acl_getuser("default")["enabled"] and r.acl_log() == []
    assert r.role()[0] in ("master", b"master")
    assert r.slowlog_get() == [] and r.slowlog_len() == 0 and r.slowlog_reset()
    assert r.latency_latest() == [] and r.module_list() == []
    info = r.info()
    assert info["connected_clients"] > 0 and info["total_connections_received"] > 1, info


def monitoring(r):
    with redis.Redis(port=port, password=password, decode_responses=True) as other, r.monitor() as lines:
        other.select(2)
        other.set("m:1", 'a "b" c')
        other.get("m:1")
        seen = []
        while not seen or seen[-1]["command"] != "GET m:1":
            seen.append(lines.next_command())
        line = seen[-2]
        assert line["db"] == 2 and line["client_address"] == "127.0.0.1" and line["client_type"] == "tcp", line
        assert line["command"] == 'SET m:1 a "b" c' and line["time"] > 1_700_000_000, line
        assert password is None or not any(password in line["command"] for line in seen), seen
    assert r.get("m:1") is None and len(r.acl_genpass()) == 64


def scripts(r):
    assert r.eval("return {KEYS[1], ARGV[1]}", 1, "k", "v") == ["k", "v"]
    # The library sends EVALSHA and, where that is unknown, loads the script and tries again.
    add = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    for n in range(20):
        assert add(keys=[f"script:{n}"], args=[n]) == n
    assert r.script_exists(add.sha) == [True]
    assert r.script_flush() is True
    assert add(keys=["script:1"], args=[1]) == 2
    assert r.eval("return ARGV[1]", 0, "no key") == "no key"
    library = "#!lua name=lib\nredis.register_function('f', function(keys, args) return args[1] end)"
    assert r.function_load(library) == "lib"
    assert r.fcall("f", 1, "k", "v") == "v"
    assert r.function_delete("lib")


def errors(r):
    r.set("e:1", "text")
    fails(redis.ResponseError, "not an integer", r.incr, "e:1")
    fails(redis.exceptions.ClusterCrossSlotError, "a hash tag keeps keys together", r.sunion, [f"e:{n}" for n in range(20)])
    fails(redis.ResponseError, "does not support", r.execute_command, "FT._LIST")
    fails(redis.ResponseError, "unknown command", r.execute_command, "NOSUCHCOMMAND")
    fails(redis.ResponseError, "does not pass on", r.execute_command, "DEBUG", "SLEEP", "0")
    assert r.get("e:1") == "text"


def server(r):
    assert r.wait(0, 0) == 0 and r.wait(1, 10) == 0
    assert r.lastsave()
    r.flushall()
    r.mset({f"k:{n}": n for n in range(30)})
    assert r.dbsize() == 30
    assert sorted(r.keys("k:1?")) == sorted(f"k:1{n}" for n in range(10))
    assert sorted(r.scan_iter()) == sorted(f"k:{n}" for n in range(30))
    assert sorted(r.scan_iter(match="k:2*", count=5, _type="string")) == sorted(["k:2"] + [f"k:2{n}" for n in range(10)])
    assert r.randomkey().startswith("k:")
    assert r.config_get("maxmemory") == {"maxmemory": "0"}
    assert r.ping() is True and r.echo("hello") == "hello"
    assert "redis_version" in r.info()
    assert r.client_id() > 0
    assert r.client_setname("me") and r.client_getname() == "me"
    assert r.time()[0] > 1_000_000_000
    assert r.command_count() > 100
    assert r.flushdb() is True and r.dbsize() == 0


def run(r):
    for part in (strings, many_keys, collections, streams, pipelines, transactions, waiting, listening, clients, monitoring, scripts, errors, server):
        part(r)
    r.close()


def connect(**options):
    return redis.Redis(port=port, **{"password": password, "protocol": 2, **options})


run(connect(decode_responses=True))
# With what applications set.
run(connect(decode_responses=True, client_name="app", db=0, health_check_interval=1, socket_timeout=20))
# Without decoding, and values that are no text.
r = connect()
blob = bytes(range(256)) * 4096
assert r.set(b"blob\r\n\0", blob) and r.get(b"blob\r\n\0") == blob
# Each client in its own database.
there = {db: connect(db=db, decode_responses=True) for db in (3, 0, 5, 3)}
for db, one in there.items():
    assert one.set("db", db) is True
    with one.pipeline() as pipe:
        pipe.get("db")
        pipe.append("db", "!")
        assert pipe.execute() == [str(db), 2]
assert {db: one.get("db") for db, one in there.items()} == {db: f"{db}!" for db in there}
assert there[3].client_info()["db"] == 3
run(connect(db=3, protocol=None, decode_responses=True, socket_timeout=20))
assert all(one.get("db") is None for one in there.values()), "FLUSHALL is of all databases"
fails(redis.ResponseError, "DB index is out of range", connect(db=16, retry=Retry(NoBackoff(), 0)).ping)
once = Retry(NoBackoff(), 0)
if password:
    fails(redis.AuthenticationError, "", connect(password="wrong", retry=once).ping)
    fails(redis.AuthenticationError, "", connect(password=None, retry=once).get, "a")
# As the library comes: since version 8 it asks for RESP3.
run(connect(protocol=None, decode_responses=True, db=0, socket_timeout=20))
print("ok")
