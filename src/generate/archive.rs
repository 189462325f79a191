//! Whole archives in either style: which record comes when.

use super::GenerateError;
use super::annotation::{self, Annotation};
use super::catalogue::Catalogue;
use super::dialogue::{Talk, sentence};
use super::draw::{Draw, Shares, Stream};
use super::episode::Episodes;
use super::modality::{Labels, MODALITIES};
use super::recorder::{Kind, Recorder};
use super::revision::{Bounds, revise};
use super::settings::Settings;
use super::vocabulary::{LOCATIONS, NAMES};

/// How many assets are written at the same time, as by models that work side by side.
const TOGETHER: usize = 8;

/// Something that happens to an annotation, at a place in the order of all.
struct Event {
    place: u64,
    what: What,
}

enum What {
    Annotation(Kind, Annotation),
    Deletion(u128),
}

/// Writes an archive of episodes.
pub(super) fn episodes(
    settings: &Settings,
    catalogue: &Catalogue,
    recorder: &mut Recorder<'_>,
) -> Result<(), GenerateError> {
    let mut episodes = Episodes::new(settings, catalogue);
    let annotations = (settings.annotations as f64 * settings.fresh()) as u64;
    let shares: Vec<u64> = Shares::zipf(settings.assets, settings.skew).split(annotations).collect();
    for (batch, counts) in shares.chunks(TOGETHER).enumerate() {
        let first = batch * TOGETHER;
        let mut annotations: Vec<Annotation> = Vec::new();
        for (asset, count) in counts.iter().enumerate() {
            annotations.extend(episodes.annotate(first + asset, *count));
        }
        annotations.sort_by_key(|annotation| (annotation.start_ns, annotation.id));
        let mut draw = Draw::new(settings.seed, Stream::Batch(batch));
        let events = events(&mut draw, settings, catalogue, annotations);
        for event in &events {
            match &event.what {
                What::Annotation(kind, annotation) => recorder.annotation(*kind, annotation)?,
                What::Deletion(id) => recorder.deletion(*id)?,
            }
            redeliver(&mut draw, settings, recorder, u64::MAX)?;
        }
    }
    Ok(())
}

/// What happens to the annotations of a batch, in order.
fn events(draw: &mut Draw, settings: &Settings, catalogue: &Catalogue, annotations: Vec<Annotation>) -> Vec<Event> {
    let count = annotations.len() as u64;
    let late = (count as f64 * settings.disorder) as u64;
    // A correction comes some time after what it corrects, so that both are not always in the same batch of a reader.
    let soon = (count / 8).max(64);
    let (corrections, deletions) = (settings.corrections / settings.fresh(), settings.deletions / settings.fresh());
    let mut events = Vec::with_capacity(annotations.len());
    for (place, annotation) in (0..).zip(annotations) {
        let mut place = place + draw.below(late + 1);
        let title = &catalogue.titles[catalogue.assets[annotation.asset].title];
        let bounds = Bounds { title, assets: settings.assets as usize, span_ns: settings.span.nanos() };
        let (id, mut last) = (annotation.id, annotation.clone());
        events.push(Event { place, what: What::Annotation(Kind::New, annotation) });
        for _ in 0..draw.round(corrections) {
            place += 1 + draw.below(soon);
            last = revise(draw, &last, &bounds);
            events.push(Event { place, what: What::Annotation(Kind::Correction, last.clone()) });
        }
        if draw.chance(deletions) {
            place += 1 + draw.below(soon);
            events.push(Event { place, what: What::Deletion(id) });
        }
    }
    events.sort_by_key(|event| event.place);
    events
}

/// Writes an archive of uniformly random annotations, exactly `settings.annotations` lines.
pub(super) fn uniform(
    settings: &Settings,
    catalogue: &Catalogue,
    recorder: &mut Recorder<'_>,
) -> Result<(), GenerateError> {
    let mut draw = Draw::new(settings.seed, Stream::Uniform);
    let shares = Shares::zipf(settings.assets, settings.skew);
    let places: Vec<&'static str> = LOCATIONS.iter().map(|location| location.name).collect();
    let mut ids = Ids { seed: settings.seed, made: 0, deleted: Vec::new() };
    let fresh = 1.0 - settings.duplicates;
    let (deletions, changes) = (settings.deletions / fresh, (settings.deletions + settings.corrections) / fresh);
    let mut left = settings.annotations;
    while left > 0 {
        let what = draw.unit();
        let known = if what < changes { ids.living(&mut draw) } else { None };
        if let Some(index) = known.filter(|_| what < deletions) {
            ids.delete(index);
            recorder.deletion(annotation::id(settings.seed, index))?;
        } else {
            let annotation = random(&mut draw, settings, catalogue, &shares, &places);
            match known.map(|index| annotation::id(settings.seed, index)) {
                Some(id) => recorder.annotation(Kind::Correction, &Annotation { id, revision: 1, ..annotation })?,
                None => recorder.annotation(Kind::New, &Annotation { id: ids.next(), ..annotation })?,
            }
        }
        left -= 1;
        left -= redeliver(&mut draw, settings, recorder, left)?;
    }
    Ok(())
}

/// Repeats the last lines by chance, at most `most` lines. Returns how many.
fn redeliver(
    draw: &mut Draw,
    settings: &Settings,
    recorder: &mut Recorder<'_>,
    most: u64,
) -> Result<u64, GenerateError> {
    const LONGEST_RUN: u64 = 4;
    const MEAN_RUN: f64 = 2.5;
    let mut repeated = 0;
    if settings.duplicates > 0.0 {
        for _ in 0..draw.round(settings.duplicates / (1.0 - settings.duplicates) / MEAN_RUN) {
            repeated += recorder.repeat((1 + draw.below(LONGEST_RUN)).min(most - repeated))?;
        }
    }
    Ok(repeated)
}

/// An annotation without an id, every field random by itself.
fn random(
    draw: &mut Draw,
    settings: &Settings,
    catalogue: &Catalogue,
    shares: &Shares,
    places: &[&'static str],
) -> Annotation {
    let asset = if settings.skew == 0.0 { draw.index(settings.assets as usize) } else { shares.draw(draw) };
    let start_ns = draw.below_ns(settings.span.nanos());
    let length_ns = 1 + draw.below_ns(settings.uniform_mean_ns().saturating_mul(2));
    let modality = draw.index(settings.modalities);
    let label = MODALITIES[modality].any_label(draw);
    let text = matches!(MODALITIES[modality].labels, Labels::Speaker).then(|| {
        let title = &catalogue.titles[catalogue.assets[asset].title];
        let things = draw.pick(LOCATIONS).props;
        sentence(draw, &Talk { speaker: label, present: &title.cast, known: NAMES, places, things })
    });
    let confidence_thousandths = draw.below(1_000) as u16;
    let end_ns = start_ns + length_ns;
    Annotation { id: 0, modality, label, text, asset, confidence_thousandths, start_ns, end_ns, revision: 0 }
}

/// Which ids there are.
struct Ids {
    seed: u64,
    made: u64,
    /// A bit each, as far as any was deleted.
    deleted: Vec<u64>,
}

impl Ids {
    fn next(&mut self) -> u128 {
        self.made += 1;
        annotation::id(self.seed, self.made - 1)
    }

    /// An id that was made and not deleted; `None` if a few draws find none.
    fn living(&self, draw: &mut Draw) -> Option<u64> {
        let mut draws = (0..if self.made == 0 { 0 } else { 32 }).map(|_| draw.below(self.made));
        draws.find(|index| !self.is_deleted(*index))
    }

    fn is_deleted(&self, index: u64) -> bool {
        self.deleted.get((index / 64) as usize).is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }

    fn delete(&mut self, index: u64) {
        let word = (index / 64) as usize;
        if self.deleted.len() <= word {
            self.deleted.resize(word + 1, 0);
        }
        self.deleted[word] |= 1 << (index % 64);
    }
}
