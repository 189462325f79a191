//! Guessing that a record has the members that the records before it had.

use super::scan::Scan;

/// The members of an object, in the order in which they stood when it was last met, with those that it had before.
///
/// Records of a source have the same members in the same order, as a rule, and written in the same way; some are left out.
/// Then to compare a name with the one that stood there is all that is done for it: it is not read, nor looked up.
#[derive(Debug, Default)]
pub(super) struct Guess {
    members: Vec<Member>,
}

/// How a member begins: its name with the quotes, the colon and the space around that.
#[derive(Debug)]
struct Member {
    /// Of fixed length, so that they are compared without a loop; zero where the mask is.
    text: [u8; NAME_BYTES],
    mask: [u8; NAME_BYTES],
    len: usize,
    child: Option<usize>,
}

/// So many members are guessed. With more, records have little in common.
const MEMBERS: usize = 64;
/// Longer names are not.
const NAME_BYTES: usize = 32;
/// So many members in a row may be left out.
const LEFT_OUT: usize = 2;

impl Guess {
    /// Whether the next member is the one at `place` or soon after it; passes its name then, and says which child it is.
    /// `place` is then behind it.
    #[inline]
    pub fn takes(&self, scan: &mut Scan<'_>, place: &mut usize) -> Option<Option<usize>> {
        let text = scan.ahead();
        let likely = self.members.get(*place..)?.iter().take(LEFT_OUT + 1);
        let (left_out, member) = likely.enumerate().find(|(_, member)| member.begins(&text))?;
        *place += left_out + 1;
        scan.pass(member.len);
        // The value begins there, or behind more space than there was.
        scan.space();
        Some(member.child)
    }

    /// The member at `place` begins like this.
    pub fn learn(&mut self, place: &mut usize, name: &[u8], child: Option<usize>) {
        if name.len() > NAME_BYTES {
            return;
        }
        if self.members.len() == MEMBERS {
            self.members.clear();
        }
        let mut member = Member { text: [0; NAME_BYTES], mask: [0; NAME_BYTES], len: name.len(), child };
        member.text[..name.len()].copy_from_slice(name);
        member.mask[..name.len()].fill(u8::MAX);
        *place = self.members.len().min(*place);
        self.members.insert(*place, member);
        *place += 1;
    }
}

impl Member {
    #[inline]
    fn begins(&self, text: &[u8; NAME_BYTES]) -> bool {
        (0..NAME_BYTES).fold(0, |differ, n| differ | (text[n] & self.mask[n] ^ self.text[n])) == 0
    }
}
