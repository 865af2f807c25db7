//! Work that is finished whatever becomes of who waits for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// What was begun for a stream goes on when the stream is dropped: what the store commits, the roster has to hear of.
pub(super) fn finish<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Finish<T> {
    Finish(Some(Box::pin(work)))
}

pub(super) struct Finish<T: Send + 'static>(
    Option<Pin<Box<dyn Future<Output = T> + Send + 'static>>>,
);

impl<T: Send + 'static> Future for Finish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(work) = self.0.as_mut() else { return Poll::Pending };
        let done = work.as_mut().poll(context);
        if done.is_ready() {
            self.0 = None;
        }
        done
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        // Without a runtime the process ends.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move { drop(work.await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_nobody_waits_for_is_finished_all_the_same() {
        let (go, wait) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let mut work = finish(async move {
            wait.await.ok();
            done.send(()).ok();
        });
        assert_eq!((&mut work).now_or_never(), None);
        drop(work);
        go.send(()).unwrap();
        is_done.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_finished_is_not_begun_again() {
        assert_eq!(finish(async { 7 }).await, 7);
    }
}
