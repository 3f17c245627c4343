//! Where the settings say that backups are kept, opened.

use ourkv_control::backup::{Archive, Bucket, Limits, Place, Shelf, ShelfError};
use ourkv_domain::secret::Secret;

use crate::config::{self, BackupPlace, Config};
use crate::opening::Opened;

/// Opens the shelf, with the key of the data directory.
pub async fn archive(config: &Config, opened: &Opened) -> Result<Archive, ShelfError> {
    let shelf = open(config, Limits::default()).await?;
    Ok(Archive::new(shelf, opened.sealer.clone(), opened.mint.clone()))
}

/// Opens the shelf alone; makes the folder if it is missing.
pub async fn open(config: &Config, limits: Limits) -> Result<Shelf, ShelfError> {
    let place = place(&config.backup.place, limits);
    // Making a folder waits for the disk.
    let opening = tokio::task::spawn_blocking(move || Shelf::open(&place));
    opening.await.unwrap_or_else(|lost| Err(ShelfError::Machine(std::io::Error::other(lost))))
}

fn place(place: &BackupPlace, limits: Limits) -> Place {
    match place {
        BackupPlace::Folder(path) => Place::Folder(path.clone()),
        BackupPlace::Bucket(bucket) => {
            Place::Bucket(Bucket { url: bucket.url.clone(), options: options(bucket), limits })
        }
    }
}

/// The bucket's settings, by the names that the object store's library has for them.
fn options(bucket: &config::Bucket) -> Vec<(String, Secret)> {
    let mut options = Vec::new();
    let mut set = |name: &str, value: Option<Secret>| {
        options.extend(value.map(|value| (name.to_owned(), value)));
    };
    let text = |text: &Option<String>| text.as_deref().map(Secret::from);
    set("endpoint", text(&bucket.endpoint));
    set("region", text(&bucket.region));
    set("allow_http", bucket.allow_http.then(|| Secret::from("true")));
    if let Some(key) = &bucket.key {
        set("access_key_id", Some(key.id.clone()));
        set("secret_access_key", Some(key.secret.clone()));
        set("session_token", key.token.clone());
    }
    options
}
