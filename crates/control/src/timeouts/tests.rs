//! Servers that are quick, slow, getting slower, silent: what becomes of their timeout.

use super::*;
use stats::{Histogram, Latency};

const MIN: Duration = Duration::from_millis(20);
const MAX: Duration = Duration::from_secs(2);

/// A server and those that ask it, second by second.
struct Scene {
    follower: Follower,
    histogram: Histogram,
    now: Instant,
    /// How often workers were told of another timeout.
    told: u32,
}

impl Scene {
    fn new() -> Scene {
        let now = Instant::now();
        Scene { follower: Follower::new(MIN, MAX, now), histogram: Histogram::default(), now, told: 0 }
    }

    fn timeout_us(&self) -> u64 {
        self.follower.told_us
    }

    /// Requests that would take so long, of which the engine counts the timed out as it does.
    fn ask(&self, count: u64, takes_us: u64) {
        (0..count).for_each(|_| self.histogram.record(Latency::of_us(takes_us.min(self.timeout_us()))));
    }

    fn look_at(&mut self, down: bool) {
        let mut counted = Distribution::default();
        counted.merge(&self.histogram);
        self.now += LOOK_EVERY;
        self.told += u32::from(self.follower.look(counted, down, self.now).is_some());
    }

    /// A second in which all this is asked: how many requests, and what each takes in microseconds.
    fn second(&mut self, asked: &[(u64, u64)]) {
        asked.iter().for_each(|(count, takes_us)| self.ask(*count, *takes_us));
        self.look_at(false);
    }

    fn seconds(&mut self, seconds: u64, asked: &[(u64, u64)]) {
        (0..seconds).for_each(|_| self.second(asked));
    }

    /// As [`Scene::seconds`], and then the timeout is between these.
    #[track_caller]
    fn check(&mut self, seconds: u64, asked: &[(u64, u64)], least_us: u64, most_us: u64) {
        self.seconds(seconds, asked);
        let now = self.timeout_us();
        assert!((least_us..=most_us).contains(&now), "{now} us, expected {least_us} to {most_us}");
    }
}

/// Milliseconds.
const fn ms(ms: u64) -> u64 {
    ms * 1000
}

#[test]
fn the_timeout_follows_a_server_down_and_up() {
    let mut scene = Scene::new();
    scene.check(1, &[(5000, ms(10))], ms(1000), ms(1000));
    scene.check(1, &[(5000, ms(10))], ms(500), ms(500));
    scene.check(10, &[(5000, ms(10))], ms(40), ms(43));
    let told = scene.told;
    scene.seconds(100, &[(5000, ms(10))]);
    assert_eq!(scene.told, told, "it stays where it is");
    scene.check(1, &[(4900, ms(10)), (100, ms(30))], ms(120), ms(128));
    scene.check(30, &[(5000, ms(10))], ms(40), ms(43));
}

#[test]
fn it_stays_within_its_bounds() {
    let mut scene = Scene::new();
    scene.check(20, &[(5000, 200)], ms(20), ms(20));
    scene.check(20, &[(5000, ms(1500))], ms(2000), ms(2000));
    let mut scene = Scene::new();
    scene.check(20, &[(5000, ms(1500))], ms(2000), ms(2000));
    assert_eq!(scene.told, 0);
}

#[test]
fn few_requests_say_nothing_until_they_are_many() {
    let mut scene = Scene::new();
    scene.check(1, &[(ENOUGH - 1, ms(10))], ms(2000), ms(2000));
    scene.check(600, &[], ms(2000), ms(2000));
    scene.check(1, &[(1, ms(10))], ms(1000), ms(1000));
    // Ten a second: it takes minutes to have enough, and it has.
    let mut scene = Scene::new();
    scene.check(99, &[(10, ms(10))], ms(2000), ms(2000));
    scene.check(100, &[(10, ms(10))], ms(40), ms(43));
    scene.check(3600, &[], ms(40), ms(43));
    scene.check(1, &[(10, ms(15))], ms(60), ms(64));
}

#[test]
fn what_is_seldom_slow_times_out_and_changes_nothing() {
    let mut scene = Scene::new();
    let asked = [(9_995, ms(10)), (5, ms(900))];
    scene.seconds(10, &asked);
    let told = scene.told;
    scene.check(300, &asked, ms(40), ms(43));
    assert_eq!(scene.told, told);
}

#[test]
fn a_tail_that_was_cut_off_is_found_and_kept() {
    for slow in [ms(50), ms(100), ms(300), ms(450)] {
        let mut scene = Scene::new();
        scene.seconds(20, &[(10_000, ms(2))]);
        assert_eq!(scene.timeout_us(), ms(20));
        let asked = [(9_950, ms(2)), (50, slow)];
        // All its slow ones time out at first; nothing ever says how long they take.
        scene.check(20, &asked, 4 * slow, ms(2000));
        scene.seconds(40, &asked);
        let told = scene.told;
        scene.check(300, &asked, 4 * slow, 4 * slow + slow / 4);
        assert!(scene.told <= told, "{slow}: it does not swing");
    }
}

#[test]
fn a_server_that_gets_slower_altogether_is_waited_for() {
    for asked_then in [25, 500, 20_000] {
        let mut scene = Scene::new();
        scene.seconds(60, &[(50_000, ms(1))]);
        assert_eq!(scene.timeout_us(), ms(20));
        let told = scene.told;
        scene.check(4, &[(asked_then, ms(200))], ms(800), ms(850));
        assert!(scene.told - told <= 4);
        scene.check(120, &[(asked_then, ms(200))], ms(800), ms(850));
    }
}

#[test]
fn an_outage_is_not_learned_from() {
    let mut scene = Scene::new();
    scene.seconds(60, &[(10_000, ms(5))]);
    assert_eq!(scene.timeout_us(), ms(20) + 476, "within a sixteenth");
    // It hangs: all that is under way times out before it is known to be down.
    scene.ask(5_000, ms(5));
    scene.check(1, &[(200, ms(60_000))], ms(80), ms(90));
    for _ in 0..300 {
        scene.ask(1_000, ms(60_000));
        scene.look_at(true);
        assert!(scene.timeout_us() < ms(90));
    }
    scene.check(40, &[(10_000, ms(5))], ms(20), ms(22));
}

#[test]
fn a_server_that_never_answers_some_is_waited_for_as_long_as_may_be() {
    let mut scene = Scene::new();
    scene.check(60, &[(9_900, ms(5)), (100, u64::MAX)], ms(2000), ms(2000));
}

#[test]
fn whatever_is_asked_the_bounds_hold_and_rises_have_a_reason() {
    let mut state = 88_172_645_463_325_252u64;
    let mut draw = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for _ in 0..200 {
        let mut scene = Scene::new();
        for _ in 0..60 {
            let before = scene.timeout_us();
            let slowest = 1 << draw(24);
            scene.ask(draw(3000), draw(slowest + 1));
            scene.ask(draw(5), u64::MAX);
            scene.look_at(draw(10) == 0);
            let after = scene.timeout_us();
            assert!((ms(20)..=ms(2000)).contains(&after));
            assert!(after >= before / 2 && after <= 4 * (before + before / 16 + 1));
        }
    }
}
