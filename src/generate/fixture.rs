//! The worked example of fusion: "Joey" and "kitchen", of which `[4 s, 8 s)` is shared.

use super::annotation::Annotation;
use super::modality::SCENE;

const SECOND_NS: i64 = 1_000_000_000;

/// Its two annotations, for the asset at a position of the catalogue.
pub(super) fn annotations(asset: usize) -> [Annotation; 2] {
    let joey = Annotation {
        id: 0x7f5959b4_0000_4000_8000_000000000001,
        modality: 0,
        label: "Joey",
        text: None,
        asset,
        confidence_thousandths: 910,
        start_ns: 2 * SECOND_NS,
        end_ns: 8 * SECOND_NS,
        revision: 0,
    };
    let kitchen = Annotation {
        id: 0xc9d59338_0000_4000_8000_000000000002,
        modality: SCENE,
        label: "kitchen",
        confidence_thousandths: 720,
        start_ns: 4 * SECOND_NS,
        end_ns: 9 * SECOND_NS,
        ..joey.clone()
    };
    [joey, kitchen]
}
