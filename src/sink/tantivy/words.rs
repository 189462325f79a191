//! What a word is: for the index and for the queries, which must agree.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// Between the type and what follows it in a term.
pub(super) const SEPARATOR: char = '\0';

/// The analyzer's name in the schema; its number grows when words come out differently.
pub(super) const ANALYZER: &str = "flowstone_words_1";

/// Longer words are cut.
const MAX_WORD_BYTES: usize = 200;

/// The words of a text: runs of letters and digits, in lower case.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    pieces(text).map(|piece| {
        let mut word = String::with_capacity(piece.len());
        push_lower(piece, &mut word);
        word
    })
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|piece| !piece.is_empty()).map(|piece| cut(piece, MAX_WORD_BYTES))
}

/// The beginning of `text`, whole characters of at most `max_bytes`.
pub(super) fn cut(text: &str, max_bytes: usize) -> &str {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn push_lower(piece: &str, out: &mut String) {
    if piece.is_ascii() {
        out.extend(piece.bytes().map(|b| char::from(b.to_ascii_lowercase())));
    } else {
        out.extend(piece.chars().flat_map(char::to_lowercase));
    }
}

/// Turns `TYPE\0some text` into the terms `TYPE\0some` and `TYPE\0text`: a word of one type never answers for another.
#[derive(Clone, Default)]
pub(super) struct TypedWords {
    token: Token,
}

/// The terms of one text.
pub(super) struct TypedWordStream<'a> {
    /// `TYPE\0`
    prefix: &'a str,
    pieces: Box<dyn Iterator<Item = &'a str> + 'a>,
    token: &'a mut Token,
}

impl Tokenizer for TypedWords {
    type TokenStream<'a> = TypedWordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> TypedWordStream<'a> {
        self.token.reset();
        let (prefix, text) = text.split_at(text.find(SEPARATOR).map_or(0, |at| at + SEPARATOR.len_utf8()));
        TypedWordStream { prefix, pieces: Box::new(pieces(text)), token: &mut self.token }
    }
}

impl TokenStream for TypedWordStream<'_> {
    fn advance(&mut self) -> bool {
        let Some(piece) = self.pieces.next() else { return false };
        // A fresh token stands before position 0.
        self.token.position = self.token.position.wrapping_add(1);
        self.token.text.clear();
        self.token.text.push_str(self.prefix);
        push_lower(piece, &mut self.token.text);
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case() {
        let found: Vec<String> = words("Don't panic: Ünïcode, 42nd\tSTREET--").collect();
        assert_eq!(found, ["don", "t", "panic", "ünïcode", "42nd", "street"]);
        assert_eq!(words(" .,! ").count(), 0);
    }

    #[test]
    fn a_long_word_is_cut_at_a_character() {
        let long = "é".repeat(150);
        assert_eq!(words(&long).next().unwrap(), "é".repeat(100));
    }

    #[test]
    fn the_analyzer_puts_the_type_before_each_word() {
        let mut analyzer = TypedWords::default();
        let mut stream = analyzer.token_stream("SCENE\0The Kitchen");
        let mut tokens = Vec::new();
        stream.process(&mut |token| tokens.push((token.position, token.text.clone())));
        assert_eq!(tokens, [(0, "SCENE\0the".to_owned()), (1, "SCENE\0kitchen".to_owned())]);
    }
}
