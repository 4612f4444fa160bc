//! Replies of very many keys, or bytes: written some keys at a time.

use super::{How, Merge, is_error};
use config::Protocol;

/// Between two looks at how many bytes were written.
const FEW_KEYS: usize = 16;

impl Merge {
    /// Writes what belongs to at most so many more keys, and little more than so many bytes. Whether the reply is made
    /// then, so that [`Merge::write`] has only to hand it out.
    pub(crate) fn write_some(&mut self, protocol: Protocol, keys: usize, bytes: usize) -> bool {
        let mut out = std::mem::take(&mut self.out);
        let fine = self.go_on(keys, bytes, &mut out);
        if fine.is_none() {
            out.clear();
            self.write_error(protocol, &mut out);
        }
        self.out = out;
        let is_made = fine.unwrap_or(true);
        if is_made {
            self.how = How::Written;
        }
        is_made
    }

    fn go_on(&mut self, keys: usize, bytes: usize, out: &mut Vec<u8>) -> Option<bool> {
        let how = self.how;
        if self.written == 0 {
            match how {
                How::Values(partial) => _ = self.check_values(partial)?,
                How::Elements(partial) => {
                    let failures = self.parts.iter().filter(|part| is_error(&part.reply)).count();
                    if failures > 0 && (!partial || failures == self.parts.len()) {
                        return None;
                    }
                    self.begin_elements(out)?;
                }
                _ => return None,
            }
        }
        let (until, full) = (self.written.saturating_add(keys).min(self.order.len()), out.len() + bytes);
        while self.written < until && out.len() < full {
            let few = FEW_KEYS.min(until - self.written);
            match how {
                How::Values(_) => self.some_values(few, out)?,
                _ => self.some_elements(few, out)?,
            }
        }
        if self.written < self.order.len() {
            return Some(false);
        }
        match how {
            How::Values(_) => self.end_values(self.failures(), out)?,
            _ => self.end_elements()?,
        }
        Some(true)
    }

    /// Whether its reply takes too long to write for one tick: it is of more than so many keys, or bytes.
    #[inline]
    pub(crate) fn is_bulky(&self, keys: usize, bytes: usize) -> bool {
        matches!(self.how, How::Elements(_) | How::Values(_))
            && (self.order.len() > keys
                || self.parts.iter().map(|part| part.reply.len()).sum::<usize>() > bytes)
    }

    /// Nobody wants what is written of the reply.
    pub(crate) fn forget_written(&mut self) {
        self.out = Vec::new();
    }

    /// Bytes that it holds.
    pub(crate) fn room(&self) -> usize {
        let order = self.order.capacity() * size_of::<u32>();
        let parts = self.parts.iter().map(|part| part.reply.capacity()).sum::<usize>();
        parts + self.out.capacity() + order + self.keys.room()
    }
}
