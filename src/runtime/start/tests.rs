use std::path::Path;

use flowstone_journal::{Journal, Keeper};

use super::*;
use crate::pipeline;
use crate::runtime::nodes::nodes;
use crate::runtime::stores::Seen;

const PIPELINE: &str = r#"
name: t
sources:
  annotations: { file: { paths: ["in/*"] }, key: /id }
operators:
  moments: { fuse: { from: annotations, by: /asset, type: /type, range: { start: /start, end: /end }, bucket: BUCKET } }
sinks:
  store: { from: moments, sqlite: { path: s.sqlite, table: moments } }
  search: { from: moments, after: store, tantivy: { path: s.index } }
"#;

struct Site {
    plan: Plan,
    nodes: BTreeMap<String, String>,
    consent: Consent,
    keeper: Keeper,
}

fn site(bucket: &str, journal: &Journal) -> Site {
    let loaded = pipeline::parse(&PIPELINE.replace("BUCKET", bucket), Path::new("."), &|_| None).unwrap();
    let plan = Plan::compile(&loaded.pipeline);
    let nodes = nodes(&loaded.pipeline);
    Site { plan, nodes, consent: Consent::default(), keeper: Keeper::open(journal.clone()).unwrap() }
}

fn store(id: &str, upper: u64) -> Option<StoreState> {
    Some(StoreState { id: id.to_owned(), upper })
}

impl Site {
    fn register(&mut self, catch_up: bool, stores: &[Option<StoreState>], above: u64) -> Result<Start, Refused> {
        let state = self.keeper.state().clone();
        let opening =
            Opening { plan: &self.plan, nodes: self.nodes.clone(), state: &state, consent: &self.consent, catch_up };
        opening.check()?;
        let seen: Vec<Seen> = stores.iter().map(|store| Seen { store: store.clone(), mark: None }).collect();
        let mut registration = opening.register(&seen, above)?;
        self.keeper.append(std::mem::take(&mut registration.entry)).unwrap();
        Ok(registration.start(&self.plan, self.keeper.state()))
    }

    /// Seals a reveal, and records that the sinks have written it.
    fn reveal(&mut self, epoch: u64, marks: u64) {
        let filling = |sink: &SinkState| SinkState { standing: Standing::Filling { at: epoch }, ..sink.clone() };
        let waiting = |sink: &SinkState| sink.standing == Standing::AwaitingReveal;
        let state = self.keeper.state().clone();
        let sinks = state
            .sinks
            .iter()
            .filter(|(_, sink)| waiting(sink))
            .map(|(name, sink)| (name.clone(), Some(filling(sink))));
        let seals = vec![Seal { epoch, bindings: Vec::new() }];
        self.keeper.append(Entry { reveal: Some(epoch), seals, sinks: sinks.collect(), ..Entry::default() }).unwrap();
        let written = |sink: &SinkState| SinkState {
            standing: Standing::Upper(epoch + 1),
            mark: Some(marks.to_string()),
            ..sink.clone()
        };
        let state = self.keeper.state().clone();
        let sinks = state.sinks.iter().map(|(name, sink)| (name.clone(), Some(written(sink)))).collect();
        self.keeper.append(Entry { sinks, ..Entry::default() }).unwrap();
    }
}

/// A state whose sinks have written everything up to `epoch`.
fn written(journal: &Journal, epoch: u64) {
    let mut site = site("1s", journal);
    site.register(true, &[store("a", 0), store("b", 0), None], 0).unwrap();
    site.reveal(epoch, epoch + 1);
}

#[test]
fn a_first_run_catches_up_and_then_fills_every_sink() {
    let start = site("1s", &Journal::in_memory()).register(true, &[store("a", 0), store("b", 0), None], 0).unwrap();
    assert_eq!((start.hidden_from, start.sealed.hydrate_at), (Some(1), 0));
    assert_eq!(start.sinks[..2], [sink::Start::FillAtReveal; 2]);
    assert_eq!(start.sinks[2], sink::Start::Stream { from: 1 }, "letters are never filled");
}

/// Law L3, with a system's clock that was a century ahead when the last run sealed, or when a store was written.
#[test]
fn epochs_open_above_all_that_was_sealed_or_written() {
    let century = 100 * 365 * 24 * 3600 * 1000;
    let ahead = unix_ms() + century;
    let journal = Journal::in_memory();
    written(&journal, ahead);
    let stores = [store("a", ahead + 1), store("b", ahead + 1), None];
    let start = site("1s", &journal).register(false, &stores, 0).unwrap();
    assert!(start.first_epoch > ahead, "{} is not above {ahead}", start.first_epoch);
    let start = site("1s", &journal).register(false, &stores, ahead + 70).unwrap();
    assert!(start.first_epoch >= ahead + 70);
    let start = site("1s", &Journal::in_memory()).register(true, &stores, ahead).unwrap();
    assert!(start.first_epoch >= ahead, "also without a state");
}

#[test]
fn a_later_run_goes_on_where_each_sink_is() {
    let journal = Journal::in_memory();
    written(&journal, 50);
    let start = site("1s", &journal).register(false, &[store("a", 51), store("b", 51), None], 51).unwrap();
    assert_eq!(start.hidden_from, None);
    assert_eq!(start.sinks[..2], [sink::Start::Resume { from: 51 }; 2]);
    assert_eq!((start.sealed.hydrate_at, start.sealed.through), (50, 50));
}

/// Law L10: the next run fills it, as if it were new; and it is not detached any more.
#[test]
fn a_sink_that_was_detached_is_filled_and_a_stream_goes_on() {
    for catch_up in [false, true] {
        let journal = Journal::in_memory();
        written(&journal, 50);
        let mut site = site("1s", &journal);
        site.register(false, &[store("a", 51), store("b", 51), None], 51).unwrap();
        let detached = |(name, sink): (&String, &SinkState)| {
            let standing = if name == "dead_letters" { sink.standing.clone() } else { Standing::AwaitingReveal };
            (name.clone(), Some(SinkState { standing, detached_unix_ms: Some(99), ..sink.clone() }))
        };
        let sinks = site.keeper.state().sinks.iter().map(detached).collect();
        site.keeper.append(Entry { sinks, ..Entry::default() }).unwrap();
        // One of them has committed late, the other one lost its disk meanwhile.
        let start = site.register(catch_up, &[store("a", 77), store("another", 0), None], 77).unwrap();
        let fill = if catch_up { sink::Start::FillAtReveal } else { sink::Start::Fill { at: start.sealed.through } };
        assert_eq!(start.sinks, [fill, fill, sink::Start::Stream { from: 51 }]);
        assert!(start.first_epoch > 77, "above all that the store holds");
        assert!(site.keeper.state().sinks.values().all(|sink| sink.detached_unix_ms.is_none()));
    }
}

/// Law L13.
#[test]
fn a_store_that_is_not_the_one_that_was_written_is_refused() {
    let journal = Journal::in_memory();
    written(&journal, 50);
    let refused = |store: Option<StoreState>| {
        let refused = site("1s", &journal).register(false, &[store, self::store("b", 51), None], 51).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("sinks reset store"), "{text}");
        text
    };
    assert!(refused(store("another", 51)).contains("not the one"));
    assert!(refused(store("a", 40)).contains("lost data"));
    let start = site("1s", &journal).register(false, &[store("a", 60), store("b", 51), None], 60).unwrap();
    assert!(
        matches!(start.sinks[0], sink::Start::Fill { .. }),
        "newer than the state, which was restored: filled again"
    );
    assert_eq!(start.sinks[1], sink::Start::Resume { from: 51 });
}

/// Law L8.
#[test]
fn a_changed_operator_is_refused_or_its_sinks_are_filled_again() {
    let journal = Journal::in_memory();
    written(&journal, 50);
    let stores = [store("a", 51), store("b", 51), None];
    let text = site("2s", &journal).register(false, &stores, 51).unwrap_err().to_string();
    assert!(text.contains(r#"fuse moments (bucket: "2s", was "1s")"#) && text.contains("--accept-changes"), "{text}");
    let mut changed = site("2s", &journal);
    changed.consent.accept_changes = true;
    let start = changed.register(false, &stores, 51).unwrap();
    let at = start.sealed.through;
    assert_eq!(start.sinks[..2], [sink::Start::Fill { at }; 2], "at a sealed epoch of its own");
    assert!(at > 50 && start.first_epoch > at);
    assert_eq!(start.sinks[2], sink::Start::Stream { from: 51 });
}

#[test]
fn a_table_that_is_built_anew_is_read_from_the_start_under_another_number() {
    let journal = Journal::in_memory();
    written(&journal, 50);
    let before = site("1s", &journal).register(false, &[store("a", 51), store("b", 51), None], 51).unwrap();
    let mut rebuilt = site("1s", &journal);
    rebuilt.consent.rebuild = vec!["annotations".to_owned()];
    let start = rebuilt.register(true, &[store("a", 51), store("b", 51), None], 51).unwrap();
    assert_ne!(start.tables, before.tables);
    assert_eq!(start.sinks[..2], [sink::Start::FillAtReveal; 2]);
    rebuilt.consent.rebuild = vec!["annotation".to_owned()];
    let text = rebuilt.register(true, &[store("a", 51), store("b", 51), None], 51).unwrap_err().to_string();
    assert!(text.contains("no such table") && text.contains("\"annotations\""), "{text}");
}
