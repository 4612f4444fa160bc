//! Memory that was freed: how it goes back to the system.
//!
//! The C library's allocator keeps what was freed among what is still used, and of a thread's part of the heap gives back
//! only the very end: after a burst, one small allocation that outlived it keeps hundreds of megabytes.
#![allow(unsafe_code, reason = "the allocator is the C library's, and rustix is not about it")]

use std::fs::read_to_string;

/// Has the allocator give back every whole page that nobody uses. A gigabyte of such pages takes some 200 ms, during which
/// threads that allocate wait; where there are none, it is done at once. Other C libraries than glibc do so by themselves.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer, and any thread may call it at any time.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Bytes of this process in RAM; nothing where /proc is not there.
pub fn resident_bytes() -> Option<u64> {
    let text = read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_freed_between_what_is_used_goes_back() {
        let mut pieces: Vec<Option<Vec<u8>>> = (0..40_000).map(|_| Some(vec![1; 9_000])).collect();
        let full = resident_bytes().expect("Linux has /proc");
        for piece in pieces.iter_mut().enumerate().filter(|(at, _)| at % 100 != 0).map(|(_, piece)| piece) {
            *piece = None;
        }
        give_back();
        let left = resident_bytes().expect("Linux has /proc");
        assert!(left < full - (200 << 20), "{full} bytes before, {left} after");
        assert_eq!(pieces.iter().flatten().count(), 400);
    }
}
