//! Latencies in buckets: each power of two of microseconds is cut into 16 equal parts, so that a bucket is at most
//! 1/16 (6.25%) of its value wide, from 1 microsecond to about 67 seconds, in 3 KB and without allocation.

use crate::counter::Counter;

/// Latencies as one thread records them and any thread may read them.
#[derive(Debug)]
pub struct Histogram {
    sum_us: Counter,
    buckets: [Counter; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { sum_us: Counter::new(), buckets: [const { Counter::new() }; BUCKETS] }
    }
}

impl Histogram {
    /// Counts one latency. The writing thread only.
    #[inline]
    pub fn record(&self, latency: Latency) {
        self.sum_us.add(latency.us);
        self.buckets[latency.bucket].add(1);
    }

    /// Continues another histogram's counts. The writing thread only.
    pub(crate) fn add(&self, other: &Histogram) {
        self.sum_us.add(other.sum_us.get());
        for (mine, theirs) in self.buckets.iter().zip(&other.buckets) {
            mine.add(theirs.get());
        }
    }
}

/// A latency to be counted, in one histogram or in several.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    us: u64,
    bucket: usize,
}

impl Latency {
    /// One of so many microseconds; longer than about 67 s counts as that.
    #[inline]
    pub fn of_us(us: u64) -> Latency {
        let us = us.min(LONGEST_US);
        Latency { us, bucket: bucket(us) }
    }
}

/// Histograms added up: what percentiles are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    count: u64,
    sum_us: u64,
    buckets: Box<[u64]>,
}

impl Default for Distribution {
    fn default() -> Self {
        Self { count: 0, sum_us: 0, buckets: vec![0; BUCKETS].into_boxed_slice() }
    }
}

impl Distribution {
    /// Adds what `histogram` holds now.
    pub fn merge(&mut self, histogram: &Histogram) {
        self.sum_us = self.sum_us.wrapping_add(histogram.sum_us.get());
        for (total, counter) in self.buckets.iter_mut().zip(&histogram.buckets) {
            let n = counter.get();
            *total = total.wrapping_add(n);
            self.count = self.count.wrapping_add(n);
        }
    }

    /// What was recorded since the same histograms were `earlier`.
    pub fn since(&self, earlier: &Distribution) -> Distribution {
        let pairs = self.buckets.iter().zip(&earlier.buckets);
        let buckets: Box<[u64]> = pairs.map(|(now, then)| now.wrapping_sub(*then)).collect();
        let count = buckets.iter().fold(0, |sum: u64, n| sum.wrapping_add(*n));
        Distribution { count, sum_us: self.sum_us.wrapping_sub(earlier.sum_us), buckets }
    }

    /// Counts what `other` counts as well.
    pub fn add(&mut self, other: &Distribution) {
        self.count = self.count.wrapping_add(other.count);
        self.sum_us = self.sum_us.wrapping_add(other.sum_us);
        for (total, n) in self.buckets.iter_mut().zip(&other.buckets) {
            *total = total.wrapping_add(*n);
        }
    }

    /// How many latencies were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum in microseconds; a reading taken while a worker records may miss the newest few.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// The latency in microseconds that the share `quantile` (0.0 to 1.0) of all stayed at or below: never too
    /// small, too large by at most 1/16. `None` when nothing was recorded.
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        let rank = ((quantile * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0u64;
        self.buckets.iter().enumerate().find_map(|(index, &n)| {
            seen = seen.wrapping_add(n);
            (seen >= rank).then(|| highest(index))
        })
    }
}

/// The bucket of a latency that is at most [`LONGEST_US`].
#[inline]
fn bucket(us: u64) -> usize {
    if us < PARTS {
        return us as usize;
    }
    let shift = us.ilog2() - PART_BITS;
    (u64::from(shift) * PARTS + (us >> shift)) as usize
}

/// The highest latency in a bucket, in microseconds.
fn highest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PARTS {
        return bucket;
    }
    let shift = bucket / PARTS - 1;
    ((PARTS + bucket % PARTS + 1) << shift) - 1
}

const PART_BITS: u32 = 4;
const PARTS: u64 = 1 << PART_BITS;
/// 26 bits of microseconds: longer than any timeout worth setting.
const LONGEST_BITS: u32 = 26;
const LONGEST_US: u64 = (1 << LONGEST_BITS) - 1;
const BUCKETS: usize = ((LONGEST_BITS - PART_BITS + 1) as usize) << PART_BITS;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_each_other_without_gap() {
        let mut next = 0;
        for index in 0..BUCKETS {
            let last = highest(index);
            assert_eq!((bucket(next), bucket(last)), (index, index), "bucket {index}: {next}..={last}");
            next = last + 1;
        }
        assert_eq!(next - 1, LONGEST_US);
    }

    #[test]
    fn nothing_recorded_has_no_percentile() {
        assert_eq!(Distribution::default().quantile_us(0.5), None);
    }

    #[test]
    fn what_came_since_is_the_difference() {
        let (histogram, read) = (Histogram::default(), |histogram: &Histogram| {
            let mut all = Distribution::default();
            all.merge(histogram);
            all
        });
        histogram.record(Latency::of_us(10));
        histogram.record(Latency::of_us(5000));
        let earlier = read(&histogram);
        [1, 1, 7].iter().for_each(|us| histogram.record(Latency::of_us(*us)));
        let since = read(&histogram).since(&earlier);
        assert_eq!((since.count(), since.sum_us(), since.quantile_us(1.0)), (3, 9, Some(7)));
        assert_eq!(earlier.since(&earlier).quantile_us(0.5), None);
        let mut sum = earlier.clone();
        sum.add(&since);
        assert_eq!(sum, read(&histogram));
    }

    #[test]
    fn the_longest_stay_in_the_last_bucket() {
        let histogram = Histogram::default();
        histogram.record(Latency::of_us(u64::MAX));
        let mut all = Distribution::default();
        all.merge(&histogram);
        assert_eq!((all.count(), all.quantile_us(1.0)), (1, Some(LONGEST_US)));
    }

    proptest! {
        #[test]
        fn percentiles_are_never_low_and_at_most_a_sixteenth_high(
            latencies in prop::collection::vec(prop_oneof![0u64..64, 0u64..100_000, 0u64..=LONGEST_US], 1..300),
            quantile in 0.0f64..=1.0,
            split in any::<prop::sample::Index>(),
        ) {
            let (first, second) = latencies.split_at(split.index(latencies.len()));
            let mut all = Distribution::default();
            for part in [first, second] {
                let histogram = Histogram::default();
                part.iter().for_each(|&us| histogram.record(Latency::of_us(us)));
                all.merge(&histogram);
            }
            let mut sorted = latencies.clone();
            sorted.sort_unstable();
            let rank = ((quantile * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
            let exact = sorted[rank - 1];
            let got = all.quantile_us(quantile).expect("something was recorded");
            prop_assert!(exact <= got && got <= exact + exact / 16, "{exact} read as {got}");
            prop_assert_eq!(all.count(), sorted.len() as u64);
            prop_assert_eq!(all.sum_us(), sorted.iter().sum::<u64>());
        }
    }
}
