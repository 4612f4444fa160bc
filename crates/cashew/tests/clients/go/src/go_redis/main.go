// go-redis against the proxy: connecting as the library does by itself, and what applications do with it.
//
// Usage: go_redis PORT [PASSWORD]
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

var ctx = context.Background()

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func done(err error) { must(0, err) }

func is[T any](got, want T) {
	if !reflect.DeepEqual(got, want) {
		panic(fmt.Sprintf("%#v and not %#v", got, want))
	}
}

// refused wants an error reply with this text.
func refused(text string, err error) {
	var told redis.Error
	if !errors.As(err, &told) || !strings.Contains(told.Error(), text) {
		panic(fmt.Sprintf("%v and not %s", err, text))
	}
}

func names(prefix string, count int) []string {
	all := make([]string, count)
	for n := range all {
		all[n] = fmt.Sprintf("%s:%03d", prefix, n)
	}
	return all
}

func values(r *redis.Client) {
	is(must(r.Set(ctx, "s:1", "value", 0).Result()), "OK")
	is(must(r.Get(ctx, "s:1").Result()), "value")
	is[error](r.Get(ctx, "s:none").Err(), redis.Nil)
	is(must(r.SetNX(ctx, "s:1", "other", 100*time.Second).Result()), false)
	is(must(r.SetArgs(ctx, "s:1", "new", redis.SetArgs{Get: true}).Result()), "value")
	is(must(r.GetEx(ctx, "s:1", 100*time.Second).Result()), "new")
	is(must(r.TTL(ctx, "s:1").Result()) > 90*time.Second, true)
	is(must(r.IncrBy(ctx, "n:1", 5).Result()), 5)
	is(must(r.IncrByFloat(ctx, "n:2", 1.5).Result()), 1.5)
	is(must(r.HSet(ctx, "h:1", map[string]any{"a": 1, "b": 2}).Result()), 2)
	is(must(r.HGetAll(ctx, "h:1").Result()), map[string]string{"a": "1", "b": "2"})
	var fields struct {
		A int `redis:"a"`
		B int `redis:"b"`
	}
	done(r.HGetAll(ctx, "h:1").Scan(&fields))
	is([]int{fields.A, fields.B}, []int{1, 2})
	is(must(r.ZAdd(ctx, "z:1", redis.Z{Score: 1.5, Member: "a"}, redis.Z{Score: 2, Member: "b"}).Result()), 2)
	is(must(r.ZRangeWithScores(ctx, "z:1", 0, -1).Result()), []redis.Z{{Score: 1.5, Member: "a"}, {Score: 2, Member: "b"}})
	is(must(r.SAdd(ctx, "t:1", "x", "y").Result()), 2)
	is(must(r.SMembersMap(ctx, "t:1").Result()), map[string]struct{}{"x": {}, "y": {}})
	is(must(r.RPush(ctx, "l:1", "x", "y").Result()), 2)
	is(must(r.LRange(ctx, "l:1", 0, -1).Result()), []string{"x", "y"})
	id := must(r.XAdd(ctx, &redis.XAddArgs{Stream: "x:1", Values: []string{"a", "1"}}).Result())
	read := must(r.XRead(ctx, &redis.XReadArgs{Streams: []string{"x:1", "0"}, Block: -1}).Result())
	is(read, []redis.XStream{{Stream: "x:1", Messages: []redis.XMessage{{ID: id, Values: map[string]any{"a": "1"}}}}})
	var pairs []any
	for n, name := range names("m", 50) {
		pairs = append(pairs, name, n)
	}
	is(must(r.MSet(ctx, pairs...).Result()), "OK")
	for n, got := range must(r.MGet(ctx, names("m", 50)...).Result()) {
		is(got, any(fmt.Sprint(n)))
	}
	is(must(r.Del(ctx, append(names("m", 50), "m:none")...).Result()), 50)
	big := bytes.Repeat([]byte{0, 13, 10, 255}, 1<<18)
	done(r.Set(ctx, "big", big, 0).Err())
	is(bytes.Equal(must(r.Get(ctx, "big").Bytes()), big), true)
}

func pipelines(r *redis.Client) {
	var got []*redis.StringCmd
	must(r.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for n, name := range names("pipe", 1000) {
			pipe.Set(ctx, name, n, 0)
			got = append(got, pipe.Get(ctx, name))
		}
		return nil
	}))
	for n, get := range got {
		is(must(get.Int()), n)
	}
	pipe := r.Pipeline()
	pipe.Set(ctx, "pipe:s", "x", 0)
	failed, after := pipe.LPush(ctx, "pipe:s", "y"), pipe.Get(ctx, "pipe:s")
	_, err := pipe.Exec(ctx)
	refused("WRONGTYPE", err)
	refused("WRONGTYPE", failed.Err())
	is(must(after.Result()), "x")
}

func transactions(r *redis.Client) {
	var sum *redis.IntCmd
	must(r.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, "{t}a", 1, 0)
		sum = pipe.Incr(ctx, "{t}a")
		return nil
	}))
	is(sum.Val(), 2)
	_, err := r.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, "{t}a", 1, 0)
		pipe.SUnion(ctx, names("u", 20)...)
		return nil
	})
	refused("EXECABORT", err)
	is(must(r.Get(ctx, "{t}a").Int()), 2)
	// Each goes on until its change was the only one.
	done(r.Set(ctx, "{t}w", 0, 0).Err())
	together(func(int) {
		for changed := 0; changed < 10; {
			err := r.Watch(ctx, func(tx *redis.Tx) error {
				now := must(tx.Get(ctx, "{t}w").Int())
				_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error { return pipe.Set(ctx, "{t}w", now+1, 0).Err() })
				return err
			}, "{t}w")
			if err == nil {
				changed++
			} else if err != redis.TxFailedErr {
				panic(err)
			}
		}
	})
	is(must(r.Get(ctx, "{t}w").Int()), 80)
}

// together runs eight at once.
func together(does func(worker int)) {
	var all sync.WaitGroup
	for worker := 0; worker < 8; worker++ {
		all.Add(1)
		go func(worker int) { defer all.Done(); does(worker) }(worker)
	}
	all.Wait()
}

func waiting(r *redis.Client) {
	// Less than a second the library does not send.
	is[error](r.BLPop(ctx, time.Second, "{w}none").Err(), redis.Nil)
	answered := make(chan []string)
	go func() { answered <- must(r.BLPop(ctx, 0, "{w}none", "{w}l").Result()) }()
	is(must(r.RPush(ctx, "{w}l", "element").Result()), 1)
	is(<-answered, []string{"{w}l", "element"})
	is(must(r.LLen(ctx, "{w}l").Result()), 0)
}

func listening(r *redis.Client) {
	channels := names("news", 10)
	listener := r.Subscribe(ctx, channels...)
	defer listener.Close()
	done(listener.PSubscribe(ctx, "alerts:*"))
	done(listener.SSubscribe(ctx, "shard:1"))
	for range 12 {
		_ = must(listener.Receive(ctx)).(*redis.Subscription)
	}
	done(listener.Ping(ctx, "there"))
	is(must(listener.Receive(ctx)).(*redis.Pong).Payload, "there")
	is(len(must(r.PubSubChannels(ctx, "news:*").Result())), 10)
	for _, channel := range append(channels, "alerts:1") {
		is(must(r.Publish(ctx, channel, "item").Result()), 1)
	}
	is(must(r.SPublish(ctx, "shard:1", "item").Result()), 1)
	seen := map[string]string{}
	messages := listener.Channel()
	for range 12 {
		message := <-messages
		seen[message.Channel] = message.Pattern + message.Payload
	}
	for _, channel := range append(channels, "shard:1") {
		is(seen[channel], "item")
	}
	is(seen["alerts:1"], "alerts:*item")
	// The library subscribes anew when it comes back.
	is(must(r.ClientKillByFilter(ctx, "TYPE", "pubsub").Result()) >= 1, true)
	for {
		done(r.Publish(ctx, "news:000", "back").Err())
		select {
		case message := <-messages:
			is(message.Payload, "back")
			return
		default:
		}
	}
}

func scans(r *redis.Client) {
	done(r.FlushAll(ctx).Err())
	all := names("k", 300)
	for _, name := range all {
		done(r.Set(ctx, name, "v", 0).Err())
	}
	is(scan(r.Scan(ctx, 0, "", 20)), all)
	is(scan(r.ScanType(ctx, 0, "k:2*", 0, "string")), all[200:])
	is(must(r.DBSize(ctx).Result()), 300)
}

func scan(cmd *redis.ScanCmd) (found []string) {
	iterator := cmd.Iterator()
	for iterator.Next(ctx) {
		found = append(found, iterator.Val())
	}
	done(iterator.Err())
	slices.Sort(found)
	return found
}

func scripts(r *redis.Client) {
	add := redis.NewScript("return redis.call('INCRBY', KEYS[1], ARGV[1])")
	done(r.ScriptFlush(ctx).Err())
	// The library sends EVALSHA and, where that is unknown, EVAL.
	for n, name := range names("script", 20) {
		is(must(add.Run(ctx, r, []string{name}, n).Int()), n)
	}
	is(must(r.ScriptExists(ctx, add.Hash(), strings.Repeat("0", 40)).Result()), []bool{true, false})
	refused("NOSCRIPT", r.EvalSha(ctx, strings.Repeat("0", 40), []string{"k"}).Err())
}

func databases(r *redis.Client) {
	options := *r.Options()
	options.DB = 3
	third := redis.NewClient(&options)
	defer third.Close()
	for _, name := range names("db", 20) {
		done(third.Set(ctx, name, "third", 0).Err())
	}
	is(must(r.Exists(ctx, names("db", 20)...).Result()), 0)
	is(must(third.DBSize(ctx).Result()), 20)
	done(third.FlushDB(ctx).Err())
	is(must(third.DBSize(ctx).Result()), 0)
}

func errorsAndAfter(r *redis.Client) {
	done(r.Set(ctx, "e:1", "text", 0).Err())
	refused("not an integer", r.Incr(ctx, "e:1").Err())
	refused("WRONGTYPE", r.LPush(ctx, "e:1", "x").Err())
	refused("CROSSSLOT", r.SUnion(ctx, names("e", 20)...).Err())
	refused("unknown command", r.Do(ctx, "NOSUCHCOMMAND").Err())
	is(must(r.Get(ctx, "e:1").Result()), "text")
	is(must(r.ClientInfo(ctx).Result()).LibName != "", true)
}

func sharing(r *redis.Client) {
	together(func(worker int) {
		for n, name := range names(fmt.Sprint("w", worker), 100) {
			done(r.Set(ctx, name, n, 0).Err())
			is(must(r.Get(ctx, name).Int()), n)
		}
	})
}

func main() {
	// A reply that never comes is a failure.
	time.AfterFunc(time.Minute, func() { panic("some reply did not come") })
	password := ""
	if len(os.Args) > 2 {
		password = os.Args[2]
	}
	for _, protocol := range []int{2, 3} {
		options := redis.Options{
			Addr: "127.0.0.1:" + os.Args[1], Password: password, Protocol: protocol, ClientName: "app",
			MaxRetries: -1,
		}
		r := redis.NewClient(&options)
		done(r.FlushAll(ctx).Err())
		for _, does := range []func(*redis.Client){values, pipelines, transactions, waiting, listening, scans, scripts, databases, errorsAndAfter, sharing} {
			does(r)
		}
		done(r.Close())
		if password != "" {
			for _, wrong := range []string{"wrong", ""} {
				options.Password = wrong
				locked := redis.NewClient(&options)
				err := locked.Get(ctx, "a").Err()
				is(err != nil && (strings.Contains(err.Error(), "invalid") || strings.Contains(err.Error(), "NOAUTH")), true)
				done(locked.Close())
			}
		}
	}
	fmt.Println("ok")
}
