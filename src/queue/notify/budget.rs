//! So many notifications an hour to one address; what is more goes into a digest. Pure.

use crate::queue::schedule::Millis;
use std::collections::{HashMap, VecDeque};

/// Notifications to one address in an hour.
const MOST: usize = 10;
const HOUR: Millis = 3_600_000;

/// What was sent to whom in the last hour. Begins anew with the process: a restart may let some more through.
#[derive(Debug, Default)]
pub(super) struct Budget {
    sent: HashMap<String, VecDeque<Millis>>,
}

impl Budget {
    /// Counts one to this address, where there is room for it, else says when there will be.
    pub(super) fn take(&mut self, address: &str, now: Millis) -> Result<(), Millis> {
        // A clock that was set back must not silence anybody until it has caught up.
        let counts = |at: &Millis| *at <= now && at + HOUR > now;
        self.sent.retain(|_, sent| {
            sent.retain(counts);
            !sent.is_empty()
        });
        let sent = self.sent.entry(address.to_ascii_lowercase()).or_default();
        match sent.front() {
            Some(oldest) if sent.len() >= MOST => Err(oldest + HOUR),
            _ => {
                sent.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_so_many_an_hour_whatever_others_get() {
        let mut budget = Budget::default();
        for n in 0..MOST as Millis {
            assert_eq!(budget.take("a@x.example", n), Ok(()));
        }
        assert_eq!(budget.take("A@x.example", 100), Err(HOUR));
        assert_eq!(budget.take("b@x.example", 100), Ok(()));
        assert_eq!(budget.take("a@x.example", HOUR), Ok(()), "the oldest no longer counts");
        assert_eq!(budget.take("a@x.example", HOUR), Err(HOUR + 1));
        assert_eq!(budget.take("a@x.example", 5), Ok(()), "the clock was set back");
    }
}
