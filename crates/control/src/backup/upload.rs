//! Uploads to an object store, of which nothing is left behind.
//!
//! A store keeps the parts of an upload that nobody ends, invisible and paid for. So its number
//! is noted beside the object before the first part goes out: whoever removes the object after a
//! crash ends the upload, too.

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Error, MultipartId, ObjectStoreExt, PutPayload, PutPayloadMut};
use tokio::task::JoinSet;

use super::shelf::AT_ONCE;
use crate::substrate::{ByteStream, Trouble};

/// Why an upload did not come to its end.
#[derive(Debug)]
pub(super) enum Unsent {
    /// There was no more of the data.
    Source(Trouble),
    /// The store failed.
    Store(Error),
}

/// Puts all of a stream there in parts of one size; only the last one may be smaller.
pub(super) async fn upload(
    store: &Arc<AmazonS3>,
    path: &Path,
    bytes: ByteStream,
    part: usize,
) -> Result<(), Unsent> {
    let id = store.create_multipart(path).await?;
    let sent = async {
        store.put(&note(path), PutPayload::from(id.clone())).await?;
        let parts = send(store, path, &id, bytes, part).await?;
        store.complete_multipart(path, &id, parts).await?;
        Ok(())
    };
    let sent = sent.await;
    // What is left of it here is ended again with the object's removal.
    let ended = async {
        if sent.is_err() {
            end(store, path, &id).await?;
        }
        drop_note(store, path).await
    };
    if let Err(error) = ended.await {
        tracing::warn!(%path, %error, "an upload can't be ended");
    }
    sent
}

/// Ends an upload that a process left behind.
pub(super) async fn remove_leftovers(store: &AmazonS3, path: &Path) -> Result<(), Error> {
    let noted = match store.get(&note(path)).await {
        Ok(noted) => noted.bytes().await?,
        Err(Error::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    end(store, path, &String::from_utf8_lossy(&noted).into_owned()).await?;
    drop_note(store, path).await
}

async fn send(
    store: &Arc<AmazonS3>,
    path: &Path,
    id: &MultipartId,
    mut bytes: ByteStream,
    size: usize,
) -> Result<Vec<PartId>, Unsent> {
    let mut parts = Parts { under_way: JoinSet::new(), sent: Vec::new(), begun: 0 };
    let mut part = PutPayloadMut::new();
    while let Some(mut piece) = bytes.try_next().await.map_err(Unsent::Source)? {
        while part.content_length() + piece.len() >= size {
            part.push(piece.split_to(size - part.content_length()));
            let full = std::mem::take(&mut part).freeze();
            parts.put(store, path, id, full).await?;
        }
        if !piece.is_empty() {
            part.push(piece);
        }
    }
    if !part.is_empty() || parts.begun == 0 {
        parts.put(store, path, id, part.freeze()).await?;
    }
    parts.finish().await
}

/// The parts of an upload, some of them under way.
struct Parts {
    under_way: JoinSet<Result<(usize, PartId), Error>>,
    sent: Vec<(usize, PartId)>,
    begun: usize,
}

impl Parts {
    async fn put(
        &mut self,
        store: &Arc<AmazonS3>,
        path: &Path,
        id: &MultipartId,
        data: PutPayload,
    ) -> Result<(), Unsent> {
        while self.under_way.len() >= AT_ONCE {
            self.join().await?;
        }
        let (store, path, id, at) = (Arc::clone(store), path.clone(), id.clone(), self.begun);
        self.begun += 1;
        self.under_way.spawn(async move {
            let part = store.put_part(&path, &id, at, data).await?;
            Ok((at, part))
        });
        Ok(())
    }

    async fn join(&mut self) -> Result<(), Unsent> {
        match self.under_way.join_next().await {
            None => Ok(()),
            Some(Ok(sent)) => {
                self.sent.push(sent?);
                Ok(())
            }
            Some(Err(source)) => Err(Unsent::Store(Error::JoinError { source })),
        }
    }

    async fn finish(mut self) -> Result<Vec<PartId>, Unsent> {
        while !self.under_way.is_empty() {
            self.join().await?;
        }
        self.sent.sort_by_key(|(at, _)| *at);
        Ok(self.sent.into_iter().map(|(_, part)| part).collect())
    }
}

/// Where an upload's number is noted.
fn note(path: &Path) -> Path {
    Path::from(format!("{path}.upload"))
}

async fn end(store: &AmazonS3, path: &Path, id: &MultipartId) -> Result<(), Error> {
    match store.abort_multipart(path, id).await {
        // It is ended already.
        Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn drop_note(store: &AmazonS3, path: &Path) -> Result<(), Error> {
    match store.delete(&note(path)).await {
        Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

impl From<Error> for Unsent {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}
