//! Where things are in the bytes of a record.

use flowstone_operators::interval::Interval;
use smallvec::SmallVec;

use super::{CodecError, HAS_BODY, Input, KeyRef, MAX_PAYLOAD_BYTES, State};
use crate::record::pieces::{BRACES, ChildPiece, Lead, Slice};

/// Where things are in the bytes of a record. Made with them, by whoever wrote or checked them.
pub(in crate::record) struct Head {
    /// The key's routing hash.
    pub route: u64,
    /// The key is before, the value behind it.
    pub key_end: u32,
    /// Where the payload begins, which is the rest; 0 for a deletion.
    pub payload_at: u32,
    /// What each `fuse` that reads the table needs, in the order of those operators in the pipeline file.
    pub facets: SmallVec<[FacetHead; 1]>,
}

/// The index of one operator's facets.
pub(in crate::record) struct FacetHead {
    pub interval: Interval,
    /// Where the asset begins, and behind it the type, the range, and the child; or the reason why the operator can not use the
    /// row.
    pub asset_at: u32,
    /// The length of the whole child, rendered; 0 if the operator can not use the row.
    pub rendered_bytes: u32,
}

/// Checks the value of a record behind its key, and finds what is in it; with the fingerprint of its facets, if it has a row.
pub(in crate::record) fn index(route: u64, key: &[u8], value: &[u8]) -> Result<(Head, Option<u64>), CodecError> {
    let end = key.len().checked_add(value.len()).filter(|end| u32::try_from(*end).is_ok());
    end.ok_or(CodecError::Invalid("length"))?;
    let key_end = key.len() as u32;
    let mut input = Input::new(value);
    let (state, flags) = State::read_with_flags(&mut input)?;
    if state.stage.is_some() && !KeyRef::of(key).is_operation() {
        return Err(CodecError::Invalid("flag"));
    }
    let mut head = Head { route, key_end, payload_at: 0, facets: SmallVec::new() };
    let mut fingerprint = None;
    if flags & HAS_BODY != 0 {
        fingerprint = Some(input.int()?);
        let payload_bytes = input.count()?;
        if payload_bytes > MAX_PAYLOAD_BYTES {
            return Err(CodecError::Invalid("length of a payload"));
        }
        for _ in 0..input.count()? {
            head.facets.push(facet(&mut input, value, key_end, payload_bytes as u32)?);
        }
        head.payload_at = key_end + input.position_in(value);
        input.text_of(payload_bytes)?;
    }
    input.end()?;
    Ok((head, fingerprint))
}

fn facet(input: &mut Input<'_>, value: &[u8], key_end: u32, payload_bytes: u32) -> Result<FacetHead, CodecError> {
    let is_usable = input.byte()?;
    let asset_at = key_end + input.position_in(value);
    match is_usable {
        0 => {
            input.text()?;
            return Ok(FacetHead::unusable(asset_at));
        }
        1 => {}
        _ => return Err(CodecError::Invalid("facet")),
    }
    input.scalar()?;
    input.text()?;
    let (start_ns, length_ns) = (input.number()?, input.number()?);
    let end_ns = start_ns.checked_add(length_ns).and_then(|end_ns| i64::try_from(end_ns).ok());
    let end_ns = end_ns.filter(|_| length_ns > 0).ok_or(CodecError::Invalid("range"))?;
    // Not above the end, which fits.
    let interval = Interval::new(start_ns as i64, end_ns);
    context(input, payload_bytes)?;
    let rendered_bytes = checked_pieces(input, payload_bytes)?;
    Ok(FacetHead { interval, asset_at, rendered_bytes })
}

impl FacetHead {
    /// Of a row that the operator can not use; the reason is there.
    pub(super) fn unusable(reason_at: u32) -> Self {
        FacetHead { interval: Interval::new(0, 1), asset_at: reason_at, rendered_bytes: 0 }
    }
}

/// The part of the payload that documents take over; empty if there is none.
pub(super) fn context(input: &mut Input<'_>, payload_bytes: u32) -> Result<Slice, CodecError> {
    match input.byte()? {
        0 => Ok(Slice::default()),
        1 => {
            let start = input.number()?;
            slice(start, input.number()?, payload_bytes)
        }
        _ => Err(CodecError::Invalid("context")),
    }
}

/// One piece of a child.
pub(super) fn piece(input: &mut Input<'_>, payload_bytes: u32) -> Result<ChildPiece, CodecError> {
    let start_and_lead = input.number()?;
    let lead = Lead::of_number((start_and_lead % 4) as u8);
    Ok(ChildPiece::new(slice(start_and_lead / 4, input.number()?, payload_bytes)?, lead))
}

/// The length of a child, rendered. Its pieces may not come to more than the payload and what stands between them: no child
/// is longer.
fn checked_pieces(input: &mut Input<'_>, payload_bytes: u32) -> Result<u32, CodecError> {
    let (mut bytes, mut rendered) = (0u64, 0u64);
    for _ in 0..input.count()? {
        let piece = piece(input, payload_bytes)?;
        bytes += u64::from(piece.slice().end - piece.slice().start);
        rendered += u64::from(piece.rendered_bytes());
    }
    let rendered = u32::try_from(rendered + BRACES).ok().filter(|_| bytes <= payload_bytes.into());
    rendered.ok_or(CodecError::Invalid("length of a child"))
}

/// A piece of the payload, if it lies in it.
fn slice(start: u64, length: u64, payload_bytes: u32) -> Result<Slice, CodecError> {
    let end = start.checked_add(length).filter(|end| *end <= payload_bytes.into());
    let end = end.ok_or(CodecError::Invalid("piece of the payload"))?;
    Ok(Slice { start: start as u32, end: end as u32 })
}
