//! What the hub has to say to the stream of a host. Every message of the stream looks at it, and every connected host has
//! one: so it is a few atomic words.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;

use futures_util::task::AtomicWaker;

use super::End;

/// Something that is to be said to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// The stream is over.
    End(End),
    /// The host's duties may have changed.
    Duties,
    /// Something else may be said of what the host has mounted, or the same once more.
    Vouches,
}

const DUTIES: u8 = 1;
const VOUCHES: u8 = 1 << 1;
/// From here on: why the stream ends.
const ENDS: [(u8, End); 3] =
    [(1 << 2, End::Superseded), (1 << 3, End::Replaced), (1 << 4, End::Revoked)];

/// The words that wait; one that is said twice before it is heard is heard once.
#[derive(Debug, Default)]
pub(super) struct Signal {
    words: AtomicU8,
    listener: AtomicWaker,
}

impl Signal {
    pub(super) fn say(&self, word: Word) {
        let bit = match word {
            Word::Duties => DUTIES,
            Word::Vouches => VOUCHES,
            Word::End(end) => {
                ENDS.iter().filter(|(_, why)| *why == end).fold(0, |bits, (bit, _)| bits | bit)
            }
        };
        self.words.fetch_or(bit, Ordering::AcqRel);
        self.listener.wake();
    }

    /// Waits for the next word; an end comes first, and stays.
    pub(super) async fn hear(&self) -> Word {
        poll_fn(|context| {
            // In this order: a word that is said in between wakes the listener.
            self.listener.register(context.waker());
            match self.next() {
                Some(word) => Poll::Ready(word),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Waits for the end; other words stay.
    pub(super) async fn ended(&self) -> End {
        poll_fn(|context| {
            self.listener.register(context.waker());
            match self.end() {
                Some(end) => Poll::Ready(end),
                None => Poll::Pending,
            }
        })
        .await
    }

    fn end(&self) -> Option<End> {
        let words = self.words.load(Ordering::Acquire);
        ENDS.iter().find(|(bit, _)| words & bit != 0).map(|(_, end)| *end)
    }

    fn next(&self) -> Option<Word> {
        if let Some(end) = self.end() {
            return Some(Word::End(end));
        }
        let words = self.words.load(Ordering::Acquire);
        for (bit, word) in [(DUTIES, Word::Duties), (VOUCHES, Word::Vouches)] {
            if words & bit != 0 {
                self.words.fetch_and(!bit, Ordering::AcqRel);
                return Some(word);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn every_word_is_heard_once_and_an_end_before_all_and_for_good() {
        let signal = Signal::default();
        assert_eq!(signal.hear().now_or_never(), None);
        for word in [Word::Vouches, Word::Duties, Word::Vouches] {
            signal.say(word);
        }
        assert_eq!(signal.hear().now_or_never(), Some(Word::Duties));
        assert_eq!(signal.hear().now_or_never(), Some(Word::Vouches));
        assert_eq!(signal.hear().now_or_never(), None);
        for end in [End::Superseded, End::Replaced, End::Revoked] {
            let signal = Signal::default();
            signal.say(Word::Duties);
            signal.say(Word::End(end));
            for _ in 0..2 {
                assert_eq!(signal.hear().now_or_never(), Some(Word::End(end)));
            }
        }
    }

    #[tokio::test]
    async fn who_listens_is_woken() {
        let signal = std::sync::Arc::new(Signal::default());
        let listens = tokio::spawn({
            let signal = std::sync::Arc::clone(&signal);
            async move { signal.hear().await }
        });
        tokio::task::yield_now().await;
        signal.say(Word::Duties);
        assert_eq!(listens.await.unwrap(), Word::Duties);
    }
}
