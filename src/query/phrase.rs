//! Words and phrases, exactly and nearly.

/// Whether two words are the same, or differ by at most `fuzzy` letters (Levenshtein: inserted, deleted, replaced).
pub(super) fn same_word(word: &str, wanted: &str, fuzzy: u8) -> bool {
    word == wanted
        || (fuzzy > 0
            && word.len().abs_diff(wanted.len()) <= 4 * usize::from(fuzzy)
            && strsim::levenshtein(word, wanted) <= usize::from(fuzzy))
}

/// Whether `text` contains the phrase.
///
/// `slop` is Lucene's: subtract from the position of each word its place in the phrase; the greatest and the least of
/// these numbers may differ by at most `slop`. So 0 is the exact phrase, 1 allows a word in between, and two neighbours
/// that changed places need 2. Each word of the phrase needs a word of the text of its own.
pub(super) fn contains(text: &[String], phrase: &[String], slop: u32, fuzzy: u8) -> bool {
    let places: Vec<Vec<usize>> = phrase
        .iter()
        .map(|wanted| (0..text.len()).filter(|at| same_word(&text[*at], wanted, fuzzy)).collect())
        .collect();
    if places.iter().any(Vec::is_empty) {
        return false;
    }
    let shift = |at: usize, place: usize| at as i64 - place as i64;
    let slop = i64::from(slop);
    let mut shifts: Vec<i64> =
        places.iter().enumerate().flat_map(|(place, ats)| ats.iter().map(move |at| shift(*at, place))).collect();
    shifts.sort_unstable();
    shifts.dedup();
    shifts.into_iter().any(|least| {
        let within = |(place, ats): (usize, &Vec<usize>)| -> Option<Vec<usize>> {
            let first = ats.partition_point(|at| shift(*at, place) < least);
            let fitting = ats[first..].iter().copied().take_while(|at| shift(*at, place) <= least + slop);
            // As many as there are words: whatever the others take, one is left.
            let fitting: Vec<usize> = fitting.take(phrase.len()).collect();
            (!fitting.is_empty()).then_some(fitting)
        };
        let within: Option<Vec<_>> = places.iter().enumerate().map(within).collect();
        within.is_some_and(|lists| has_distinct_choice(&lists))
    })
}

/// Whether one position can be chosen from each list, all different (a bipartite matching, by augmenting paths).
fn has_distinct_choice(lists: &[Vec<usize>]) -> bool {
    let mut taken_by = std::collections::HashMap::new();
    (0..lists.len()).all(|list| assign(list, lists, &mut taken_by, &mut Vec::new()))
}

fn assign(
    list: usize,
    lists: &[Vec<usize>],
    taken_by: &mut std::collections::HashMap<usize, usize>,
    tried: &mut Vec<usize>,
) -> bool {
    for &position in &lists[list] {
        if tried.contains(&position) {
            continue;
        }
        tried.push(position);
        let free = match taken_by.get(&position) {
            Some(&other) => assign(other, lists, taken_by, tried),
            None => true,
        };
        if free {
            taken_by.insert(position, list);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, phrase: &str, slop: u32, fuzzy: u8) -> bool {
        let split = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        contains(&split(text), &split(phrase), slop, fuzzy)
    }

    #[test]
    fn without_slop_a_phrase_is_found_only_as_it_is() {
        assert!(found("we were on a break then", "on a break", 0, 0));
        assert!(!found("we were on the break", "on a break", 0, 0));
        assert!(!found("break a on", "on a break", 0, 0));
    }

    #[test]
    fn slop_counts_the_positions_that_words_were_moved() {
        assert!(!found("quick brown fox", "quick fox", 0, 0));
        assert!(found("quick brown fox", "quick fox", 1, 0));
        assert!(!found("fox quick", "quick fox", 1, 0));
        assert!(found("fox quick", "quick fox", 2, 0), "neighbours that changed places need 2");
        assert!(!found("quick a b c fox", "quick fox", 2, 0));
        assert!(found("quick a b c fox", "quick fox", 3, 0));
        assert!(!found("one x two x three", "one two three", 1, 0), "the gaps add up");
        assert!(found("one x two x three", "one two three", 2, 0));
    }

    #[test]
    fn each_word_of_a_phrase_needs_a_word_of_its_own() {
        assert!(!found("no way", "no no", 5, 0));
        assert!(found("no way no", "no no", 1, 0));
        assert!(found("a b a", "a a b", 3, 0));
    }

    #[test]
    fn a_long_text_of_the_same_words_is_searched_in_one_pass() {
        let text = format!("{}needle", "hay ".repeat(100_000));
        assert!(found(&text, "hay hay needle", 0, 0));
        assert!(!found(&text, "needle hay", 1, 0));
        assert!(found(&text, "needle hay hay hay", 1_000_000, 0));
    }

    #[test]
    fn fuzzy_words_differ_by_so_many_letters() {
        assert!(same_word("kitchen", "kitchen", 0));
        assert!(!same_word("kitchen", "kitchn", 0));
        assert!(same_word("kitchen", "kitchn", 1));
        assert!(!same_word("kitchen", "ktchn", 1));
        assert!(same_word("kitchen", "ktchn", 2));
        assert!(same_word("joey", "joye", 2) && !same_word("joey", "joye", 1), "swapped letters are two changes");
        assert!(same_word("é", "e", 1), "letters, not bytes");
        assert!(found("we were on a braek", "on a break", 0, 2));
    }
}
