//! What people say.

use super::draw::Draw;
use super::vocabulary::{DISHES, PAST, SENTENCES, SOON};

/// What a line can be about.
pub(super) struct Talk<'a> {
    /// Who speaks.
    pub(super) speaker: &'static str,
    /// Who is around.
    pub(super) present: &'a [&'static str],
    /// Whom people know.
    pub(super) known: &'a [&'static str],
    /// The places that people know.
    pub(super) places: &'a [&'static str],
    /// What stands around.
    pub(super) things: &'static [&'static str],
}

/// A sentence in words that fit.
pub(super) fn sentence(draw: &mut Draw, talk: &Talk<'_>) -> Box<str> {
    let mut rest = draw.pick(SENTENCES);
    let mut text = String::with_capacity(rest.len() + 16);
    while let Some((before, slot)) = rest.split_once('{') {
        let (name, after) = slot.split_once('}').expect("templates are ours, and their braces are closed");
        text.push_str(before);
        text.push_str(word(draw, talk, name));
        rest = after;
    }
    text.push_str(rest);
    capitalise(&mut text);
    text.into_boxed_str()
}

fn word(draw: &mut Draw, talk: &Talk<'_>, slot: &str) -> &'static str {
    match slot {
        "place" => draw.pick(talk.places),
        "name" => someone_else(draw, talk.present, talk.speaker).unwrap_or("everybody"),
        "absent" => someone_else(draw, talk.known, talk.speaker).unwrap_or("somebody"),
        "thing" => draw.pick(talk.things),
        "past" => draw.pick(PAST),
        "soon" => draw.pick(SOON),
        "dish" => draw.pick(DISHES),
        _ => unreachable!("templates are ours, and use these slots"),
    }
}

/// One of `names` who is not the speaker.
fn someone_else(draw: &mut Draw, names: &[&'static str], speaker: &str) -> Option<&'static str> {
    let first = draw.index(names.len().max(1));
    let around = names.iter().cycle().skip(first).take(names.len());
    around.copied().find(|name| *name != speaker)
}

/// A sentence may begin with a slot.
fn capitalise(text: &mut str) {
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::draw::Stream;
    use crate::generate::vocabulary::{LOCATIONS, NAMES};

    #[test]
    fn sentences_are_whole_and_nobody_talks_to_himself() {
        let mut draw = Draw::new(1, Stream::Asset(0));
        let places: Vec<&str> = LOCATIONS.iter().map(|location| location.name).collect();
        for round in 0..5_000 {
            // Alone in every other round.
            let present = if round % 2 == 0 { &NAMES[..1] } else { &NAMES[..4] };
            let talk = Talk { speaker: "Joey", present, known: NAMES, places: &places, things: LOCATIONS[0].props };
            let text = sentence(&mut draw, &talk);
            assert!(!text.contains(['{', '}', '"', '\\']) && !text.contains("Joey"), "{text}");
            assert!(text.starts_with(char::is_uppercase) && text.ends_with(['.', '?', '!']), "{text}");
        }
    }
}
