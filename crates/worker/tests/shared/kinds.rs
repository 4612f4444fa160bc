//! By what sockets are read and written here.

use config::Io;
use reactor::{Reactor, Ring};

/// epoll, and io_uring where this kernel has it.
pub(crate) fn kinds_of_io() -> impl Iterator<Item = Io> {
    let reactor = Reactor::new().expect("descriptors");
    let ring = Ring::new(&reactor, 0).map_err(|error| println!("without io_uring: {error}"));
    [Io::Epoll].into_iter().chain(ring.ok().map(|_| Io::IoUring))
}
