//! From the workers' events to lines of the log, so many a second and no more: what floods is counted.

use crate::log::{Level, Log};
use stats::{Event, EventRing, Layout, Severity};
use std::mem::{Discriminant, discriminant};
use std::time::{Duration, Instant};

/// Lines per kind of event and period.
const LINES_PER_PERIOD: u32 = 20;
const PERIOD: Duration = Duration::from_secs(10);

/// Writes events to the log.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    kinds: Vec<(Discriminant<Event>, u32)>,
    since: Option<Instant>,
    dropped: u64,
}

impl EventLog {
    /// Takes all events out of `ring`.
    pub(crate) fn drain(&mut self, ring: &EventRing, layout: &Layout, log: &Log, now: Instant) {
        if self.since.is_none_or(|since| now.duration_since(since) >= PERIOD) {
            self.close_period(log);
            self.since = Some(now);
        }
        while let Some(event) = ring.pop() {
            if self.take(&event) {
                log.line(level(event.severity()), format_args!("{}", event.describe(layout)));
            }
        }
        let dropped = ring.dropped();
        if dropped > self.dropped {
            log.line(
                Level::Warning,
                format_args!("{} events came too fast for the log", dropped - self.dropped),
            );
            self.dropped = dropped;
        }
    }

    fn take(&mut self, event: &Event) -> bool {
        let kind = discriminant(event);
        let index = self.kinds.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
            self.kinds.push((kind, 0));
            self.kinds.len() - 1
        });
        self.kinds[index].1 += 1;
        self.kinds[index].1 <= LINES_PER_PERIOD
    }

    fn close_period(&mut self, log: &Log) {
        let left_out: u32 = self.kinds.iter().map(|(_, count)| count.saturating_sub(LINES_PER_PERIOD)).sum();
        if left_out > 0 {
            let seconds = PERIOD.as_secs();
            log.line(Level::Warning, format_args!("{left_out} more such events in the last {seconds} s"));
        }
        self.kinds.clear();
    }
}

fn level(severity: Severity) -> Level {
    match severity {
        Severity::Warning => Level::Warning,
        Severity::Error => Level::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_kind_is_cut_and_counted() {
        let mut log = EventLog::default();
        let refused = Event::ClientRefused { pool: 0, client: None, limit: 10 };
        let other = Event::RecordOverflowed { pool: 0, server: 0 };
        let shown = (0..1000).filter(|_| log.take(&refused)).count();
        assert_eq!(shown, LINES_PER_PERIOD as usize);
        assert!(log.take(&other), "another kind is still heard");
        assert_eq!(log.kinds[0].1, 1000);
    }
}
