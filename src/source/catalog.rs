//! The partitions of a source, by number and name, shared by all workers of a process.

use std::sync::{Arc, Mutex, MutexGuard};

use super::{Bookmark, Known, PartitionReader, Source, SourceError};

/// A source and its partitions. A partition's number never changes, also over restarts: those that earlier runs knew come
/// first, in their order, then new ones as they are found.
///
/// One process of a cluster opens the catalogue and discovers; the others open replicas, and adopt what it found.
#[derive(Clone)]
pub struct Catalog {
    inner: Arc<Mutex<Inner>>,
    /// How many partitions earlier runs knew.
    known: u32,
    is_replica: bool,
}

struct Inner {
    source: Box<dyn Source>,
    partitions: Vec<Partition>,
}

struct Partition {
    name: Arc<str>,
    bookmark: Bookmark,
}

impl Catalog {
    /// A catalogue of the partitions that earlier runs knew, in the order of their numbers, and of everything else that is
    /// present. With `skip_lost` it does without those that are gone.
    ///
    /// # Errors
    /// If the source can not be looked at, or if a partition is gone that was not read to its end.
    pub fn open(source: Box<dyn Source>, known: Vec<(String, Bookmark)>, skip_lost: bool) -> Result<Self, SourceError> {
        let catalog = Catalog::restore(source, known, skip_lost, false)?;
        catalog.discover()?;
        Ok(catalog)
    }

    /// The catalogue of a process that does not discover, but adopts what another one found.
    ///
    /// # Errors
    /// As for [`Catalog::open`].
    pub fn replica(
        source: Box<dyn Source>,
        known: Vec<(String, Bookmark)>,
        skip_lost: bool,
    ) -> Result<Self, SourceError> {
        Catalog::restore(source, known, skip_lost, true)
    }

    fn restore(
        mut source: Box<dyn Source>,
        known: Vec<(String, Bookmark)>,
        skip_lost: bool,
        is_replica: bool,
    ) -> Result<Self, SourceError> {
        let known: Vec<Known> = known.into_iter().map(|(name, bookmark)| Known { name, bookmark }).collect();
        source.restore(&known, skip_lost)?;
        let partition = |Known { name, bookmark }| Partition { name: name.into(), bookmark };
        let partitions: Vec<Partition> = known.into_iter().map(partition).collect();
        let known = number(partitions.len());
        Ok(Catalog { inner: Arc::new(Mutex::new(Inner { source, partitions })), known, is_replica })
    }

    /// Looks for new partitions; returns how many there are in all. A replica does not look.
    ///
    /// # Errors
    /// If the source can not be looked at.
    pub fn discover(&self) -> Result<u32, SourceError> {
        let mut inner = self.lock();
        if !self.is_replica {
            let found = inner.source.discover()?;
            let new = |name: String| Partition { name: name.into(), bookmark: Bookmark::default() };
            inner.partitions.extend(found.into_iter().map(new));
        }
        Ok(number(inner.partitions.len()))
    }

    /// Takes over a partition that another process found. One that is here already may be adopted again.
    ///
    /// # Errors
    /// If the source does not find it, or if the processes do not agree on the numbers.
    pub fn adopt(&self, number: u32, name: &str) -> Result<(), SourceError> {
        let mut inner = self.lock();
        let here = inner.partitions.len();
        let refused = |reason| Err(SourceError::Adopted { partition: name.to_owned(), reason });
        match inner.partitions.get(number as usize) {
            Some(partition) if *partition.name == *name => Ok(()),
            Some(partition) => refused(format!("its number {number} is that of {:?} here", partition.name)),
            None if number as usize > here => {
                refused(format!("its number is {number}, and only {here} came before it"))
            }
            None => {
                inner.source.adopt(name)?;
                inner.partitions.push(Partition { name: name.into(), bookmark: Bookmark::default() });
                Ok(())
            }
        }
    }

    /// All records of a partition below `offset` are in all sinks. Left out while the source is busy: it is for monitors only,
    /// and a later offset says it, too.
    pub fn written(&self, partition: u32, offset: u64) {
        if let Ok(inner) = self.inner.try_lock() {
            inner.source.written(&inner.partitions[partition as usize].name, offset);
        }
    }

    /// The run has ended.
    pub fn finish(&self) {
        if let Ok(inner) = self.inner.try_lock() {
            inner.source.finish();
        }
    }

    /// Whether partitions may still appear or grow.
    pub fn is_unbounded(&self) -> bool {
        self.lock().source.is_unbounded()
    }

    /// How many partitions earlier runs knew; their numbers are below this.
    pub fn known(&self) -> u32 {
        self.known
    }

    /// The name of a partition.
    ///
    /// # Panics
    /// If there is none with this number.
    pub fn name(&self, partition: u32) -> Arc<str> {
        self.lock().partitions[partition as usize].name.clone()
    }

    /// The partitions from this number on: with [`Catalog::known`], those that are new in this run.
    pub fn names_from(&self, first: u32) -> Vec<(u32, String)> {
        let inner = self.lock();
        let numbered = (0..).zip(&inner.partitions).skip(first as usize);
        numbered.map(|(number, partition)| (number, partition.name.to_string())).collect()
    }

    /// How many partitions there are.
    pub fn len(&self) -> usize {
        self.lock().partitions.len()
    }

    /// Whether there is no partition.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Opens a partition where its bookmark leads; also gives the bookmark.
    ///
    /// # Errors
    /// If it can not be read, or is not what it was when it was read so far.
    ///
    /// # Panics
    /// If there is none with this number.
    pub fn open_partition(&self, partition: u32) -> Result<(Box<dyn PartitionReader>, Bookmark), SourceError> {
        let inner = self.lock();
        let Partition { name, bookmark } = &inner.partitions[partition as usize];
        Ok((inner.source.open(name, bookmark)?, bookmark.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("a panic would have ended the process")
    }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).expect("fewer than 2^32 partitions")
}
