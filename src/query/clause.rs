//! Clauses: what one annotation must be.

use std::cell::OnceCell;
use std::str::FromStr;

use super::{Query, phrase};
use crate::sink::tantivy::{Annotation, words};

/// What one annotation must be.
///
/// | written | meets |
/// |---|---|
/// | `SCENE_SEARCH` | any annotation of that type |
/// | `SCENE_SEARCH:kitchen table` | all these words, in any order and case, in its label or texts |
/// | `DIALOGUE_SEARCH:"on a break"` | these words in this order in one of its texts, see [`Query::slop`] |
/// | `SCENE_SEARCH:=Kitchen` | this very label |
///
/// `*` stands for any type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// Its type; `None` is any.
    pub kind: Option<String>,
    /// Its text.
    pub text: Text,
}

/// What the text of an annotation must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// Anything.
    Any,
    /// Exactly this label.
    Label(String),
    /// All these words (as the index has them: lower case) somewhere in its labels and texts.
    Words(Vec<String>),
    /// These words in order in one label or text.
    Phrase(Vec<String>),
}

impl FromStr for Clause {
    type Err = String;

    fn from_str(clause: &str) -> Result<Self, String> {
        let (kind, text) = match clause.split_once(':') {
            Some((kind, text)) => (kind, Some(text.trim())),
            None => (clause, None),
        };
        let kind = match kind.trim() {
            "" => return Err(format!("expected TYPE:text (\"*\" for any type), not {clause:?}")),
            "*" => None,
            kind => Some(kind.to_owned()),
        };
        let text = match text {
            None => Text::Any,
            Some("") => {
                return Err(format!(
                    "no text after ':' in {clause:?}; the type alone finds any annotation of that type"
                ));
            }
            Some(text) => parse_text(text).map_err(|reason| format!("{reason} in {clause:?}"))?,
        };
        Ok(Clause { kind, text })
    }
}

fn parse_text(text: &str) -> Result<Text, &'static str> {
    if let Some(label) = text.strip_prefix('=') {
        return if label.is_empty() { Err("no label after '='") } else { Ok(Text::Label(label.to_owned())) };
    }
    let quoted = match text.strip_prefix('"') {
        Some(rest) => Some(rest.strip_suffix('"').ok_or("no closing '\"'")?),
        None => None,
    };
    let words: Vec<String> = words(quoted.unwrap_or(text)).collect();
    match (words.as_slice(), quoted) {
        ([], _) => Err("no word (a letter or digit)"),
        ([_, _, ..], Some(_)) => Ok(Text::Phrase(words)),
        _ => Ok(Text::Words(words)),
    }
}

/// An annotation that is being checked; its words are taken apart at most once.
pub(super) struct Checked<'a> {
    annotation: &'a Annotation,
    words: OnceCell<Vec<Vec<String>>>,
}

impl<'a> Checked<'a> {
    pub fn new(annotation: &'a Annotation) -> Self {
        Checked { annotation, words: OnceCell::new() }
    }

    /// Whether the annotation may meet a clause of `query` at all.
    pub fn is_eligible(&self, query: &Query) -> bool {
        let interval = &self.annotation.interval;
        let inside = interval.start_ns() < query.window.to_ns && query.window.from_ns < interval.end_ns();
        let sure = query.min_confidence.is_none_or(|least| self.annotation.confidence.is_some_and(|c| c >= least));
        inside && sure
    }

    /// Whether the (eligible) annotation meets the clause.
    pub fn meets(&self, clause: &Clause, query: &Query) -> bool {
        if clause.kind.as_ref().is_some_and(|kind| *kind != self.annotation.kind) {
            return false;
        }
        match &clause.text {
            Text::Any => true,
            Text::Label(label) => self.annotation.labels.contains(label),
            Text::Words(wanted) => wanted
                .iter()
                .all(|wanted| self.words().iter().flatten().any(|word| phrase::same_word(word, wanted, query.fuzzy))),
            Text::Phrase(wanted) => {
                self.words().iter().any(|words| phrase::contains(words, wanted, query.slop, query.fuzzy))
            }
        }
    }

    fn words(&self) -> &[Vec<String>] {
        self.words.get_or_init(|| {
            let texts = self.annotation.labels.iter().chain(&self.annotation.texts);
            texts.map(|text| words(text).collect()).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clause(text: &str) -> Clause {
        text.parse().unwrap()
    }

    #[test]
    fn clauses_are_a_type_and_a_text() {
        let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(clause("SCENE"), Clause { kind: Some("SCENE".into()), text: Text::Any });
        assert_eq!(clause("*"), Clause { kind: None, text: Text::Any });
        assert_eq!(clause("SCENE:Kitchen table").text, Text::Words(owned(&["kitchen", "table"])));
        assert_eq!(clause("*:\"On a break\"").text, Text::Phrase(owned(&["on", "a", "break"])));
        assert_eq!(clause("SCENE:=Kitchen: upper").text, Text::Label("Kitchen: upper".into()));
        assert_eq!(clause("SCENE:\"kitchen\"").text, Text::Words(owned(&["kitchen"])), "one word is no phrase");
        assert_eq!(clause("TIME:12:30").text, Text::Words(owned(&["12", "30"])), "only the first colon separates");
    }

    #[test]
    fn what_is_no_clause_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "expected TYPE:text"),
            (":kitchen", "expected TYPE:text"),
            ("SCENE:", "no text after ':'"),
            ("SCENE:=", "no label after '='"),
            ("SCENE:\"kitchen", "no closing"),
            ("SCENE:!?", "no word"),
            ("SCENE:\"\"", "no word"),
        ] {
            let error = text.parse::<Clause>().unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
