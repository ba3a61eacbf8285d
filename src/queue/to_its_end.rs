//! Work that is not broken off where who waits for it goes away.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::runtime::Handle;

/// Runs in the task of who waits for it, which costs no other task's waking. Dropped before its end, it goes on as a
/// task of its own.
pub(super) struct ToItsEnd<F>(Option<Pin<Box<F>>>)
where
    F: Future + Send + 'static,
    F::Output: Send;

impl<F> ToItsEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    pub(super) fn new(work: F) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<F> Future for ToItsEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Polled again behind its end, it never answers.
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<F> Drop for ToItsEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn drop(&mut self) {
        if let Some(work) = self.0.take()
            && !std::thread::panicking()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::{
        sync::oneshot,
        time::{sleep, timeout},
    };

    #[tokio::test(start_paused = true)]
    async fn it_ends_whoever_waits() {
        for patience in [Duration::from_secs(10), Duration::from_secs(1)] {
            let (tell, told) = oneshot::channel();
            let work = async move {
                sleep(Duration::from_secs(5)).await;
                let _ = tell.send("done");
                7
            };
            let waited = timeout(patience, ToItsEnd::new(work)).await;
            assert_eq!(waited.ok(), (patience > Duration::from_secs(5)).then_some(7));
            assert_eq!(told.await, Ok("done"));
        }
    }
}
