//! Objects, of which only what an expression asks for is read.

use std::sync::{Arc, OnceLock};

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Iterable, Iterator, Sizer};
use cel::common::types::{CelInt, CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};

use super::value::read;
use crate::record::select::member;

/// An object of a document. In loops its members come in the order of the document, which is the same in every run.
#[derive(Debug)]
pub(super) struct Object<'v> {
    json: &'v str,
    names: OnceLock<Vec<CelString<'v>>>,
}

impl<'v> Object<'v> {
    pub(super) fn new(json: &'v str) -> Self {
        Object { json, names: OnceLock::new() }
    }

    /// The names of its members, in their order.
    pub(super) fn names(&self) -> &[CelString<'v>] {
        self.names.get_or_init(|| {
            let members = sonic_rs::to_object_iter(self.json).map_while(Result::ok);
            members.map(|(name, _)| CelString::from(name.into_owned())).collect()
        })
    }

    fn find<'w>(&self, key: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        'v: 'w,
    {
        let Some(name) = key.downcast_ref::<CelString<'_>>() else {
            let got = key.get_type().name().to_owned();
            return Err(ExecutionError::UnexpectedType { got, want: "string".to_owned() });
        };
        let no_such_key = || ExecutionError::NoSuchKey(Arc::new(name.inner().to_owned()));
        let json = member(self.json, name.inner()).ok_or_else(no_such_key)?;
        let failed = |message| ExecutionError::FunctionError { function: name.inner().to_owned(), message };
        read(json).map_err(failed)
    }
}

impl<'v> Val for Object<'v> {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn into_indexer<'w>(self: Box<Self>) -> Option<Box<dyn Indexer + 'w>>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_iterable<'b, 'w>(&'b self) -> Option<&'b (dyn Iterable + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        let (Some(size), Some(of_other)) = (other.as_sizer(), other.as_indexer()) else { return false };
        let is_alike = |name: &CelString<'v>| match (self.find(name), of_other.get(name)) {
            (Ok(mine), Ok(other)) => mine.equals(other.as_ref()),
            _ => false,
        };
        other.get_type().kind() == MAP_TYPE.kind()
            && size.size().inner() == self.size().inner()
            && self.names().iter().all(is_alike)
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(Object::new(self.json))
    }
}

impl Container for Object<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(key.downcast_ref::<CelString<'_>>().is_some_and(|name| member(self.json, name.inner()).is_some()))
    }
}

impl<'v> Indexer for Object<'v> {
    fn get<'b, 'w>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.find(key).map(CowVal::Owned)
    }

    fn steal<'w>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.find(key)
    }
}

impl Sizer for Object<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(self.names().len() as i64)
    }
}

impl<'v> Iterable for Object<'v> {
    fn iter<'b, 'w>(&'b self) -> Box<dyn Iterator<'b, 'w> + 'b>
    where
        Self: 'w,
    {
        Box::new(Names(self.names().iter()))
    }
}

struct Names<'b, 'v>(std::slice::Iter<'b, CelString<'v>>);

impl<'b, 'v: 'w, 'w> Iterator<'b, 'w> for Names<'b, 'v> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'w)> {
        self.0.next().map(|name| name as &(dyn Val + 'w))
    }
}
