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

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures_util::stream::BoxStream;
    use object_store::memory::InMemory;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
        PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    };

    use super::*;

    /// Replaces objects also when it is told to create them.
    #[derive(Debug)]
    struct Forgetful(InMemory);

    impl std::fmt::Display for Forgetful {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a forgetful store")
        }
    }

    #[async_trait]
    impl ObjectStore for Forgetful {
        async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
            self.0.put_opts(path, payload, PutOptions { mode: PutMode::Overwrite, ..options }).await
        }

        async fn put_multipart_opts(&self, path: &Path, how: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
            self.0.put_multipart_opts(path, how).await
        }

        async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
            self.0.get_opts(path, options).await
        }

        fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
            self.0.delete_stream(paths)
        }

        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
            self.0.list(prefix)
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
            self.0.list_with_delimiter(prefix).await
        }

        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
            self.0.copy_opts(from, to, options).await
        }
    }

    #[test]
    fn a_store_that_takes_an_object_twice_is_refused() {
        let store = |objects: Arc<dyn ObjectStore>| Store::new(objects, Path::default(), Driver::Caller);
        probe("s3://fine", &store(Arc::new(InMemory::new()))).unwrap();
        let error = probe("s3://forgetful", &store(Arc::new(Forgetful(InMemory::new())))).unwrap_err().to_string();
        assert!(error.contains("does not support conditional creation"), "{error}");
    }
}
