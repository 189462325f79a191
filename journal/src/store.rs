//! Objects by name, blocking: the only module that knows where the bytes are.

use std::future::Future;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};

use crate::error::JournalError;

/// Requests in flight where several objects are wanted at once.
const CONCURRENCY: usize = 16;

/// An object store and a prefix in it.
#[derive(Clone)]
pub(crate) struct Store {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    driver: Driver,
    /// If it is a local one.
    directory: Option<Directory>,
}

/// A directory, and what tells it from another one that may take its place.
#[derive(Clone)]
struct Directory {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

/// Device and inode; `None` if there is nothing at the path, or on systems without.
fn identity(path: &FilePath) -> Option<(u64, u64)> {
    #[cfg(unix)]
    return std::fs::metadata(path).ok().map(|metadata| {
        use std::os::unix::fs::MetadataExt;
        (metadata.dev(), metadata.ino())
    });
    #[cfg(not(unix))]
    return None;
}

/// Who polls the futures of an object store.
#[derive(Clone)]
pub(crate) enum Driver {
    /// The calling thread. A local directory does its work in `poll` then, without a hand-over to another thread.
    Caller,
    #[cfg(feature = "s3")]
    /// A runtime of one thread, which remote stores need for their connections.
    Runtime(Arc<tokio::runtime::Runtime>),
}

#[cfg(feature = "s3")]
impl Driver {
    /// A runtime of its own for a remote store.
    pub(crate) fn runtime() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("journal-io")
            .enable_all()
            .build()?;
        Ok(Driver::Runtime(Arc::new(runtime)))
    }
}

/// What became of a conditional creation.
#[derive(Debug)]
pub(crate) enum Created {
    /// The object is durable.
    Yes,
    /// There is one of that name.
    Exists,
}

impl Store {
    pub(crate) fn new(objects: Arc<dyn ObjectStore>, prefix: Path, driver: Driver) -> Self {
        Store { objects, prefix, driver, directory: None }
    }

    pub(crate) fn in_directory(self, dir: &FilePath) -> Self {
        Store { directory: Some(Directory { path: dir.to_owned(), identity: identity(dir) }), ..self }
    }

    /// Writing makes directories that are missing. A journal that begins in the middle must not come of that, and least of
    /// all in the journal that another run has begun meanwhile.
    fn is_still_there(&self) -> Result<(), JournalError> {
        match &self.directory {
            Some(Directory { path, identity: opened }) if identity(path) != *opened => {
                Err(JournalError::Gone { directory: path.clone() })
            }
            _ => Ok(()),
        }
    }

    fn wait<F: Future>(&self, future: F) -> F::Output {
        match &self.driver {
            Driver::Caller => futures_executor::block_on(future),
            #[cfg(feature = "s3")]
            Driver::Runtime(runtime) => runtime.block_on(future),
        }
    }

    fn path(&self, object: &str) -> Path {
        self.prefix.parts().chain(Path::from(object).parts()).collect()
    }

    /// Creates an object that must not exist; durable when it returns [`Created::Yes`].
    pub(crate) fn create(&self, object: &str, bytes: Bytes) -> Result<Created, JournalError> {
        self.is_still_there()?;
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.wait(self.objects.put_opts(&self.path(object), PutPayload::from_bytes(bytes), options)) {
            Ok(_) => Ok(Created::Yes),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Created::Exists),
            Err(source) => Err(JournalError::Store { action: "write", object: object.to_owned(), source }),
        }
    }

    /// Writes an object, whatever is there: what a crash in the middle of a write might leave on a poor store.
    #[cfg(feature = "failpoints")]
    pub(crate) fn overwrite(&self, object: &str, bytes: Bytes) -> Result<(), JournalError> {
        self.wait(self.objects.put(&self.path(object), PutPayload::from_bytes(bytes)))
            .map(|_| ())
            .map_err(|source| JournalError::Store { action: "write", object: object.to_owned(), source })
    }

    /// Begins an object that is written in pieces, and exists once [`Upload::finish`] returned.
    pub(crate) fn upload(&self, object: &str) -> Result<Upload, JournalError> {
        self.is_still_there()?;
        let inner = self
            .wait(self.objects.put_multipart(&self.path(object)))
            .map_err(|source| JournalError::Store { action: "write", object: object.to_owned(), source })?;
        Ok(Upload { store: self.clone(), object: object.to_owned(), inner: Some(inner) })
    }

    /// The whole object.
    pub(crate) fn get(&self, object: &str) -> Result<Bytes, JournalError> {
        self.wait(async { self.objects.get(&self.path(object)).await?.bytes().await })
            .map_err(|source| read_error(object, source))
    }

    /// The whole objects, in the order of their names.
    pub(crate) fn get_all(&self, objects: &[String]) -> Result<Vec<Bytes>, JournalError> {
        let gets = objects.iter().map(|object| async move {
            let got = async { self.objects.get(&self.path(object)).await?.bytes().await };
            got.await.map_err(|source| read_error(object, source))
        });
        self.wait(stream::iter(gets).buffered(CONCURRENCY).try_collect())
    }

    /// `len` bytes from `start`, and the size of the whole object. Fewer bytes if the object ends before.
    pub(crate) fn get_range(&self, object: &str, start: u64, len: u64) -> Result<(Bytes, u64), JournalError> {
        let options = GetOptions { range: Some(GetRange::Bounded(start..start + len)), ..GetOptions::default() };
        self.wait(async {
            let result = self.objects.get_opts(&self.path(object), options).await?;
            let size = result.meta.size;
            Ok((result.bytes().await?, size))
        })
        .map_err(|source| read_error(object, source))
    }

    /// Names within the journal, and sizes, of all objects below a folder of it.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, JournalError> {
        let path = self.path(folder);
        let listed: Vec<_> = self
            .wait(self.objects.list(Some(&path)).try_collect())
            .map_err(|source| JournalError::Store { action: "list", object: format!("{folder}/"), source })?;
        let name = |location: &Path| {
            let rest: Vec<_> = location.prefix_match(&path)?.map(|part| part.as_ref().to_owned()).collect();
            Some(format!("{folder}/{}", rest.join("/")))
        };
        Ok(listed.iter().filter_map(|meta| Some((name(&meta.location)?, meta.size))).collect())
    }

    /// Removes objects; one that is gone already is fine.
    pub(crate) fn remove(&self, objects: &[String]) -> Result<(), JournalError> {
        let paths: Vec<_> = objects.iter().map(|object| Ok(self.path(object))).collect();
        let mut first = None;
        self.wait(async {
            let mut removed = self.objects.delete_stream(stream::iter(paths).boxed());
            while let Some(result) = removed.next().await {
                if let Err(error) = result
                    && !matches!(error, Error::NotFound { .. })
                {
                    first.get_or_insert(error);
                }
            }
        });
        let object = objects.first().cloned().unwrap_or_default();
        first.map_or(Ok(()), |source| Err(JournalError::Store { action: "remove", object, source }))
    }

    /// Removes files of `folder` that a killed run had not yet given a name: `object_store` calls them `name#1` in a local
    /// directory, and never lists them. One that a zombie is still writing may go too: its write fails, as it should.
    pub(crate) fn remove_staged(&self, folder: &str) {
        let Some(Directory { path: dir, .. }) = &self.directory else { return };
        for file in std::fs::read_dir(dir.join(folder)).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let staged =
                name.rsplit_once('#').is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
            if staged && let Err(error) = std::fs::remove_file(file.path()) {
                tracing::debug!(%error, name, "a file left by an earlier run could not be removed");
            }
        }
    }
}

fn read_error(object: &str, source: Error) -> JournalError {
    match source {
        Error::NotFound { .. } => JournalError::Missing { object: object.to_owned() },
        source => JournalError::Store { action: "read", object: object.to_owned(), source },
    }
}

/// An object that is written in pieces. Dropped before its end, it leaves no object.
pub(crate) struct Upload {
    store: Store,
    object: String,
    inner: Option<Box<dyn MultipartUpload>>,
}

impl Upload {
    /// Adds a piece; all but the last must have at least 5 MiB, which is what S3 wants.
    pub(crate) fn write(&mut self, bytes: Bytes) -> Result<(), JournalError> {
        let inner = self.inner.as_mut().expect("present until the upload is finished");
        let piece = inner.put_part(PutPayload::from_bytes(bytes));
        self.store.wait(piece).map_err(|source| self.error(source))
    }

    /// Makes the object durable.
    pub(crate) fn finish(mut self) -> Result<(), JournalError> {
        let mut inner = self.inner.take().expect("present until the upload is finished");
        self.store.wait(inner.complete()).map(|_| ()).map_err(|source| self.error(source))
    }

    fn error(&self, source: Error) -> JournalError {
        JournalError::Store { action: "write", object: self.object.clone(), source }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(mut inner) = self.inner.take() {
            // What cannot be aborted is left to the store's own rules for unfinished uploads.
            let _ = self.store.wait(inner.abort());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under_a_prefix(driver: Driver) {
        let objects: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
        let store = Store::new(Arc::clone(&objects), Path::from("team/state"), driver.clone());
        let other = Store::new(objects, Path::from("team/state2"), driver);
        let bytes = Bytes::from_static(b"0123456789");
        assert!(matches!(store.create("parts/a", bytes.clone()), Ok(Created::Yes)));
        assert!(matches!(store.create("parts/a", bytes.clone()), Ok(Created::Exists)));
        assert!(matches!(other.create("parts/a", bytes.clone()), Ok(Created::Yes)));
        assert_eq!(store.get("parts/a").unwrap(), bytes);
        assert_eq!(store.get_range("parts/a", 3, 4).unwrap(), (Bytes::from_static(b"3456"), 10));
        assert_eq!(store.list("parts").unwrap(), [("parts/a".to_owned(), 10)]);
        assert_eq!(store.list("manifest").unwrap(), []);
        assert!(matches!(store.get_all(&["parts/b".into()]), Err(JournalError::Missing { .. })));
        let mut upload = store.upload("parts/large").unwrap();
        upload.write(bytes.clone()).unwrap();
        upload.write(bytes).unwrap();
        assert!(matches!(store.get("parts/large"), Err(JournalError::Missing { .. })));
        upload.finish().unwrap();
        assert_eq!(store.get("parts/large").unwrap().len(), 20);
        store.remove(&["parts/large".into(), "parts/a".into(), "parts/never".into()]).unwrap();
        assert_eq!(store.list("parts").unwrap(), []);
        assert_eq!(other.list("parts").unwrap().len(), 1);
    }

    #[test]
    fn objects_live_under_a_prefix() {
        under_a_prefix(Driver::Caller);
        #[cfg(feature = "s3")]
        under_a_prefix(Driver::runtime().unwrap());
    }

    /// A large merge is written in pieces, and leaves nothing if it is given up.
    #[test]
    fn an_upload_that_is_dropped_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let journal = crate::Journal::open(dir.path().to_str().unwrap()).unwrap();
        let mut upload = journal.store().upload("parts/large").unwrap();
        upload.write(Bytes::from_static(b"piece")).unwrap();
        drop(upload);
        assert_eq!(std::fs::read_dir(dir.path().join("parts")).unwrap().count(), 0);
    }

    #[test]
    fn a_journal_is_shared_and_a_keeper_is_sent() {
        fn shared<T: Send + Sync + Clone>() {}
        fn sent<T: Send>() {}
        shared::<crate::Journal>();
        sent::<crate::Keeper>();
        sent::<crate::PartReader>();
    }
}
