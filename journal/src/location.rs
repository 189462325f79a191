//! From the location that a user gives to a store that is ready to be written.

use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

use crate::error::JournalError;
use crate::store::{Created, Driver, Store};

/// Whether what is missing may be made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Directories are made, and a probe is written.
    Write,
    /// Nothing is written.
    Read,
}

/// A store at a directory, or at a URL.
pub(crate) fn open(location: &str, access: Access) -> Result<Store, JournalError> {
    let store = match location.split_once("://") {
        None => local(location, FilePath::new(location), access),
        Some(("file", _)) => {
            let path = url::Url::parse(location).ok().and_then(|url| url.to_file_path().ok());
            let path =
                path.ok_or_else(|| unusable(location, "a file URL needs an absolute path, as in file:///dir"))?;
            local(location, &path, access)
        }
        #[cfg(feature = "s3")]
        Some(("s3" | "s3a", _)) => s3(location),
        #[cfg(not(feature = "s3"))]
        Some(("s3" | "s3a", _)) => Err(unusable(location, "this build lacks the feature \"s3\"")),
        Some((scheme, _)) => {
            Err(unusable(location, format!("\"{scheme}\" is not known; use a directory, file:// or s3://")))
        }
    }?;
    if access == Access::Write {
        probe(location, &store)?;
    }
    Ok(store)
}

fn unusable(location: &str, problem: impl Into<String>) -> JournalError {
    JournalError::Location { location: location.to_owned(), problem: problem.into() }
}

/// A local directory, in which every write reaches the disk before it counts: the staged file is synced, then linked under
/// its name (which fails if there is one), then the directory is synced. All three by `object_store`, once told so.
fn local(location: &str, dir: &FilePath, access: Access) -> Result<Store, JournalError> {
    let failed = |error: std::io::Error| unusable(location, format!("the directory cannot be used: {error}"));
    if access == Access::Write {
        for folder in ["manifest", "parts"] {
            create_dirs(&dir.join(folder)).map_err(failed)?;
        }
    }
    let objects = LocalFileSystem::new_with_prefix(dir)
        .map_err(|error| unusable(location, format!("the directory cannot be used: {error}")))?
        .with_fsync(true);
    Ok(Store::new(Arc::new(objects), Path::default(), Driver::Caller).in_directory(dir))
}

/// Creates a directory and those above it, and makes them durable.
fn create_dirs(dir: &FilePath) -> std::io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => FilePath::new("."),
    };
    create_dirs(parent)?;
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => std::fs::File::open(parent)?.sync_all(),
    }
}

#[cfg(feature = "s3")]
fn s3(location: &str) -> Result<Store, JournalError> {
    use object_store::aws::AmazonS3Builder;
    let url = url::Url::parse(location).map_err(|error| unusable(location, error.to_string()))?;
    let prefix = Path::from_url_path(url.path()).map_err(|error| unusable(location, error.to_string()))?;
    let objects = AmazonS3Builder::from_env()
        .with_url(location)
        .build()
        .map_err(|error| unusable(location, error.to_string()))?;
    let driver = Driver::runtime().map_err(|error| unusable(location, format!("no thread for it: {error}")))?;
    Ok(Store::new(Arc::new(objects), prefix, driver))
}

/// Shows that objects can be created, and that one is never replaced by another: fencing stands on that.
fn probe(location: &str, store: &Store) -> Result<(), JournalError> {
    let object = format!("probe/{:016x}", crate::random());
    let bytes = Bytes::from_static(b"may be removed");
    let first = store.create(&object, bytes.clone())?;
    let second = store.create(&object, bytes);
    store.remove(std::slice::from_ref(&object))?;
    match (first, second?) {
        (Created::Yes, Created::Exists) => Ok(()),
        _ => Err(unusable(location, "the store does not support conditional creation of objects")),
    }
}
