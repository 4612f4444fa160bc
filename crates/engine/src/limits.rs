//! Every bound of the engine, with its reason. Bounds that operators set are in `config`.

/// A fresh buffer: room for a tick's replies to a busy client, small enough for thousands of them.
pub const BUFFER_BYTES: usize = 4 << 10;

/// A fresh buffer for one parked reply or part: most replies are smaller.
pub const SMALL_BUFFER_BYTES: usize = 256;

/// A buffer that grew to more than so many times its first size is large.
pub const BUFFER_GROWTH_KEPT: usize = 16;

/// Larger ones are kept for connections that need as much in every tick (many requests with values of some KiB to one
/// server), so many bytes of them per worker and store.
pub const LARGE_BUFFERS_KEPT_BYTES: usize = 4 << 20;

/// Spare buffers kept per worker and size: 64 KiB times this is the most that is held for nothing.
pub const BUFFERS_KEPT: usize = 512;

/// Sent bytes at the front of a partly sent outbox are dropped once they are so many.
pub const COMPACT_BYTES: usize = 64 << 10;

/// Request slots kept for reuse are cheap, merges own buffers: so many of them are kept per worker.
pub const MERGES_KEPT: usize = 256;

/// The longest name that `CLIENT SETNAME` and the like may store, in bytes; redis has no bound of its own.
pub const CLIENT_NAME_BYTES: usize = 1 << 10;

/// So much of a key or of a server's text is quoted in an error reply or an event.
pub const QUOTED_BYTES: usize = 128;

/// So many bytes may wait to be written to one server connection; a request beyond it fails at once. It is
/// there for servers that hang: a healthy one takes megabytes within milliseconds.
pub const SERVER_QUEUE_BYTES: usize = 256 << 20;

/// So many requests may wait for one server connection's replies; a request beyond it fails at once. Each costs
/// some 40 bytes beside its own.
pub const SERVER_QUEUE_REQUESTS: usize = 1 << 20;

/// After a connection that could not be made, the next attempt waits so long, and twice as long each time.
pub const FIRST_RECONNECT_US: u64 = 50_000;

/// The longest wait between two attempts to connect.
pub const SLOWEST_RECONNECT_US: u64 = 2_000_000;

const _: () = assert!(FIRST_RECONNECT_US < SLOWEST_RECONNECT_US);

/// How long to wait after an attempt that failed, where `before` others in a row had failed already.
pub const fn reconnect_wait_us(before: u32) -> u64 {
    let doubled = if before < 8 { before } else { 8 };
    let wait = FIRST_RECONNECT_US << doubled;
    if wait < SLOWEST_RECONNECT_US { wait } else { SLOWEST_RECONNECT_US }
}

/// So many bytes of a large request may wait for a server's socket before its client is read no further; it is read on
/// at half of that.
pub const TRANSFER_BYTES: usize = 1 << 20;

/// So many large requests per worker have a connection of their own at a time; others wait. The descriptors for them
/// are set aside.
pub const LANES_PER_WORKER: usize = 16;

/// A large request that has waited so long for one is refused.
pub const LANE_WAIT_US: u64 = 30_000_000;

/// A connection that carried a large transfer is kept for the next one, or for a lost shared one, for so long.
pub const SPARE_IDLE_US: u64 = 5_000_000;

/// So many of them per server and worker.
pub const SPARES_PER_SERVER: usize = 16;

/// So many of them per worker in all.
pub const SPARES_PER_WORKER: usize = 32;

/// Databases of a pool that a worker's clients may have selected at a time, its own among them: each has connections of its
/// own to every server. A redis has 16 unless told otherwise.
pub const DATABASES: usize = 64;

/// A connection to a database that no client of the worker has selected any more is closed when it has been idle for so long.
pub const DATABASE_IDLE_US: u64 = 10_000_000;

/// A client in the middle of a large request that has sent nothing for so long gives way when others wait.
pub const TRANSFER_STALL_US: u64 = 10_000_000;

/// Keys per worker that are remembered to have large values, 40 bytes each.
pub const LARGE_KEYS: usize = 1024;

/// Without a timeout, requests behind a large reply wait so long for its reader before it is collected for their sake.
pub const PATIENCE_US: u64 = 100_000;

/// So much of a large reply is collected at most for the sake of those who wait behind it.
pub const COLLECTED_BYTES: usize = 16 << 20;

/// A client that has read nothing for so long of a large reply behind which others wait, of which no more can be
/// collected, is closed.
pub const DEAF_US: u64 = 5_000_000;

/// A client whose unfinished request takes less waits for memory like any other; with more of it, and none to be had, it
/// is refused.
pub const UNFINISHED_BYTES: usize = 1 << 20;

/// For each such part of the memory that buffers may take it is asked whether they are to be weighed.
pub const LOOKS_PER_LIMIT: usize = 64;

/// Requests of a client wait while the replies to those that are under way can be expected to take so many times what
/// it may leave unread (`client_output_limit`): servers must not make, for one that does not read, what others have to
/// wait for. It is more than any network needs under way.
pub const EXPECTED_PER_HELD: usize = 2;

/// What a new client's replies are taken for: with the default limits, 64 requests are let through before the first
/// reply has told more.
pub const FIRST_REPLY_MEAN: u32 = 32 << 10;

/// So many requests under way are no reason to ask.
pub const FEW_REQUESTS: usize = 64;

/// A buffer of so many bytes grows by a quarter, not to twice its size.
pub const DOUBLED_BYTES: usize = 1 << 20;

/// While clients wait for memory, what buffers take is looked at this often.
pub const MEMORY_LOOK_US: u64 = 10_000;

/// After so many looks at which nothing had drained, the largest half of a request gives way.
pub const MEMORY_LOOKS: u32 = 200;

/// A client that sends less of a large request in that time does not go on with it.
pub const TRANSFER_LEAST: u64 = 64 << 10;

/// A piece of a large reply leaves once it is this large.
pub const PIECE_BYTES: usize = 256 << 10;

/// A smaller one leaves after so long.
pub const PIECE_WAIT_US: u64 = 1_000;

/// Large replies that a worker passes on at a time; beyond it the one whose client has not read for longest is cut.
pub const FLOWS_PER_WORKER: usize = 32;

/// Connections to one server that timed out and wait for late replies; beyond it the oldest is closed.
pub const RETIRED_PER_SERVER: usize = 2;

/// Between two times that a worker tells of commands which are not known, in microseconds.
pub const UNKNOWN_TOLD_US: u64 = 1_000_000;

/// Keys of a request that are gathered from several servers: each is a request of its own.
pub const GATHER_KEYS: usize = 1024;

/// Pairs of bytes that LCS compares for keys on several servers: some 10 ms of a worker, and 8 MB while it is at it.
pub const LCS_CELLS: usize = 4 << 20;

const _: () = assert!(SMALL_BUFFER_BYTES <= BUFFER_BYTES);

/// Scripts that each worker remembers per pool, to tell a server that has forgotten one.
pub const SCRIPTS_KEPT: usize = 1024;

/// The same, in bytes of their texts.
pub const SCRIPTS_BYTES: usize = 4 << 20;

/// A longer script is not remembered: those that are written by hand are some kilobytes.
pub const SCRIPT_BYTES: usize = 256 << 10;

const _: () = assert!(SCRIPT_BYTES <= SCRIPTS_BYTES);

/// Libraries of functions that each worker remembers per pool, for the same.
pub const LIBRARIES_KEPT: usize = 64;

/// The same, in bytes of their code.
pub const LIBRARIES_BYTES: usize = 4 << 20;

/// A longer library is not remembered.
pub const LIBRARY_BYTES: usize = 1 << 20;

const _: () = assert!(LIBRARY_BYTES <= LIBRARIES_BYTES);

/// So many keys written elsewhere are remembered for a server that is away, by each worker; beyond it the server is
/// emptied when it returns. With [`RECORDED_BYTES`] some 30 MB at most.
pub const RECORDED_KEYS: usize = 1 << 18;

/// The same, in bytes of the keys.
pub const RECORDED_BYTES: usize = 16 << 20;

/// Subscriptions of one client; each takes some 50 bytes beside the channel's name.
pub const SUBSCRIPTIONS_PER_CLIENT: usize = 1 << 17;

/// Subscriptions of all clients of one worker.
pub const SUBSCRIPTIONS_PER_WORKER: usize = 1 << 20;

const _: () = assert!(SUBSCRIPTIONS_PER_CLIENT < SUBSCRIPTIONS_PER_WORKER);

/// Bytes of the names of all channels and patterns to which clients of one worker are subscribed.
pub const NAMES_BYTES: usize = 64 << 20;

/// A server from which nothing has come for so long, though clients are subscribed there, is asked whether it is there;
/// if it does not say so within the same time, its connection is made anew.
pub const FEED_LOOK_US: u64 = 10_000_000;

/// Keys that clients of one worker keep in their caches: so many pairs of client and key, some 150 bytes each at most.
/// Beyond it clients are told to forget one key after another.
pub const TRACKED_READS: usize = 1 << 18;

/// The same, in bytes of the keys.
pub const TRACKED_BYTES: usize = 16 << 20;

/// A client whose request reads more keys than this is told to forget all that it has, rather than each of them being
/// noted.
pub const TRACKED_KEYS_PER_REQUEST: usize = 1 << 14;

const _: () = assert!(TRACKED_KEYS_PER_REQUEST < TRACKED_READS);

/// Writes on one connection, of clients that do not want to be told of them, that are known to be theirs; of more their
/// clients are told.
pub const OWN_WRITES: usize = 1 << 10;

/// The keys of one of them, or of one transaction, and the requests in it.
pub const OWN_WRITE_KEYS: usize = 256;

/// The same, in bytes of the keys.
pub const OWN_WRITE_BYTES: usize = 4 << 10;

/// Bytes of the prefixes that a client may name with CLIENT TRACKING BCAST.
pub const TRACKED_PREFIX_BYTES: usize = 64 << 10;

/// What a server says of its commands (COMMAND DOCS) is kept if it has no more bytes than this; a redis with all its modules
/// says half a megabyte.
pub const DOCS_BYTES: usize = 4 << 20;

/// For so long it is kept: servers may be upgraded meanwhile.
pub const DOCS_KEPT_US: u64 = 3_600_000_000;

/// After a server that did not say, the next is asked so much later at the earliest.
pub const DOCS_RETRY_US: u64 = 60_000_000;

/// Of an argument of a request monitors are shown so many bytes.
pub const MONITOR_ARG_BYTES: usize = 4 << 10;

/// Once the line that they are shown has so many, its other arguments are only counted.
pub const MONITOR_LINE_BYTES: usize = 64 << 10;

/// Lines that are held until they can be passed on, in bytes per worker and pool, and never more than a client may leave
/// unread (`client_output_max`); beyond it some would be missing, so monitors are closed.
pub const MONITOR_HELD_BYTES: usize = 64 << 20;

/// Servers are asked to tell of so many prefixes; where clients want more of them, of all keys.
pub const BROADCAST_PREFIXES: usize = 1 << 10;

/// A request of more keys than this is split so many keys a tick, and the reply to it put together likewise: some 0.3 ms of a
/// worker. Fewer would cost more ticks, each with its look at all sockets.
pub const KEYS_AT_ONCE: usize = 8 << 10;

/// The same, in bytes: a request, or the reply to it, may be of few keys with large values.
pub const KEY_BYTES_AT_ONCE: usize = 1 << 20;

/// Gets that are sent as one: more would let one connection keep memcached from its others for longer.
pub const JOINED_KEYS: u8 = 64;

/// And bytes of their line, which memcached takes in one read in all its versions.
pub const JOINED_LINE_BYTES: u64 = 2000;
