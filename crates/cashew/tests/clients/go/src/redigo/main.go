// redigo against the proxy: connecting as the library does by itself, and what applications do with it.
//
// Usage: redigo PORT [PASSWORD]
package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

var address, password string

func dial(options ...redis.DialOption) redis.Conn {
	if password != "" {
		options = append(options, redis.DialPassword(password))
	}
	return must(redis.Dial("tcp", address, options...)).(redis.Conn)
}

func pool(options ...redis.DialOption) *redis.Pool {
	return &redis.Pool{
		MaxIdle: 4, MaxActive: 8, Wait: true,
		Dial:         func() (redis.Conn, error) { return dial(options...), nil },
		TestOnBorrow: func(c redis.Conn, _ time.Time) error { _, err := c.Do("PING"); return err },
	}
}

func must(value interface{}, err error) interface{} {
	if err != nil {
		panic(err)
	}
	return value
}

func is(got, want interface{}) {
	if !reflect.DeepEqual(got, want) {
		panic(fmt.Sprintf("%#v and not %#v", got, want))
	}
}

// says sends a request and tells its reply as text: strings, numbers, and lists of them.
func says(c redis.Conn, command string, args ...interface{}) interface{} {
	return plain(must(c.Do(command, args...)))
}

func plain(reply interface{}) interface{} {
	switch reply := reply.(type) {
	case []byte:
		return string(reply)
	case []interface{}:
		list := make([]interface{}, len(reply))
		for i, element := range reply {
			list[i] = plain(element)
		}
		return list
	}
	return reply
}

// fails wants an error reply with this text.
func fails(text string, c redis.Conn, command string, args ...interface{}) {
	_, err := c.Do(command, args...)
	refused(text, err)
}

func refused(text string, err error) {
	var told redis.Error
	if !errors.As(err, &told) || !strings.Contains(string(told), text) {
		panic(fmt.Sprintf("%v and not %s", err, text))
	}
}

func list(elements ...interface{}) []interface{} { return elements }

func name(prefix string, n int) string { return fmt.Sprintf("%s:%03d", prefix, n) }

// many gives 20 keys, which are of several servers.
func many(prefix string) redis.Args {
	args := redis.Args{}
	for n := 0; n < 20; n++ {
		args = args.Add(name(prefix, n))
	}
	return args
}

func values(c redis.Conn) {
	is(says(c, "SET", "s:1", "value"), "OK")
	is(says(c, "GET", "s:1"), "value")
	is(says(c, "GET", "s:none"), nil)
	is(says(c, "SET", "s:1", "other", "EX", 100, "NX"), nil)
	is(says(c, "INCRBY", "n:1", 5), int64(5))
	is(must(redis.Float64(c.Do("INCRBYFLOAT", "n:2", 1.5))), 1.5)
	is(says(c, "HSET", redis.Args{"h:1"}.AddFlat(map[string]int{"a": 1, "b": 2})...), int64(2))
	is(must(redis.StringMap(c.Do("HGETALL", "h:1"))), map[string]string{"a": "1", "b": "2"})
	var fields struct {
		A int `redis:"a"`
		B int `redis:"b"`
	}
	must(nil, redis.ScanStruct(must(redis.Values(c.Do("HGETALL", "h:1"))).([]interface{}), &fields))
	is([]int{fields.A, fields.B}, []int{1, 2})
	is(says(c, "ZADD", "z:1", 1.5, "a", 2, "b"), int64(2))
	is(must(redis.Strings(c.Do("ZRANGE", "z:1", 0, -1, "WITHSCORES"))), []string{"a", "1.5", "b", "2"})
	is(says(c, "RPUSH", "l:1", "x", "y"), int64(2))
	is(says(c, "LRANGE", "l:1", 0, -1), list("x", "y"))
	pairs, names := redis.Args{}, redis.Args{}
	for n := 0; n < 50; n++ {
		pairs, names = pairs.Add(name("m", n), n), names.Add(name("m", n))
	}
	is(says(c, "MSET", pairs...), "OK")
	for n, got := range must(redis.Ints(c.Do("MGET", names...))).([]int) {
		is(got, n)
	}
	is(says(c, "DEL", names.Add("m:none")...), int64(50))
	big := bytes.Repeat([]byte{0, 13, 10, 255}, 1<<18)
	is(says(c, "SET", "big", big), "OK")
	is(bytes.Equal(must(redis.Bytes(c.Do("GET", "big"))).([]byte), big), true)
}

func pipelines(c redis.Conn) {
	for n := 0; n < 1000; n++ {
		must(nil, c.Send("SET", name("pipe", n), n))
		must(nil, c.Send("GET", name("pipe", n)))
	}
	must(nil, c.Send("LPUSH", "pipe:000", "x"))
	must(nil, c.Flush())
	for n := 0; n < 1000; n++ {
		is(must(redis.String(c.Receive())), "OK")
		is(must(redis.Int(c.Receive())), n)
	}
	_, err := c.Receive()
	refused("WRONGTYPE", err)
	// All that was sent, in one reply.
	must(nil, c.Send("SET", "pipe:a", 1))
	must(nil, c.Send("INCR", "pipe:a"))
	is(says(c, ""), list("OK", int64(2)))
}

func transactions(c redis.Conn) {
	other := dial()
	defer other.Close()
	must(nil, c.Send("MULTI"))
	must(nil, c.Send("SET", "{t}a", 1))
	must(nil, c.Send("INCR", "{t}a"))
	must(nil, c.Send("GET", "{t}none"))
	is(says(c, "EXEC"), list("OK", int64(2), nil))
	is(says(c, "MULTI"), "OK")
	fails("hash tag", c, "SUNION", many("u")...)
	fails("EXECABORT", c, "EXEC")
	is(says(c, "WATCH", "{t}w"), "OK")
	is(says(other, "SET", "{t}w", "theirs"), "OK")
	must(nil, c.Send("MULTI"))
	must(nil, c.Send("SET", "{t}w", "mine"))
	is(says(c, "EXEC"), nil)
	is(says(c, "WATCH", "{t}w"), "OK")
	must(nil, c.Send("MULTI"))
	must(nil, c.Send("APPEND", "{t}w", "!"))
	is(says(c, "EXEC"), list(int64(7)))
}

// A connection goes back to the pool in the midst of something: the library tidies up after it.
func leftOpen(p *redis.Pool) {
	for _, opening := range [][]interface{}{{"WATCH", "{t}w"}, {"MULTI"}, {"SUBSCRIBE", "left"}, {"PSUBSCRIBE", "left*"}} {
		c := p.Get()
		must(nil, c.Send(opening[0].(string), opening[1:]...))
		must(nil, c.Flush())
		must(c.Receive())
		must(nil, c.Close())
		c = p.Get()
		is(says(c, "SET", "{t}left", 1), "OK")
		is(says(c, "GET", "{t}left"), "1")
		must(nil, c.Close())
	}
}

func waiting(c redis.Conn) {
	is(says(c, "BLPOP", "{w}none", 0.05), nil)
	answered := make(chan interface{})
	go func() {
		waiter := dial()
		defer waiter.Close()
		answered <- plain(must(redis.DoWithTimeout(waiter, 0, "BLPOP", "{w}none", "{w}l", 0)))
	}()
	is(says(c, "RPUSH", "{w}l", "element"), int64(1))
	is(<-answered, list("{w}l", "element"))
	is(says(c, "LLEN", "{w}l"), int64(0))
}

func listening(c redis.Conn) {
	listener := redis.PubSubConn{Conn: dial()}
	defer listener.Close()
	channels := redis.Args{}
	for n := 0; n < 10; n++ {
		channels = channels.Add(name("news", n))
	}
	must(nil, listener.Subscribe(channels...))
	must(nil, listener.PSubscribe("alerts:*"))
	for n := 1; n <= 11; n++ {
		is(listener.Receive().(redis.Subscription).Count, n)
	}
	must(nil, listener.Ping("there"))
	is(listener.Receive(), redis.Pong{Data: "there"})
	is(len(must(redis.Strings(c.Do("PUBSUB", "CHANNELS", "news:*"))).([]string)), 10)
	for _, channel := range append(channels, "alerts:1") {
		is(says(c, "PUBLISH", channel, "item"), int64(1))
	}
	seen := map[string]string{}
	for range append(channels, "alerts:1") {
		message := listener.Receive().(redis.Message)
		seen[message.Channel] = message.Pattern + string(message.Data)
	}
	for _, channel := range channels {
		is(seen[channel.(string)], "item")
	}
	is(seen["alerts:1"], "alerts:*item")
	must(nil, listener.Unsubscribe())
	must(nil, listener.PUnsubscribe())
	for n := 10; n >= 0; n-- {
		is(listener.Receive().(redis.Subscription).Count, n)
	}
	is(says(listener.Conn, "GET", "s:1"), "value")
}

func scans(c redis.Conn) {
	is(says(c, "FLUSHALL"), "OK")
	pairs := redis.Args{}
	var names []string
	for n := 0; n < 300; n++ {
		pairs, names = pairs.Add(name("k", n), n), append(names, name("k", n))
	}
	is(says(c, "MSET", pairs...), "OK")
	is(scan(c, "COUNT", 20), names)
	is(scan(c, "MATCH", "k:2*", "TYPE", "string"), names[200:])
	is(says(c, "DBSIZE"), int64(300))
}

func scan(c redis.Conn, options ...interface{}) []string {
	var found []string
	for cursor := "0"; ; {
		reply := must(redis.Values(c.Do("SCAN", append(redis.Args{cursor}, options...)...))).([]interface{})
		var some []string
		must(redis.Scan(reply, &cursor, &some))
		found = append(found, some...)
		if cursor == "0" {
			sort.Strings(found)
			return found
		}
	}
}

func scripts(c redis.Conn) {
	add := redis.NewScript(1, "return redis.call('INCRBY', KEYS[1], ARGV[1])")
	is(says(c, "SCRIPT", "FLUSH"), "OK")
	// The library sends EVALSHA and, where that is unknown, EVAL.
	for n := 0; n < 20; n++ {
		is(must(add.Do(c, name("script", n), n)), int64(n))
	}
	is(says(c, "SCRIPT", "FLUSH"), "OK")
	must(nil, add.Load(c))
	for n := 0; n < 20; n++ {
		must(nil, add.SendHash(c, name("script", n), n))
	}
	for n, got := range must(redis.Ints(c.Do(""))).([]int) {
		is(got, 2*n)
	}
	fails("NOSCRIPT", c, "EVALSHA", strings.Repeat("0", 40), 1, "k")
}

func databases(c redis.Conn) {
	third := dial(redis.DialDatabase(3), redis.DialClientName("third"))
	defer third.Close()
	is(says(third, "CLIENT", "GETNAME"), "third")
	for n := 0; n < 20; n++ {
		is(says(third, "SET", name("db", n), "third"), "OK")
	}
	is(says(c, "EXISTS", many("db")...), int64(0))
	is(says(third, "DBSIZE"), int64(20))
	is(says(c, "SELECT", 3), "OK")
	is(says(c, "UNLINK", many("db")...), int64(20))
	is(says(c, "SELECT", 0), "OK")
	fails("DB index is out of range", c, "SELECT", 1000000)
}

func errorsAndAfter(c redis.Conn) {
	is(says(c, "SET", "e:1", "text"), "OK")
	fails("not an integer", c, "INCR", "e:1")
	fails("WRONGTYPE", c, "LPUSH", "e:1", "x")
	fails("CROSSSLOT", c, "SUNION", many("e")...)
	fails("unknown command", c, "NOSUCHCOMMAND")
	fails("does not pass on", c, "SHUTDOWN")
	is(says(c, "GET", "e:1"), "text")
}

func monitoring(c redis.Conn) {
	monitor := dial()
	defer monitor.Close()
	is(says(monitor, "MONITOR"), "OK")
	is(says(c, "SET", "seen", "by all"), "OK")
	for !strings.HasSuffix(must(redis.String(monitor.Receive())).(string), `"SET" "seen" "by all"`) {
	}
}

// Many goroutines over the connections of one pool.
func together(p *redis.Pool) {
	done := make(chan interface{})
	for worker := 0; worker < 16; worker++ {
		go func(worker int) {
			defer func() { done <- recover() }()
			for n := 0; n < 100; n++ {
				c := p.Get()
				key := name(fmt.Sprint("w", worker), n)
				is(says(c, "SET", key, n), "OK")
				is(must(redis.Int(c.Do("GET", key))), n)
				must(nil, c.Close())
			}
		}(worker)
	}
	for worker := 0; worker < 16; worker++ {
		is(<-done, nil)
	}
}

// The proxy closes what it is told to, and the pool makes a new one of it.
func returning(p *redis.Pool) {
	one, other := p.Get(), p.Get()
	id := says(other, "CLIENT", "ID")
	is(says(one, "CLIENT", "KILL", "ID", id), int64(1))
	_, err := other.Do("PING")
	is(err != nil, true)
	must(nil, other.Close())
	other = p.Get()
	is(says(other, "GET", "s:none"), nil)
	must(nil, other.Close())
	must(nil, one.Close())
}

func main() {
	// A reply that never comes is a failure.
	time.AfterFunc(time.Minute, func() { panic("some reply did not come") })
	address = "127.0.0.1:" + os.Args[1]
	if len(os.Args) > 2 {
		password = os.Args[2]
	}
	p := pool(redis.DialClientName("app"))
	c := p.Get()
	is(says(c, "FLUSHALL"), "OK")
	for _, does := range []func(redis.Conn){values, pipelines, transactions, waiting, listening, scans, scripts, databases, errorsAndAfter, monitoring} {
		does(c)
	}
	must(nil, c.Close())
	for _, does := range []func(*redis.Pool){leftOpen, together, returning} {
		does(p)
	}
	must(nil, p.Close())
	place := url.URL{Scheme: "redis", User: url.UserPassword("", password), Host: address, Path: "/1"}
	first := must(redis.DialURL(place.String())).(redis.Conn)
	is(says(first, "PING"), "PONG")
	must(nil, first.Close())
	if password != "" {
		_, err := redis.Dial("tcp", address, redis.DialPassword("wrong"))
		refused("invalid password", err)
		locked := must(redis.Dial("tcp", address)).(redis.Conn)
		fails("NOAUTH", locked, "GET", "a")
		must(nil, locked.Close())
	}
	fmt.Println("ok")
}
