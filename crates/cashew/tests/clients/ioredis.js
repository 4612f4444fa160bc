// ioredis against the proxy: connecting as the library does by itself, and what applications do with it.
//
// Usage: ioredis.js PORT [PASSWORD]

const assert = require('node:assert/strict')
const Redis = require('ioredis')
const { ReplyError } = Redis

const [port, password] = process.argv.slice(2)
const everyone = new Set()

function connect(options = {}) {
  const client = new Redis({ port: Number(port), host: '127.0.0.1', password, ...options })
  everyone.add(client)
  // Lost connections are told here; without a listener they are printed.
  client.on('error', () => {})
  return client
}

/// The call must be rejected with an error reply of this text.
async function fails(text, call) {
  await assert.rejects(call, error => {
    assert.ok(error instanceof ReplyError, `${text}: ${error?.stack}`)
    assert.match(error.message, text)
    return true
  })
}

async function values(r) {
  assert.equal(await r.set('s:1', 'value'), 'OK')
  assert.equal(await r.get('s:1'), 'value')
  assert.equal(await r.get('s:none'), null)
  assert.equal(await r.set('s:1', 'other', 'EX', 100, 'NX'), null)
  assert.equal(await r.incrby('n:1', 5), 5)
  assert.equal(await r.hset('h:1', { a: 1, b: 2 }), 2)
  assert.deepEqual({ ...(await r.hgetall('h:1')) }, { a: '1', b: '2' })
  assert.equal(await r.zadd('z:1', 1.5, 'a', 2, 'b'), 2)
  assert.equal(Number(await r.zscore('z:1', 'a')), 1.5)
  assert.deepEqual(await r.zrange('z:1', 0, -1), ['a', 'b'])
  assert.equal(await r.sadd('t:1', 'x', 'y'), 2)
  assert.deepEqual([...(await r.smembers('t:1'))].sort(), ['x', 'y'])
  const names = Array.from({ length: 50 }, (_, n) => `m:${n}`)
  await r.mset(...names.flatMap((name, n) => [name, n]))
  assert.deepEqual(await r.mget([...names, 'm:none']), [...names.map((_, n) => String(n)), null])
  assert.equal(await r.del(names), 50)
  const big = Buffer.alloc(1 << 20, Buffer.from([0, 13, 10, 255]))
  await r.set('big', big)
  assert.ok(big.equals(await r.getBuffer('big')))
}

async function pipelines(r) {
  const numbers = Array.from({ length: 1000 }, (_, n) => n)
  const pipe = r.pipeline()
  numbers.forEach(n => pipe.set(`pipe:${n}`, n).get(`pipe:${n}`))
  assert.deepEqual(await pipe.exec(), numbers.flatMap(n => [[null, 'OK'], [null, String(n)]]))
  const [[, set], [failed], [, got]] = await r.pipeline().set('pipe:s', 'x').lpush('pipe:s', 'y').get('pipe:s').exec()
  assert.equal(set, 'OK')
  assert.ok(failed instanceof ReplyError && failed.message.startsWith('WRONGTYPE'), failed)
  assert.equal(got, 'x')
}

async function transactions(r, options) {
  assert.deepEqual(await r.multi().set('{t}a', 1).incr('{t}a').get('{t}b').exec(), [[null, 'OK'], [null, 2], [null, null]])
  await fails(/^EXECABORT/, () => r.multi().set('{t}a', 1).sunion(Array.from({ length: 20 }, (_, n) => `u:${n}`)).exec())
  const other = connect()
  await r.watch('{t}w')
  assert.deepEqual(await r.multi().set('{t}w', 'mine').exec(), [[null, 'OK']])
  await r.watch('{t}w')
  await other.set('{t}w', 'theirs')
  assert.equal(await r.multi().set('{t}w', 'mine').exec(), null)
  // Each command sent as it is asked, for which the library gathers nothing into pipelines.
  if (options.enableAutoPipelining) return
  assert.equal(await r.multi({ pipeline: false }), 'OK')
  assert.equal(await r.get('{t}w'), 'QUEUED')
  assert.deepEqual(await r.exec(), [[null, 'theirs']])
}

async function waiting(r) {
  const waiter = connect()
  assert.equal(await waiter.blpop('{w}none', 0.05), null)
  const answer = waiter.blpop('{w}none', '{w}l', 0)
  assert.equal(await r.rpush('{w}l', 'element'), 1)
  assert.deepEqual(await answer, ['{w}l', 'element'])
  assert.equal(await r.llen('{w}l'), 0)
}

async function listening(r, options) {
  const listener = connect(options)
  const seen = []
  let all
  const done = new Promise(resolve => (all = resolve))
  const hear = (channel, message) => {
    seen.push(`${channel} ${message}`)
    if (seen.length === 12) all()
  }
  listener.on('message', hear)
  listener.on('smessage', hear)
  listener.on('pmessage', (_, channel, message) => hear(channel, message))
  const channels = Array.from({ length: 10 }, (_, n) => `news:${n}`)
  assert.equal(await listener.subscribe(...channels), 10)
  await listener.psubscribe('alerts:*')
  await listener.ssubscribe('shard:1')
  assert.deepEqual((await r.pubsub('CHANNELS', 'news:*')).sort(), channels)
  for (const channel of channels) assert.equal(await r.publish(channel, 'item'), 1)
  assert.equal(await r.publish('alerts:1', 'fire'), 1)
  assert.equal(await r.spublish('shard:1', 'x'), 1)
  await done
  assert.deepEqual(seen.sort(), ['alerts:1 fire', ...channels.map(channel => `${channel} item`), 'shard:1 x'])
  await listener.unsubscribe(...channels.slice(1))
  // The library subscribes anew to what is left when it comes back.
  const again = new Promise(resolve => listener.once('message', (...message) => resolve(message)))
  const back = ready(listener)
  assert.ok((await r.client('KILL', 'TYPE', 'pubsub')) >= 1)
  await back
  while ((await r.pubsub('NUMSUB', 'news:0'))[1] !== 1 || (await r.pubsub('CHANNELS', 'news:*')).length !== 1);
  await r.publish('news:0', 'back')
  assert.deepEqual(await again, ['news:0', 'back'])
  // Named: after a return the library (6.0.0) waits for ever when asked to leave all, with a plain redis as well.
  await listener.unsubscribe('news:0')
  await listener.punsubscribe('alerts:*')
  await listener.sunsubscribe('shard:1')
  // The proxy tells the server a moment later, and then nobody is counted.
  while ((await r.publish('news:0', 'late')) !== 0);
  assert.equal(await listener.get('s:1'), 'value')
}

async function scans(r) {
  await r.flushall()
  const names = Array.from({ length: 300 }, (_, n) => `k:${String(n).padStart(3, '0')}`)
  await r.mset(...names.flatMap(name => [name, 'v']))
  const found = []
  for await (const keys of r.scanStream({ count: 20 })) found.push(...keys)
  assert.deepEqual(found.sort(), names)
  const some = []
  for await (const keys of r.scanStream({ match: 'k:2*', type: 'string' })) some.push(...keys)
  assert.deepEqual(some.sort(), names.slice(200))
  assert.equal(await r.dbsize(), 300)
}

async function scripts(options) {
  const r = connect({ ...options, scripts: { add: { lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])", numberOfKeys: 1 } } })
  await r.script('FLUSH')
  // The library sends EVALSHA and, where that is unknown, EVAL.
  for (let n = 0; n < 20; n++) assert.equal(await r.add(`script:${n}`, n), n)
  const pipe = r.pipeline()
  for (let n = 0; n < 20; n++) pipe.add(`script:${n}`, n)
  assert.deepEqual(await pipe.exec(), Array.from({ length: 20 }, (_, n) => [null, 2 * n]))
  assert.deepEqual(await r.eval('return {KEYS[1], ARGV[1]}', 1, 'k', 'v'), ['k', 'v'])
  await fails(/^NOSCRIPT/, () => r.evalsha('0'.repeat(40), 1, 'k'))
}

async function errors(r) {
  await r.set('e:1', 'text')
  await fails(/not an integer/, () => r.incr('e:1'))
  await fails(/^WRONGTYPE/, () => r.lpush('e:1', 'x'))
  await fails(/^CROSSSLOT/, () => r.sunion(Array.from({ length: 20 }, (_, n) => `e:${n}`)))
  await fails(/unknown command/, () => r.call('NOSUCHCOMMAND'))
  await fails(/does not pass on/, () => r.call('SHUTDOWN'))
  assert.equal(await r.get('e:1'), 'text')
}

async function monitoring(r) {
  const monitor = await r.monitor()
  const seen = new Promise(resolve => {
    monitor.on('monitor', (time, args, source, database) => {
      if (args[0] === 'set') resolve([args, database])
    })
  })
  await r.set('m:1', 'two words')
  assert.deepEqual(await seen, [['set', 'm:1', 'two words'], '0'])
  monitor.disconnect()
}

async function returning(r, options) {
  const other = connect({ ...options, connectionName: 'other' })
  assert.equal(await other.client('GETNAME'), 'other')
  const id = await other.client('ID')
  assert.match(await r.client('LIST'), new RegExp(`id=${id} .*name=other `))
  const back = ready(other)
  assert.equal(await r.client('KILL', 'ID', id), 1)
  await back
  assert.notEqual(await other.client('ID'), id)
  assert.equal(await other.client('GETNAME'), 'other', 'the library names itself anew')
}

function ready(client) {
  return new Promise(resolve => client.once('ready', resolve))
}

async function main() {
  for (const options of [{}, { protocol: 2 }, { protocol: 3, replyMapping: 'resp3', db: 0, connectionName: 'app', enableAutoPipelining: true }]) {
    const r = connect(options)
    await r.flushall()
    await values(r)
    await pipelines(r)
    await transactions(r, options)
    await waiting(r)
    await listening(r, options)
    await scans(r)
    await scripts(options)
    await errors(r)
    await monitoring(r)
    await returning(r, options)
    for (const client of everyone) assert.equal(await client.quit(), 'OK')
    everyone.clear()
  }
  if (password) {
    for (const wrong of [{ password: 'wrong' }, { password: undefined }]) {
      await fails(/WRONGPASS|NOAUTH|invalid password/, () => connect({ ...wrong, retryStrategy: null }).get('a'))
    }
  }
  console.log('ok')
}

// A reply that never comes is a failure.
setTimeout(() => {
  console.error('some reply did not come')
  process.exit(1)
}, 60_000).unref()

main().then(
  () => process.exit(0),
  error => {
    console.error(error)
    process.exit(1)
  },
)
