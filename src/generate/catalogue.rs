//! The assets of an archive, and the titles that they belong to.

use super::draw::Draw;
use super::settings::{Settings, Style};
use super::vocabulary::{FIRST_TITLE, LOCATIONS, Location, NAMES, TITLE_BEGINNINGS, TITLE_ENDINGS};

/// The `MOVIE_ID` of the first title; the others count up.
const FIRST_MOVIE_ID: u64 = 81_686_010;

/// The asset id of the worked example.
pub(super) const FIXTURE_ASSET: &str = "the-one-with-the-fixture";

/// How much each of a title's cast is seen, in order of importance.
const IMPORTANCE: [u64; 10] = [24, 20, 18, 14, 12, 10, 3, 2, 2, 1];

/// Everything that there is to annotate.
pub(super) struct Catalogue {
    pub(super) titles: Vec<Title>,
    /// In the order of the archive; the fixture, if any, comes last.
    pub(super) assets: Vec<Asset>,
}

/// A series or a film.
pub(super) struct Title {
    movie_id: u64,
    name: String,
    /// Who plays in it, the most important first.
    pub(super) cast: Vec<&'static str>,
    /// Where it plays.
    pub(super) locations: Vec<Location>,
    /// The same, by name.
    pub(super) places: Vec<&'static str>,
}

/// An episode or a film.
pub(super) struct Asset {
    /// Its title's position in [`Catalogue::titles`].
    pub(super) title: usize,
    /// `associated_ids` as JSON.
    pub(super) context: Box<str>,
}

impl Catalogue {
    /// `settings.assets` assets, and the fixture if there is to be one.
    pub(super) fn new(settings: &Settings, draw: &mut Draw) -> Self {
        let count = settings.assets as usize;
        let mut catalogue = match settings.style {
            Style::Episodes => Self::episodes(count, draw),
            Style::Uniform => Self::uniform(count, draw),
        };
        if settings.fixture {
            catalogue.add(0, FIXTURE_ASSET);
        }
        catalogue
    }

    /// Series of six to twelve episodes, and every fourth title a film.
    fn episodes(count: usize, draw: &mut Draw) -> Self {
        let mut catalogue = Catalogue { titles: Vec::new(), assets: Vec::with_capacity(count + 1) };
        let names = draw.index(TITLE_BEGINNINGS.len() * TITLE_ENDINGS.len());
        while catalogue.assets.len() < count {
            let title = catalogue.titles.len();
            catalogue.titles.push(Title::new(title, names, draw));
            let name = catalogue.titles[title].name.clone();
            if title % 4 == 3 {
                catalogue.add(title, &name);
                continue;
            }
            let season = 1 + draw.below(4);
            for episode in 1..=6 + draw.below(7) {
                if catalogue.assets.len() < count {
                    catalogue.add(title, &format!("{name}-s{season:02}e{episode:02}"));
                }
            }
        }
        catalogue
    }

    /// Ten assets a title, named by number.
    fn uniform(count: usize, draw: &mut Draw) -> Self {
        let mut catalogue = Catalogue { titles: Vec::new(), assets: Vec::with_capacity(count + 1) };
        for asset in 0..count {
            if asset % 10 == 0 {
                catalogue.titles.push(Title::new(asset / 10, 0, draw));
            }
            catalogue.add(asset / 10, &format!("a{asset}"));
        }
        catalogue
    }

    fn add(&mut self, title: usize, asset_id: &str) {
        let movie_id = self.titles[title].movie_id;
        let context = format!(r#"{{"MOVIE_ID":"{movie_id}","ASSET_ID":"{asset_id}"}}"#).into_boxed_str();
        self.assets.push(Asset { title, context });
    }
}

impl Title {
    /// The `index`-th title; `names` is where in all combinations of words the names begin.
    fn new(index: usize, names: usize, draw: &mut Draw) -> Self {
        let (cast, locations) = if index == 0 {
            (NAMES[..8].to_vec(), LOCATIONS[..8].to_vec())
        } else {
            (some(draw, NAMES, IMPORTANCE.len()), some(draw, LOCATIONS, 8))
        };
        let places = locations.iter().map(|location| location.name).collect();
        Title { movie_id: FIRST_MOVIE_ID + index as u64, name: name(index, names), cast, locations, places }
    }

    /// One of the cast, by importance.
    pub(super) fn someone(&self, draw: &mut Draw) -> &'static str {
        let weights = &IMPORTANCE[..self.cast.len()];
        let mut at = draw.below(weights.iter().sum());
        let mut names = self.cast.iter().zip(weights);
        let found = names.find(|(_, weight)| {
            let here = at < **weight;
            at = at.saturating_sub(**weight);
            here
        });
        found.map_or(self.cast[0], |(name, _)| *name)
    }
}

/// So many different ones, in random order.
fn some<T: Copy>(draw: &mut Draw, from: &[T], count: usize) -> Vec<T> {
    let mut all = from.to_vec();
    for at in 0..count {
        let other = at + draw.index(all.len() - at);
        all.swap(at, other);
    }
    all.truncate(count);
    all
}

/// A name that no other title has.
fn name(index: usize, names: usize) -> String {
    if index == 0 {
        return FIRST_TITLE.to_owned();
    }
    let combinations = TITLE_BEGINNINGS.len() * TITLE_ENDINGS.len();
    // Steps of a number that shares no factor with the number of combinations visit each once.
    let (round, at) = ((index - 1) / combinations, (names + index * 101) % combinations);
    let beginning = TITLE_BEGINNINGS[at / TITLE_ENDINGS.len()];
    let ending = TITLE_ENDINGS[at % TITLE_ENDINGS.len()];
    if round == 0 { format!("{beginning}-{ending}") } else { format!("{beginning}-{ending}-{}", round + 1) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::generate::draw::Stream;

    #[test]
    fn assets_are_all_different_and_as_many_as_asked_for() {
        for style in [Style::Episodes, Style::Uniform] {
            let settings = Settings { assets: 5_000, fixture: true, ..Settings::new(style) };
            let catalogue = Catalogue::new(&settings, &mut Draw::new(7, Stream::Catalogue));
            let contexts: HashSet<&str> = catalogue.assets.iter().map(|asset| &*asset.context).collect();
            assert_eq!((catalogue.assets.len(), contexts.len()), (5_001, 5_001));
            assert!(catalogue.assets[5_000].context.contains(FIXTURE_ASSET));
        }
    }

    #[test]
    fn the_important_are_seen_more() {
        let mut draw = Draw::new(1, Stream::Catalogue);
        let title = Title::new(0, 0, &mut draw);
        let seen: Vec<&str> = (0..10_000).map(|_| title.someone(&mut draw)).collect();
        let count = |name| seen.iter().filter(|other| **other == name).count();
        assert!(count("Joey") > count("Monica") && count("Ross") > 2 * count("Janice"));
        assert!(title.cast.iter().all(|name| count(name) > 0));
    }
}
