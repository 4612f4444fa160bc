//! Which requests monitors are shown, and what of them: as redis does it, that is those that are carried out, when they are,
//! without commands for operators and without passwords.

use super::line::{self, Origin};
use crate::command::{self, Command, Flags, Local, Route};
use crate::core::Core;
use crate::output::Output;
use crate::session::Transaction;
use wire::args::{ArgView, Args};
use wire::limits::Limits;
use wire::resp::request::{RequestScan, Scan};

impl Core {
    /// A request of a client was carried out, or is on its way to be.
    #[cold]
    pub(crate) fn overhear(&mut self, c: u32, command: &'static Command, args: ArgView<'_>) {
        let refused = std::mem::take(&mut self.refused);
        if !refused && is_shown(command) {
            self.note_line(c, command.route, args, args.len());
        }
    }

    /// A request of so many arguments was begun of which no more than these are at hand: its value is passed on as it comes.
    #[cold]
    pub(crate) fn overhear_begun(&mut self, c: u32, command: &Command, args: ArgView<'_>, count: usize) {
        if is_shown(command) {
            self.note_line(c, command.route, args, count);
        }
    }

    /// A client's transaction is on its way: redis shows it when it is carried out, before its EXEC.
    pub(crate) fn overhear_block(&mut self, c: u32, queued: &Transaction) {
        if self.pools[self.replies.clients[c].pool as usize].monitored.is_none() {
            return;
        }
        let (mut scan, mut args, mut at) = (RequestScan::default(), Args::default(), 0);
        while let Some(rest) = queued.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            // Each was read whole when it was queued.
            let Scan::Complete { len, .. } = scan.scan(rest, &Limits::NONE, &mut args) else { return };
            let view = args.view(&rest[..len]);
            if let Ok(command) = command::find(view) {
                self.overhear(c, command, view);
            } else {
                self.note_line(c, Route::ByKey, view, view.len());
            }
            at += len;
        }
    }

    fn note_line(&mut self, c: u32, route: Route, args: ArgView<'_>, count: usize) {
        // It may have gone with its request.
        let Some(client) = self.replies.clients.get(c) else { return };
        let (pool, peer) = (client.pool, client.peer);
        let database = match route {
            // Redis shows it in the one that it has selected by then.
            Route::Local(Local::Select) => {
                let word = std::str::from_utf8(args.get(1)).ok();
                word.and_then(|word| word.parse().ok()).unwrap_or_else(|| self.database_of(c))
            }
            _ => self.database_of(c),
        };
        let limit = self.lines_limit(pool);
        let Some(monitored) = &mut self.pools[pool as usize].monitored else { return };
        if monitored.lines.len() >= limit {
            monitored.lost = true;
            return;
        }
        if monitored.lines.is_empty() {
            self.replies.outputs.push(Output::TellMonitors { pool });
        }
        let origin = Origin { unix_us: self.now.unix_us, database, peer };
        let before = monitored.lines.len();
        line::write(origin, args, count, |index| is_secret(route, args, index), &mut monitored.lines);
        self.memory.note(monitored.lines.len() - before);
    }
}

/// Whether monitors are shown a command: not those for operators, nor those that redis shows in another way, and the
/// proxy not at all.
fn is_shown(command: &Command) -> bool {
    let hidden = command.flags.has(Flags::ADMIN)
        || (command.flags.has(Flags::SKIP_MONITOR) && command.script().is_none());
    !hidden && !matches!(command.route, Route::NotYet(_) | Route::Refused(_))
}

/// Whether an argument is a password, or the name that goes with it.
fn is_secret(route: Route, args: ArgView<'_>, index: usize) -> bool {
    let is_auth = |index: usize| args.get(index).eq_ignore_ascii_case(b"AUTH");
    match route {
        Route::Local(Local::Auth) => index >= 1,
        // HELLO version [AUTH name password] [SETNAME name]: where it is unclear which is meant, both.
        Route::Local(Local::Hello) => {
            (index >= 3 && is_auth(index - 1)) || (index >= 4 && is_auth(index - 2))
        }
        _ => false,
    }
}
