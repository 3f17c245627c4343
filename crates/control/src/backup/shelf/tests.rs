use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bytes::Bytes;

use super::super::object_server::{Mood, ObjectServer};
use super::*;

/// For a server that answers.
const PATIENCE: Duration = Duration::from_secs(30);

const KEY: &str = "r-test0000000001/123456789.rdb.sealed";

fn stream(pieces: Vec<Result<Bytes, Trouble>>) -> ByteStream {
    futures::stream::iter(pieces).boxed()
}

/// More than two parts, in pieces that fit none of them.
fn pieces() -> Vec<Bytes> {
    (0..19_u8).map(|at| Bytes::from(vec![at; (1 << 20) + 16 * usize::from(at)])).collect()
}

fn source() -> ByteStream {
    stream(pieces().into_iter().map(Ok).collect())
}

/// A source that breaks off in the middle of it.
fn broken() -> ByteStream {
    let silent = Trouble::Silent { doing: "testing", seconds: 1 };
    stream(pieces().into_iter().map(Ok).chain([Err(silent)]).collect())
}

async fn read(shelf: &Shelf, key: &str) -> Vec<u8> {
    let (size, bytes) = shelf.get(key).await.unwrap();
    let read: Vec<Bytes> = bytes.try_collect().await.unwrap();
    let read = read.concat();
    assert_eq!(read.len() as u64, size);
    read
}

fn files(folder: &FilePath) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            names.extend(files(&entry.path()));
        } else {
            names.push(entry.file_name().into_string().unwrap());
        }
    }
    names
}

struct Folder {
    shelf: Shelf,
    path: PathBuf,
    _kept: tempfile::TempDir,
}

fn folder() -> Folder {
    let kept = tempfile::tempdir().unwrap();
    let path = kept.path().join("backups");
    Folder { shelf: Shelf::open(&Place::Folder(path.clone())).unwrap(), path, _kept: kept }
}

/// What every kind of shelf does.
async fn keeps_what_it_is_given(shelf: &Shelf) {
    assert!(matches!(shelf.get(KEY).await, Err(ShelfError::Missing)));
    shelf.put(KEY, source(), 0).await.unwrap();
    assert!(read(shelf, KEY).await == pieces().concat());
    shelf.put(KEY, stream(vec![Ok(Bytes::from_static(b"small"))]), 0).await.unwrap();
    assert_eq!(read(shelf, KEY).await, b"small");
    shelf.remove(KEY).await.unwrap();
    assert!(matches!(shelf.get(KEY).await, Err(ShelfError::Missing)));
    shelf.remove(KEY).await.unwrap();
    let trouble = shelf.put(KEY, broken(), 0).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Silent { .. }), "{trouble}");
    assert!(matches!(shelf.get(KEY).await, Err(ShelfError::Missing)));
}

#[tokio::test]
async fn a_folder_keeps_what_it_is_given() {
    let folder = folder();
    keeps_what_it_is_given(&folder.shelf).await;
    assert_eq!(files(&folder.path), Vec::<String>::new());
}

#[tokio::test]
async fn a_bucket_keeps_what_it_is_given() {
    let server = ObjectServer::start().await;
    let shelf = Shelf::open(&Place::Bucket(server.bucket(PATIENCE))).unwrap();
    keeps_what_it_is_given(&shelf).await;
    assert_eq!(server.files(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_folder_is_for_nobody_else() {
    let folder = folder();
    let mode = std::fs::metadata(&folder.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed_and_nothing_else() {
    let folder = folder();
    let of_instance = folder.path.join("r-test0000000001");
    std::fs::create_dir(&of_instance).unwrap();
    let leave = |name: &str| std::fs::write(of_instance.join(name), "half").unwrap();
    leave("123456789.rdb.sealed#1");
    leave("123456789.rdb.sealed#2");
    leave("123456780.rdb.sealed#1");
    leave("123456780.rdb.sealed");
    folder.shelf.remove(KEY).await.unwrap();
    let mut left = files(&folder.path);
    left.sort();
    assert_eq!(left, ["123456780.rdb.sealed", "123456780.rdb.sealed#1"]);
}

#[tokio::test]
async fn an_upload_that_a_killed_process_left_is_ended() {
    let server = ObjectServer::start().await;
    let shelf = Shelf::open(&Place::Bucket(server.bucket(PATIENCE))).unwrap();
    // A source that never ends, and a task that does: as if the process were killed.
    let endless = source().chain(futures::stream::pending()).boxed();
    let cut = shelf.clone();
    let task = tokio::spawn(async move { cut.put(KEY, endless, 0).await });
    let parts = || {
        let files = server.files();
        files.iter().filter(|file| file.to_string_lossy().contains("part")).count()
    };
    let sent = async {
        while parts() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), sent).await.expect("no part comes");
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    shelf.remove(KEY).await.unwrap();
    assert_eq!(server.files(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_store_that_fails_or_hangs_is_an_error_soon_and_no_object() {
    let server = ObjectServer::start().await;
    let patient = Shelf::open(&Place::Bucket(server.bucket(PATIENCE))).unwrap();
    let hasty = server.bucket(Duration::from_millis(300));
    let hasty = Shelf::open(&Place::Bucket(hasty)).unwrap();
    for mood in [Mood::Fails, Mood::Hangs, Mood::FailsParts] {
        let shelf = if mood == Mood::Hangs { &hasty } else { &patient };
        server.be(mood);
        let before = server.requests();
        let trouble = shelf.put(KEY, source(), 0).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Machine { .. }), "{mood:?}: {trouble}");
        assert!(!trouble.to_string().contains("http"), "{trouble}");
        assert!(server.requests() - before < 20, "{mood:?}");
        if mood != Mood::FailsParts {
            assert!(matches!(shelf.get(KEY).await, Err(ShelfError::Failing)), "{mood:?}");
            assert!(shelf.remove(KEY).await.is_err(), "{mood:?}");
        }
        server.be(Mood::Well);
        patient.remove(KEY).await.unwrap();
        assert_eq!(server.files(), Vec::<PathBuf>::new(), "{mood:?}");
        keeps_what_it_is_given(&patient).await;
    }
}

#[tokio::test]
async fn a_store_that_fails_while_it_is_read_is_an_error_and_no_end() {
    let server = ObjectServer::start().await;
    let shelf = Shelf::open(&Place::Bucket(server.bucket(PATIENCE))).unwrap();
    shelf.put(KEY, source(), 0).await.unwrap();
    let (_, mut bytes) = shelf.get(KEY).await.unwrap();
    bytes.next().await.unwrap().unwrap();
    server.be(Mood::Fails);
    let rest: Result<Vec<Bytes>, Trouble> = bytes.try_collect().await;
    // Parts that were under way already may still come.
    assert!(rest.is_err() || server.requests() < 6, "{rest:?}");
}

#[tokio::test]
async fn a_bucket_with_another_secret_refuses() {
    let server = ObjectServer::start().await;
    let mut bucket = server.bucket(PATIENCE);
    for (name, value) in &mut bucket.options {
        if name == "secret_access_key" {
            *value = "another".into();
        }
    }
    let shelf = Shelf::open(&Place::Bucket(bucket)).unwrap();
    assert!(matches!(shelf.get(KEY).await, Err(ShelfError::Refused)));
}

#[test]
fn a_place_that_is_none_is_refused_in_words() {
    let server = |url: &str, option: &str| {
        let options = vec![(option.to_owned(), "x".into())];
        let bucket = Bucket { url: url.into(), options, limits: bucket::Limits::default() };
        Shelf::open(&Place::Bucket(bucket)).unwrap_err().to_string()
    };
    assert!(server("s3://bucket", "colour").contains("'colour'"));
    assert!(server("gs://bucket", "region").contains("s3://bucket/prefix"));
    assert!(server("bucket", "region").contains("'bucket'"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let place = Place::Folder(file.path().to_owned());
    assert!(matches!(Shelf::open(&place), Err(ShelfError::Machine(_))));
}

#[test]
fn what_the_machine_says_is_told_without_a_path() {
    let full = io::Error::from_raw_os_error(28);
    let error = Error::Generic {
        store: "LocalFileSystem",
        source: Box::new(Wrapped(io::Error::new(full.kind(), Wrapped(full)))),
    };
    let failure = failure(&error);
    assert!(matches!(&failure, ShelfError::Machine(error) if error.raw_os_error() == Some(28)));
    assert_eq!(
        failure.to_string(),
        "the backup store fails: No space left on device (os error 28)"
    );
}

#[derive(Debug, thiserror::Error)]
#[error("writing /secret/path: {0}")]
struct Wrapped(#[source] io::Error);
