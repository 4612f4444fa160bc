//! Libraries of functions that clients have loaded, so that a server which has lost them can be told again.
//!
//! Unlike a script, a library has a name under which its code may change. So all workers learn of it when a client loads one,
//! once every server has taken it, and forget it when a client deletes it.

use crate::core::Core;
use crate::limits::{LIBRARIES_BYTES, LIBRARIES_KEPT, LIBRARY_BYTES};
use crate::merge::Merge;
use crate::survey::What;
use std::collections::VecDeque;
use std::sync::Arc;
use wire::args::ArgView;

/// The libraries of a pool, the oldest of which give way.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    libraries: VecDeque<Arc<[u8]>>,
    bytes: usize,
}

impl Functions {
    /// A library is on all servers.
    pub(crate) fn learn(&mut self, code: &Arc<[u8]>) {
        let Some(name) = library(code) else { return };
        self.forget(name);
        if code.len() > LIBRARY_BYTES {
            return;
        }
        self.bytes += code.len();
        self.libraries.push_back(code.clone());
        while self.libraries.len() > LIBRARIES_KEPT || self.bytes > LIBRARIES_BYTES {
            let Some(oldest) = self.libraries.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }

    /// A library is deleted, or about to be another.
    pub(crate) fn forget(&mut self, name: &[u8]) {
        self.libraries.retain(|code| library(code) != Some(name));
        self.bytes = self.libraries.iter().map(|code| code.len()).sum();
    }

    /// Nobody knows which libraries there are.
    pub(crate) fn clear(&mut self) {
        *self = Functions::default();
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.libraries.is_empty()
    }

    /// The libraries in which this word stands in quotes, as the name of every function of theirs does.
    pub(crate) fn of<'f>(&'f self, function: &'f [u8]) -> impl Iterator<Item = &'f [u8]> {
        self.libraries.iter().map(|code| &**code).filter(move |code| quotes(code, function))
    }
}

/// The name that a library's first line gives it: `#!lua name=NAME`.
fn library(code: &[u8]) -> Option<&[u8]> {
    let line = code.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(|byte| byte.is_ascii_whitespace());
    words.find_map(|word| word.strip_prefix(b"name=")).filter(|name| !name.is_empty())
}

/// Whether `word` stands in `code` between quotes, in any case: redis' functions have no other.
fn quotes(code: &[u8], word: &[u8]) -> bool {
    let is_quote = |byte: &u8| matches!(byte, b'\'' | b'"');
    !word.is_empty()
        && code.windows(word.len() + 2).any(|part| {
            let (Some(first), Some(last)) = (part.first(), part.last()) else { return false };
            is_quote(first) && first == last && part[1..=word.len()].eq_ignore_ascii_case(word)
        })
}

impl Core {
    /// A client's FUNCTION LOAD is about to go to all servers: what it replaces is forgotten.
    pub(crate) fn note_load(&mut self, c: u32, args: ArgView<'_>) {
        if args.len() > 3
            && args.get(2).eq_ignore_ascii_case(b"REPLACE")
            && let Some(name) = library(args.get(3))
        {
            let pool = self.replies.clients[c].pool;
            self.tell_workers(pool, What::NoLibrary { name: Some(name.into()), then: None });
        }
    }

    /// A client's FUNCTION DELETE, FLUSH or RESTORE goes to all servers once every worker has forgotten the library, or all: else
    /// one of them could bring it back.
    pub(crate) fn forget_first(&mut self, c: u32, name: Option<&[u8]>, args: ArgView<'_>) {
        let bytes = args.bytes();
        let what = What::NoLibrary { name: name.map(Into::into), then: Some(bytes.into()) };
        self.ask_workers(c, bytes.len(), what);
    }

    /// A FUNCTION LOAD is answered: if every server took it, all workers know of it.
    #[cold]
    pub(crate) fn note_loaded(&mut self, done: &Merge) {
        if let Some(code) = done.loaded().filter(|code| code.len() <= LIBRARY_BYTES) {
            self.tell_workers(done.pool, What::Library(code.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Arc<[u8]> {
        text.as_bytes().into()
    }

    #[test]
    fn a_library_is_found_by_its_functions() {
        let mut functions = Functions::default();
        functions.learn(&code("#!lua name=one\nredis.register_function('mine', f)"));
        functions.learn(&code("#!lua  name=two engine=x\nredis.register_function(\"Other\", f)"));
        let found = |functions: &Functions, name: &str| functions.of(name.as_bytes()).count();
        assert_eq!((found(&functions, "MINE"), found(&functions, "other")), (1, 1));
        assert_eq!((found(&functions, "min"), found(&functions, ""), found(&functions, "redis")), (0, 0, 0));
        functions.learn(&code("#!lua name=one\nredis.register_function('new', f)"));
        assert_eq!((found(&functions, "mine"), found(&functions, "new")), (0, 1));
        functions.forget(b"one");
        assert_eq!((found(&functions, "new"), found(&functions, "other")), (0, 1));
        functions.clear();
        assert!(functions.is_empty());
    }

    #[test]
    fn what_has_no_name_is_no_library() {
        let mut functions = Functions::default();
        for text in ["", "#!", "#!lua", "#!lua name=", "return 1", "\n#!lua name=x"] {
            functions.learn(&code(text));
            assert!(functions.is_empty(), "{text:?}");
        }
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut functions = Functions::default();
        for n in 0..=LIBRARIES_KEPT {
            functions.learn(&code(&format!("#!lua name=l{n}\n'f{n}'")));
        }
        assert_eq!((functions.of(b"f0").count(), functions.of(b"f1").count()), (0, 1));
        let large = "x".repeat(LIBRARY_BYTES - 100);
        for n in 0..10 {
            functions.learn(&code(&format!("#!lua name=large{n}\n'g{n}'{large}")));
            assert!(
                functions.bytes <= LIBRARIES_BYTES && functions.of(format!("g{n}").as_bytes()).count() == 1
            );
        }
        functions.learn(&code(&format!("#!lua name=huge\n'h'{large}{large}")));
        assert_eq!(functions.of(b"h").count(), 0);
    }
}
