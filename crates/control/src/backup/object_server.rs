//! A real S3 server in the process of a test: it checks signatures, and fails or hangs when told.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use ourkv_domain::secret::Secret;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::backup::{Bucket, Limits};

const KEY: &str = "AKIDTEST";
const SECRET: &str = "not-much-of-a-secret";

/// What the server does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    Fails,
    Hangs,
    /// Only uploads of parts fail.
    FailsParts,
}

pub(crate) struct ObjectServer {
    address: std::net::SocketAddr,
    mood: Arc<AtomicU8>,
    requests: Arc<AtomicU64>,
    root: tempfile::TempDir,
    _serving: AbortOnDropHandle<()>,
}

impl ObjectServer {
    pub(crate) async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("bucket")).unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mood, requests) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicU64::new(0)));
        let serving = serve(listener, service.build(), Arc::clone(&mood), Arc::clone(&requests));
        let serving = AbortOnDropHandle::new(tokio::spawn(serving));
        Self { address, mood, requests, root, _serving: serving }
    }

    pub(crate) fn be(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    /// The bucket, for a client that waits so long for an answer.
    pub(crate) fn bucket(&self, request: Duration) -> Bucket {
        let options = [
            ("endpoint", format!("http://{}", self.address)),
            ("region", "us-east-1".into()),
            ("access_key_id", KEY.into()),
            ("secret_access_key", SECRET.into()),
            ("allow_http", "true".into()),
        ];
        let limits = Limits {
            request,
            retries: 1,
            retry_for: Duration::from_millis(500),
            ..Limits::default()
        };
        Bucket {
            url: "s3://bucket/backups".into(),
            options: options.map(|(name, value)| (name.to_owned(), Secret::from(value))).into(),
            limits,
        }
    }

    /// All files in the server's folder but its own bookkeeping of what is complete.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let (mut files, mut folders) = (Vec::new(), vec![self.root.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy();
                if path.is_dir() {
                    folders.push(path);
                } else if !name.starts_with(".bucket-") {
                    files.push(path.strip_prefix(self.root.path()).unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }
}

async fn serve(
    listener: TcpListener,
    service: S3Service,
    mood: Arc<AtomicU8>,
    requests: Arc<AtomicU64>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (service, mood, requests) = (service.clone(), mood.clone(), requests.clone());
        let answer = move |request: Request<Incoming>| {
            requests.fetch_add(1, Ordering::SeqCst);
            answer(service.clone(), mood.load(Ordering::SeqCst), request)
        };
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer)),
        );
    }
}

async fn answer(
    service: S3Service,
    mood: u8,
    request: Request<Incoming>,
) -> Result<Response<s3s::Body>, Infallible> {
    let is_part = request.uri().query().is_some_and(|query| query.contains("partNumber"));
    if mood == Mood::Hangs as u8 {
        std::future::pending::<()>().await;
    }
    if mood == Mood::Fails as u8 || (mood == Mood::FailsParts as u8 && is_part) {
        let mut failed = Response::new(s3s::Body::empty());
        *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return Ok(failed);
    }
    Ok(service.call(request.map(s3s::Body::from)).await.unwrap_or_else(|error| panic!("{error:?}")))
}
