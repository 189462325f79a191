//! The keys of records, as they are written.

use std::cmp::Ordering;
use std::fmt;

use flowstone_operators::route::Route;

use super::{COMPOSITE, CodecError, Input, OPERATION, ROW_OF};
use crate::record::scalar::{Key, ScalarRef, route_of_parts, write_key};

/// The key of a record: one value or several; for a row of an operation, the operation with it. Equal keys are equal bytes;
/// ordered like [`Key`], by the operation last.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyRef<'a>(&'a [u8]);

/// An operation: one of the runs of a series, which produce rows of one type about one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationRef<'a> {
    /// The type.
    pub kind: ScalarRef<'a>,
    /// The thing: an asset, as a rule.
    pub pivot: ScalarRef<'a>,
    /// It grows from run to run.
    pub number: u64,
}

impl<'a> OperationRef<'a> {
    /// Its values, in order.
    pub fn parts(self) -> impl Iterator<Item = ScalarRef<'a>> + Clone {
        let number = i64::try_from(self.number).map_or(ScalarRef::UInt(self.number), ScalarRef::Int);
        [self.kind, self.pivot, number].into_iter()
    }
}

const CHECKED: &str = "a key's bytes were checked when its record was made";

impl<'a> KeyRef<'a> {
    /// Of bytes that were checked, or written here.
    pub(in crate::record) fn of(bytes: &'a [u8]) -> Self {
        KeyRef(bytes)
    }

    /// The values of the key, in order; those of an operation come last.
    pub fn parts(self) -> impl Iterator<Item = ScalarRef<'a>> + Clone {
        let (operation, own) = self.divided();
        own_parts(own).chain(operation.into_iter().flat_map(OperationRef::parts))
    }

    /// The operation that the row belongs to, or that the record is about.
    pub fn operation(self) -> Option<OperationRef<'a>> {
        self.divided().0
    }

    /// Whether the record is about an operation, and no row.
    pub fn is_operation(self) -> bool {
        self.0.first() == Some(&OPERATION)
    }

    /// Bytes that are equal for the operations of one series, and only for those.
    pub(in crate::record) fn series(self) -> Option<&'a [u8]> {
        let mut input = Input::new(self.0);
        if self.is_plain() {
            return None;
        }
        input.byte().expect(CHECKED);
        let start = input.position_in(self.0) as usize;
        input.scalar().and_then(|_| input.scalar()).expect(CHECKED);
        Some(&self.0[start..input.position_in(self.0) as usize])
    }

    /// Whether there is no operation in it.
    pub(in crate::record) fn is_plain(self) -> bool {
        !matches!(self.0.first(), Some(&(ROW_OF | OPERATION)))
    }

    /// The operation, and the rest of the key.
    fn divided(self) -> (Option<OperationRef<'a>>, &'a [u8]) {
        let mut input = Input::new(self.0);
        let operation = operation(&mut input).expect(CHECKED);
        (operation, input.rest())
    }

    /// The same as something of its own.
    pub fn to_key(self) -> Key {
        let mut parts = self.parts().map(Into::into);
        if self.is_composite() || !self.is_plain() {
            return Key::Composite(parts.collect());
        }
        Key::One(parts.next().expect(CHECKED))
    }

    /// Appends the key as a compact JSON array, which is the row key in every sink: `["a7",4000000000]`.
    pub fn write_json(self, out: &mut Vec<u8>) {
        write_key(self.parts(), out);
    }

    fn is_composite(self) -> bool {
        is_composite(self.divided().1)
    }
}

/// The values of a key without an operation; none if nothing is left of it.
fn own_parts<'a>(bytes: &'a [u8]) -> impl Iterator<Item = ScalarRef<'a>> + Clone {
    let mut input = Input::new(bytes);
    let mut left = usize::from(!bytes.is_empty());
    if is_composite(bytes) {
        input.byte().expect(CHECKED);
        left = input.count().expect(CHECKED);
    }
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        Some(input.scalar().expect(CHECKED))
    })
}

fn compare_own(a: &[u8], b: &[u8]) -> Ordering {
    is_composite(a).cmp(&is_composite(b)).then_with(|| own_parts(a).cmp(own_parts(b)))
}

fn is_composite(bytes: &[u8]) -> bool {
    bytes.first() == Some(&COMPOSITE)
}

/// The operation that a key begins with.
fn operation<'a>(input: &mut Input<'a>) -> Result<Option<OperationRef<'a>>, CodecError> {
    if !matches!(input.rest().first(), Some(&(ROW_OF | OPERATION))) {
        return Ok(None);
    }
    input.byte()?;
    Ok(Some(OperationRef { kind: input.scalar()?, pivot: input.scalar()?, number: input.int()? }))
}

/// A key of one value routes like that value; those of the operations of a series, and of their rows, like type and pivot.
impl Route for KeyRef<'_> {
    fn route(&self) -> u64 {
        if let Some(OperationRef { kind, pivot, .. }) = self.operation() {
            return route_of_parts([kind, pivot].into_iter());
        }
        if self.is_composite() {
            return route_of_parts(self.parts());
        }
        self.parts().next().expect(CHECKED).route()
    }
}

impl Ord for KeyRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.is_plain() && other.is_plain() {
            return compare_own(self.0, other.0);
        }
        let ((of_this, own), (of_other, others)) = (self.divided(), other.divided());
        compare_own(own, others).then_with(|| of_this.cmp(&of_other))
    }
}

impl PartialOrd for KeyRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for KeyRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_key().fmt(f)
    }
}

/// Whether the bytes are the key of a record.
///
/// # Errors
/// [`CodecError`], whatever the bytes are.
pub(in crate::record) fn check_key(bytes: &[u8]) -> Result<(), CodecError> {
    let mut input = Input::new(bytes);
    operation(&mut input)?;
    let mut count = usize::from(!KeyRef(bytes).is_operation());
    if is_composite(input.rest()) {
        input.byte()?;
        count = input.count()?;
    }
    for _ in 0..count {
        input.scalar()?;
    }
    input.end()
}
