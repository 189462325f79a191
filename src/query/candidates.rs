//! From clauses to the moments of the index that may meet them: never too few, sometimes too many.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tantivy::directory::MmapDirectory;
use tantivy::query::{AllQuery, BooleanQuery, EmptyQuery, FuzzyTermQuery, PhraseQuery, Query as IndexQuery, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{Index, ReloadPolicy, Searcher, TantivyError, Term};

use super::clause::{Clause, Text};
use super::{Query, QueryError};
use crate::record::write_string;
use crate::sink::tantivy::{Fields, difference};

/// An index opened for reading, as of its last commit.
pub(super) struct IndexReader {
    path: PathBuf,
    pub searcher: Searcher,
    pub fields: Fields,
}

type Clauses = Vec<Box<dyn IndexQuery>>;

impl IndexReader {
    pub fn open(path: &Path) -> Result<Self, QueryError> {
        let not_an_index = |reason: &str| QueryError::NotAnIndex { path: path.to_owned(), reason: reason.to_owned() };
        let failed = |error: TantivyError| QueryError::Index { path: path.to_owned(), source: error.into() };
        if !path.exists() {
            return Err(QueryError::Missing(path.to_owned()));
        }
        if !path.is_dir() {
            return Err(not_an_index("it is not a directory"));
        }
        let directory = MmapDirectory::open(path).map_err(|error| failed(error.into()))?;
        if !Index::exists(&directory).map_err(|error| failed(error.into()))? {
            return Err(not_an_index("the directory holds no index"));
        }
        let index = Index::open(directory).map_err(failed)?;
        if let Some(difference) = difference(&index) {
            return Err(not_an_index(&difference));
        }
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(failed)?;
        let reader: tantivy::IndexReader = reader;
        Ok(IndexReader { path: path.to_owned(), searcher: reader.searcher(), fields: Fields::of(&index.schema()) })
    }

    pub fn failed(&self, source: TantivyError) -> QueryError {
        QueryError::Index { path: self.path.clone(), source: source.into() }
    }

    /// The types of annotations, in order.
    pub fn types(&self) -> tantivy::Result<Vec<String>> {
        let mut types = BTreeSet::new();
        for segment in self.searcher.segment_readers() {
            let terms = segment.inverted_index(self.fields.kind)?;
            let mut stream = terms.terms().stream()?;
            while stream.advance() {
                types.insert(String::from_utf8_lossy(stream.key()).into_owned());
            }
        }
        Ok(types.into_iter().collect())
    }

    /// The moments that may be found.
    pub fn candidates(&self, query: &Query) -> tantivy::Result<Box<dyn IndexQuery>> {
        let of_clauses = |clauses: &[Clause]| -> tantivy::Result<Clauses> {
            clauses.iter().map(|clause| self.clause(clause, query)).collect()
        };
        let mut must = of_clauses(&query.all)?;
        if !query.any.is_empty() {
            must.push(any_of(of_clauses(&query.any)?));
        }
        if !query.assets.is_empty() {
            must.push(any_of(query.assets.iter().flat_map(|asset| self.asset(asset)).collect()));
        }
        Ok(all_of(must))
    }

    /// An asset may be meant as a string, or as an integer.
    fn asset(&self, asset: &str) -> Clauses {
        let mut as_string = Vec::new();
        write_string(asset, &mut as_string);
        let as_string = String::from_utf8(as_string).expect("JSON text");
        let is_integer = asset.parse::<i128>().is_ok_and(|number| number.to_string() == asset);
        let texts = [Some(as_string.as_str()), is_integer.then_some(asset)];
        texts.into_iter().flatten().map(|text| term(self.fields.asset_term(text))).collect()
    }

    fn clause(&self, clause: &Clause, query: &Query) -> tantivy::Result<Box<dyn IndexQuery>> {
        match &clause.kind {
            Some(kind) => Ok(self.text(kind, &clause.text, query)),
            None if clause.text == Text::Any => Ok(Box::new(AllQuery)),
            None => Ok(any_of(self.types()?.iter().map(|kind| self.text(kind, &clause.text, query)).collect())),
        }
    }

    fn text(&self, kind: &str, text: &Text, query: &Query) -> Box<dyn IndexQuery> {
        let word = |word: &String| self.fields.word_term(kind, word);
        match text {
            Text::Any => term(self.fields.kind_term(kind)),
            Text::Label(label) => term(self.fields.label_term(kind, label)),
            // Other positions and other letters are checked on the candidates.
            Text::Phrase(words) if query.slop == 0 && query.fuzzy == 0 => {
                Box::new(PhraseQuery::new(words.iter().map(word).collect()))
            }
            Text::Words(words) | Text::Phrase(words) => all_of(
                words
                    .iter()
                    .map(|wanted| match query.fuzzy {
                        0 => term(word(wanted)),
                        distance => Box::new(FuzzyTermQuery::new(word(wanted), distance, false)) as Box<dyn IndexQuery>,
                    })
                    .collect(),
            ),
        }
    }
}

fn term(term: Term) -> Box<dyn IndexQuery> {
    Box::new(TermQuery::new(term, IndexRecordOption::Basic))
}

fn all_of(mut queries: Clauses) -> Box<dyn IndexQuery> {
    match queries.len() {
        0 => Box::new(AllQuery),
        1 => queries.remove(0),
        _ => Box::new(BooleanQuery::intersection(queries)),
    }
}

fn any_of(mut queries: Clauses) -> Box<dyn IndexQuery> {
    match queries.len() {
        0 => Box::new(EmptyQuery),
        1 => queries.remove(0),
        _ => Box::new(BooleanQuery::union(queries)),
    }
}
