//! Re-reading the configuration: one reload at a time, and what came of the last.

use super::protocol::RefusedReload;
use crate::{config::ConfigErrors, mail::Timestamp};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

type ReloadFuture = Pin<Box<dyn Future<Output = Result<String, Refusal>> + Send>>;
/// Re-reads the configuration: a sentence, or why the old one stays.
pub type Reload = Arc<dyn Fn() -> ReloadFuture + Send + Sync>;

/// Why a configuration is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// With the lines that are wrong, for whoever edits them.
    pub text: String,
    /// In one line.
    pub line: String,
}

impl From<&ConfigErrors> for Refusal {
    fn from(errors: &ConfigErrors) -> Self {
        Self { text: errors.to_string(), line: errors.in_one_line() }
    }
}

impl From<String> for Refusal {
    fn from(text: String) -> Self {
        Self { line: text.replace('\n', " "), text }
    }
}

/// How to reload, and what came of it.
pub(super) struct Reloads {
    reload: Reload,
    /// What one has read must not be put in force after what a later one has read.
    one: tokio::sync::Mutex<()>,
    standing: Mutex<Standing>,
}

#[derive(Debug)]
struct Standing {
    in_force_since: SystemTime,
    /// Until a later reload goes through.
    refused: Option<(SystemTime, String)>,
}

impl Reloads {
    pub(super) fn new(reload: Reload) -> Self {
        let standing = Standing { in_force_since: SystemTime::now(), refused: None };
        Self { reload, one: tokio::sync::Mutex::default(), standing: Mutex::new(standing) }
    }

    pub(super) async fn reload(&self) -> Result<String, Refusal> {
        let _one = self.one.lock().await;
        let result = (self.reload)().await;
        let (now, mut standing) = (SystemTime::now(), self.standing());
        match &result {
            Ok(_) => *standing = Standing { in_force_since: now, refused: None },
            Err(refusal) => standing.refused = Some((now, refusal.line.clone())),
        }
        result
    }

    /// Since when the configuration in force has been in force.
    pub(super) fn in_force_since(&self) -> SystemTime {
        self.standing().in_force_since
    }

    /// The last reload, where it was refused.
    pub(super) fn refused(&self) -> Option<RefusedReload> {
        let standing = self.standing();
        let (at, problem) = standing.refused.as_ref()?;
        Some(RefusedReload { at: Timestamp::new(*at).to_string(), problem: problem.clone() })
    }

    /// The same as a sentence for operators.
    pub(super) fn warning(&self) -> Option<String> {
        let RefusedReload { at, problem } = self.refused()?;
        let since = Timestamp::new(self.in_force_since());
        Some(format!(
            "the last reload was refused at {at}: {problem}; the configuration in force is that of {since}"
        ))
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn what_is_read_later_is_in_force_later() {
        let (reads, in_force) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (read, put) = (reads.clone(), in_force.clone());
        let reload: Reload = Arc::new(move || {
            let (read, put) = (read.clone(), put.clone());
            Box::pin(async move {
                let number = read.fetch_add(1, Ordering::SeqCst) + 1;
                // The first to read is the last to have read.
                for _ in number..10 {
                    tokio::task::yield_now().await;
                }
                put.store(number, Ordering::SeqCst);
                Ok(String::new())
            })
        });
        let reloads = Arc::new(Reloads::new(reload));
        let all: Vec<_> = (0..10)
            .map(|_| {
                let reloads = reloads.clone();
                tokio::spawn(async move { reloads.reload().await })
            })
            .collect();
        for one in all {
            assert_eq!(one.await.unwrap(), Ok(String::new()));
        }
        assert_eq!(in_force.load(Ordering::SeqCst), 10);
    }

    #[tokio::test]
    async fn a_refusal_is_known_until_a_reload_goes_through() {
        let refuses = Arc::new(AtomicUsize::new(1));
        let asked = refuses.clone();
        let reload: Reload = Arc::new(move || {
            let refused = asked.load(Ordering::SeqCst) == 1;
            Box::pin(std::future::ready(match refused {
                true => Err(Refusal { text: "a\nb".into(), line: "a b".into() }),
                false => Ok("reloaded".into()),
            }))
        });
        let reloads = Reloads::new(reload);
        let since = reloads.in_force_since();
        assert_eq!(reloads.warning(), None);
        assert!(reloads.reload().await.is_err());
        let refused = reloads.refused().unwrap();
        assert_eq!(refused.problem, "a b");
        assert_eq!(
            reloads.warning().unwrap(),
            format!(
                "the last reload was refused at {}: a b; the configuration in force is that of {}",
                refused.at,
                Timestamp::new(since)
            )
        );
        refuses.store(0, Ordering::SeqCst);
        assert!(reloads.reload().await.is_ok());
        assert_eq!(reloads.warning(), None);
        assert!(reloads.in_force_since() >= since);
    }
}
