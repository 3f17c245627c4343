//! From a stream into a file or a pipe.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::mpsc::sync_channel;

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc::{Receiver, channel};

use super::blocking;
use super::header::Header;
use crate::substrate::{ByteStream, Trouble};

/// Chunks that may wait to be written.
const WAITING: usize = 4;
/// How much is written before the disk is told to begin with it.
const FLUSHED_EVERY: usize = 16 << 20;

/// Takes an RDB file to its end, and gives each chunk to `write`, which runs on a thread of its
/// own and sees the end of the channel also where the stream broke. The stream's error comes
/// first: what was written is worth nothing then.
pub(super) async fn pour<T: Send + 'static>(
    mut bytes: ByteStream,
    write: impl FnOnce(Receiver<Bytes>) -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    let (sender, receiver) = channel(WAITING);
    let writer = blocking(move || write(receiver));
    let reader = async move {
        let mut header = Header::default();
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk?;
            header.see(&chunk)?;
            if sender.send(chunk).await.is_err() {
                // The writer gave up, and says why.
                return Ok(());
            }
        }
        header.end()
    };
    let (read, written) = tokio::join!(reader, writer);
    read.and(written)
}

/// Writes all chunks to a file, and leaves it to the system when the disk gets them.
pub(super) fn write(mut file: &File, mut chunks: Receiver<Bytes>) -> io::Result<()> {
    while let Some(chunk) = chunks.blocking_recv() {
        file.write_all(&chunk)?;
    }
    Ok(())
}

/// Writes all chunks to a file and forces them to the disk, which begins with that long before
/// the end.
pub(super) fn write_durably(file: &File, mut chunks: Receiver<Bytes>) -> io::Result<()> {
    std::thread::scope(|scope| {
        let (ask, asked) = sync_channel::<()>(1);
        let disk = scope.spawn(move || asked.iter().try_for_each(|()| file.sync_data()));
        let (mut out, mut unflushed) = (file, 0);
        let written = loop {
            let Some(chunk) = chunks.blocking_recv() else { break Ok(()) };
            if let Err(error) = out.write_all(&chunk) {
                break Err(error);
            }
            unflushed += chunk.len();
            // Where the disk has enough to do, there is more for it the next time.
            if unflushed >= FLUSHED_EVERY && ask.try_send(()).is_ok() {
                unflushed = 0;
            }
        };
        drop(ask);
        let flushed = disk.join().unwrap_or_else(|_| Err(io::Error::other("cannot flush")));
        written.and(flushed).and_then(|()| file.sync_all())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(items: Vec<Result<Bytes, Trouble>>) -> ByteStream {
        futures::stream::iter(items).boxed()
    }

    #[tokio::test]
    async fn a_file_has_what_the_stream_had() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = File::create(&path).unwrap();
        let head = [Ok(Bytes::from_static(b"REDIS0010"))];
        let chunks: Vec<_> = (0..40u8).map(|n| Ok(Bytes::from(vec![n; 1 << 20]))).collect();
        let chunks = head.into_iter().chain(chunks).collect();
        pour(stream(chunks), move |chunks| {
            write_durably(&file, chunks).map_err(super::super::machine("writing"))
        })
        .await
        .unwrap();
        let written = std::fs::read(&path).unwrap();
        assert_eq!(written.len(), 9 + (40 << 20));
        assert!(
            written[9..].chunks(1 << 20).zip(0..).all(|(chunk, n)| chunk.iter().all(|b| *b == n))
        );
    }

    #[tokio::test]
    async fn the_error_of_a_stream_is_not_hidden() {
        let broken = stream(vec![
            Ok(Bytes::from_static(b"REDIS0010 and some")),
            Err(Trouble::Dataset { reason: "the rest is missing".into() }),
        ]);
        let poured = pour(broken, |mut chunks| {
            while chunks.blocking_recv().is_some() {}
            Ok(())
        });
        assert!(matches!(poured.await, Err(Trouble::Dataset { .. })));
    }

    #[tokio::test]
    async fn a_writer_that_gives_up_is_told_and_not_waited_for() {
        let endless = futures::stream::repeat_with(|| Ok(Bytes::from_static(b"REDIS0010"))).boxed();
        let poured = pour(endless, |chunks| {
            drop(chunks);
            Err::<(), _>(Trouble::Dataset { reason: "enough".into() })
        });
        assert!(matches!(poured.await, Err(Trouble::Dataset { .. })));
    }
}
