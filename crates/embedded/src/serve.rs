//! Accepts connections and moves bytes between them and their sessions. Knows no protocol.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// One connection's side of a protocol.
pub(crate) trait Session: Send + 'static {
    /// Acts on the beginning of `input`, at most one request, and appends what is to be sent to `out`.
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step;
}

/// What became of a session's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// This many bytes are done with, at least one; there may be more to do with the rest.
    Used(usize),
    /// Nothing to do before more bytes come.
    Wait,
    /// Send what there is to send, and close.
    Close,
}

/// Serves connections until it is dropped, which closes them all.
///
/// A connection over `clients_max` gets `full` and is closed.
pub(crate) async fn serve<S: Session>(
    listener: TcpListener,
    clients_max: usize,
    full: &'static [u8],
    mut session: impl FnMut() -> S,
) -> Infallible {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if clients.len() < clients_max => {
                    clients.spawn(connection(stream, session()));
                }
                // Not worth waiting for: the text fits into the socket's empty buffer.
                Ok((stream, _)) => drop(stream.try_write(full)),
                // Out of file descriptors, or the client is gone already: neither ends the server.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

/// One client, from its first byte to its last. Errors of its socket just end it.
async fn connection<S: Session>(mut stream: TcpStream, mut session: S) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::new();
    let mut out = Vec::new();
    loop {
        let mut used = 0;
        let closing = loop {
            match session.step(input.get(used..).unwrap_or_default(), &mut out) {
                Step::Used(count) => used += count,
                Step::Wait => break false,
                Step::Close => break true,
            }
            // A client that does not read stops here, with one reply more than this in memory.
            if out.len() >= FLUSH_BYTES {
                stream.write_all(&out).await?;
                out = Vec::new();
            }
        };
        stream.write_all(&out).await?;
        out.clear();
        if closing {
            return close(stream).await;
        }
        input.drain(..used.min(input.len()));
        if input.is_empty() && input.capacity() > 4 * READ_BYTES {
            input = Vec::new();
        }
        input.reserve(READ_BYTES);
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

/// Closes so that the last reply arrives: unread input would make the kernel reset the connection instead.
async fn close(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut waste = vec![0; READ_BYTES];
    let rest = async {
        while stream.read(&mut waste).await? > 0 {}
        io::Result::Ok(())
    };
    tokio::time::timeout(CLOSE_PATIENCE, rest).await.unwrap_or(Ok(()))
}

/// Room made for every read: large enough for a pipeline of small requests.
const READ_BYTES: usize = 16 * 1024;
/// Replies are collected up to this before they are sent.
const FLUSH_BYTES: usize = 64 * 1024;
/// How long accepting pauses after a failure, so that it does not spin while file descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// How long a client may go on sending after its connection was closed from here.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
