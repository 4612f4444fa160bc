//! Reads whose keys are on several servers, where the pool says `cross_server: gather`: each key is asked of its server, and
//! the answer is made here (`gather/`).

use crate::command::Command;
use crate::core::Core;
use crate::gather::Plan;
use crate::limits::GATHER_KEYS;
use crate::merge::{How, Part};
use crate::request::Target;
use crate::server_conn::Care;
use crate::slab::NONE;
use stats::PoolMetric;
use wire::args::ArgView;
use wire::resp::encode;

impl Core {
    /// Gathers what a request asks for, whose `keys` are on several servers; `false`: the pool or the command does not allow it.
    #[cold]
    pub(crate) fn gather(
        &mut self,
        c: u32,
        command: &'static Command,
        args: ArgView<'_>,
        keys: &[u32],
    ) -> bool {
        let (Some(limit), Some(last)) = (self.view(c).gather, keys.last()) else { return false };
        let pool = self.replies.clients[c].pool;
        let form = self.pools[pool as usize].score_form;
        let plan = match Plan::read(command, args, keys.len(), *last as usize, limit, form) {
            Some(Ok(plan)) => plan,
            Some(Err(text)) => {
                self.answer_now(c, |out| encode::error(text, out));
                return true;
            }
            None => return false,
        };
        if keys.len() > GATHER_KEYS {
            let text = format!("ERR at most {GATHER_KEYS} keys are gathered from several servers");
            self.answer_now(c, |out| encode::error(text.as_bytes(), out));
            return true;
        }
        let asked: Vec<Vec<u8>> = keys
            .iter()
            .enumerate()
            .map(|(index, key)| {
                let mut bytes = Vec::new();
                plan.ask(index, args.get(*key as usize), &mut bytes);
                bytes
            })
            .collect();
        let servers: Vec<Option<u32>> =
            keys.iter().map(|key| self.place(pool, args.get(*key as usize))).collect();
        let request = self.replies.ask(c, args.bytes().len());
        let mut merge = self.fresh_merge(pool, request, How::Gathered);
        merge.gather = Some(Box::new(plan));
        merge.parts.extend(servers.iter().map(|server| Part::new(server.unwrap_or(NONE))));
        merge.outstanding = keys.len() as u32;
        let merge = self.merges.insert(merge);
        self.count_pool(pool, PoolMetric::Fragments).add(keys.len() as u64);
        for (part, (server, bytes)) in servers.into_iter().zip(asked).enumerate() {
            let target = Target::Part { merge, part: part as u32 };
            self.forward_as(c, server, target, Care::of_read(true), |out| out.extend_from_slice(&bytes));
        }
        true
    }

    /// Whether the unfinished reply of `len` bytes on a connection is a part of what is gathered and makes it too much; it counts
    /// from now on.
    #[cold]
    pub(crate) fn gathers_too_much(&mut self, s: u32, len: usize) -> bool {
        let Some(Target::Part { merge, part }) = self.conns[s].queue.front().map(|entry| entry.target) else {
            return false;
        };
        self.merges.get_mut(merge).is_some_and(|merge| !merge.note_coming(part, len))
    }
}
