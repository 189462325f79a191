//! An index beside a map that holds the same.

use std::collections::BTreeMap;

use super::*;

/// A few bits of a linear congruence; the tests must be the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

type Rows = BTreeMap<(i64, u64), (i64, u64)>;

/// So many changes of rows that start before `span`, in order, each once.
fn changes(random: &mut Random, known: &Rows, count: u64, span: u64) -> BTreeMap<(i64, u64), (i64, Option<u64>)> {
    let change = |_| {
        let key = (random.below(span) as i64, random.below(3));
        let end = known.get(&key).map_or(key.0 + 1 + random.below(20) as i64, |(end, _)| *end);
        (key, (end, (random.below(3) > 0).then(|| random.below(1_000))))
    };
    (0..count).map(change).collect()
}

fn all(index: &Index<u64, u64>) -> Rows {
    index.overlapping(i64::MIN, i64::MAX).map(|(start, end, c, v)| ((start, *c), (end, *v))).collect()
}

#[test]
fn rows_are_found_and_changed_by_the_few_and_by_the_many() {
    for (span, seed) in [(30, 1), (400, 2), (20_000, 3), (200_000, 4)] {
        let (mut random, mut index, mut known) = (Random(seed), Index::default(), Rows::new());
        for round in 0..120 {
            let count = [1, 3, 10, 100, 600][random.below(if round < 20 { 5 } else { 4 }) as usize];
            let changes = changes(&mut random, &known, count, span);
            let mut places = Vec::new();
            index.find_each(changes.keys().map(|(start, content)| (*start, content)), |place| places.push(place));
            let each: Vec<_> = changes.keys().map(|(start, content)| index.find(*start, content)).collect();
            assert_eq!(places, each, "together and one by one: span {span}, round {round}");
            let ops: Vec<Op<u64, u64>> = std::iter::zip(&changes, places)
                .map(|((&(start, content), &(end, value)), place)| Op { start, end, content, value, place })
                .collect();
            index.apply(ops.into_iter());
            for (key, (end, value)) in changes {
                match value {
                    Some(value) => drop(known.insert(key, (end, value))),
                    None => drop(known.remove(&key)),
                }
            }
            assert_eq!((all(&index), index.len()), (known.clone(), known.len()), "span {span}, round {round}");
        }
        assert!(span < 400 || index.blocks.len() > 1, "several blocks: {}", index.blocks.len());
    }
}

#[test]
fn a_scan_meets_what_look_ups_find() {
    let mut random = Random(5);
    let rows: BTreeMap<i64, i64> =
        (0..2_000).map(|_| random.below(100_000) as i64).map(|start| (start, start + 1 + start % 700)).collect();
    let len = rows.len();
    let mut index = Index::from_sorted(rows.iter().map(|(start, end)| (*start, *end, (), 0)), len);
    let mut spans: Vec<Wanted> =
        (0..60).map(|_| random.below(100_000) as i64).map(|start| Wanted(start, start + 1 + start % 900)).collect();
    spans.sort_unstable_by_key(|span| span.0);
    let mut met = vec![0; spans.len()];
    let (mut cursor, mut rounds) = (Some(Cursor::default()), 0);
    while let Some(at) = cursor {
        cursor = index.scan(&spans, at, &mut 50, |n, (), times| {
            met[n] += 1;
            *times += 1;
        });
        rounds += 1;
    }
    let found: Vec<usize> = spans.iter().map(|span| index.overlapping(span.0, span.1).count()).collect();
    assert_eq!(met, found);
    assert!(rounds > 10 && found.iter().sum::<usize>() > 100, "it stopped in between: {rounds}");
}

struct Wanted(i64, i64);

impl Spanned for Wanted {
    fn span(&self) -> (i64, i64) {
        (self.0, self.1)
    }
}
