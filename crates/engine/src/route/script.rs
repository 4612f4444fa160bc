//! Scripts and functions: where those without keys run, and a server that does not know a script.
//!
//! A server forgets its scripts when it is started anew, or gets keys of another that had them; functions, when it comes back
//! empty. Its error says that nothing ran, so it is told the script or the library and asked again, once.

use crate::command::{Command, Flags, Script};
use crate::core::Core;
use crate::request::{State, Target};
use crate::server_conn::{Care, InFlight};
use wire::args::ArgView;
use wire::resp::RequestScan;
use wire::resp::encode;

impl Core {
    /// A client sends a script's text: it is remembered.
    pub(crate) fn learn_script(&mut self, c: u32, text: &[u8]) -> [u8; 40] {
        let pool = self.replies.clients[c].pool;
        self.pools[pool as usize].scripts.learn(text)
    }

    /// Sends a script or function to `server`.
    pub(crate) fn forward_script(
        &mut self,
        c: u32,
        command: &Command,
        script: Script,
        args: ArgView<'_>,
        server: Option<u32>,
    ) {
        let bytes = args.bytes();
        let read = command.flags.has(Flags::READONLY);
        let pool = self.replies.clients[c].pool;
        let mends = match script {
            Script::Text => false,
            Script::Sha => true,
            Script::Function => !self.pools[pool as usize].functions.is_empty(),
        };
        if !mends {
            return self.forward(c, server, bytes, read);
        }
        let target = Target::Script(self.replies.ask(c, bytes.len()));
        self.forward_as(c, server, target, Care::of_read(read), |out| out.extend_from_slice(bytes));
    }

    /// The server of a script or function without keys: that of its SHA1, which is the same for EVAL and EVALSHA, or of its
    /// name.
    pub(crate) fn home_of_script(&mut self, c: u32, script: Script, args: ArgView<'_>) -> Option<u32> {
        let pool = self.replies.clients[c].pool;
        match script {
            Script::Text => {
                let sha = self.learn_script(c, args.get(1));
                self.place(pool, &sha)
            }
            Script::Sha | Script::Function => self.place(pool, &args.get(1).to_ascii_lowercase()),
        }
    }

    /// A server does not know the script of a request. Tells it and asks again, if this worker knows the script and the
    /// client has asked nothing there since, which would be carried out first. Whether that is so.
    #[cold]
    pub(crate) fn mend_script(&mut self, s: u32, request: u32, entry: InFlight) -> bool {
        let slot = &self.replies.requests[request];
        let (c, waits) = (slot.client, matches!(slot.state, State::Waiting | State::Unheard));
        let conn = &self.conns[s];
        let overtaken = || conn.queue.iter().any(|younger| self.client_of(younger.target) == Some(c));
        if !waits || conn.slot.is_none() || overtaken() {
            return false;
        }
        let pool = conn.pool as usize;
        let end = conn.queue.front().map_or(conn.whole, |next| next.start);
        let asked = conn.stream.between(entry.start, end);
        let args = self.args.get_or_insert_default();
        if RequestScan::begun(asked, 2, args).is_none() || args.len() != 2 {
            return false;
        }
        let (mut bytes, mut skip) = (Vec::new(), 0);
        let (word, name) = (args.get(0, asked), args.get(1, asked));
        let mut load = |container: &[u8], text: &[u8]| {
            encode::request([container, b"LOAD", text], &mut bytes);
            skip += 1;
        };
        if word.first().is_some_and(|first| first.eq_ignore_ascii_case(&b'F')) {
            // One that is there already stays as it is.
            self.pools[pool].functions.of(name).for_each(|code| load(b"FUNCTION", code));
        } else if let Some(text) = self.pools[pool].scripts.text(name) {
            load(b"SCRIPT", text);
        }
        if skip == 0 {
            return false;
        }
        bytes.extend_from_slice(asked);
        let care = Care { skip, ..Care::default() };
        self.send_again(s, &bytes, InFlight { target: Target::Request(request), care, ..entry });
        true
    }
}
