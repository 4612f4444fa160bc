//! The data block after a storage command's line.

use super::storage::Store;

/// A block that has to be read before the next line.
#[derive(Debug)]
pub(crate) enum Awaited {
    /// The value to store, with its CRLF; waited for until it is there as a whole.
    Value {
        /// What to do with it.
        store: Store,
        /// Bytes, with CRLF.
        length: usize,
    },
    /// A block of a command that was refused already; thrown away as it comes.
    Waste {
        /// Bytes still to come, with CRLF.
        left: usize,
    },
}

impl Awaited {
    /// The part of `input` that belongs to the block and can be done with now; nothing while that is nothing.
    pub(crate) fn take<'i>(&mut self, input: &'i [u8]) -> Option<&'i [u8]> {
        match self {
            Awaited::Value { length, .. } => input.get(..*length),
            Awaited::Waste { left } => {
                let part = input.get(..input.len().min(*left)).filter(|part| !part.is_empty())?;
                *left -= part.len();
                Some(part)
            }
        }
    }

    /// Whether nothing of it is left to come, after [`Awaited::take`] gave something.
    pub(crate) fn complete(&self) -> bool {
        match self {
            Awaited::Value { .. } => true,
            Awaited::Waste { left } => *left == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waste_goes_as_it_comes() {
        let mut waste = Awaited::Waste { left: 5 };
        assert_eq!(waste.take(b""), None);
        assert_eq!((waste.take(b"abc"), waste.complete()), (Some(b"abc".as_slice()), false));
        assert_eq!((waste.take(b"def"), waste.complete()), (Some(b"de".as_slice()), true));
    }
}
