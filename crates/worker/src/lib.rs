//! A data-plane thread: an event loop around one [`engine::Core`].
//!
//! ```text
//!            accept            recv                       send
//!  clients ---------> listen ---------> tick -- engine --------> clients, servers
//!                       |                ^
//!                 gate: limits,       handle: what the control plane asks
//!                 fewest clients
//! ```
//! A tick: wait; read every ready client once; write what came of it; read every ready server once; let time pass; write.

mod clients;
mod clock;
mod gate;
mod handle;
mod held;
pub mod linger;
mod link;
mod listen;
mod net;
mod ringed;
mod servers;
mod sockets;
mod tick;
mod transport;

pub use gate::Gate;
pub use handle::{Answer, Handle, Message, Notice, Notify};
pub use listen::Listener;
pub use tick::{Setup, Worker};
