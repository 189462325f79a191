//! Guessing that a record has the members that the record before it had.

use super::scan::Scan;

/// The members of an object, as they were when it was last met.
///
/// Records of a source have the same members in the same order, as a rule, and written in the same way. Then to compare a name
/// with the one that stood there is all that is done for it: it is not read, nor looked up.
#[derive(Debug, Default)]
pub(super) struct Guess {
    members: Vec<(Vec<u8>, Option<usize>)>,
}

/// So many members are guessed.
const MEMBERS: usize = 64;
/// Longer names are not.
const NAME_BYTES: usize = 64;

impl Guess {
    /// Whether the `at`-th member has the name that it had, with its colon and the space around that; passes it then, and says
    /// which child it is.
    #[inline]
    pub fn takes(&self, scan: &mut Scan<'_>, at: usize) -> Option<Option<usize>> {
        let (name, child) = self.members.get(at)?;
        if name.is_empty() || !scan.takes_text(name) {
            return None;
        }
        // The value begins there, or behind more space than there was.
        scan.space();
        Some(*child)
    }

    /// The `at`-th member is written like this.
    pub fn learn(&mut self, at: usize, name: &[u8], child: Option<usize>) {
        if at >= MEMBERS || name.len() > NAME_BYTES {
            return;
        }
        if self.members.len() <= at {
            self.members.resize_with(at + 1, Default::default);
        }
        let member = &mut self.members[at];
        member.0.clear();
        member.0.extend_from_slice(name);
        member.1 = child;
    }
}
