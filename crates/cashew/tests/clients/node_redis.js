// node-redis against the proxy: connecting as the library does by itself, and what applications do with it.
//
// Usage: node_redis.js PORT [PASSWORD]

const assert = require('node:assert/strict')
const { createClient, defineScript, ErrorReply, WatchError } = require('redis')

const [port, password] = process.argv.slice(2)
const everyone = new Set()

async function connect(options = {}) {
  const client = createClient({ socket: { host: '127.0.0.1', port: Number(port) }, password, ...options })
  everyone.add(client)
  // Lost connections are told here; without a listener they would end the process.
  client.on('error', () => {})
  return client.connect()
}

/// The call must be rejected with an error of this kind and text.
async function fails(kind, text, call) {
  await assert.rejects(call, error => {
    assert.ok(error instanceof kind, `${text}: ${error?.stack}`)
    assert.match(error.message, text)
    return true
  })
}

async function values(r, resp) {
  assert.equal(await r.set('s:1', 'value'), 'OK')
  assert.equal(await r.get('s:1'), 'value')
  assert.equal(await r.get('s:none'), null)
  assert.equal(await r.set('s:1', 'other', { condition: 'NX' }), null)
  assert.equal(await r.incrBy('n:1', 5), 5)
  assert.equal(await r.hSet('h:1', { a: 1, b: 2 }), 2)
  assert.deepEqual({ ...(await r.hGetAll('h:1')) }, { a: '1', b: '2' })
  assert.equal(await r.zAdd('z:1', [{ score: 1.5, value: 'a' }, { score: 2, value: 'b' }]), 2)
  assert.equal(await r.zScore('z:1', 'a'), 1.5)
  assert.deepEqual(await r.zRangeWithScores('z:1', 0, -1), [{ value: 'a', score: 1.5 }, { value: 'b', score: 2 }])
  assert.equal(await r.sAdd('t:1', ['x', 'y']), 2)
  assert.deepEqual([...(await r.sMembers('t:1'))].sort(), ['x', 'y'])
  const raw = await r.sendCommand(['HGETALL', 'h:1'])
  assert.equal(Array.isArray(raw), resp === 2, 'a map is an array in RESP2 only')
  const names = Array.from({ length: 50 }, (_, n) => `m:${n}`)
  await r.mSet(names.map((name, n) => [name, String(n)]))
  assert.deepEqual(await r.mGet([...names, 'm:none']), [...names.map((_, n) => String(n)), null])
  assert.equal(await r.del(names), 50)
  const big = 'x'.repeat(1 << 20)
  await r.set('big', big)
  assert.equal(await r.get('big'), big)
}

async function pipelines(r) {
  // What is asked in one turn goes out as one pipeline.
  const numbers = Array.from({ length: 1000 }, (_, n) => n)
  await Promise.all(numbers.map(n => r.set(`pipe:${n}`, n)))
  assert.deepEqual(await Promise.all(numbers.map(n => r.get(`pipe:${n}`))), numbers.map(String))
  const block = r.multi()
  numbers.forEach(n => block.set(`pipe:${n}`, n + 1).get(`pipe:${n}`))
  assert.deepEqual(await block.execAsPipeline(), numbers.flatMap(n => ['OK', String(n + 1)]))
}

async function transactions(r) {
  assert.deepEqual(await r.multi().set('{t}a', '1').incr('{t}a').get('{t}b').exec(), ['OK', 2, null])
  await fails(ErrorReply, /hash tag/, () => r.multi().set('{t}a', '1').sUnion(Array.from({ length: 20 }, (_, n) => `u:${n}`)).exec())
  const other = await connect()
  await r.watch('{t}w')
  await r.multi().set('{t}w', 'mine').exec()
  await r.watch('{t}w')
  await other.set('{t}w', 'theirs')
  await fails(WatchError, /watched/, () => r.multi().set('{t}w', 'mine').exec())
  assert.equal(await r.get('{t}w'), 'theirs')
}

async function waiting(r) {
  const waiter = await connect()
  assert.equal(await waiter.blPop('{w}none', 0.05), null)
  const answer = waiter.blPop(['{w}none', '{w}l'], 0)
  assert.equal(await r.rPush('{w}l', 'element'), 1)
  assert.deepEqual({ ...(await answer) }, { key: '{w}l', element: 'element' })
  assert.equal(await r.lLen('{w}l'), 0)
}

async function listening(r, options) {
  const listener = await connect(options)
  const seen = []
  let all
  const done = new Promise(resolve => (all = resolve))
  const hear = (message, channel) => {
    seen.push(`${channel} ${message}`)
    if (seen.length === 12) all()
  }
  const channels = Array.from({ length: 10 }, (_, n) => `news:${n}`)
  await listener.subscribe(channels, hear)
  await listener.pSubscribe('alerts:*', hear)
  await listener.sSubscribe('shard:1', hear)
  assert.deepEqual((await r.pubSubChannels('news:*')).sort(), channels)
  for (const channel of channels) assert.equal(await r.publish(channel, 'item'), 1)
  assert.equal(await r.publish('alerts:1', 'fire'), 1)
  assert.equal(await r.sPublish('shard:1', 'x'), 1)
  await done
  assert.deepEqual(seen.sort(), ['alerts:1 fire', ...channels.map(channel => `${channel} item`), 'shard:1 x'])
  if (options.RESP !== 2) assert.equal(await listener.get('s:1'), 'value')
  await listener.unsubscribe()
  await listener.pUnsubscribe()
  await listener.sUnsubscribe()
  // The proxy tells the server a moment later, and then nobody is counted.
  while ((await r.publish('news:1', 'late')) !== 0);
  // In RESP2 the library answers with a buffer here, with a plain redis as well.
  assert.equal(String(await listener.get('s:1')), 'value')
}

async function scans(r) {
  await r.flushAll()
  const names = Array.from({ length: 300 }, (_, n) => `k:${String(n).padStart(3, '0')}`)
  await r.mSet(names.map(name => [name, 'v']))
  const found = []
  for await (const keys of r.scanIterator({ COUNT: 20 })) found.push(...keys)
  assert.deepEqual(found.sort(), names)
  const some = []
  for await (const keys of r.scanIterator({ MATCH: 'k:2*', TYPE: 'string' })) some.push(...keys)
  assert.deepEqual(some.sort(), names.slice(200))
  assert.equal(await r.dbSize(), 300)
}

async function scripts(options) {
  const add = defineScript({
    SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
    NUMBER_OF_KEYS: 1,
    parseCommand(parser, key, by) {
      parser.pushKey(key)
      parser.push(String(by))
    },
    transformReply: undefined,
  })
  const r = await connect({ ...options, scripts: { add } })
  await r.scriptFlush()
  // The library sends EVALSHA and, where that is unknown, EVAL.
  for (let n = 0; n < 20; n++) assert.equal(await r.add(`script:${n}`, n), n)
  assert.equal(await r.eval('return {KEYS[1], ARGV[1]}', { keys: ['k'], arguments: ['v'] }).then(String), 'k,v')
  await fails(ErrorReply, /^NOSCRIPT/, () => r.evalSha('0'.repeat(40), { keys: ['k'] }))
}

async function errors(r) {
  await r.set('e:1', 'text')
  await fails(ErrorReply, /not an integer/, () => r.incr('e:1'))
  await fails(ErrorReply, /^WRONGTYPE/, () => r.lPush('e:1', 'x'))
  await fails(ErrorReply, /^CROSSSLOT/, () => r.sUnion(Array.from({ length: 20 }, (_, n) => `e:${n}`)))
  await fails(ErrorReply, /unknown command/, () => r.sendCommand(['NOSUCHCOMMAND']))
  await fails(ErrorReply, /does not pass on/, () => r.sendCommand(['DEBUG', 'SLEEP', '0']))
  assert.equal(await r.get('e:1'), 'text')
}

async function returning(r, options) {
  const other = await connect({ ...options, name: 'other' })
  assert.equal(await other.clientGetName(), 'other')
  const id = await other.clientId()
  assert.ok((await r.clientList()).some(line => line.id === id && line.name === 'other'))
  const back = new Promise(resolve => other.once('ready', resolve))
  assert.equal(await r.clientKill({ filter: 'ID', id }), 1)
  await back
  assert.notEqual(await other.clientId(), id)
  assert.equal(await other.clientGetName(), 'other', 'the library names itself anew')
}

async function main() {
  for (const options of [{}, { RESP: 2 }, { RESP: 3, name: 'app', pingInterval: 1000, database: 0 }]) {
    const r = await connect(options)
    await r.flushAll()
    await values(r, options.RESP ?? 3)
    await pipelines(r)
    await transactions(r)
    await waiting(r)
    await listening(r, options)
    await scans(r)
    await scripts(options)
    await errors(r)
    await returning(r, options)
    for (const client of everyone) await client.close()
    everyone.clear()
  }
  if (password) {
    const once = { reconnectStrategy: false, host: '127.0.0.1', port: Number(port) }
    await fails(ErrorReply, /WRONGPASS|invalid password/, () => connect({ password: 'wrong', socket: once }))
    await fails(ErrorReply, /NOAUTH/, async () => (await connect({ password: undefined, socket: once })).get('a'))
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
