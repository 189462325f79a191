//! What becomes of annotations after they were written: corrections.

use super::annotation::Annotation;
use super::catalogue::Title;
use super::draw::Draw;
use super::episode::confidence;
use super::modality::{Labels, MODALITIES};

/// Where a corrected annotation may end up.
pub(super) struct Bounds<'a> {
    /// What it belongs to.
    pub(super) title: &'a Title,
    /// How many assets there are to move it to.
    pub(super) assets: usize,
    /// Nothing ends later.
    pub(super) span_ns: i64,
}

/// An annotation as a newer version of its model reports it: with a new confidence, often with other edges, at times with
/// another label, rarely in another asset.
pub(super) fn revise(draw: &mut Draw, annotation: &Annotation, bounds: &Bounds<'_>) -> Annotation {
    let mut newer = annotation.clone();
    newer.revision = newer.revision.saturating_add(1);
    newer.confidence_thousandths = confidence(draw);
    match draw.below(100) {
        0..45 => {}
        45..75 => move_edges(draw, &mut newer, bounds.span_ns),
        75..95 => newer.label = other_label(draw, annotation, bounds.title),
        _ => newer.asset = (newer.asset + 1 + draw.index(bounds.assets)) % bounds.assets,
    }
    newer
}

/// Moves start and end each by at most half the length or two seconds.
fn move_edges(draw: &mut Draw, annotation: &mut Annotation, span_ns: i64) {
    const MOST_NS: i64 = 2_000_000_000;
    let modality = &MODALITIES[annotation.modality];
    let most_ns = ((annotation.end_ns - annotation.start_ns) / 2).min(MOST_NS);
    let mut shift = || draw.below_ns(2 * most_ns + 1) - most_ns;
    let start_ns = modality.snap((annotation.start_ns + shift()).max(0));
    let end_ns = modality.snap((annotation.end_ns + shift()).min(span_ns));
    if start_ns < end_ns {
        (annotation.start_ns, annotation.end_ns) = (start_ns, end_ns);
    }
}

fn other_label(draw: &mut Draw, annotation: &Annotation, title: &Title) -> &'static str {
    let mut label = || match MODALITIES[annotation.modality].labels {
        Labels::Cast | Labels::Speaker => draw.pick(&title.cast),
        Labels::Location => draw.pick(&title.places),
        Labels::Props => {
            let location = draw.pick(&title.locations);
            draw.pick(location.props)
        }
        Labels::Words(words) => draw.pick(words),
    };
    // Every type has several labels, so a few draws nearly always find another.
    (0..8).map(|_| label()).find(|label| *label != annotation.label).unwrap_or(annotation.label)
}
