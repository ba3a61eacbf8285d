//! How far long work has come. Pure.

/// How much of long work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Octets that are behind it.
    pub done: u64,
    /// Octets in all, as far as was known when it began.
    pub of: u64,
}

/// Tells of long work as it goes: at its begin, and whenever another hundredth is done.
pub(super) struct Course<'a> {
    progress: Progress,
    /// Below this nothing is told.
    next: u64,
    tell: &'a mut dyn FnMut(Progress),
}

impl<'a> Course<'a> {
    pub(super) fn begin(of: u64, tell: &'a mut dyn FnMut(Progress)) -> Self {
        let mut course = Self { progress: Progress { done: 0, of }, next: 0, tell };
        course.reach(0);
        course
    }

    /// So many octets more are done.
    pub(super) fn advance(&mut self, octets: u64) {
        self.reach(self.progress.done.saturating_add(octets));
    }

    /// So many octets are done in all. What has grown meanwhile is not counted.
    pub(super) fn reach(&mut self, done: u64) {
        let Progress { of, .. } = self.progress;
        self.progress.done = done.min(of).max(self.progress.done);
        if self.progress.done >= self.next {
            self.next = self.progress.done.saturating_add((of / 100).max(1));
            (self.tell)(self.progress);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_a_hundredth_and_never_goes_back() {
        let mut told = Vec::new();
        let mut tell = |progress: Progress| told.push(progress.done);
        let mut course = Course::begin(1000, &mut tell);
        for octets in [3, 3, 3, 3, 90] {
            course.advance(octets);
        }
        course.reach(50);
        course.reach(5000);
        course.advance(1);
        assert_eq!(told, [0, 12, 102, 1000]);
    }

    #[test]
    fn nothing_to_do_is_told_once() {
        let mut told = Vec::new();
        let mut tell = |progress: Progress| told.push(progress);
        Course::begin(0, &mut tell).reach(10);
        assert_eq!(told, [Progress { done: 0, of: 0 }]);
    }
}
