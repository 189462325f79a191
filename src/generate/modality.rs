//! The types of annotations, and what is natural for each.

use super::draw::{Draw, scale};
use super::vocabulary::{LOCATIONS, NAMES};

/// A type of annotations, as one model makes them.
pub(super) struct Modality {
    /// The value of `type`.
    pub(super) name: &'static str,
    /// The beginning of `model_version`.
    pub(super) model: &'static str,
    /// How many there are, in proportion to the others.
    pub(super) weight: u64,
    /// The natural mean length.
    pub(super) mean_ms: i64,
    /// The shortest natural length.
    pub(super) min_ms: i64,
    /// The longest natural length.
    pub(super) max_ms: i64,
    /// Where its edges may lie.
    pub(super) edges: Edges,
    /// Whether one may outlast the scene in which it begins, as speech and music do.
    pub(super) outlasts_scene: bool,
    /// What its labels are.
    pub(super) labels: Labels,
}

/// Where the edges of a model's ranges may lie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Edges {
    /// On frames of 24000/1001 a second, rounded down to a nanosecond.
    Frames,
    /// On any nanosecond, as a model that listens reports them.
    Any,
}

/// What labels a type has.
#[derive(Clone, Copy)]
pub(super) enum Labels {
    /// Who is in the scene.
    Cast,
    /// Who speaks; such annotations have a `text`.
    Speaker,
    /// Where the scene is.
    Location,
    /// What stands around at the scene's location.
    Props,
    /// One of these.
    Words(&'static [&'static str]),
}

/// The position of scenes in [`MODALITIES`]: they are laid out first, whether or not they are written.
pub(super) const SCENE: usize = 1;

const fn seen(name: &'static str, model: &'static str, weight: u64, ms: [i64; 3], labels: Labels) -> Modality {
    let [min_ms, mean_ms, max_ms] = ms;
    Modality { name, model, weight, mean_ms, min_ms, max_ms, edges: Edges::Frames, outlasts_scene: false, labels }
}

const fn heard(name: &'static str, model: &'static str, weight: u64, ms: [i64; 3], labels: Labels) -> Modality {
    Modality { edges: Edges::Any, outlasts_scene: true, ..seen(name, model, weight, ms, labels) }
}

/// All types, in the order in which `--modalities` takes them.
pub(super) const MODALITIES: [Modality; 12] = [
    seen("CHARACTER_SEARCH", "faces", 34, [2_000, 10_000, 40_000], Labels::Cast),
    seen("SCENE_SEARCH", "scenes", 0, [20_000, 70_000, 180_000], Labels::Location),
    heard("DIALOGUE_SEARCH", "speech", 30, [1_000, 2_600, 6_000], Labels::Speaker),
    seen("OBJECT_SEARCH", "objects", 26, [1_000, 5_000, 15_000], Labels::Props),
    seen("SHOT_TYPE", "shots", 30, [800, 4_500, 20_000], Labels::Words(SHOTS)),
    seen("ACTION", "actions", 16, [600, 4_000, 20_000], Labels::Words(ACTIONS)),
    seen("EMOTION", "emotions", 14, [500, 3_000, 12_000], Labels::Words(EMOTIONS)),
    heard("MUSIC", "music", 3, [4_000, 32_000, 120_000], Labels::Words(MUSIC)),
    seen("TEXT_ON_SCREEN", "text", 4, [800, 3_000, 8_000], Labels::Words(TEXTS)),
    heard("SOUND_EVENT", "sounds", 9, [100, 1_200, 6_000], Labels::Words(SOUNDS)),
    seen("CAMERA_MOTION", "camera", 10, [500, 3_000, 12_000], Labels::Words(MOTIONS)),
    seen("LIGHTING", "light", 3, [5_000, 35_000, 120_000], Labels::Words(LIGHTS)),
];

const SHOTS: &[&str] = &["close-up", "medium", "wide", "two-shot", "over-the-shoulder", "insert", "establishing"];
const ACTIONS: &[&str] =
    &["walks", "sits down", "stands up", "hugs", "eats", "drinks", "runs", "dances", "opens a door", "makes a call"];
const EMOTIONS: &[&str] = &["joy", "surprise", "anger", "sadness", "fear", "disgust", "calm", "embarrassment"];
const MUSIC: &[&str] = &["theme", "piano", "strings", "rock", "jazz", "suspense", "silence"];
const TEXTS: &[&str] = &["title", "credits", "shop sign", "letter", "phone screen", "newspaper", "street sign"];
const SOUNDS: &[&str] = &["laughter", "applause", "door", "telephone", "siren", "footsteps", "glass", "traffic", "dog"];
const MOTIONS: &[&str] = &["static", "pan", "tilt", "dolly", "zoom", "handheld"];
const LIGHTS: &[&str] = &["day", "night", "dusk", "neon", "candles", "studio"];

impl Modality {
    /// The length of one, with all natural lengths multiplied by `numerator / denominator`.
    pub(super) fn length_ns(&self, draw: &mut Draw, (numerator, denominator): (i64, i64)) -> i64 {
        let scaled = |ms: i64| scale(ms * 1_000_000, numerator, denominator).max(1);
        let (min_ns, max_ns) = (scaled(self.min_ms), scaled(self.max_ms));
        draw.length_ns(scaled(self.mean_ms)).clamp(min_ns, max_ns)
    }

    /// The nearest place at or before `ns` where an edge may lie.
    pub(super) fn snap(&self, ns: i64) -> i64 {
        match self.edges {
            Edges::Frames => frame_at(ns),
            Edges::Any => ns,
        }
    }

    /// The least distance of two edges.
    pub(super) fn least_ns(&self) -> i64 {
        match self.edges {
            Edges::Frames => FRAME_NS,
            Edges::Any => 1,
        }
    }

    /// A label that has nothing to do with any scene.
    pub(super) fn any_label(&self, draw: &mut Draw) -> &'static str {
        match self.labels {
            Labels::Cast | Labels::Speaker => draw.pick(NAMES),
            Labels::Location => draw.pick(LOCATIONS).name,
            Labels::Props => {
                let location = draw.pick(LOCATIONS);
                draw.pick(location.props)
            }
            Labels::Words(words) => draw.pick(words),
        }
    }
}

/// A frame of 24000/1001 a second, rounded up.
const FRAME_NS: i64 = 41_708_334;

/// The start of the frame that is shown at `ns`, rounded down.
fn frame_at(ns: i64) -> i64 {
    const FRAMES: i64 = 24_000;
    const IN_NS: i64 = 1_001 * 1_000_000_000;
    let mut frame = scale(ns, FRAMES, IN_NS);
    // Frame starts are rounded down too, so the one that was rounded down to exactly `ns` is a frame further.
    if scale(frame + 1, IN_NS, FRAMES) <= ns {
        frame += 1;
    }
    scale(frame, IN_NS, FRAMES)
}

/// The mean length of the first `modalities` types without scenes, in milliseconds times their weight, and that weight.
pub(super) fn natural_mean(modalities: usize) -> (i64, i64) {
    let types = || MODALITIES[..modalities].iter();
    let weight: u64 = types().map(|modality| modality.weight).sum();
    let sum = types().map(|modality| modality.mean_ms * modality.weight.cast_signed()).sum();
    (sum, weight.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::draw::Stream;

    #[test]
    fn frames_lie_where_a_player_shows_them() {
        assert_eq!(frame_at(0), 0);
        assert_eq!(frame_at(41_708_332), 0);
        assert_eq!(frame_at(41_708_333), 41_708_333);
        assert_eq!(frame_at(83_416_666), 83_416_666);
        assert_eq!(frame_at(83_416_665), 41_708_333);
        // 24,000 frames last exactly 1,001 s.
        assert_eq!(frame_at(1_001_000_000_000), 1_001_000_000_000);
    }

    #[test]
    fn snapping_twice_changes_nothing() {
        let mut draw = Draw::new(3, Stream::Asset(0));
        for _ in 0..10_000 {
            let frame = frame_at(draw.below_ns(86_400_000_000_000));
            assert_eq!(frame_at(frame), frame);
            assert!(frame_at(frame + FRAME_NS) > frame);
        }
    }
}
