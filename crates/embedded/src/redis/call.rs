//! One command on its way: its arguments, and what it may look at and change.

use super::answer::Answer;
use super::fault::Fault;
use super::value::Value;
use super::{Client, State, number};
use crate::keyspace::Keyspace;

/// What a command is given. Arguments live longer than the borrow of the rest.
pub(crate) struct Call<'a> {
    /// The command's name and its arguments; as many as its row in the table demands.
    pub(crate) args: &'a [Vec<u8>],
    pub(crate) state: &'a mut State,
    pub(crate) client: &'a mut Client,
    /// Milliseconds since 1970.
    pub(crate) now: u64,
}

/// What a command comes to.
pub(crate) type Done = Result<Answer, Fault>;

impl<'a> Call<'a> {
    /// An argument, 0 being the command's name; empty beyond the last.
    pub(crate) fn arg(&self, at: usize) -> &'a [u8] {
        self.args.get(at).map(Vec::as_slice).unwrap_or_default()
    }

    /// An argument in lower case, for options and subcommands.
    pub(crate) fn word(&self, at: usize) -> Vec<u8> {
        self.arg(at).to_ascii_lowercase()
    }

    /// The arguments from one on.
    pub(crate) fn rest(&self, from: usize) -> &'a [Vec<u8>] {
        self.args.get(from..).unwrap_or_default()
    }

    /// The arguments from one on, two by two; a fault when one is left over.
    pub(crate) fn pairs(
        &self,
        from: usize,
    ) -> Result<impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a>, Fault> {
        let rest = self.rest(from);
        if !rest.len().is_multiple_of(2) {
            return Err(self.arity());
        }
        Ok(rest.chunks_exact(2).filter_map(|pair| match pair {
            [a, b] => Some((a.as_slice(), b.as_slice())),
            _ => None,
        }))
    }

    /// An argument that has to be an integer.
    pub(crate) fn int(&self, at: usize) -> Result<i64, Fault> {
        number::integer(self.arg(at)).ok_or(Fault::NotInteger)
    }

    /// The client's database.
    pub(crate) fn db(&mut self) -> &mut Keyspace<Value> {
        // SELECT lets nothing in that is out of range.
        &mut self.state.dbs[self.client.db]
    }

    /// The command's name in lower case.
    pub(crate) fn name(&self) -> String {
        String::from_utf8_lossy(self.arg(0)).to_ascii_lowercase()
    }

    /// Too few or too many arguments.
    pub(crate) fn arity(&self) -> Fault {
        Fault::Arity(self.name())
    }

    /// Whether a string of this length may be kept: not longer than a request, so that growing is bounded.
    pub(crate) fn check_length(&self, bytes: usize) -> Result<(), Fault> {
        if bytes > self.state.options.request_bytes_max { Err(Fault::StringTooLong) } else { Ok(()) }
    }

    /// Collects values one by one into an array, up to the longest reply.
    pub(crate) fn collect<'v>(&self, values: impl Iterator<Item = Result<Option<&'v [u8]>, Fault>>) -> Done {
        let mut left = self.state.options.reply_bytes_max;
        let mut all = Vec::new();
        for value in values {
            let value = value?;
            left = left
                .checked_sub(value.map_or(8, |v| v.len().saturating_add(16)))
                .ok_or(Fault::ReplyTooLong)?;
            all.push(Answer::maybe(value));
        }
        Ok(Answer::Array(all))
    }
}

/// A range given by two indexes, of which negative ones count from the end, within `length` elements: where
/// it starts and how many it has.
pub(crate) fn range(first: i64, last: i64, length: usize) -> (usize, usize) {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let place = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
    let (first, last) = (place(first).max(0), place(last).min(length - 1));
    let count = last.saturating_sub(first).saturating_add(1);
    match (usize::try_from(first), usize::try_from(count)) {
        (Ok(first), Ok(count @ 1..)) => (first, count),
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges() {
        let rows = [
            ((0, -1), (0, 5)),
            ((0, 100), (0, 5)),
            ((-2, -1), (3, 2)),
            ((1, 2), (1, 2)),
            ((3, 1), (0, 0)),
            ((5, 9), (0, 0)),
            ((-100, 0), (0, 1)),
            ((-100, -50), (0, 0)),
            ((i64::MIN, i64::MAX), (0, 5)),
            ((i64::MAX, i64::MIN), (0, 0)),
        ];
        for ((first, last), expected) in rows {
            assert_eq!(range(first, last, 5), expected, "{first} {last}");
        }
        assert_eq!(range(0, -1, 0), (0, 0));
    }
}
