//! An ordered set that takes little more memory than its elements: sorted runs of bounded length. Pure.
//!
//! A hash map keeps up to half of its room empty and a B-tree a third; with a million messages that is what decides
//! how much memory a message costs. Most insertions come at the end and most removals at the front, where both are
//! cheap.

use std::collections::VecDeque;

/// Elements in a full run. Moving half of one on an insertion in its middle costs about a microsecond.
const RUN: usize = 512;

/// What an element is found by.
pub(super) trait Keyed {
    type Key: Ord + Copy;
    fn key(&self) -> Self::Key;
}

impl<T: Ord + Copy> Keyed for T {
    type Key = T;
    fn key(&self) -> T {
        *self
    }
}

/// Elements in the order of their keys, no key twice.
#[derive(Debug, Clone)]
pub(super) struct Sorted<T> {
    /// Sorted within and among themselves; none is empty.
    runs: VecDeque<Vec<T>>,
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self { runs: VecDeque::new() }
    }
}

impl<T: Keyed> Sorted<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The run that `key` is in or belongs to; the last one where it is beyond all.
    fn run_of(&self, key: T::Key) -> usize {
        let run = self.runs.partition_point(|run| run.last().is_some_and(|last| last.key() < key));
        run.min(self.runs.len().saturating_sub(1))
    }

    fn find(&self, key: T::Key) -> Option<(usize, usize)> {
        let run = self.run_of(key);
        let at = self.runs.get(run)?.binary_search_by_key(&key, T::key).ok()?;
        Some((run, at))
    }

    pub(super) fn get(&self, key: T::Key) -> Option<&T> {
        let (run, at) = self.find(key)?;
        self.runs.get(run)?.get(at)
    }

    pub(super) fn get_mut(&mut self, key: T::Key) -> Option<&mut T> {
        let (run, at) = self.find(key)?;
        self.runs.get_mut(run)?.get_mut(at)
    }

    /// Puts an element in its place; gives back the one that had its key before.
    pub(super) fn insert(&mut self, element: T) -> Option<T> {
        let key = element.key();
        let index = self.run_of(key);
        let last = index + 1 == self.runs.len();
        let Some(run) = self.runs.get_mut(index) else {
            self.runs.push_back(vec![element]);
            return None;
        };
        let at = match run.binary_search_by_key(&key, T::key) {
            Ok(at) => return Some(std::mem::replace(&mut run[at], element)),
            Err(at) => at,
        };
        if run.len() < RUN {
            run.insert(at, element);
        } else if last && at == run.len() {
            // Rising keys fill every run to its end.
            self.runs.push_back(vec![element]);
        } else {
            let mut upper = run.split_off(RUN / 2);
            match at.checked_sub(RUN / 2) {
                Some(at) => upper.insert(at, element),
                None => run.insert(at, element),
            }
            self.runs.insert(index + 1, upper);
        }
        None
    }

    pub(super) fn remove(&mut self, key: T::Key) -> Option<T> {
        let (run, at) = self.find(key)?;
        let element = self.runs.get_mut(run)?.remove(at);
        self.tidy(run);
        Some(element)
    }

    pub(super) fn first(&self) -> Option<&T> {
        self.runs.front()?.first()
    }

    pub(super) fn pop_first(&mut self) -> Option<T> {
        let first = self.first()?.key();
        self.remove(first)
    }

    /// All elements in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.runs.iter().flatten()
    }

    /// Gives back the room of a run that has become small.
    fn tidy(&mut self, index: usize) {
        let Some(run) = self.runs.get_mut(index) else { return };
        if run.is_empty() {
            self.runs.remove(index);
            return;
        }
        if run.len() > RUN / 4 {
            return;
        }
        if run.capacity() > 2 * run.len() + 8 {
            run.shrink_to(run.len() + run.len() / 2);
        }
        let fits = |other: Option<&Vec<T>>| other.is_some_and(|other| other.len() <= RUN / 4);
        if fits(self.runs.get(index + 1))
            && let Some(next) = self.runs.remove(index + 1)
            && let Some(run) = self.runs.get_mut(index)
        {
            run.extend(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn contents(sorted: &Sorted<u32>) -> Vec<u32> {
        sorted.iter().copied().collect()
    }

    /// Against the standard library's set, through random insertions and removals.
    #[test]
    fn it_does_what_a_set_does() {
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut sorted, mut set) = (Sorted::default(), BTreeSet::new());
            for step in 0..6_000u32 {
                let range = if seed % 2 == 0 { 3_000 } else { 300_000 };
                let value = random.u32(..range);
                match random.u8(..10) {
                    0..5 => assert_eq!(sorted.insert(value).is_none(), set.insert(value)),
                    5 => assert_eq!(sorted.insert(range + step).is_none(), set.insert(range + step)),
                    6 => assert_eq!(sorted.pop_first(), set.pop_first()),
                    7 => assert_eq!(sorted.get(value), set.get(&value)),
                    _ => assert_eq!(sorted.remove(value).is_some(), set.remove(&value)),
                }
                assert_eq!(sorted.first(), set.first(), "seed {seed}");
            }
            assert_eq!(contents(&sorted), set.iter().copied().collect::<Vec<_>>(), "seed {seed}");
            while let Some(value) = set.pop_last() {
                assert!(sorted.remove(value).is_some());
            }
            assert!(sorted.is_empty() && sorted.runs.is_empty());
        }
    }

    #[test]
    fn rising_keys_fill_their_runs() {
        let mut sorted = Sorted::default();
        for value in 0..100_000u32 {
            sorted.insert(value);
        }
        let room: usize = sorted.runs.iter().map(Vec::capacity).sum();
        assert!(room <= 100_000 + RUN, "{room}");
    }

    #[test]
    fn what_is_left_after_removals_keeps_little_room() {
        let mut sorted = Sorted::default();
        for value in 0..100_000u32 {
            sorted.insert(value);
        }
        for value in (0..100_000u32).filter(|value| value % 100 != 0) {
            sorted.remove(value);
        }
        let room: usize = sorted.runs.iter().map(Vec::capacity).sum();
        assert!(room <= 8 * 1_000, "{room} for 1000");
    }
}
