//! `join` with `as_of: arrival`, against an oracle that knows the runs, over restarts with other workers and over changes of the
//! pipeline. A backfill is one epoch for all that it reads.

use std::collections::BTreeMap;

use flowstone::runtime::{Consent, Mode, Outcome, RunError};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::support::{Documents, Place, changes, eventually, folded, run, spawn};

const SOURCES: &str = r#"
name: lookups
epoch: 20ms
sources:
  plays: { file: { paths: [plays.ndjson] }, key: /id, delete: /deleted }
  users: { file: { paths: [users.ndjson] }, key: /id, delete: /deleted }
"#;

const JOIN: &str =
    "  then: { join: { from: long, on: /user, with: { from: users, as: of }, unmatched: keep, as_of: arrival } }\n";

/// Long plays, by what their users were called then, and how many there are of each name.
fn pipeline(join: &str) -> String {
    format!(
        "{SOURCES}operators:\n  long: {{ filter: {{ from: plays, where: seconds > 4 }} }}\n{join}  \
         names: {{ aggregate: {{ from: then, by: {{ name: /of/name }}, compute: {{ n: count }} }} }}\n\
         sinks:\n  out: {{ from: then, file: {{ path: out }} }}\n  counts: {{ from: names, file: {{ path: counts }} }}\n"
    )
}

/// Without the join and what reads it.
fn before_it() -> String {
    format!(
        "{SOURCES}operators:\n  long: {{ filter: {{ from: plays, where: seconds > 4 }} }}\n\
         sinks:\n  all: {{ from: long, file: {{ path: all }} }}\n"
    )
}

#[derive(Clone, Default)]
struct World {
    /// By id: the user and how long it was.
    plays: BTreeMap<u32, (u32, u32)>,
    /// By id: the name.
    users: BTreeMap<u32, u32>,
    /// By id of long plays: what they are, and the name that was found.
    pairs: BTreeMap<u32, ((u32, u32), Option<u32>)>,
}

impl World {
    /// Draws a line for one of the files.
    fn line(&mut self, random: &mut ChaCha8Rng) -> (&'static str, String) {
        let (id, user) = (random.random_range(0..16_u32), random.random_range(0..6_u32));
        let is_deleted = random.random_range(0..4) == 0;
        if random.random_range(0..3) == 0 {
            let name = random.random_range(0..4);
            let line = match is_deleted {
                true => {
                    self.users.remove(&user);
                    format!("{{\"id\":{user},\"deleted\":true}}\n")
                }
                false => {
                    self.users.insert(user, name);
                    format!("{{\"id\":{user},\"name\":\"n{name}\"}}\n")
                }
            };
            return ("users.ndjson", line);
        }
        let seconds = random.random_range(0..10);
        let line = match is_deleted {
            true => {
                self.plays.remove(&id);
                format!("{{\"id\":{id},\"deleted\":true}}\n")
            }
            false => {
                self.plays.insert(id, (user, seconds));
                format!("{{\"id\":{id},\"user\":{user},\"seconds\":{seconds}}}\n")
            }
        };
        ("plays.ndjson", line)
    }

    /// A run has read everything that there is.
    fn look(&mut self) {
        let World { plays, users, pairs } = self;
        let long: BTreeMap<_, _> = plays.iter().filter(|(_, (_, seconds))| *seconds > 4).collect();
        pairs.retain(|id, (play, _)| long.get(id) == Some(&&*play));
        for (id, play) in long {
            pairs.entry(*id).or_insert_with(|| (*play, users.get(&play.0).copied()));
        }
    }

    fn then(&self) -> Documents {
        let pair = |(id, ((user, seconds), name)): (&u32, &((u32, u32), Option<u32>))| {
            let of = name.map_or_else(|| "null".to_owned(), |name| format!(r#"{{"id":{user},"name":"n{name}"}}"#));
            (format!("[{id}]"), format!(r#"{{"id":{id},"user":{user},"seconds":{seconds},"of":{of}}}"#))
        };
        self.pairs.iter().map(pair).collect()
    }

    fn names(&self) -> Documents {
        let mut names: BTreeMap<u32, usize> = BTreeMap::new();
        self.pairs.values().filter_map(|(_, name)| *name).for_each(|name| *names.entry(name).or_default() += 1);
        names.iter().map(|(name, n)| (format!("[\"n{name}\"]"), format!(r#"{{"name":"n{name}","n":{n}}}"#))).collect()
    }
}

fn feed(place: &Place, world: &mut World, random: &mut ChaCha8Rng, lines: usize) {
    for _ in 0..lines {
        let (file, line) = world.line(random);
        place.append(file, line);
    }
}

fn backfill(place: &Place, workers: usize, consent: Consent) -> Result<Outcome, RunError> {
    run(place.job(Mode::Backfill, workers).with_consent(consent))
}

fn rebuild(names: &[&str]) -> Consent {
    Consent { rebuild: names.iter().map(|name| (*name).to_owned()).collect(), ..Consent::default() }
}

fn check(place: &Place, world: &World, what: &str) {
    assert_eq!(folded(changes(&place.path("out"))), world.then(), "{what}");
    assert_eq!(folded(changes(&place.path("counts"))), world.names(), "{what}");
}

#[test]
fn rows_stay_with_what_they_found_over_restarts_with_other_workers() {
    for seed in 0..6 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let place = Place::with(&pipeline(JOIN));
        let mut world = World::default();
        place.write("plays.ndjson", "");
        place.write("users.ndjson", "");
        for workers in [1, 3, 2, 1] {
            feed(&place, &mut world, &mut random, 25);
            assert_eq!(backfill(&place, workers, Consent::default()).unwrap(), Outcome::Complete);
            world.look();
            check(&place, &world, &format!("seed {seed}, {workers} workers"));
        }
        // A sink that is added later gets what was found then.
        place.write("pipeline.yaml", format!("{}  late: {{ from: then, file: {{ path: late }} }}\n", pipeline(JOIN)));
        assert_eq!(backfill(&place, 2, Consent::default()).unwrap(), Outcome::Complete);
        assert_eq!(folded(changes(&place.path("late"))), world.then(), "seed {seed}");
    }
}

#[test]
fn what_is_added_looks_up_the_rows_that_are_there_already() {
    for seed in 0..4 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let place = Place::with(&before_it());
        let mut world = World::default();
        feed(&place, &mut world, &mut random, 40);
        assert_eq!(backfill(&place, 2, Consent::default()).unwrap(), Outcome::Complete);
        feed(&place, &mut world, &mut random, 5);
        place.write("pipeline.yaml", pipeline(JOIN));
        assert_eq!(backfill(&place, 3, Consent::default()).unwrap(), Outcome::Complete);
        world.look();
        check(&place, &world, "added");
        feed(&place, &mut world, &mut random, 30);
        assert_eq!(backfill(&place, 1, Consent::default()).unwrap(), Outcome::Complete);
        world.look();
        check(&place, &world, "later");
    }
}

/// Epochs of a run that goes on are looked up as they come, and those that are not read yet are nobody's.
#[test]
fn a_run_that_goes_on_looks_rows_up_as_they_come() {
    let following = pipeline(JOIN).replace(".ndjson]", ".ndjson], follow: true");
    let place = Place::with(&following);
    place.write("plays.ndjson", "{\"id\":1,\"user\":1,\"seconds\":5}\n");
    place.write("users.ndjson", "{\"id\":1,\"name\":\"Ross\"}\n");
    let out = place.path("out");
    let seen = |id: u32| out.exists().then(|| folded(changes(&out)).remove(&format!("[{id}]"))).flatten();
    let found = |id: u32, name: &str| seen(id).is_some_and(|row| row.contains(&format!("\"name\":\"{name}\"")));
    for (round, workers) in (1..).zip([1, 2]) {
        let job = place.job(Mode::Run, workers);
        let control = job.control();
        let ended = spawn(job);
        eventually("the first play is there", || found(round, if round == 1 { "Ross" } else { "Rachel1" }));
        // Read in their order, so that who finds the second name would find the first one.
        place.append("users.ndjson", format!("{{\"id\":1,\"name\":\"Rachel{round}\"}}\n"));
        place.append("users.ndjson", format!("{{\"id\":{},\"name\":\"Phoebe\"}}\n", round + 10));
        let mut next = round * 100;
        eventually("the other name is there", || {
            next += 1;
            place.append("plays.ndjson", format!("{{\"id\":{next},\"user\":{},\"seconds\":9}}\n", round + 10));
            eventually("a play is there", || seen(next).is_some());
            found(next, "Phoebe")
        });
        place.append("plays.ndjson", format!("{{\"id\":{},\"user\":1,\"seconds\":9}}\n", round + 1));
        eventually("the second play is there", || found(round + 1, &format!("Rachel{round}")));
        assert!(found(1, "Ross"), "it stays");
        control.stop();
        assert_eq!(ended().unwrap(), Outcome::Complete);
    }
    assert!(found(1, "Ross") && found(2, "Rachel1") && found(3, "Rachel2"));
}

#[test]
fn pairs_that_were_kept_up_to_date_may_come_to_stay_and_the_other_way_round() {
    let now = pipeline(&JOIN.replace("arrival", "now"));
    let place = Place::with(&now);
    place.write("plays.ndjson", "{\"id\":1,\"user\":1,\"seconds\":5}\n");
    place.write("users.ndjson", "{\"id\":1,\"name\":\"Ross\"}\n");
    let name = |place: &Place| folded(changes(&place.path("counts"))).into_keys().collect::<String>();
    backfill(&place, 1, Consent::default()).unwrap();
    place.write("pipeline.yaml", pipeline(JOIN));
    let error = backfill(&place, 1, Consent::default()).unwrap_err().to_string();
    assert!(error.contains("table then (it is a table, and was a join); --rebuild then"), "{error}");
    backfill(&place, 2, rebuild(&["then"])).unwrap();
    place.append("users.ndjson", "{\"id\":1,\"name\":\"Rachel\"}\n");
    backfill(&place, 1, Consent::default()).unwrap();
    assert_eq!(name(&place), r#"["Ross"]"#);
    place.write("pipeline.yaml", now);
    let error = backfill(&place, 1, Consent::default()).unwrap_err().to_string();
    assert!(error.contains("join then (it is a join, and was a table)"), "{error}");
    backfill(&place, 1, Consent { accept_changes: true, ..Consent::default() }).unwrap();
    assert_eq!(name(&place), r#"["Rachel"]"#);
}

#[test]
fn rows_that_are_built_anew_are_looked_up_anew() {
    let place = Place::with(&pipeline(JOIN));
    place.write("plays.ndjson", "{\"id\":1,\"user\":1,\"seconds\":5}\n{\"id\":2,\"user\":1,\"seconds\":3}\n");
    place.write("users.ndjson", "{\"id\":1,\"name\":\"Ross\"}\n");
    backfill(&place, 1, Consent::default()).unwrap();
    place.append("users.ndjson", "{\"id\":1,\"name\":\"Rachel\"}\n");
    backfill(&place, 2, Consent::default()).unwrap();
    let names = || folded(changes(&place.path("counts"))).into_keys().collect::<Vec<_>>();
    assert_eq!(names(), [r#"["Ross"]"#]);
    backfill(&place, 2, rebuild(&["users"])).unwrap();
    assert_eq!(names(), [r#"["Ross"]"#], "what was found stays");

    let error = backfill(&place, 1, rebuild(&["plays"])).unwrap_err().to_string();
    assert!(error.ends_with("give --rebuild plays --rebuild then"), "{error}");
    backfill(&place, 1, rebuild(&["plays", "then"])).unwrap();
    assert_eq!(names(), [r#"["Rachel"]"#]);

    place.append("users.ndjson", "{\"id\":1,\"name\":\"Joey\"}\n");
    backfill(&place, 2, rebuild(&["then"])).unwrap();
    assert_eq!(names(), [r#"["Joey"]"#], "by itself it is looked up anew, too");

    place.append("users.ndjson", "{\"id\":1,\"name\":\"Gunther\"}\n");
    place.write("pipeline.yaml", pipeline(JOIN).replace("seconds > 4", "seconds > 2"));
    let error = backfill(&place, 1, Consent::default()).unwrap_err().to_string();
    assert!(error.contains("filter long") && error.contains("--rebuild then"), "{error}");
    let consent = Consent { accept_changes: true, ..rebuild(&["then"]) };
    backfill(&place, 1, consent).unwrap();
    assert_eq!(folded(changes(&place.path("out"))).len(), 2);
    assert_eq!(names(), [r#"["Gunther"]"#]);
}
