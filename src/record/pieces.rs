//! Pieces of payloads, of which documents are made.

/// A piece of a payload, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slice {
    /// Its first byte.
    pub start: u32,
    /// The byte after its last.
    pub end: u32,
}

impl Slice {
    /// The bytes themselves.
    pub fn of<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        &payload[self.start as usize..self.end as usize]
    }
}

/// One piece of a child. Its text is `{` + pieces + `}`: what lies between two members that stay neighbours is in a piece,
/// the new name of the type's member between two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChildPiece {
    /// The lead is in the two highest bits.
    start: u32,
    end: u32,
}

/// What stands before a [`ChildPiece`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// Nothing.
    None,
    /// A comma.
    Comma,
    /// `"annotation_type":`, for a piece that starts with the type's value.
    Type,
    /// The same after a comma.
    CommaType,
}

impl Lead {
    pub(super) fn number(self) -> u8 {
        self as u8
    }

    pub(super) fn of_number(number: u8) -> Self {
        [Lead::None, Lead::Comma, Lead::Type, Lead::CommaType][usize::from(number % 4)]
    }
}

impl ChildPiece {
    const START_BITS: u32 = 30;

    /// Bytes taken from the payload as they are, and what goes before them.
    ///
    /// # Panics
    /// If it starts beyond 1 GiB.
    pub fn new(slice: Slice, lead: Lead) -> Self {
        assert!(slice.start >> Self::START_BITS == 0, "payloads are shorter");
        ChildPiece { start: slice.start | u32::from(lead.number()) << Self::START_BITS, end: slice.end }
    }

    /// The bytes of the payload.
    pub fn slice(self) -> Slice {
        Slice { start: self.start & ((1 << Self::START_BITS) - 1), end: self.end }
    }

    /// The length of both, in bytes.
    pub(super) fn rendered_bytes(self) -> u32 {
        self.end - self.slice().start + self.lead().text().len() as u32
    }

    /// What goes before them.
    pub fn lead(self) -> Lead {
        Lead::of_number((self.start >> Self::START_BITS) as u8)
    }
}

impl std::fmt::Debug for ChildPiece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChildPiece").field("slice", &self.slice()).field("lead", &self.lead()).finish()
    }
}

/// The braces of a child, in bytes.
pub(super) const BRACES: u64 = 2;

impl Lead {
    /// The text itself.
    pub fn text(self) -> &'static [u8] {
        match self {
            Lead::None => b"",
            Lead::Comma => b",",
            Lead::Type => b"\"annotation_type\":",
            Lead::CommaType => b",\"annotation_type\":",
        }
    }
}
