//! CLIENT LIST, KILL and UNBLOCK: about the clients of the pool, of whichever worker they are.

use crate::client::Client;
use crate::command::ClientCall;
use crate::core::Core;
use crate::limits::QUOTED_BYTES;
use crate::merge::How;
use crate::output::Closing;
use crate::request::Target;
use crate::survey::{Findings, Question, What};
use wire::args::ArgView;
use wire::resp::encode;

const SYNTAX: &str = "ERR syntax error";
const NO_ID: &str = "ERR Invalid client ID";
const NO_TOUCH: &[u8] =
    b"ERR cashew does not take CLIENT NO-TOUCH ON: servers would have to know on whose behalf a request comes";

/// Which clients are meant: those to whom all of it applies.
#[derive(Debug, Default)]
pub(crate) struct Which {
    /// One of these numbers.
    ids: Option<Vec<u64>>,
    /// This address.
    addr: Option<Vec<u8>>,
    /// This address of the proxy.
    laddr: Option<Vec<u8>>,
    kind: Option<Kind>,
    /// Connected for so many seconds.
    max_age: Option<u64>,
    /// Not who asks.
    skip_me: bool,
}

/// What redis knows clients as. Here nobody is a server's copy or its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal,
    Pubsub,
    Other,
}

impl Which {
    /// The arguments of CLIENT LIST.
    fn to_list(args: ArgView<'_>) -> Result<Which, String> {
        let is = |word: &str| args.get(2).eq_ignore_ascii_case(word.as_bytes());
        match args.len() {
            2 => Ok(Which::default()),
            4 if is("TYPE") => Ok(Which { kind: Some(kind(args.get(3))?), ..Which::default() }),
            4.. if is("ID") => {
                let ids = args.iter().skip(3).map(|word| integer(word).ok_or_else(|| NO_ID.to_owned()));
                // Below 0 is a number, too, but nobody's.
                let ids = ids.map(|id| id.map(|id| u64::try_from(id).unwrap_or(0)));
                Ok(Which { ids: Some(ids.collect::<Result<_, _>>()?), ..Which::default() })
            }
            _ => Err(SYNTAX.to_owned()),
        }
    }

    /// The arguments of CLIENT KILL in pairs of option and value.
    fn to_kill(args: ArgView<'_>) -> Result<Which, String> {
        let mut which = Which { skip_me: true, ..Which::default() };
        let mut index = 2;
        while index < args.len() {
            let (option, value) = (args.get(index).to_ascii_lowercase(), args.get(index + 1));
            if index + 1 == args.len() {
                return Err(SYNTAX.to_owned());
            }
            match option.as_slice() {
                b"id" => match integer(value).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0) {
                    Some(id) => which.ids = Some(vec![id]),
                    None => return Err("ERR client-id should be greater than 0".to_owned()),
                },
                b"addr" => which.addr = Some(value.to_vec()),
                b"laddr" => which.laddr = Some(value.to_vec()),
                b"type" => which.kind = Some(kind(value)?),
                b"user" if value == b"default" => {}
                b"user" => return Err(format!("ERR No such user '{}'", shown(value))),
                b"maxage" => {
                    match integer(value).and_then(|age| u64::try_from(age).ok()).filter(|age| *age > 0) {
                        Some(age) => which.max_age = Some(age),
                        None => return Err("ERR maxage should be greater than 0".to_owned()),
                    }
                }
                b"skipme" if value.eq_ignore_ascii_case(b"yes") => which.skip_me = true,
                b"skipme" if value.eq_ignore_ascii_case(b"no") => which.skip_me = false,
                _ => return Err(SYNTAX.to_owned()),
            }
            index += 2;
        }
        Ok(which)
    }
}

fn kind(word: &[u8]) -> Result<Kind, String> {
    match word.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(Kind::Normal),
        b"pubsub" => Ok(Kind::Pubsub),
        b"master" | b"replica" | b"slave" => Ok(Kind::Other),
        _ => Err(format!("ERR Unknown client type '{}'", shown(word))),
    }
}

fn integer(word: &[u8]) -> Option<i64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn shown(word: &[u8]) -> String {
    String::from_utf8_lossy(&word[..word.len().min(QUOTED_BYTES)]).into_owned()
}

impl Core {
    pub(crate) fn client_call(&mut self, c: u32, call: ClientCall, args: ArgView<'_>) {
        let is = |word: &str| args.get(2).eq_ignore_ascii_case(word.as_bytes());
        match call {
            ClientCall::List => self.client_list(c, args),
            ClientCall::Kill => self.client_kill(c, args),
            ClientCall::Unblock => self.client_unblock(c, args),
            ClientCall::Reply => self.client_reply(c, args),
            ClientCall::Pause => self.client_pause(c, args),
            ClientCall::Unpause => self.ask_workers(c, args.bytes().len(), What::Unpause),
            // The proxy closes nobody for the memory that the servers' data takes.
            ClientCall::NoEvict if is("ON") || is("OFF") => {
                self.answer_now(c, |out| encode::simple(b"OK", out))
            }
            ClientCall::NoTouch if is("OFF") => self.answer_now(c, |out| encode::simple(b"OK", out)),
            ClientCall::NoTouch if is("ON") => self.answer_now(c, |out| encode::error(NO_TOUCH, out)),
            ClientCall::NoEvict | ClientCall::NoTouch => {
                self.answer_now(c, |out| encode::error(SYNTAX.as_bytes(), out));
            }
            ClientCall::Tracking => self.client_tracking(c, args),
            ClientCall::Caching => self.client_caching(c, args),
            ClientCall::Getredir => self.client_getredir(c),
            ClientCall::Trackinginfo => self.client_trackinginfo(c),
        }
    }

    pub(crate) fn client_list(&mut self, c: u32, args: ArgView<'_>) {
        match Which::to_list(args) {
            Ok(which) => self.ask_workers(c, args.bytes().len(), What::List(which)),
            Err(text) => self.answer_now(c, |out| encode::error(text.as_bytes(), out)),
        }
    }

    pub(crate) fn client_kill(&mut self, c: u32, args: ArgView<'_>) {
        // The old form, which has an address only and may mean the asker.
        let simply = args.len() == 3;
        let which = match simply {
            true => Ok(Which { addr: Some(args.get(2).to_vec()), ..Which::default() }),
            false => Which::to_kill(args),
        };
        match which {
            Ok(which) => self.ask_workers(c, args.bytes().len(), What::Kill { which, simply }),
            Err(text) => self.answer_now(c, |out| encode::error(text.as_bytes(), out)),
        }
    }

    pub(crate) fn client_unblock(&mut self, c: u32, args: ArgView<'_>) {
        let reason = args.get(3);
        let error = match args.len() {
            3 => Ok(false),
            4 if reason.eq_ignore_ascii_case(b"TIMEOUT") => Ok(false),
            4 if reason.eq_ignore_ascii_case(b"ERROR") => Ok(true),
            4 => Err("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
            _ => Err("ERR syntax error"),
        };
        let number = integer(args.get(2)).ok_or("ERR value is not an integer or out of range");
        // Below 0 is nobody's number.
        let number = number.map(|number| u64::try_from(number).unwrap_or(0));
        match number.and_then(|number| Ok((number, error?))) {
            Ok((number, error)) => {
                self.ask_workers(c, args.bytes().len(), What::Unblock { number, error });
            }
            Err(text) => self.answer_now(c, |out| encode::error(text.as_bytes(), out)),
        }
    }

    /// Puts together what the workers have found.
    pub(crate) fn answer_survey(&mut self, c: u32, request: u32, what: &What, mut found: Findings) {
        let resp3 = self.replies.clients[c].resp3;
        match what {
            What::List(which) => {
                found.lines.sort_unstable_by_key(|(number, _)| *number);
                let mut text = Vec::new();
                match &which.ids {
                    // In the order asked, and as often.
                    Some(ids) => {
                        for id in ids {
                            if let Ok(at) = found.lines.binary_search_by_key(id, |(number, _)| *number) {
                                text.extend_from_slice(&found.lines[at].1);
                            }
                        }
                    }
                    None => found.lines.iter().for_each(|(_, line)| text.extend_from_slice(line)),
                }
                self.replies.answer(request, |out| super::local::write_text(&text, resp3, out));
            }
            What::Kill { simply, .. } => {
                self.replies.answer(request, |out| match simply {
                    true if found.count == 0 => encode::error(b"ERR No such client", out),
                    true => encode::simple(b"OK", out),
                    false => encode::integer(found.count, out),
                });
                if found.asker {
                    self.quit_client(c, false);
                }
            }
            What::Pause { .. } | What::Unpause => {
                self.replies.answer(request, |out| encode::simple(b"OK", out));
            }
            What::NoLibrary { then: Some(bytes), .. } => {
                self.send_for(c, request, How::AllOk, |out| out.extend_from_slice(bytes));
            }
            What::Monitor => self.monitor_told(c, request),
            What::Unmonitor | What::Overheard(_) | What::Docs { .. } => {}
            What::Library(_) | What::NoLibrary { .. } => {}
            What::Unblock { .. } => self.replies.answer(request, |out| encode::integer(found.count, out)),
        }
    }

    fn is_meant(&self, c: u32, question: &Question, which: &Which) -> bool {
        let client = &self.replies.clients[c];
        let address = |wanted: &Option<Vec<u8>>, have: stats::Peer| {
            wanted.as_ref().is_none_or(|wanted| *wanted == super::client_line::address(have).as_bytes())
        };
        let kind = if super::client_line::is_subscribed(client) { Kind::Pubsub } else { Kind::Normal };
        let age = self.now.mono_us.saturating_sub(client.since_us) / 1_000_000;
        client.pool == question.pool
            && which.ids.as_ref().is_none_or(|ids| ids.contains(&client.number))
            && address(&which.addr, client.peer)
            && address(&which.laddr, client.local)
            && which.kind.is_none_or(|wanted| wanted == kind)
            && which.max_age.is_none_or(|least| age >= least)
            && !(which.skip_me && client.number == question.asker)
    }

    fn all_meant(&self, question: &Question, which: &Which) -> Vec<u32> {
        let all = self.replies.clients.iter().map(|(c, _)| c);
        all.filter(|c| self.is_meant(*c, question, which)).collect()
    }

    pub(crate) fn list_clients(&self, question: &Question, which: &Which) -> Findings {
        let meant = self.all_meant(question, which);
        let lines = meant.iter().map(|c| (self.replies.clients[*c].number, self.client_line(*c)));
        Findings { count: meant.len() as i64, lines: lines.collect(), asker: false }
    }

    pub(crate) fn kill_clients(&mut self, question: &Question, which: &Which) -> Findings {
        let meant = self.all_meant(question, which);
        let mut findings = Findings { count: meant.len() as i64, ..Findings::default() };
        for c in meant {
            if self.replies.clients[c].number == question.asker {
                findings.asker = true; // once it has its answer
            } else {
                self.drop_client(c, Closing::Lost);
            }
        }
        findings
    }

    /// Ends a client's wait, if it waits: as if its time were over, or with an error.
    pub(crate) fn unblock(&mut self, pool: u32, number: u64, error: bool) -> bool {
        let is = |client: &Client| (client.pool, client.number) == (pool, number);
        let found = self.replies.clients.iter().find(|(_, client)| is(client));
        let Some((c, client)) = found else { return false };
        if client.session.as_ref().is_some_and(|session| session.copies.is_some()) {
            return self.unblock_copies(c, error);
        }
        let blocked = client.session.as_ref().and_then(|session| session.blocked);
        let Some(s) = blocked.and_then(|conn| self.conns.live(conn)) else { return false };
        let conn = &mut self.conns[s];
        if !conn.rest.is_empty() || conn.flow.is_some() {
            return false; // what it waited for is here
        }
        let waiting = conn.queue.iter_mut().find_map(|entry| match entry.target {
            Target::Awaited(request) => {
                entry.target = Target::Nobody;
                Some(request)
            }
            _ => None,
        });
        let Some(request) = waiting else { return false };
        let resp3 = conn.mode.resp3;
        self.unpin(s);
        self.discard_conn(s);
        self.replies.answer(request, |out| match error {
            true => encode::error(b"UNBLOCKED client unblocked via CLIENT UNBLOCK", out),
            false => encode::null_array(resp3, out),
        });
        true
    }
}
