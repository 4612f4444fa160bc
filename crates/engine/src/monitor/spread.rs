//! Lines on their way to monitors: to those of this worker between whole replies, to other workers by mail.

use super::Monitored;
use crate::core::Core;
use crate::limits::{MONITOR_HELD_BYTES, MONITOR_LINE_BYTES};
use crate::session::Reply;
use crate::survey::What;
use std::sync::Arc;

/// Lines for other workers' monitors.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) lines: Vec<u8>,
    /// Whether there were more before, which are lost.
    pub(crate) lost: bool,
    /// The workers that have monitors.
    pub(crate) to: Box<[usize]>,
}

impl Core {
    /// Passes on what was overheard of a pool's clients, as [`crate::Output::TellMonitors`] asks for.
    pub fn tell_monitors(&mut self, pool: u32) {
        let limit = self.lines_limit(pool);
        let Some(monitored) = &mut self.pools[pool as usize].monitored else { return };
        let lines = std::mem::take(&mut monitored.lines);
        let lost = std::mem::take(&mut monitored.lost);
        if !monitored.elsewhere.is_empty() {
            monitored.hold_for_others(&lines, lost, limit);
        }
        self.read_lines(pool, &lines, lost);
        self.send_lines(pool);
        self.keep_room(pool, lines);
    }

    /// So many bytes of lines are held: as much as a client may leave unread.
    pub(super) fn lines_limit(&self, pool: u32) -> usize {
        self.topology.pools[pool as usize].client_output_max.min(MONITOR_HELD_BYTES)
    }

    /// The room for lines is used again in the next tick, unless there were unusually many.
    fn keep_room(&mut self, pool: u32, mut lines: Vec<u8>) {
        if let Some(monitored) = &mut self.pools[pool as usize].monitored
            && monitored.lines.capacity() == 0
            && lines.capacity() <= MONITOR_LINE_BYTES
        {
            lines.clear();
            monitored.lines = lines;
        }
    }

    /// Gives this worker's monitors of a pool lines. Where some are `lost` they are closed, as who does not read is.
    pub(crate) fn read_lines(&mut self, pool: u32, lines: &[u8], lost: bool) {
        let Some(monitored) = &self.pools[pool as usize].monitored else { return };
        for c in &monitored.here {
            let Some(client) = self.replies.clients.get_mut(*c) else { continue };
            let reply = client.session.as_ref().map_or(Reply::On, |session| session.reply);
            if lost && !client.overflowed {
                client.overflowed = true;
                self.replies.overflowed.push(*c);
            } else if reply == Reply::On && !lines.is_empty() {
                self.replies.tell_now(*c, lines);
            }
        }
        self.memory.note(lines.len().saturating_mul(monitored.here.len()));
    }

    /// Sends what other workers have not been sent, once they have taken what was sent before.
    fn send_lines(&mut self, pool: u32) {
        let Some(monitored) = &mut self.pools[pool as usize].monitored else { return };
        if monitored.under_way || (monitored.waiting.is_empty() && !monitored.lost_elsewhere) {
            return;
        }
        let lines = std::mem::take(&mut monitored.waiting);
        let lost = std::mem::take(&mut monitored.lost_elsewhere);
        if monitored.elsewhere.is_empty() {
            return; // nobody wants them any more
        }
        let to = monitored.elsewhere.keys().copied().collect();
        monitored.under_way = true;
        self.tell_workers(pool, What::Overheard(Arc::new(Batch { lines, lost, to })));
    }

    /// The other workers have taken the last batch.
    pub(crate) fn lines_taken(&mut self, pool: u32) {
        if let Some(monitored) = &mut self.pools[pool as usize].monitored {
            monitored.under_way = false;
            self.send_lines(pool);
        }
    }
}

impl Monitored {
    /// Other workers are to be sent these lines.
    fn hold_for_others(&mut self, lines: &[u8], lost: bool, limit: usize) {
        if lost || self.waiting.len() >= limit {
            // Their monitors would be closed with so much unread.
            self.waiting = Vec::new();
            self.lost_elsewhere = true;
        } else {
            self.waiting.extend_from_slice(lines);
        }
    }
}
