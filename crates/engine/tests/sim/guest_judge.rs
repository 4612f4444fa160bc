//! Whether what a guest reads is what it may read, and whether it may be closed.

use crate::cache::is_fine;
use crate::check::shown;
use crate::check::wrong;
use crate::faults::{Why, reasons};
use crate::guest::{Expect, Guest};
use crate::hall::Hall;
use crate::ledger::Outcome;
use crate::shelf::{Topic, fits};
use crate::world::World;
use config::Protocol;
use engine::Closing;
use engine::error::Cause;
use std::collections::BTreeSet;
use wire::resp;

/// What becomes of the request whose answer was read.
enum Verdict {
    /// It is answered.
    Served,
    /// More of its answer comes.
    More,
    /// It is answered by something else, which only a fault explains.
    Odd,
    /// Nothing explains the answer.
    Never,
}
use Verdict::{More, Never, Odd, Served};

fn words(reply: &[u8]) -> Vec<&[u8]> {
    resp::elements(reply)
        .into_iter()
        .flat_map(|(_, elements)| elements)
        .map(|word| resp::bulk(word).unwrap_or(word))
        .collect()
}

fn is_nil(reply: &[u8], resp3: bool) -> bool {
    reply == if resp3 { b"_\r\n".as_slice() } else { b"*-1\r\n" }
}

impl World {
    /// A guest has read bytes: each whole reply must be its next request's, or a message.
    pub(crate) fn read_guest(&mut self, index: usize, bytes: &[u8]) -> Result<(), String> {
        let replies = self.hall.guests[index].receive(bytes)?;
        for reply in replies {
            self.replies += 1;
            if !self.hall.guests[index].is_judged() {
                continue;
            }
            if self.plan.memory.is_some() && String::from_utf8_lossy(&reply).contains("(max_memory)") {
                self.hall.guests[index].refused = true;
                continue;
            }
            let id = self.hall.guests[index].id;
            self.read_one(index, &reply).map_err(|why| format!("guest {id:?}: {why}"))?;
        }
        Ok(())
    }

    fn read_one(&mut self, index: usize, reply: &[u8]) -> Result<(), String> {
        let parts = words(reply);
        if let [b"message" | b"pmessage", ..] = parts[..] {
            return self.hall.read_message(index, reply, &parts, &mut self.seen);
        }
        if let [b"invalidate", ..] = parts[..] {
            let what = self.hall.guests[index].cache.told(reply)?;
            self.seen.insert(what.to_string());
            return Ok(());
        }
        let Some(ask) = self.hall.guests[index].asks.front() else {
            return Err(format!("reads {} and asked nothing", shown(reply)));
        };
        let (Some(begun), asked) = (ask.begun_at, shown(&ask.bytes)) else {
            return Err(format!("reads {} before it asked {}", shown(reply), shown(&ask.bytes)));
        };
        let verdict = self.judge_guest(index, reply, &parts)?;
        let (pool, now) = (self.hall.guests[index].pool, self.now);
        let guest = &mut self.hall.guests[index];
        if let More = verdict {
            return Ok(());
        }
        let ask = guest.asks.pop_front().expect("it was just looked at");
        guest.cache.answered(&ask.expect, reply, (matches!(verdict, Served), guest.resp3));
        if let Served = verdict {
            return Ok(());
        }
        let resp3 = guest.resp3;
        self.hall.answered_oddly(index, &ask.expect);
        let happened = |fits: &dyn Fn(Why) -> bool| self.log.any(pool, &ask.servers, (begun, now), fits);
        let text = reply.strip_prefix(b"-ERR ").and_then(|text| text.strip_suffix(b"\r\n")).unwrap_or(b"");
        let text = String::from_utf8_lossy(text);
        let full = text.starts_with("all connections for WATCH")
            && matches!(ask.expect, Expect::Watch(_) | Expect::Wait(..));
        let excused = match () {
            () if wrong(Protocol::Redis, resp3).contains(&reply)
                || wrong(Protocol::Redis, !resp3).contains(&reply) =>
            {
                happened(&|why| why == Why::Wrong)
            }
            () if full => self.hall.full_at[pool] >= begun,
            () => {
                let mut reasons = reasons(&text);
                if matches!(ask.expect, Expect::Change(..)) && text == Cause::Refused.text() {
                    // Of patterns, when there is no server to ask.
                    reasons.push(Why::Cause(Cause::Drained));
                }
                happened(&|why| reasons.contains(&why))
            }
        };
        if !excused || matches!(verdict, Never) {
            let expect = &ask.expect;
            return Err(format!(
                "the answer to {asked} (asked at {begun}, servers {:?}) is {}, expected {expect:?}",
                ask.servers,
                shown(reply)
            ));
        }
        self.seen.insert(format!("a guest's {}", if full { "way is full" } else { "error" }));
        Ok(())
    }

    fn judge_guest(&mut self, index: usize, reply: &[u8], parts: &[&[u8]]) -> Result<Verdict, String> {
        let (loose, now) = (self.loosened(), self.now);
        let guest = &self.hall.guests[index];
        let (pool, resp3) = (guest.pool, guest.resp3);
        let expect = guest.asks.front().expect("it was looked at").expect.clone();
        let begun = guest.asks.front().and_then(|ask| ask.begun_at).unwrap_or(now);
        let served = |fine: bool| if fine { Served } else { Odd };
        // By the proxy itself.
        let always = |fine: bool| if fine { Served } else { Never };
        let apart = |keys: &[Vec<u8>]| {
            let place = |key: &Vec<u8>| self.topology.pools[pool].placement.server(key, || 0);
            loose || keys.iter().any(|key| place(key) != place(&keys[0]))
        };
        Ok(match expect {
            Expect::Exact(bytes) => always(reply == bytes),
            Expect::Track(_) => served(is_fine(reply)),
            Expect::Mark => always(is_fine(reply)),
            Expect::Done(id) | Expect::Stored(_, id) => served(
                self.hall
                    .ledger
                    .done
                    .get(&id)
                    .is_some_and(|done| done.reply == reply && done.within.is_none()),
            ),
            Expect::Wait(id, _) => {
                let crossed = reply.starts_with(b"-CROSSSLOT");
                let ended = is_nil(reply, resp3) && self.hall.ledger.unblocked.contains(&guest.number);
                if crossed {
                    self.hall.ledger.rule_out(&[id])?;
                }
                let done = self.hall.ledger.done.get(&id);
                if done.is_some_and(|done| done.took && done.reply == reply) {
                    self.seen.insert("an element came".to_string());
                } else if ended {
                    self.seen.insert("a wait ended by CLIENT UNBLOCK".to_string());
                }
                served(done.is_some_and(|done| done.reply == reply) || ended || crossed)
            }
            Expect::Value(key) => {
                let value = resp::bulk(reply);
                let nil = reply == if resp3 { b"_\r\n".as_slice() } else { b"$-1\r\n" };
                served(nil || value.is_some_and(|value| value.starts_with(&key)))
            }
            Expect::Multi => {
                self.hall.guests[index].spoilt = false;
                always(reply == b"+OK\r\n")
            }
            Expect::Queued(_) if reply == b"+QUEUED\r\n" => Served,
            Expect::Queued(_) => {
                let small = self.plan.pools[pool].request_limit < 1 << 20;
                let large = small && reply.starts_with(b"-ERR the transaction takes more than");
                // Where its keys are on one server, none is refused.
                self.hall.guests[index].spoilt = true;
                always(large || reply.starts_with(b"-CROSSSLOT"))
            }
            Expect::Spoils => {
                self.hall.guests[index].spoilt = true;
                always(reply.starts_with(b"-ERR wrong number"))
            }
            Expect::Exec(first, ids) => {
                let verdict = self.judge_exec(index, reply, first, &ids)?;
                if let Served = verdict {
                    self.hall.guests[index].unwatch();
                }
                verdict
            }
            Expect::Discard(ids) => {
                self.hall.ledger.rule_out(&ids)?;
                self.hall.guests[index].unwatch();
                always(reply == b"+OK\r\n")
            }
            Expect::Watch(keys) => {
                let crossed = reply.starts_with(b"-CROSSSLOT");
                let all: Vec<Vec<u8>> = keys.iter().chain(&guest.may_watch).cloned().collect();
                if crossed {
                    return Ok(served(apart(&all)));
                }
                let counts = |key: &Vec<u8>| {
                    self.keyspaces[pool].iter().map(|server| server.shelf.changes(key)).collect()
                };
                let counted: Vec<(Vec<u8>, Vec<u64>)> =
                    keys.iter().map(|key| (key.clone(), counts(key))).collect();
                let guest = &mut self.hall.guests[index];
                if guest.may_watch.is_empty() {
                    guest.watches_since = begun;
                }
                let servers = guest.asks.front().map(|ask| ask.servers.clone()).unwrap_or_default();
                guest.watches_on.extend(servers);
                guest.may_watch.extend(keys);
                if reply != b"+OK\r\n" {
                    // Nobody knows what is watched now: EXEC may answer nil.
                    guest.unwatched = true;
                    return Ok(Odd);
                }
                // What was watched already was so before.
                for (key, counts) in counted {
                    guest.watches.entry(key).or_insert(counts);
                }
                Served
            }
            Expect::Unwatch => {
                self.hall.guests[index].unwatch();
                always(reply == b"+OK\r\n")
            }
            Expect::Change(topics, count, hears) => {
                let Some(topic) = topics.get(count) else { return Ok(Never) };
                let word: &[u8] = match (topic.0, hears) {
                    (false, true) => b"subscribe",
                    (true, true) => b"psubscribe",
                    (false, false) => b"unsubscribe",
                    (true, false) => b"punsubscribe",
                };
                if parts.first() != Some(&word) {
                    // All of it is refused with one error, or nothing.
                    return Ok(if count == 0 && hears { Odd } else { Never });
                }
                let guest = &mut self.hall.guests[index];
                if hears {
                    guest.join(topic, begun);
                } else {
                    guest.forget(topic);
                }
                let confirmed = guest.confirms(reply, parts, word, Some(&topic.1));
                let whole = count + 1 == topics.len();
                if let Some(ask) = guest.asks.front_mut() {
                    ask.expect = Expect::Change(topics, count + 1, hears);
                }
                match confirmed {
                    false => Never,
                    true if whole => Served,
                    true => More,
                }
            }
            Expect::ChangeAll(pattern, _) => {
                let guest = &mut self.hall.guests[index];
                let word: &[u8] = if pattern { b"punsubscribe" } else { b"unsubscribe" };
                let name = parts.get(1).copied().unwrap_or(b"");
                let own = (pattern, name.to_vec());
                let none = !guest.topics.keys().any(|topic| topic.0 == pattern);
                if !none && !guest.topics.contains_key(&own) {
                    return Ok(Never);
                }
                guest.forget(&own);
                let confirmed = guest.confirms(reply, parts, word, (!none).then_some(name));
                let more = guest.topics.keys().any(|topic| topic.0 == pattern);
                match confirmed {
                    false => Never,
                    true if more => More,
                    true => Served,
                }
            }
            Expect::Ping if resp3 || guest.topics.is_empty() => always(reply == b"+PONG\r\n"),
            Expect::Ping => always(parts == [b"pong".as_slice(), b""]),
            Expect::Hello(resp3) => {
                let guest = &mut self.hall.guests[index];
                guest.unwatched |= guest.resp3 != resp3;
                guest.resp3 = resp3;
                let start: &[u8] = if resp3 { b"%7\r\n$6\r\nserver\r\n" } else { b"*14\r\n$6\r\nserver\r\n" };
                always(reply.starts_with(start))
            }
            Expect::Reset => {
                let guest = &mut self.hall.guests[index];
                guest.unwatch();
                guest.resp3 = false;
                guest.topics.clear();
                always(reply == b"+RESET\r\n")
            }
            Expect::Unblocked | Expect::Killed => always(reply == b":0\r\n" || reply == b":1\r\n"),
            Expect::Quit => always(reply == b"+OK\r\n"),
        })
    }

    /// EXEC is all or nothing; it answers nil when what was watched was changed or may have been, and only then.
    fn judge_exec(&mut self, index: usize, reply: &[u8], first: u32, ids: &[u32]) -> Result<Verdict, String> {
        let loose = self.loosened();
        let guest = &self.hall.guests[index];
        let ledger = &mut self.hall.ledger;
        let aborted = reply.starts_with(b"-EXECABORT");
        let on = guest.asks.front().map_or(&[][..], |ask| &ask.servers);
        let nil = is_nil(reply, guest.resp3);
        if guest.spoilt {
            ledger.rule_out(ids)?;
            return if aborted {
                Ok(Served)
            } else {
                Err(format!("a spoilt transaction is answered {}", shown(reply)))
            };
        }
        // What a server refused to queue is not in it, and may have been the first.
        let Some(block) = std::iter::once(&first).chain(ids).find_map(|id| ledger.blocks.get(id)) else {
            let all = aborted && reply.ends_with(b" early refusal\r\n");
            let since = guest.asks.front().and_then(|ask| ask.begun_at).unwrap_or(self.now);
            if all && self.log.any(guest.pool, on, (since, self.now), |why| why == Why::Early) {
                ledger.rule_out(ids)?;
                return Ok(Served);
            }
            let moved = aborted && loose && reply.ends_with(b"no longer on one server.\r\n");
            let broke =
                self.hall
                    .breaks
                    .any(guest.pool, &guest.watches_on, (guest.watches_since, self.now), |_| true);
            let elsewhere = on.iter().any(|server| !guest.watches_on.contains(server));
            let lost = nil && !guest.may_watch.is_empty() && (broke || guest.unwatched || loose || elsewhere);
            if moved || lost {
                self.seen.insert("what was watched is lost".to_string());
                ledger.rule_out(ids)?;
                return Ok(Served);
            }
            if reply.starts_with(b"*") || nil {
                return Err(format!("EXEC is answered {} and never came to a server", shown(reply)));
            }
            return Ok(Odd);
        };
        match block.outcome {
            Outcome::Spoilt if aborted => {
                self.seen.insert("a server refused to queue".to_string());
                ledger.rule_out(ids)?;
                Ok(Served)
            }
            Outcome::Dirty if reply == block.reply => {
                if block.dirty.is_disjoint(&guest.may_watch) {
                    return Err(format!("{:?} was changed, and nobody here watches it", block.dirty));
                }
                self.seen.insert("a watched key was changed".to_string());
                ledger.rule_out(ids)?;
                Ok(Served)
            }
            Outcome::Ran if reply == block.reply => {
                if block.ids != ids {
                    return Err(format!("of the requests {ids:?} these were carried out: {:?}", block.ids));
                }
                let watched: BTreeSet<&Vec<u8>> = block.watched.keys().collect();
                if !watched.iter().all(|key| guest.may_watch.contains(*key)) {
                    return Err(format!("EXEC ran where {watched:?} was watched, by somebody else"));
                }
                for (key, counts) in &guest.watches {
                    let Some(count) = block.watched.get(key) else {
                        return Err(format!("EXEC ran where {} was not watched", key.escape_ascii()));
                    };
                    if *count > counts[block.server] {
                        return Err(format!("EXEC ran though {} was changed", key.escape_ascii()));
                    }
                }
                if !guest.watches.is_empty() {
                    self.seen.insert("a transaction ran as watched".to_string());
                }
                Ok(Served)
            }
            Outcome::Ran if nil => Err("a transaction ran and its client reads that it did not".to_string()),
            _ => Ok(Odd),
        }
    }

    /// The engine closes a guest.
    pub(crate) fn close_guest(&mut self, index: usize, closing: Closing) -> Result<(), String> {
        let guest = &mut self.hall.guests[index];
        let (id, pool) = (guest.id, guest.pool);
        guest.closed = Some(closing);
        if guest.lost || guest.refused {
            guest.lost_at = if guest.lost { guest.lost_at } else { self.now };
            guest.lost = true;
            return Ok(());
        }
        if self.hall.ledger.killed.contains(&guest.number) {
            (guest.lost, guest.lost_at) = (true, self.now);
            self.seen.insert("a guest was killed".to_string());
            return Ok(());
        }
        if closing == Closing::Lost {
            // Too much was held for it, or what it reads cannot be mended, or a server no longer does what it is subscribed to.
            let since = guest.asks.front().and_then(|ask| ask.begun_at).unwrap_or(self.now);
            let since = guest.topics.values().map(|heard| heard.since).fold(since, u64::min);
            let all: Vec<usize> = (0..self.plan.pools[pool].servers).collect();
            let torn = self.log.any(pool, &all, (since, self.now), |_| true);
            if self.plan.pools[pool].output_max == usize::MAX && !torn {
                return Err(format!("guest {id:?} is cut off though nothing went wrong"));
            }
            (guest.lost, guest.lost_at) = (true, self.now);
            return Ok(());
        }
        let idle =
            self.topology.pools[pool].client_idle_us.is_some_and(|idle| guest.heard_at + idle <= self.now);
        let quits = guest.quits && guest.asks.is_empty() && guest.stream.is_empty();
        let leaves = guest.ended && guest.may_wait();
        if !(guest.ended || idle || quits) {
            return Err(format!("guest {id:?} is closed as {closing:?}"));
        }
        if leaves {
            (guest.lost, guest.lost_at) = (true, self.now);
            self.seen.insert("a client left while it waited".to_string());
            return Ok(());
        }
        if let Some(ask) = guest.asks.front().filter(|ask| guest.is_sent(ask)) {
            return Err(format!("guest {id:?} is closed before the answer to {}", shown(&ask.bytes)));
        }
        if let Some(owed) = guest.owed.first() {
            return Err(format!("guest {id:?} is closed and never got {owed:?}"));
        }
        Ok(())
    }
}

impl Hall {
    /// A message is for those who have read that they are subscribed, and comes once, in the order in which its server had it.
    fn read_message(
        &mut self,
        index: usize,
        reply: &[u8],
        parts: &[&[u8]],
        seen: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        let (topic, channel, text) = match parts {
            [b"message", channel, text] => ((false, channel.to_vec()), channel, text),
            [b"pmessage", name, channel, text] => ((true, name.to_vec()), channel, text),
            _ => return Err(format!("reads {}", shown(reply))),
        };
        let digits = text.strip_prefix(b"m").and_then(|digits| std::str::from_utf8(digits).ok());
        let id: u32 =
            digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| format!("reads {}", shown(reply)))?;
        let guest = &mut self.guests[index];
        if reply.starts_with(b">") != guest.resp3 {
            return Err(format!("reads a message in the other protocol: {}", shown(reply)));
        }
        let Some(heard) = guest.topics.get_mut(&topic) else {
            return Err(format!("is not subscribed and reads {}", shown(reply)));
        };
        let Some(message) = self.ledger.messages.get(&id).filter(|message| message.channel == *channel)
        else {
            return Err(format!("nobody published {}", shown(reply)));
        };
        if !fits(&topic, channel) {
            return Err(format!("{} does not fit", shown(reply)));
        }
        let last = heard.last.entry(message.server).or_default();
        if message.place <= *last {
            return Err(format!("reads once more, or too late: {}", shown(reply)));
        }
        *last = message.place;
        guest.owed.retain(|(other, number, ..)| (other, *number) != (&topic, id));
        seen.insert(format!("a message in RESP{}", if guest.resp3 { 3 } else { 2 }));
        Ok(())
    }

    /// A request was answered by what only a fault explains: what is certain after that.
    fn answered_oddly(&mut self, index: usize, expect: &Expect) {
        let guest = &mut self.guests[index];
        if let Expect::Exec(..) = expect {
            guest.unwatch();
        }
    }
}

impl Guest {
    /// It hears no more of a topic: what it is still owed of it is not looked for.
    fn forget(&mut self, topic: &Topic) {
        self.topics.remove(topic);
    }

    /// Whether this is the confirmation of a change, with the number of topics there are now.
    fn confirms(&self, reply: &[u8], parts: &[&[u8]], word: &[u8], name: Option<&[u8]>) -> bool {
        let count = format!(":{}\r\n", self.topics.len());
        let nil: &[u8] = if self.resp3 { b"_\r\n" } else { b"$-1\r\n" };
        reply.starts_with(if self.resp3 { b">" } else { b"*" })
            && parts == [word, name.unwrap_or(nil), count.as_bytes()]
    }
}
