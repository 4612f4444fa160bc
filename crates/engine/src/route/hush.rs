//! CLIENT REPLY: a client that wants no replies. Its requests keep their places, and their replies are dropped when their turn
//! comes; nobody else notices.

use crate::command::{Command, PubsubCommand, Route};
use crate::core::Core;
use crate::id::ClientId;
use crate::request::State;
use crate::session::Reply;
use crate::slab::NONE;
use wire::args::ArgView;
use wire::resp::encode;

/// Where the replies of a request that is to go unanswered begin.
enum Hush {
    /// The client was owed nothing: its output had so many bytes, and any request of its queue is this one's.
    Output(usize),
    /// Behind this place of the queue.
    Behind(u32),
}

impl Core {
    /// CLIENT REPLY ON, OFF or SKIP.
    pub(crate) fn client_reply(&mut self, c: u32, args: ArgView<'_>) {
        let word = args.get(2);
        let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
        if is("ON") {
            if let Some(session) = &mut self.replies.clients[c].session {
                session.reply = Reply::On;
            }
            self.answer_now(c, |out| encode::simple(b"OK", out));
        } else if is("OFF") {
            self.session(c).reply = Reply::Off;
        } else if is("SKIP") {
            let session = self.session(c);
            if session.reply != Reply::Off {
                session.reply = Reply::SkipNext;
            }
        } else {
            self.answer_now(c, |out| encode::error(b"ERR syntax error", out));
        }
        self.drop_session_if_empty(c);
    }

    /// A request of a client that has a session. `false`: it has to wait.
    #[cold]
    pub(crate) fn act_in_session(
        &mut self,
        c: u32,
        found: Result<&'static Command, crate::command::FindError>,
        args: ArgView<'_>,
    ) -> bool {
        let found = self.or_learnt(c, found, args);
        if self.waits_for_pause(c, found.as_ref().ok().copied()) {
            return false;
        }
        let command = found.as_ref().ok().copied();
        let hush = self.begin_hush(c, command);
        let taken = self.act_on(c, found, args, true);
        if let Some(hush) = hush {
            self.end_hush(c, hush, taken);
        }
        if taken {
            self.remember_request(c, command, args);
        }
        taken
    }

    fn begin_hush(&mut self, c: u32, command: Option<&Command>) -> Option<Hush> {
        let session = self.replies.clients[c].session.as_mut()?;
        let tells = |command: &Command| match command.route {
            Route::Pubsub(what) => what != PubsubCommand::Publish,
            _ => false,
        };
        if session.transaction.is_none() && command.is_some_and(tells) {
            // Confirmations are no replies: redis sends them all the same, as it does messages.
            if session.reply == Reply::SkipNext {
                session.reply = Reply::On;
            }
            return None;
        }
        match session.reply {
            Reply::On => return None,
            Reply::SkipNext => session.reply = Reply::Skipping,
            Reply::Off | Reply::Skipping => {}
        }
        Some(match self.replies.clients[c].head {
            NONE => Hush::Output(self.replies.clients[c].outbox.len()),
            // Whatever becomes of earlier requests meanwhile, this one marks the place.
            _ => Hush::Behind(self.replies.ask(c, 0)),
        })
    }

    fn end_hush(&mut self, c: u32, hush: Hush, taken: bool) {
        let reply = self.replies.clients[c].session.as_ref().map_or(Reply::On, |session| session.reply);
        // ON, and RESET, are answered.
        if reply != Reply::On {
            self.hush(c, &hush);
        }
        if reply == Reply::Skipping {
            self.session(c).reply = if taken { Reply::On } else { Reply::SkipNext };
            self.drop_session_if_empty(c);
        }
        if let Hush::Behind(mark) = hush {
            self.replies.answer_quietly(mark);
        }
    }

    /// What was asked since is not to be answered.
    fn hush(&mut self, c: u32, since: &Hush) {
        let first = match since {
            Hush::Behind(mark) => self.replies.requests[*mark].next,
            Hush::Output(bytes) => {
                let client = &mut self.replies.clients[c];
                client.outbox.shorten(*bytes, &mut self.replies.buffers);
                client.dirty &= !client.outbox.is_empty();
                client.head
            }
        };
        let mut next = first;
        while next != NONE {
            let slot = &mut self.replies.requests[next];
            next = slot.next;
            match &mut slot.state {
                State::Waiting => slot.state = State::Unheard,
                State::Parked(reply) => {
                    self.replies.clients[c].parked -= reply.len();
                    let reply = std::mem::take(reply);
                    self.replies.small.give(reply);
                }
                State::Flowing(_) | State::Unheard | State::Orphan => {}
            }
        }
    }

    /// Clients that were answered nothing go on with what waited for that.
    pub(crate) fn wake_unheard(&mut self) {
        while let Some(id) = self.replies.unheard.pop() {
            self.go_on_with(id);
        }
    }

    /// Takes up what a client was made to wait with.
    pub(crate) fn go_on_with(&mut self, id: ClientId) {
        if let Some(c) = self.replies.clients.live(id) {
            self.resume(c);
        }
        if let Some(c) = self.replies.clients.live(id) {
            self.settle(c);
        }
    }
}
