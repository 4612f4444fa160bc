//! The control socket: `cashew ctl` connects, says one line, reads the answer and its end.
//!
//! ```text
//!   > drain cache server1                    < ok: server1 of cache is drained
//!   > drain cache nobody                     < error: pool 'cache' has no server 'nobody'; it has server1, server2
//! ```

use reactor::net;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// Longer than any order.
const LINE_BYTES: usize = 4096;

/// So long somebody may take to say a line and read the answer.
const TALK_WITHIN: Duration = Duration::from_secs(5);

/// Only the owner of the process may give orders.
const MODE: u32 = 0o600;

const BACKLOG: u32 = 16;

/// What is asked of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// All servers with their standing.
    Servers,
    /// Take a server out for a planned restart.
    Drain {
        /// Name of the pool.
        pool: String,
        /// Name of the server.
        server: String,
    },
    /// Put it back.
    Restore {
        /// Name of the pool.
        pool: String,
        /// Name of the server.
        server: String,
    },
    /// Raise the descriptor limit, to so many if said, else as far as the system allows.
    Limit(Option<u64>),
}

/// An order with the way back for its answer.
pub(crate) type Asked = (Order, oneshot::Sender<Result<String, String>>);

impl Order {
    /// Reads a line; an error says what would be right.
    pub(crate) fn parse(line: &str) -> Result<Order, String> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["servers"] => Ok(Order::Servers),
            ["drain", pool, server] => {
                Ok(Order::Drain { pool: pool.to_string(), server: server.to_string() })
            }
            ["restore", pool, server] => {
                Ok(Order::Restore { pool: pool.to_string(), server: server.to_string() })
            }
            ["limit"] => Ok(Order::Limit(None)),
            ["limit", number] => match number.parse() {
                Ok(number) => Ok(Order::Limit(Some(number))),
                Err(_) => Err(format!("'{number}' is not a number of descriptors")),
            },
            _ => {
                Err("known orders: servers; drain POOL SERVER; restore POOL SERVER; limit [NUMBER]"
                    .to_string())
            }
        }
    }
}

/// A bound control socket.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: std::os::unix::net::UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Binds `path`, for the owner of the process alone.
    pub(crate) fn bind(path: &Path) -> io::Result<ControlSocket> {
        let socket = net::listen_unix(path, Some(MODE), BACKLOG)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
        Ok(ControlSocket { listener: socket.into(), path: path.to_path_buf() })
    }

    /// The path to remove at the end.
    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Hands orders to `orders`, for ever.
    pub(crate) async fn serve(self, orders: UnboundedSender<Asked>) -> io::Result<()> {
        let listener = UnixListener::from_std(self.listener)?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let orders = orders.clone();
                    tokio::task::spawn_local(async move {
                        // Who is gone or too slow has lost interest.
                        _ = tokio::time::timeout(TALK_WITHIN, talk(stream, orders)).await;
                    });
                }
                // Out of descriptors: asking again at once would only burn the processor.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

async fn talk(mut stream: UnixStream, orders: UnboundedSender<Asked>) -> io::Result<()> {
    let mut line = Vec::new();
    while !line.contains(&b'\n') && line.len() < LINE_BYTES {
        let mut chunk = [0; 256];
        match stream.read(&mut chunk).await? {
            0 => break,
            count => line.extend_from_slice(&chunk[..count]),
        }
    }
    let answer = match Order::parse(&String::from_utf8_lossy(&line)) {
        Err(error) => Err(error),
        Ok(order) => {
            let (back, answer) = oneshot::channel();
            let gone = || Err("the process is ending".to_string());
            match orders.send((order, back)) {
                Ok(()) => answer.await.unwrap_or_else(|_| gone()),
                Err(_) => gone(),
            }
        }
    };
    let text = match answer {
        Ok(text) => format!("ok: {text}\n"),
        Err(text) => format!("error: {text}\n"),
    };
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_and_mistakes_told() {
        let order = |line| Order::parse(line);
        assert_eq!(order(" servers \n"), Ok(Order::Servers));
        assert_eq!(order("limit 4096"), Ok(Order::Limit(Some(4096))));
        assert_eq!(order("drain a b"), Ok(Order::Drain { pool: "a".into(), server: "b".into() }));
        assert!(order("drain a").unwrap_err().contains("drain POOL SERVER"));
        assert!(order("limit many").unwrap_err().contains("'many'"));
        assert!(order("").is_err());
    }
}
