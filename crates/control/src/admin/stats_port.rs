//! The stats port: one JSON object on connect, then the end, as twemproxy does it. Always current.

use reactor::net::{self, SockAddr};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

/// As twemproxy's.
const BACKLOG: u32 = 64;

/// So long a reader may take.
const SERVE_WITHIN: Duration = Duration::from_secs(5);

/// Out of descriptors, asking again at once would only burn the processor.
const EXHAUSTED_REST: Duration = Duration::from_millis(100);

/// A bound stats port.
#[derive(Debug)]
pub(crate) struct StatsPort {
    socket: OwnedFd,
    path: Option<PathBuf>,
}

impl StatsPort {
    /// Binds `address`: a path that starts with `/`, or a host with `port`.
    ///
    /// TCP is bound with SO_REUSEPORT as twemproxy does, so that two processes on one machine may both run
    /// with the default port.
    pub(crate) fn bind(address: &str, port: u16) -> io::Result<StatsPort> {
        if address.starts_with('/') {
            let socket = net::listen_unix(Path::new(address), None, BACKLOG)?;
            return Ok(StatsPort { socket, path: Some(address.into()) });
        }
        let address: SocketAddr = config::system_resolver(address, port)?;
        Ok(StatsPort { socket: net::listen_tcp(address, BACKLOG, true)?, path: None })
    }

    /// Where it listens, with the port that the system chose for port 0.
    pub(crate) fn address(&self) -> String {
        match (&self.path, net::bound_addr(&self.socket)) {
            (Some(path), _) => path.display().to_string(),
            (None, Ok(SockAddr::Inet(address))) => address.to_string(),
            (None, _) => "unknown".to_string(),
        }
    }

    /// The path to remove at the end.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.path.clone()
    }

    /// Serves `text` to whoever connects, for ever.
    pub(crate) async fn serve(self, text: impl Fn() -> String + Clone + 'static) -> io::Result<()> {
        if self.path.is_some() {
            let listener = UnixListener::from_std(self.socket.into())?;
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => _ = tokio::task::spawn_local(answer(stream, text())),
                    Err(_) => tokio::time::sleep(EXHAUSTED_REST).await,
                }
            }
        }
        let listener = TcpListener::from_std(self.socket.into())?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => _ = tokio::task::spawn_local(answer(stream, text())),
                Err(_) => tokio::time::sleep(EXHAUSTED_REST).await,
            }
        }
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: String) {
    let whole = async {
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        // What a curl or a browser asked is read and dropped: unread bytes would turn the end into a reset.
        let mut asked = [0; 4096];
        while stream.read(&mut asked).await? > 0 {}
        io::Result::Ok(())
    };
    // A reader that is gone or too slow has lost interest.
    _ = tokio::time::timeout(SERVE_WITHIN, whole).await;
}
