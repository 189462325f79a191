//! `filter`, `map`, `distinct` and `join`, against an oracle, over restarts with other workers.

use std::collections::{BTreeMap, BTreeSet};

use flowstone::runtime::{Mode, Outcome};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::support::{Documents, Place, changes, folded, run};

const PIPELINE: &str = r#"
name: reshaping
sources:
  rows: { file: { paths: [rows.ndjson] }, key: /id, delete: /deleted }
  assets: { file: { paths: [assets.ndjson] }, key: /id, delete: /deleted }
operators:
  high: { filter: { from: rows, where: score > 4 } }
  named: { join: { from: high, on: /asset, with: { from: assets, as: of }, unmatched: keep } }
  named-only: { join: { from: rows, on: /asset, with: { from: assets, on: /id } } }
  titles: { map: { from: named, rest: drop, fields: { title: 'of == null ? "" : of.title', score: score + 1 } } }
  seen: { distinct: { from: titles, by: { title: /title } } }
sinks:
  titles-out: { from: titles, file: { path: titles } }
  seen-out: { from: seen, file: { path: seen } }
  pairs-out: { from: named-only, file: { path: pairs } }
"#;

#[derive(Default)]
struct World {
    /// By id: the asset and the score.
    rows: BTreeMap<u32, (u32, u32)>,
    /// By id: the title.
    assets: BTreeMap<u32, u32>,
}

impl World {
    /// Draws a line for one of the files.
    fn line(&mut self, random: &mut ChaCha8Rng) -> (&'static str, String) {
        let (id, asset) = (random.random_range(0..12_u32), random.random_range(0..5_u32));
        let is_deleted = random.random_range(0..4) == 0;
        if random.random_range(0..3) == 0 {
            let title = random.random_range(0..3);
            let line = match is_deleted {
                true => {
                    self.assets.remove(&asset);
                    format!(r#"{{"id":{asset},"deleted":true}}"#)
                }
                false => {
                    self.assets.insert(asset, title);
                    format!(r#"{{"id":{asset},"title":"t{title}"}}"#)
                }
            };
            return ("assets.ndjson", line + "\n");
        }
        let score = random.random_range(0..10);
        let line = match is_deleted {
            true => {
                self.rows.remove(&id);
                format!(r#"{{"id":{id},"deleted":true}}"#)
            }
            false => {
                self.rows.insert(id, (asset, score));
                format!(r#"{{"id":{id},"asset":{asset},"score":{score}}}"#)
            }
        };
        ("rows.ndjson", line + "\n")
    }

    fn titles(&self) -> Documents {
        let high = self.rows.iter().filter(|(_, (_, score))| *score > 4);
        let title = |asset: &u32| self.assets.get(asset).map_or_else(String::new, |title| format!("t{title}"));
        let row = |(id, (asset, score)): (&u32, &(u32, u32))| {
            (format!("[{id}]"), format!(r#"{{"title":"{}","score":{}}}"#, title(asset), score + 1))
        };
        high.map(row).collect()
    }

    fn seen(&self) -> Documents {
        let titles: BTreeSet<String> =
            self.titles().values().map(|row| row.split('"').nth(3).unwrap().to_owned()).collect();
        titles.into_iter().map(|title| (format!("[\"{title}\"]"), format!(r#"{{"title":"{title}"}}"#))).collect()
    }

    fn pairs(&self) -> Documents {
        let pair = |(id, (asset, score)): (&u32, &(u32, u32))| {
            let title = self.assets.get(asset)?;
            let of = format!(r#"{{"id":{asset},"title":"t{title}"}}"#);
            Some((format!("[{id},{asset}]"), format!(r#"{{"id":{id},"asset":{asset},"score":{score},"assets":{of}}}"#)))
        };
        self.rows.iter().filter_map(pair).collect()
    }
}

#[test]
fn any_history_gives_what_the_oracle_gives_over_restarts_with_other_workers() {
    for seed in 0..8 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let place = Place::with(PIPELINE);
        let mut world = World::default();
        place.write("rows.ndjson", "");
        place.write("assets.ndjson", "");
        for workers in [1, 3, 2] {
            for _ in 0..25 {
                let (file, line) = world.line(&mut random);
                place.append(file, line);
            }
            assert_eq!(run(place.job(Mode::Backfill, workers)).unwrap(), Outcome::Complete);
            let sinks = [("titles", world.titles()), ("seen", world.seen()), ("pairs", world.pairs())];
            for (sink, expected) in sinks {
                assert_eq!(folded(changes(&place.path(sink))), expected, "seed {seed}, {workers} workers, {sink}");
            }
        }
        // A sink that is added later gets everything.
        let text = format!("{PIPELINE}  late: {{ from: seen, file: {{ path: late }} }}\n");
        place.write("pipeline.yaml", text);
        assert_eq!(run(place.job(Mode::Backfill, 2)).unwrap(), Outcome::Complete);
        assert_eq!(folded(changes(&place.path("late"))), world.seen(), "seed {seed}");
    }
}

#[test]
fn a_changed_expression_is_noticed() {
    let place = Place::with(PIPELINE);
    place.write("rows.ndjson", "{\"id\":1,\"asset\":2,\"score\":5}\n");
    place.write("assets.ndjson", "");
    assert_eq!(run(place.job(Mode::Backfill, 1)).unwrap(), Outcome::Complete);
    place.write("pipeline.yaml", PIPELINE.replace("score > 4", "score > 5"));
    let error = run(place.job(Mode::Backfill, 1)).unwrap_err().to_string();
    assert!(error.contains("filter high") && error.contains("--accept-changes"), "{error}");
    let consent = flowstone::runtime::Consent { accept_changes: true, ..Default::default() };
    assert_eq!(run(place.job(Mode::Backfill, 1).with_consent(consent)).unwrap(), Outcome::Complete);
    assert!(folded(changes(&place.path("titles"))).is_empty(), "the row is gone from the sinks below");
    assert!(folded(changes(&place.path("seen"))).is_empty());
}
