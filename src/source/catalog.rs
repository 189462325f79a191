//! The partitions of a source, by number and name, shared by all workers of a process.

use std::sync::{Arc, Mutex};

use super::{PartitionReader, Source, SourceError};

/// A source and the partitions found so far. Numbers are given in the order in which partitions are found.
#[derive(Clone)]
pub struct Catalog {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    source: Box<dyn Source>,
    names: Vec<Arc<str>>,
}

impl Catalog {
    /// A catalogue of everything that is present.
    ///
    /// # Errors
    /// If the source can not be looked at.
    pub fn open(source: Box<dyn Source>) -> Result<Self, SourceError> {
        let catalog = Catalog { inner: Arc::new(Mutex::new(Inner { source, names: Vec::new() })) };
        catalog.discover()?;
        Ok(catalog)
    }

    /// Looks for new partitions; returns how many there are in all.
    ///
    /// # Errors
    /// If the source can not be looked at.
    pub fn discover(&self) -> Result<usize, SourceError> {
        let mut inner = self.lock();
        let found = inner.source.discover()?;
        inner.names.extend(found.into_iter().map(Arc::from));
        Ok(inner.names.len())
    }

    /// Whether partitions may still appear or grow.
    pub fn is_unbounded(&self) -> bool {
        self.lock().source.is_unbounded()
    }

    /// The name of a partition.
    pub fn name(&self, partition: u32) -> Arc<str> {
        self.lock().names[partition as usize].clone()
    }

    /// How many partitions were found.
    pub fn len(&self) -> usize {
        self.lock().names.len()
    }

    /// Whether no partition was found.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Opens a partition at its beginning.
    ///
    /// # Errors
    /// If it can not be read.
    pub fn open_partition(&self, partition: u32) -> Result<Box<dyn PartitionReader>, SourceError> {
        let inner = self.lock();
        inner.source.open(&inner.names[partition as usize], 0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("a panic would have ended the process")
    }
}
