//! The views of pools and servers that workers route by: the present one, and older ones until nobody has them any more.
//!
//! Freeing the view of a thousand servers takes a millisecond, which no worker may lose: a worker only lets go of it.

use config::Settings;
use engine::command::Learnt;
use engine::topology::{Standing, Topology};
use std::sync::Arc;

/// The views.
#[derive(Debug)]
pub(crate) struct Views {
    present: Arc<Topology>,
    old: Vec<Arc<Topology>>,
}

impl Views {
    pub(crate) fn new(settings: &Settings) -> Views {
        Views { present: Arc::new(Topology::new(settings, |_, _| Standing::In)), old: Vec::new() }
    }

    /// What workers are to route by.
    pub(crate) fn present(&self) -> &Arc<Topology> {
        &self.present
    }

    /// Servers stand differently: there is a new view.
    pub(crate) fn renew(&mut self, settings: &Settings, standing: impl Fn(usize, usize) -> Standing) {
        let new = Arc::new(self.present.renewed(settings, standing));
        self.old.push(std::mem::replace(&mut self.present, new));
    }

    /// What a pool's servers know has changed: there is a new view.
    pub(crate) fn learn(&mut self, pool: usize, learnt: Learnt) {
        let new = Arc::new(self.present.with_learnt(pool, Arc::new(learnt)));
        self.old.push(std::mem::replace(&mut self.present, new));
    }

    /// Frees those that all workers have let go of. Called regularly.
    pub(crate) fn tidy(&mut self) {
        // Nobody can take hold of one again that only this list has.
        self.old.retain(|view| Arc::strong_count(view) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a:\n  listen: 127.0.0.1:1\n  servers:\n  - 127.0.0.1:2:1\n  - 127.0.0.1:3:1\n\
                        b:\n  listen: 127.0.0.1:4\n  servers:\n  - 127.0.0.1:5:1\n";

    #[test]
    fn an_old_view_is_freed_here_and_not_by_the_last_worker() {
        let settings = config::load(TEXT, &|_, _| unreachable!("no names")).expect("a good one");
        let mut views = Views::new(&settings);
        let (one, other) = (views.present().clone(), views.present().clone());
        let first = Arc::downgrade(views.present());
        views.renew(&settings, |pool, server| match (pool, server) {
            (0, 1) => Standing::Out,
            _ => Standing::In,
        });
        let live = |pool: usize| -> Vec<bool> {
            views.present().pools[pool].servers.iter().map(|server| server.live).collect()
        };
        assert_eq!((live(0), live(1)), (vec![true, false], vec![true]));
        let all_to_the_first =
            (0..100).all(|n: u32| views.present().pools[0].place(&n.to_le_bytes(), 0) == Some(0));
        assert!(all_to_the_first);
        drop(one);
        views.tidy();
        assert_eq!(views.old.len(), 1, "one worker still routes by it");
        drop(other);
        assert!(first.upgrade().is_some(), "the last one to let go does not free it");
        views.tidy();
        assert!(views.old.is_empty() && first.upgrade().is_none());
    }
}
