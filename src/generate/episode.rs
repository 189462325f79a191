//! The annotations of one episode or film.

use super::annotation::{self, Annotation};
use super::catalogue::{Catalogue, Title};
use super::dialogue::{Talk, sentence};
use super::draw::{Draw, Stream, scale};
use super::modality::{Labels, MODALITIES, Modality, SCENE, natural_mean};
use super::settings::Settings;
use super::vocabulary::Location;

/// Makes the annotations of one asset after the other.
pub(super) struct Episodes<'a> {
    settings: &'a Settings,
    catalogue: &'a Catalogue,
    /// What all natural lengths are multiplied by, as a fraction.
    stretch: (i64, i64),
    /// How many annotations were made so far.
    made: u64,
}

/// A scene: one place, some people, for a while.
struct Scene {
    start_ns: i64,
    end_ns: i64,
    location: Location,
    cast: Vec<&'static str>,
    /// Who is seen when, in about the order of time.
    seen: Vec<Appearance>,
}

struct Appearance {
    start_ns: i64,
    end_ns: i64,
    name: &'static str,
}

impl<'a> Episodes<'a> {
    pub(super) fn new(settings: &'a Settings, catalogue: &'a Catalogue) -> Self {
        let (sum_ms, weight) = natural_mean(settings.modalities);
        let stretch = match settings.mean_length {
            Some(mean) => (scale(mean.nanos(), weight, 1), sum_ms * 1_000_000),
            None => (1, 1),
        };
        Episodes { settings, catalogue, stretch, made: 0 }
    }

    /// So many annotations of an asset, in the order of media time.
    pub(super) fn annotate(&mut self, asset: usize, count: u64) -> Vec<Annotation> {
        if count == 0 {
            return Vec::new();
        }
        let mut draw = Draw::new(self.settings.seed, Stream::Asset(asset));
        let title = &self.catalogue.titles[self.catalogue.assets[asset].title];
        let mut scenes = self.scenes(&mut draw, title, count);
        let mut annotations = Vec::with_capacity(count as usize);
        if self.settings.modalities > SCENE {
            for scene in &scenes {
                let at = (scene.start_ns, scene.end_ns);
                annotations.push(self.annotation(&mut draw, asset, SCENE, at, scene.location.name));
            }
        }
        let counts = self.counts(count - annotations.len() as u64);
        let span_ns = self.settings.span.nanos();
        for scene in &mut scenes {
            for (modality, total) in counts.iter().enumerate() {
                // Rounding down where a scene begins and ends gives exactly the total over all scenes.
                let until = |ns| scale(*total, ns, span_ns);
                let here = until(scene.end_ns) - until(scene.start_ns);
                self.fill(&mut draw, asset, title, scene, (modality, here), &mut annotations);
            }
        }
        annotations.sort_by_key(|annotation| (annotation.start_ns, annotation.id));
        annotations
    }

    /// Lays out scenes one after the other, from the beginning to the end.
    fn scenes(&self, draw: &mut Draw, title: &Title, annotations: u64) -> Vec<Scene> {
        let modality = &MODALITIES[SCENE];
        let span_ns = self.settings.span.nanos();
        let (numerator, denominator) = self.stretch;
        let mean_ns = scale(modality.mean_ms * 1_000_000, numerator, denominator).max(modality.least_ns());
        // However short scenes are, there are four other annotations for each.
        let most = (annotations / 5).max(1).cast_signed();
        let count = (span_ns / mean_ns).clamp(1, most);
        let lengths: Vec<i64> = (0..count).map(|_| modality.length_ns(draw, self.stretch)).collect();
        let total: i64 = lengths.iter().sum();
        let (mut scenes, mut sum, mut start_ns, mut place) = (Vec::with_capacity(lengths.len()), 0, 0, usize::MAX);
        for (index, length) in lengths.iter().enumerate() {
            sum += length;
            let last = index + 1 == lengths.len();
            let end_ns = if last { span_ns } else { modality.snap(scale(span_ns, sum, total)) };
            if end_ns <= start_ns {
                continue;
            }
            place = elsewhere(draw, place, title.locations.len());
            let cast = cast(draw, title);
            scenes.push(Scene { start_ns, end_ns, location: title.locations[place], cast, seen: Vec::new() });
            start_ns = end_ns;
        }
        scenes
    }

    /// How many annotations of each type, by weight; together `total`.
    fn counts(&self, total: u64) -> Vec<i64> {
        let types = &MODALITIES[..self.settings.modalities];
        let weights: u64 = types.iter().map(|modality| modality.weight).sum();
        let (mut sum, mut given) = (0, 0);
        let split = types.iter().map(|modality| {
            sum += modality.weight;
            let until = (u128::from(total) * u128::from(sum) / u128::from(weights)) as i64;
            until - std::mem::replace(&mut given, until)
        });
        split.collect()
    }

    /// Puts `count` annotations of a type into a scene, spread over it.
    fn fill(
        &mut self,
        draw: &mut Draw,
        asset: usize,
        title: &Title,
        scene: &mut Scene,
        (modality, count): (usize, i64),
        annotations: &mut Vec<Annotation>,
    ) {
        for slot in 0..count {
            let (start_ns, end_ns) = self.range(draw, scene, &MODALITIES[modality], (slot, count));
            let label = scene.label(draw, title, MODALITIES[modality].labels, start_ns);
            let mut annotation = self.annotation(draw, asset, modality, (start_ns, end_ns), label);
            match MODALITIES[modality].labels {
                Labels::Cast => scene.seen.push(Appearance { start_ns, end_ns, name: label }),
                Labels::Speaker => annotation.text = Some(line(draw, title, scene, label)),
                _ => {}
            }
            annotations.push(annotation);
        }
    }

    /// A range that begins in the `slot`-th of `slots` equal parts of a scene, if its length lets it.
    fn range(&self, draw: &mut Draw, scene: &Scene, modality: &Modality, (slot, slots): (i64, i64)) -> (i64, i64) {
        let scene_ns = scene.end_ns - scene.start_ns;
        let length_ns = modality.length_ns(draw, self.stretch).max(modality.least_ns());
        let from_ns = scene.start_ns + scale(scene_ns, slot, slots);
        let begin_ns = from_ns + draw.below_ns(scene_ns / slots);
        let span_ns = self.settings.span.nanos();
        let (begin_ns, limit_ns) = if modality.outlasts_scene {
            (begin_ns, span_ns)
        } else {
            (begin_ns.min(scene.end_ns - length_ns).max(scene.start_ns), scene.end_ns)
        };
        let start_ns = modality.snap(begin_ns);
        let end_ns = modality.snap((begin_ns + length_ns).min(limit_ns));
        (start_ns, if end_ns > start_ns { end_ns } else { modality.snap(start_ns + modality.least_ns()) })
    }

    fn annotation(
        &mut self,
        draw: &mut Draw,
        asset: usize,
        modality: usize,
        (start_ns, end_ns): (i64, i64),
        label: &'static str,
    ) -> Annotation {
        self.made += 1;
        Annotation {
            id: annotation::id(self.settings.seed, self.made - 1),
            modality,
            label,
            text: None,
            asset,
            confidence_thousandths: confidence(draw),
            start_ns,
            end_ns,
            revision: 0,
        }
    }
}

/// A confidence in thousandths: models that report anything are mostly sure of it.
pub(super) fn confidence(draw: &mut Draw) -> u16 {
    300 + draw.below(700).max(draw.below(700)) as u16
}

/// An index below `len` that is not `last`; early ones, the title's main sets, are likelier.
fn elsewhere(draw: &mut Draw, last: usize, len: usize) -> usize {
    let index = draw.index(len).min(draw.index(len));
    if index == last { (index + 1) % len } else { index }
}

/// Who is in a scene: up to five of the cast, by importance.
fn cast(draw: &mut Draw, title: &Title) -> Vec<&'static str> {
    let mut cast = Vec::new();
    for _ in 0..2 + draw.below(4) {
        let name = title.someone(draw);
        if !cast.contains(&name) {
            cast.push(name);
        }
    }
    cast
}

impl Scene {
    /// Who can be seen at a moment, as far as is known among the appearances around a position.
    fn on_screen(&self, at_ns: i64, position: usize) -> impl Iterator<Item = &'static str> {
        const AROUND: usize = 16;
        let around = position.saturating_sub(AROUND)..(position + 2).min(self.seen.len());
        let seen = self.seen[around].iter();
        seen.filter(move |seen| seen.start_ns <= at_ns && at_ns < seen.end_ns).map(|seen| seen.name)
    }

    /// Who appears: somebody who can not be seen already, if there is anyone.
    fn entrant(&self, draw: &mut Draw, at_ns: i64) -> &'static str {
        let seen: Vec<&'static str> = self.on_screen(at_ns, self.seen.len()).collect();
        let absent: Vec<&'static str> = self.cast.iter().filter(|name| !seen.contains(name)).copied().collect();
        draw.pick(if absent.is_empty() { &self.cast } else { &absent })
    }

    /// Who speaks: somebody on screen, or else in the scene; now and then a voice from elsewhere.
    fn speaker(&self, draw: &mut Draw, title: &Title, at_ns: i64) -> &'static str {
        const FROM_ELSEWHERE: f64 = 0.03;
        if draw.chance(FROM_ELSEWHERE) {
            return title.someone(draw);
        }
        // Appearances are spread evenly, so the moment tells about which one it is.
        let position = scale(at_ns - self.start_ns, self.seen.len() as i64, self.end_ns - self.start_ns) as usize;
        let on_screen: Vec<&'static str> = self.on_screen(at_ns, position).collect();
        draw.pick(if on_screen.is_empty() { &self.cast } else { &on_screen })
    }

    fn label(&self, draw: &mut Draw, title: &Title, labels: Labels, at_ns: i64) -> &'static str {
        match labels {
            Labels::Cast => self.entrant(draw, at_ns),
            Labels::Speaker => self.speaker(draw, title, at_ns),
            Labels::Location => self.location.name,
            Labels::Props => draw.pick(self.location.props),
            Labels::Words(words) => draw.pick(words),
        }
    }
}

fn line(draw: &mut Draw, title: &Title, scene: &Scene, speaker: &'static str) -> Box<str> {
    // Half of all talk is about where it happens.
    let here = [scene.location.name];
    let places = if draw.chance(0.5) { &here[..] } else { &title.places };
    let talk = Talk { speaker, present: &scene.cast, known: &title.cast, places, things: scene.location.props };
    sentence(draw, &talk)
}
