//! What servers may send, and what becomes of it.
