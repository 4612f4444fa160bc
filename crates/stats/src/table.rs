//! Every metric there is: one row each. Counters, the stats port and `--describe-stats` all read these rows.
//!
//! Twemproxy's rows come first in each table, with its names, order and help texts (twemproxy `src/nc_stats.h`);
//! ours follow. To add a metric, add a row and one increment where the thing happens.

/// What a number means over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; workers are added up.
    Counter,
    /// Goes up and down; workers are added up.
    Gauge,
    /// Microseconds since the epoch of the last time something happened, 0 if never; the latest worker counts.
    Timestamp,
}

/// Where a metric comes from, and with it where its place in the output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Twemproxy has it under this name.
    Twemproxy,
    /// Ours; written after twemproxy's.
    Cashew,
}

/// What is known about one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its name in every output.
    pub name: &'static str,
    /// What the number means over time.
    pub kind: Kind,
    /// Whether it is twemproxy's or ours.
    pub origin: Origin,
    /// One line for operators.
    pub help: &'static str,
}

/// Makes an enum whose values number its rows.
macro_rules! metrics {
    ($(#[$doc:meta])* $metric:ident { $($variant:ident $origin:ident $kind:ident $name:literal $help:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(usize)]
        pub enum $metric {
            $(#[doc = concat!("`", $name, "`: ", $help)] $variant,)*
        }

        impl $metric {
            /// The rows, in the order of output.
            pub const ROWS: [Row; Self::COUNT] = [
                $(Row { name: $name, kind: Kind::$kind, origin: Origin::$origin, help: $help },)*
            ];
            /// How many there are.
            pub const COUNT: usize = [$(Self::$variant),*].len();
            /// All of them, in the order of output.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant),*];

            /// This metric's row.
            pub const fn row(self) -> Row {
                Self::ROWS[self as usize]
            }
        }
    };
}

metrics! {
    /// Counted for each pool.
    PoolMetric {
        ClientEof         Twemproxy Counter   "client_eof"         "# eof on client connections";
        ClientErr         Twemproxy Counter   "client_err"         "# errors on client connections";
        ClientConnections Twemproxy Gauge     "client_connections" "# active client connections";
        ServerEjects      Twemproxy Counter   "server_ejects"      "# times backend server was ejected";
        ForwardError      Twemproxy Counter   "forward_error"      "# times we encountered a forwarding error";
        Fragments         Twemproxy Counter   "fragments"          "# fragments created from a multi-vector request";
        ClientRefused     Cashew    Counter   "client_refused"     "# client connections closed at once because a limit was reached";
        ClientRequests    Cashew    Counter   "client_requests"    "# requests read from clients, before any splitting";
        ProtocolErrors    Cashew    Counter   "protocol_errors"    "# client connections closed because their bytes broke the protocol";
        ClientPaused      Cashew    Counter   "client_paused"      "# times reading from a client stopped until it read its replies";
        PinnedConnections Cashew    Gauge     "pinned_connections" "# server connections that clients have to themselves, for WATCH or a blocking command";
        Subscriptions     Cashew    Gauge     "subscriptions"      "# channels and patterns that clients are subscribed to, counted for each client";
        Messages          Cashew    Counter   "messages"           "# messages of channels passed on, counted for each client";
        Invalidations     Cashew    Counter   "invalidations"      "# messages that keys have changed, counted for each client that keeps what it reads";
        LearntCommands    Cashew    Gauge     "learnt_commands"    "# commands that only the servers know and that are passed on";
        BlockedClients    Cashew    Gauge     "blocked_clients"    "# clients that wait in a blocking command";
        ClientOverflows   Cashew    Counter   "client_overflows"   "# client connections closed because they did not read their replies";
    }
}

metrics! {
    /// Counted for each server of each pool.
    ServerMetric {
        ServerEof         Twemproxy Counter   "server_eof"         "# eof on server connections";
        ServerErr         Twemproxy Counter   "server_err"         "# errors on server connections";
        ServerTimedout    Twemproxy Counter   "server_timedout"    "# timeouts on server connections";
        ServerConnections Twemproxy Gauge     "server_connections" "# active server connections";
        ServerEjectedAt   Twemproxy Timestamp "server_ejected_at"  "timestamp when server was ejected in usec since epoch";
        Requests          Twemproxy Counter   "requests"           "# requests";
        RequestBytes      Twemproxy Counter   "request_bytes"      "total request bytes";
        Responses         Twemproxy Counter   "responses"          "# responses";
        ResponseBytes     Twemproxy Counter   "response_bytes"     "total response bytes";
        InQueue           Twemproxy Gauge     "in_queue"           "# requests in incoming queue";
        InQueueBytes      Twemproxy Gauge     "in_queue_bytes"     "current request bytes in incoming queue";
        OutQueue          Twemproxy Gauge     "out_queue"          "# requests in outgoing queue";
        OutQueueBytes     Twemproxy Gauge     "out_queue_bytes"    "current request bytes in outgoing queue";
        HandshakeErrors   Cashew    Counter   "handshake_errors"   "# server connections closed because the server refused AUTH, SELECT or the like";
        LateReplies       Cashew    Counter   "late_replies"       "# replies thrown away because their request had timed out";
        ConnectErrors     Cashew    Counter   "connect_errors"     "# connections to the server that could not be made";
        KeysRecorded      Cashew    Gauge     "keys_recorded"      "# keys written elsewhere while the server is away, to be deleted on it before it serves again";
        StandbyTtlErrors  Cashew    Counter   "standby_ttl_errors" "# keys written on this standby server whose TTL could not be bounded";
        TimeoutUs         Cashew    Gauge     "timeout_us"         "usec a request may wait for the server's reply, as it is now with 'timeout: auto'; 0: for ever";
    }
}

metrics! {
    /// Counted for each worker thread and shown for the whole process.
    WorkerMetric {
        TotalConnections  Twemproxy Counter   "total_connections"  "# connections ever made or accepted, listening sockets included";
        CurrConnections   Twemproxy Gauge     "curr_connections"   "# connections open now, listening sockets included";
        Ticks             Cashew    Counter   "ticks"              "# turns of the workers' loops";
        Wakeups           Cashew    Counter   "wakeups"            "# times a worker was woken by another thread";
        BufferBytes       Cashew    Gauge     "buffer_bytes"       "bytes that buffers took when last looked at";
        MemoryPauses      Cashew    Counter   "memory_pauses"      "# times reading from a client stopped because max_memory was reached";
        EventsDropped     Cashew    Counter   "events_dropped"     "# events from workers that came too fast to be logged";
    }
}

/// Facts about the process that nobody counts, shown before the workers' metrics.
pub const PROCESS: [Row; 2] = [
    fact("workers", "# worker threads"),
    fact("max_clients", "# client connections that are accepted at the same time"),
];

/// Written for each pool and each server once a first reply was timed: see [`crate::Distribution`].
pub const LATENCY: [Row; 4] = [
    fact("latency_us_p50", "half of the replies took at most this many usec; absent before the first"),
    fact("latency_us_p99", "99% of the replies took at most this many usec"),
    fact("latency_us_p999", "99.9% of the replies took at most this many usec"),
    fact(
        "latency_us_max",
        "the slowest reply took about this many usec; of a server's requests, those that timed out count as well",
    ),
];

const fn fact(name: &'static str, help: &'static str) -> Row {
    Row { name, kind: Kind::Gauge, origin: Origin::Cashew, help }
}
