//! Streams through a cipher on a thread of their own.
//!
//! Sealing and hashing are work for the processor: done where tasks run, they would hold the API
//! up; done on a thread between two short queues, they also overlap what comes before and after.
//! An end is always said, so a stream that breaks off is never taken for a whole one.

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::task::AbortOnDropHandle;

use crate::substrate::{ByteStream, Trouble};

/// Pieces that wait on either side: with pieces of a MiB, the memory of a stream.
const QUEUE: usize = 4;

/// What is done with the bytes.
pub(super) trait Codec: Send + 'static {
    fn push(&mut self, bytes: Bytes) -> Result<Vec<Bytes>, Trouble>;
    fn finish(self) -> Result<Vec<Bytes>, Trouble>;
}

/// A piece, the end, or why there is none.
type Piece = Result<Option<Bytes>, Trouble>;

/// What comes out when `input` goes through a codec. Dropping it ends all of it.
pub(super) fn through(input: ByteStream, codec: impl Codec) -> ByteStream {
    let (feed, fodder) = channel(QUEUE);
    let (give, given) = channel(QUEUE);
    let feeder = AbortOnDropHandle::new(tokio::spawn(feed_all(input, feed)));
    tokio::task::spawn_blocking(move || work(codec, fodder, &give));
    futures::stream::unfold(Some((given, feeder)), |state| async {
        let (mut given, feeder) = state?;
        match given.recv().await {
            Some(Ok(Some(bytes))) => Some((Ok(bytes), Some((given, feeder)))),
            Some(Ok(None)) => None,
            Some(Err(trouble)) => Some((Err(trouble), None)),
            None => Some((Err(broken()), None)),
        }
    })
    .boxed()
}

async fn feed_all(mut input: ByteStream, feed: Sender<Piece>) {
    loop {
        let piece = input.next().await.transpose();
        let last = !matches!(piece, Ok(Some(_)));
        // Who takes nothing more has a reason, and says it.
        if feed.send(piece).await.is_err() || last {
            return;
        }
    }
}

fn work(mut codec: impl Codec, mut fodder: Receiver<Piece>, give: &Sender<Piece>) {
    let all = |pieces: Result<Vec<Bytes>, Trouble>| match pieces {
        Ok(pieces) => pieces.into_iter().all(|piece| give.blocking_send(Ok(Some(piece))).is_ok()),
        Err(trouble) => {
            // Whoever went away need not be told.
            let _ = give.blocking_send(Err(trouble));
            false
        }
    };
    loop {
        match fodder.blocking_recv().unwrap_or_else(|| Err(broken())) {
            Ok(Some(bytes)) => {
                if !all(codec.push(bytes)) {
                    return;
                }
            }
            Ok(None) => {
                if all(codec.finish()) {
                    let _ = give.blocking_send(Ok(None));
                }
                return;
            }
            Err(trouble) => {
                all(Err(trouble));
                return;
            }
        }
    }
}

fn broken() -> Trouble {
    let source = std::io::Error::other("the work on it was broken off");
    Trouble::Machine { doing: "passing a backup on", source }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    /// Gives back what it gets; panics at a piece of `!`.
    struct Plain;

    impl Codec for Plain {
        fn push(&mut self, bytes: Bytes) -> Result<Vec<Bytes>, Trouble> {
            assert!(bytes != b"!"[..], "as the test wants it");
            Ok(vec![bytes])
        }

        fn finish(self) -> Result<Vec<Bytes>, Trouble> {
            Ok(vec![Bytes::from_static(b".")])
        }
    }

    fn stream(pieces: Vec<Result<Bytes, Trouble>>) -> ByteStream {
        futures::stream::iter(pieces).boxed()
    }

    fn pieces(texts: &[&'static str]) -> Vec<Result<Bytes, Trouble>> {
        texts.iter().map(|text| Ok(Bytes::from_static(text.as_bytes()))).collect()
    }

    async fn collect(mut stream: ByteStream) -> (String, Option<Trouble>) {
        let mut text = String::new();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
                Err(trouble) => return (text, Some(trouble)),
            }
        }
        (text, None)
    }

    #[tokio::test]
    async fn passes_all_and_the_end() {
        let (text, trouble) = collect(through(stream(pieces(&["a", "b", "c"])), Plain)).await;
        assert_eq!((text.as_str(), trouble.is_none()), ("abc.", true));
    }

    #[tokio::test]
    async fn passes_trouble_and_no_end() {
        let silent = Trouble::Silent { doing: "x", seconds: 1 };
        let source = pieces(&["a"]).into_iter().chain([Err(silent)]).collect();
        let (text, trouble) = collect(through(stream(source), Plain)).await;
        assert_eq!(text, "a");
        assert!(matches!(trouble, Some(Trouble::Silent { .. })));
    }

    #[tokio::test]
    async fn a_panic_is_no_end() {
        let (text, trouble) = collect(through(stream(pieces(&["a", "!", "b"])), Plain)).await;
        assert_eq!(text, "a");
        assert!(matches!(trouble, Some(Trouble::Machine { .. })));
    }

    #[tokio::test]
    async fn a_source_that_panics_is_no_end() {
        let source = stream(pieces(&["a", "b"])).map(|piece| {
            assert!(!matches!(&piece, Ok(bytes) if &bytes[..] == b"b"), "as the test wants it");
            piece
        });
        let (text, trouble) = collect(through(source.boxed(), Plain)).await;
        assert_eq!(text, "a");
        assert!(matches!(trouble, Some(Trouble::Machine { .. })));
    }

    #[tokio::test]
    async fn takes_no_more_than_the_queues_hold() {
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&taken);
        let endless = futures::stream::repeat_with(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Bytes::from_static(b"a"))
        });
        let mut out = through(endless.boxed(), Plain);
        out.next().await.unwrap().unwrap();
        // It can't be waited for that nothing happens; more time makes the test only stricter.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(taken.load(Ordering::Relaxed) <= 2 * QUEUE + 4);
    }
}
