//! Backups in a bucket, by the settings alone: a real S3 server that checks signatures.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::backups::{fetch, fill, json, link, open_restored, restore};
use crate::common::Ourkv;

const KEY: &str = "AKIDTEST";
const SECRET: &str = "secret-of-the-bucket";

/// An object store with a bucket called `bucket`, in a folder. It ends with its runtime.
struct ObjectStore {
    root: tempfile::TempDir,
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl ObjectStore {
    fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("bucket")).unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let (tell, told) = mpsc::channel();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        runtime.spawn(serve(service.build(), tell));
        Self { root, address: told.recv().unwrap(), _runtime: runtime }
    }

    /// The objects below a prefix of the bucket.
    fn objects(&self, prefix: &str) -> Vec<PathBuf> {
        fn below(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { below(&path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        below(&self.root.path().join("bucket").join(prefix), &mut found);
        found.retain(|path| path.extension().is_some_and(|extension| extension == "sealed"));
        found
    }
}

async fn serve(service: S3Service, tell: mpsc::Sender<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    tell.send(listener.local_addr().unwrap()).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service.clone();
        let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let service = service.clone();
            async move { service.call(request.map(s3s::Body::from)).await }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

#[test]
fn a_bucket_that_the_settings_name_keeps_backups_and_gives_them_back() {
    let store = ObjectStore::start();
    let endpoint = format!("http://{}", store.address);
    let settings = [
        ("OURKV_BACKUP_URL", "s3://bucket/of/ours/"),
        ("OURKV_BACKUP_ALLOW_HTTP", "true"),
        ("AWS_ENDPOINT_URL", &*endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("OURKV_LOG_LEVEL", "trace"),
    ];
    let server = Ourkv::start_with(&[], &settings);
    let findings = json(&server, &["doctor"]);
    let found = findings.as_array().unwrap().iter().find(|f| f["check"] == "backup bucket");
    assert_eq!(found.unwrap()["state"], "ok", "{findings:#}");

    let created = server.normal(&[]);
    let id = created["InstanceId"].as_str().unwrap();
    fill(&created, 20);
    let made = json(&server, &["backup", "create", id, "--wait"]);
    let backup = made["id"].to_string();
    assert_eq!(store.objects("of/ours").len(), 1);
    assert!(!server.dir.join("backups").exists());
    assert!(json(&server, &["backup", "verify", &backup])["verified"].is_string());
    let (status, length, body) = fetch(&link(&server, id));
    assert_eq!((status, Some(body.unwrap().len() as u64)), (200, length));

    let restored = restore(&server, &backup);
    let mut copy = open_restored(&restored).unwrap();
    assert_eq!(redis::cmd("DBSIZE").query::<i64>(&mut copy).unwrap(), 20);

    server.cli(&["backup", "rm", &backup]);
    server.until("the object is removed", |_| store.objects("of/ours").is_empty());
    assert!(!server.log().contains(SECRET));
}

#[test]
fn a_bucket_that_refuses_the_key_is_named_and_never_the_key() {
    let store = ObjectStore::start();
    let endpoint = format!("http://{}", store.address);
    let settings = [
        ("OURKV_BACKUP_URL", "s3://bucket/of/ours"),
        ("OURKV_BACKUP_ALLOW_HTTP", "true"),
        ("OURKV_BACKUP_ENDPOINT", &*endpoint),
        ("OURKV_BACKUP_REGION", "us-east-1"),
        ("OURKV_BACKUP_ACCESS_KEY_ID", KEY),
        ("OURKV_BACKUP_SECRET_ACCESS_KEY", "another-secret"),
    ];
    let server = Ourkv::start_with(&[], &settings);
    let findings: Value =
        serde_json::from_slice(&server.try_cli(&["doctor", "--output", "json"]).stdout).unwrap();
    let found = findings.as_array().unwrap().iter().find(|f| f["check"] == "backup bucket");
    assert_eq!(found.unwrap()["state"], "problem", "{findings:#}");

    let created = server.normal(&[]);
    let id = created["InstanceId"].as_str().unwrap();
    let failed = server.try_cli(&["backup", "create", id, "--wait"]);
    let talk = String::from_utf8(failed.stderr).unwrap();
    assert!(!failed.status.success() && talk.contains("failed"), "{talk}");
    let said = format!("{findings}{talk}{}", server.log());
    assert!(!said.contains("another-secret"), "{said}");
    assert_eq!(server.attributes(id)["InstanceStatus"], "Normal");
}
