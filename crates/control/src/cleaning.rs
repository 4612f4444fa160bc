//! Connections of the control plane's own to a server: to empty it, or to delete keys on it, before it serves again, and to ask it
//! something.

use crate::discovery::dns;
use config::{Address, Pool, Protocol};
use engine::away::RecordedKey;
use engine::command::learn::Listing;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// So long a server may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// So long it may take to empty itself: an old redis does so before it does anything else.
const FLUSH_WITHIN: Duration = Duration::from_secs(120);

/// So many keys, or bytes of them, are asked for before the answers are read: neither side's buffers fill up.
const BATCH_KEYS: usize = 512;
const BATCH_BYTES: usize = 32 << 10;

/// Longer than any answer.
const LINE_BYTES: u64 = 4096;

/// Why a server is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CleanError {
    /// The connection could not be made, or broke.
    #[error(transparent)]
    Lost(#[from] io::Error),
    /// No answer came.
    #[error("it does not answer")]
    Silent,
    /// It does not want to.
    #[error("it answers '{said}' to {asked}")]
    Refused {
        /// What was asked.
        asked: &'static str,
        /// The server's answer.
        said: String,
    },
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A connection to one server, past its handshake.
pub(crate) struct Session {
    stream: BufReader<Box<dyn Stream>>,
    protocol: Protocol,
    /// The database in which it is.
    database: u32,
}

impl Session {
    /// Connects to server `server` of `pool`, with its password.
    pub(crate) async fn open(pool: &Pool, server: usize) -> Result<Session, CleanError> {
        let stream = within(ANSWER_WITHIN, connect(&pool.servers[server].address)).await?;
        let mut session = Session { stream: BufReader::new(stream), protocol: pool.protocol, database: 0 };
        if pool.protocol == Protocol::Redis
            && let Some(password) = &pool.redis_auth
        {
            let request = redis(&[b"AUTH", password.as_bytes()]);
            session.ask("AUTH", &request, "+OK", ANSWER_WITHIN).await?;
        }
        Ok(session)
    }

    /// Asks a redis which commands it has.
    pub(crate) async fn commands(&mut self) -> Result<Listing, CleanError> {
        within(ANSWER_WITHIN, self.stream.write_all(&redis(&[b"COMMAND"]))).await?;
        within(ANSWER_WITHIN, self.listing()).await
    }

    async fn listing(&mut self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        loop {
            let piece = self.stream.fill_buf().await?;
            let count = piece.len();
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let wrong = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            if listing.add(piece).map_err(wrong)? {
                return Ok(listing);
            }
            self.stream.consume(count);
        }
    }

    /// Goes on in another database of a redis. `false`: it has none of that number, and so nothing in it.
    async fn select(&mut self, database: u32) -> Result<bool, CleanError> {
        if self.protocol == Protocol::Memcache || self.database == database {
            return Ok(true);
        }
        let request = redis(&[b"SELECT", database.to_string().as_bytes()]);
        match self.ask("SELECT", &request, "+OK", ANSWER_WITHIN).await {
            Ok(()) => {
                self.database = database;
                Ok(true)
            }
            Err(CleanError::Refused { said, .. }) if said.contains("DB index is out of range") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Empties the server: these databases of a redis, all of a memcached.
    pub(crate) async fn flush(&mut self, databases: impl Iterator<Item = u32>) -> Result<(), CleanError> {
        if self.protocol == Protocol::Memcache {
            return self.ask("flush_all", b"flush_all\r\n", "OK", FLUSH_WITHIN).await;
        }
        for database in databases {
            if self.select(database).await? {
                self.flush_database().await?;
            }
        }
        Ok(())
    }

    async fn flush_database(&mut self) -> Result<(), CleanError> {
        match self.ask("FLUSHDB", &redis(&[b"FLUSHDB", b"ASYNC"]), "+OK", FLUSH_WITHIN).await {
            // Before redis 4 there is no ASYNC.
            Err(CleanError::Refused { .. }) => {
                self.ask("FLUSHDB", &redis(&[b"FLUSHDB"]), "+OK", FLUSH_WITHIN).await
            }
            other => other,
        }
    }

    /// Deletes `keys`, those of one database after those of another, and waits until all are gone.
    pub(crate) async fn delete<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k RecordedKey>,
    ) -> Result<(), CleanError> {
        let mut batch: Vec<&[u8]> = Vec::new();
        let (mut bytes, mut database, mut there) = (0, None, false);
        for (of, key) in keys {
            if database != Some(*of) {
                if !batch.is_empty() {
                    self.delete_batch(&batch).await?;
                    batch.clear();
                    bytes = 0;
                }
                there = self.select(*of).await?;
                database = Some(*of);
            }
            if !there {
                continue;
            }
            batch.push(key);
            bytes += key.len();
            if batch.len() >= BATCH_KEYS || bytes >= BATCH_BYTES {
                self.delete_batch(&batch).await?;
                batch.clear();
                bytes = 0;
            }
        }
        if batch.is_empty() { Ok(()) } else { self.delete_batch(&batch).await }
    }

    async fn delete_batch(&mut self, keys: &[&[u8]]) -> Result<(), CleanError> {
        match self.protocol {
            Protocol::Redis => {
                let words: Vec<&[u8]> =
                    [b"UNLINK".as_slice()].into_iter().chain(keys.iter().copied()).collect();
                self.ask("UNLINK", &redis(&words), ":", ANSWER_WITHIN).await
            }
            Protocol::Memcache => {
                let request: Vec<u8> =
                    keys.iter().flat_map(|key| [b"delete ", *key, b"\r\n"].concat()).collect();
                within(ANSWER_WITHIN, self.stream.write_all(&request)).await?;
                for _ in keys {
                    let line = within(ANSWER_WITHIN, self.line()).await?;
                    if !line.starts_with("DELETED") && !line.starts_with("NOT_FOUND") {
                        return Err(CleanError::Refused { asked: "delete", said: line });
                    }
                }
                Ok(())
            }
        }
    }

    /// Asks for something that is answered in one line, and fails if that does not begin as `expected`.
    async fn ask(
        &mut self,
        asked: &'static str,
        request: &[u8],
        expected: &str,
        limit: Duration,
    ) -> Result<(), CleanError> {
        within(limit, self.stream.write_all(request)).await?;
        let said = within(limit, self.line()).await?;
        if said.starts_with(expected) { Ok(()) } else { Err(CleanError::Refused { asked, said }) }
    }

    /// The next line of an answer, as people read it.
    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        (&mut self.stream).take(LINE_BYTES).read_until(b'\n', &mut line).await?;
        if !line.ends_with(b"\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        Ok(String::from_utf8_lossy(&line).trim_end().chars().map(plain).take(200).collect())
    }
}

async fn connect(address: &Address) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        Address::Ip(address) => Box::new(TcpStream::connect(address).await?),
        Address::Name { host, port } => {
            // The same addresses in the same order as a worker tries them.
            let addresses = dns::resolve(host, *port).await;
            Box::new(TcpStream::connect(addresses.as_slice()).await?)
        }
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}

async fn within<T>(limit: Duration, what: impl Future<Output = io::Result<T>>) -> Result<T, CleanError> {
    match timeout(limit, what).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(CleanError::Silent),
    }
}

/// A request of redis.
fn redis(words: &[&[u8]]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        request.extend_from_slice(word);
        request.extend_from_slice(b"\r\n");
    }
    request
}
