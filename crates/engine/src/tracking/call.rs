//! CLIENT TRACKING, CACHING, TRACKINGINFO and GETREDIR, in redis' words.

use super::{Tracker, Wants};
use crate::core::Core;
use crate::limits::{QUOTED_BYTES, TRACKED_PREFIX_BYTES};
use wire::args::ArgView;
use wire::resp::encode;

const SYNTAX: &str = "ERR syntax error";
const NOT_BY_PREFIX: &str = "ERR PREFIX option requires BCAST mode to be enabled";
const OTHER_BCAST: &str = "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
     re-enabling it with a different mode.";
const OPT_WITH_BCAST: &str = "ERR OPTIN and OPTOUT are not compatible with BCAST";
const OPT_BOTH: &str = "ERR You can't specify both OPTIN mode and OPTOUT mode";
const OTHER_OPT: &str = "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
     re-enabling it with a different mode.";
const REDIRECT: &str = "ERR cashew does not support CLIENT TRACKING with REDIRECT yet: use RESP3 (HELLO 3)";
const NO_INTEGER: &str = "ERR value is not an integer or out of range";
const NOT_CACHING: &str = "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or \
     OPTOUT mode enabled";
const NOT_OPTIN: &str = "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.";
const NOT_OPTOUT: &str = "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.";

/// The arguments of CLIENT TRACKING.
#[derive(Debug, Default)]
struct Wish<'a> {
    bcast: bool,
    optin: bool,
    optout: bool,
    noloop: bool,
    prefixes: Vec<&'a [u8]>,
}

impl<'a> Wish<'a> {
    fn of(args: ArgView<'a>) -> Result<Wish<'a>, &'static str> {
        let mut wish = Wish::default();
        let mut index = 3;
        while index < args.len() {
            let is = |word: &str| args.get(index).eq_ignore_ascii_case(word.as_bytes());
            let more = index + 1 < args.len();
            if is("REDIRECT") && more {
                let id = std::str::from_utf8(args.get(index + 1)).ok().and_then(|id| id.parse::<i64>().ok());
                return Err(if id.is_some() { REDIRECT } else { NO_INTEGER });
            } else if is("PREFIX") && more {
                index += 1;
                wish.prefixes.push(args.get(index));
            } else if is("BCAST") {
                wish.bcast = true;
            } else if is("OPTIN") {
                wish.optin = true;
            } else if is("OPTOUT") {
                wish.optout = true;
            } else if is("NOLOOP") {
                wish.noloop = true;
            } else {
                return Err(SYNTAX);
            }
            index += 1;
        }
        Ok(wish)
    }

    fn wants(&self) -> Wants {
        match (self.bcast, self.optin, self.optout) {
            (true, ..) => Wants::Broadcast,
            (_, true, _) => Wants::OptIn,
            (_, _, true) => Wants::OptOut,
            _ => Wants::Read,
        }
    }

    /// Whether a client may switch to this from what it has.
    fn check(&self, tracker: Option<&Tracker>) -> Result<(), String> {
        let now = tracker.map(|tracker| tracker.wants);
        let refuse = |text: &str| Err(text.to_owned());
        if !self.bcast && !self.prefixes.is_empty() {
            return refuse(NOT_BY_PREFIX);
        }
        if now.is_some_and(|now| (now == Wants::Broadcast) != self.bcast) {
            return refuse(OTHER_BCAST);
        }
        if self.bcast && (self.optin || self.optout) {
            return refuse(OPT_WITH_BCAST);
        }
        if self.optin && self.optout {
            return refuse(OPT_BOTH);
        }
        if (self.optin && now == Some(Wants::OptOut)) || (self.optout && now == Some(Wants::OptIn)) {
            return refuse(OTHER_OPT);
        }
        let overlaps = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        for (index, prefix) in self.prefixes.iter().enumerate() {
            let mut have = tracker.into_iter().flat_map(|tracker| &tracker.prefixes);
            let mut others = self.prefixes.iter().skip(index + 1);
            let (which, other) = if let Some(other) = have.find(|other| overlaps(prefix, other)) {
                ("an existing", &**other)
            } else if let Some(other) = others.find(|other| overlaps(prefix, other)) {
                ("another provided", *other)
            } else {
                continue;
            };
            return Err(format!(
                "ERR Prefix '{}' overlaps with {which} prefix '{}'. Prefixes for a single client must not overlap.",
                shown(prefix),
                shown(other)
            ));
        }
        let have = tracker.into_iter().flat_map(|tracker| &tracker.prefixes).map(|prefix| prefix.len() + 1);
        let more = self.prefixes.iter().map(|prefix| prefix.len() + 1);
        if have.chain(more).sum::<usize>() > TRACKED_PREFIX_BYTES {
            return Err(format!("ERR the prefixes of a client may take {TRACKED_PREFIX_BYTES} bytes"));
        }
        Ok(())
    }
}

fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(QUOTED_BYTES)]);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Core {
    /// CLIENT TRACKING ON or OFF.
    pub(crate) fn client_tracking(&mut self, c: u32, args: ArgView<'_>) {
        let is = |word: &str| args.get(2).eq_ignore_ascii_case(word.as_bytes());
        let wish = match Wish::of(args) {
            Ok(wish) if is("ON") || is("OFF") => wish,
            Ok(_) => return self.say(c, SYNTAX),
            Err(text) => return self.say(c, text),
        };
        if is("OFF") {
            self.stop_tracking(c);
            self.drop_session_if_empty(c);
            return self.answer_now(c, |out| encode::simple(b"OK", out));
        }
        if let Err(text) = wish.check(self.tracker(c)) {
            return self.say(c, &text);
        }
        let pool = self.replies.clients[c].pool;
        self.tracking.used.insert(pool);
        let tracker = self.session(c).tracking.get_or_insert_default();
        (tracker.wants, tracker.noloop) = (wish.wants(), wish.noloop);
        if !wish.bcast {
            self.tracking.pool(pool).readers.insert(c);
            self.track_reads(c);
            return self.answer_now(c, |out| encode::simple(b"OK", out));
        }
        let all: [&[u8]; 1] = [b""];
        let prefixes = if wish.prefixes.is_empty() { &all[..] } else { &wish.prefixes };
        tracker.prefixes.extend(prefixes.iter().map(|prefix| Box::from(*prefix)));
        self.join_broadcast(c, prefixes, args.bytes().len());
    }

    fn say(&mut self, c: u32, text: &str) {
        self.answer_now(c, |out| encode::error(text.as_bytes(), out));
    }

    /// What a client reads goes over other connections from now on, or no longer; there it must not overtake what it has
    /// asked.
    fn track_reads(&mut self, c: u32) {
        let slot = self.place_of(c, self.mode(c));
        if slot != self.replies.clients[c].slot {
            self.await_deletes(c);
            let client = &mut self.replies.clients[c];
            (client.slot, client.in_order) = (slot, true);
        }
    }

    /// A client is told nothing any more.
    pub(super) fn stop_tracking(&mut self, c: u32) {
        let Some(session) = &mut self.replies.clients[c].session else { return };
        if let Some(tracker) = session.tracking.take() {
            self.leave_tracking(c, &tracker);
            self.track_reads(c);
        }
    }

    /// Nobody need keep anything for a client.
    pub(crate) fn leave_tracking(&mut self, c: u32, tracker: &Tracker) {
        let pool = self.replies.clients[c].pool;
        if tracker.wants == Wants::Broadcast {
            self.leave_broadcast(c, pool, tracker);
        }
        let state = self.tracking.pool(pool);
        state.readers.remove(&c);
        if state.readers.is_empty() {
            state.reads.clear();
        }
        if state.is_unused() {
            self.tracking.used.remove(&pool);
        }
    }

    /// CLIENT CACHING YES or NO.
    pub(crate) fn client_caching(&mut self, c: u32, args: ArgView<'_>) {
        let is = |word: &str| args.get(2).eq_ignore_ascii_case(word.as_bytes());
        let (yes, no) = (is("YES"), is("NO"));
        let error = match self.tracker_mut(c) {
            None => NOT_CACHING,
            Some(tracker)
                if (yes && tracker.wants == Wants::OptIn) || (no && tracker.wants == Wants::OptOut) =>
            {
                tracker.caching = true;
                return self.answer_now(c, |out| encode::simple(b"OK", out));
            }
            Some(_) if yes => NOT_OPTIN,
            Some(_) if no => NOT_OPTOUT,
            Some(_) => SYNTAX,
        };
        self.say(c, error);
    }

    /// CLIENT GETREDIR: nobody else is told what this client is to be told.
    pub(crate) fn client_getredir(&mut self, c: u32) {
        let redirect = if self.tracker(c).is_some() { 0 } else { -1 };
        self.answer_now(c, |out| encode::integer(redirect, out));
    }

    /// CLIENT TRACKINGINFO.
    pub(crate) fn client_trackinginfo(&mut self, c: u32) {
        let resp3 = self.replies.clients[c].resp3;
        let mut flags = Vec::new();
        let mut prefixes = Vec::new();
        if let Some(tracker) = self.tracker(c) {
            let (wants, caching) = (tracker.wants, tracker.caching);
            let known = [
                ("on", true),
                ("bcast", wants == Wants::Broadcast),
                ("optin", wants == Wants::OptIn),
                ("caching-yes", wants == Wants::OptIn && caching),
                ("optout", wants == Wants::OptOut),
                ("caching-no", wants == Wants::OptOut && caching),
                ("noloop", tracker.noloop),
            ];
            flags.extend(known.into_iter().filter(|(_, set)| *set).map(|(flag, _)| flag));
            prefixes.extend(tracker.prefixes.iter().cloned());
        } else {
            flags.push("off");
        }
        let redirect = if self.tracker(c).is_some() { 0 } else { -1 };
        self.answer_now(c, |out| {
            encode::map_header(3, resp3, out);
            encode::bulk(b"flags", out);
            encode::set_header(flags.len(), resp3, out);
            flags.iter().for_each(|flag| encode::bulk(flag.as_bytes(), out));
            encode::bulk(b"redirect", out);
            encode::integer(redirect, out);
            encode::bulk(b"prefixes", out);
            encode::array_header(prefixes.len(), out);
            prefixes.iter().for_each(|prefix| encode::bulk(prefix, out));
        });
    }
}
