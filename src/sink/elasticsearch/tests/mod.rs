//! The sink against a server in memory, which has the faults that a real one has only on bad days.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::server::{Fault, Server, certificate};
use super::super::testing::{delete, epoch, upsert};
use super::*;

mod server;

struct Site {
    server: Server,
    dir: tempfile::TempDir,
    settings: Value,
}

impl Site {
    fn new() -> Self {
        Site::of(Server::start())
    }

    fn of(server: Server) -> Self {
        let settings = json!({ "url": server.url, "index": "moments", "create": true });
        Site { server, dir: tempfile::tempdir().unwrap(), settings }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.settings[name] = value.into();
        self
    }

    fn try_open(&self) -> Result<Opened, SinkError> {
        let (dead_letters, layout) =
            (self.dir.path().join("dead-letters.ndjson"), crate::pipeline::layout::Layout::Rows { key: Vec::new() });
        let place =
            Place { name: "search", layout: &layout, base: self.dir.path(), dead_letters: &dead_letters, detach: None };
        open(&place, &serde_json::from_value(self.settings.clone()).unwrap())
    }

    fn open(&self) -> Opened {
        self.try_open().unwrap()
    }

    fn fault(&self, fault: Fault) {
        self.server.state.lock().unwrap().faults.push_back(fault);
    }

    fn content(&self) -> BTreeMap<String, Value> {
        self.server.content()
    }
}

/// Rows 0 to `count`, each with its number and `text`.
fn rows(count: usize, text: &str) -> Vec<Change> {
    (0..count).map(|n| upsert(&format!("k{n:04}"), &json!({ "n": n, "text": text }).to_string())).collect()
}

fn until_durable(writer: &mut dyn Writer, upper: u64) {
    let start = Instant::now();
    while writer.durable_upper() < upper {
        assert!(start.elapsed() < Duration::from_secs(30), "stuck at {}", writer.durable_upper());
        writer.idle().unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn has_all(content: &BTreeMap<String, Value>, count: usize, text: &str) {
    assert_eq!(content.len(), count);
    for (n, (id, document)) in content.iter().enumerate() {
        assert_eq!((id.as_str(), document), (format!("[\"k{n:04}\"]").as_str(), &json!({ "n": n, "text": text })));
    }
}

#[test]
fn a_fill_is_written_and_what_is_older_is_swept() {
    let site = Site::new();
    let mut opened = site.open();
    assert_eq!(opened.store.as_ref().unwrap().upper, 0);
    epoch(&mut *opened.writer, 5, &rows(100, "old"), Sweep::Older);
    assert_eq!(opened.writer.durable_upper(), 6, "a fill is durable when it is closed");
    opened.writer.finish().unwrap();
    assert_eq!(opened.store.unwrap().id, "uuid-1");

    let mut opened = site.open();
    assert_eq!((opened.above, opened.store.unwrap().upper), (6, 6));
    epoch(&mut *opened.writer, 9, &rows(60, "new"), Sweep::Older);
    has_all(&site.content(), 60, "new");
    opened.writer.finish().unwrap();
}

#[test]
fn faults_of_any_kind_cost_time_and_nothing_else() {
    let site = Site::new().with("bulk", "1KiB");
    let mut writer = site.open().writer;
    epoch(&mut *writer, 5, &rows(200, "old"), Sweep::Older);
    for fault in [
        Fault::Status(429),
        Fault::EverySecond(429),
        Fault::HalfAnAnswer,
        Fault::Cut,
        Fault::Status(503),
        Fault::EverySecond(503),
        Fault::Status(502),
        Fault::EverySecond(500),
    ] {
        site.fault(fault);
    }
    epoch(&mut *writer, 6, &rows(200, "new"), Sweep::Keep);
    epoch(&mut *writer, 7, &[delete("k0199")], Sweep::Keep);
    writer.finish().unwrap();
    assert_eq!(writer.durable_upper(), 8);
    has_all(&site.content(), 199, "new");
}

#[test]
fn only_what_is_not_written_is_sent_again() {
    let site = Site::new();
    let mut writer = site.open().writer;
    site.fault(Fault::EverySecond(429));
    epoch(&mut *writer, 5, &rows(100, "x"), Sweep::Keep);
    writer.finish().unwrap();
    assert_eq!(site.server.state.lock().unwrap().bulks, [100, 50]);
    has_all(&site.content(), 100, "x");
}

#[test]
fn a_request_that_is_too_large_is_split_and_a_document_that_is_too_large_is_refused() {
    let site = Site::new();
    let mut writer = site.open().writer;
    site.server.state.lock().unwrap().most_bytes = Some(2_000);
    let mut changes = rows(100, "x");
    changes.push(upsert("large", &json!({ "text": "y".repeat(3_000) }).to_string()));
    epoch(&mut *writer, 5, &changes, Sweep::Keep);
    writer.finish().unwrap();
    has_all(&site.content(), 100, "x");
    let letters = std::fs::read_to_string(site.dir.path().join("dead-letters.search.ndjson")).unwrap();
    let letter: Value = serde_json::from_str(&letters).unwrap();
    assert_eq!((&letter["origin"], &letter["offset"]), (&json!("[\"large\"]"), &json!(5)));
}

#[test]
fn a_refused_document_takes_the_old_one_with_it_and_holds_nobody_up() {
    for (on_refused, left) in [("delete", 9), ("keep", 10)] {
        let site = Site::new().with("on_refused", on_refused);
        let mut writer = site.open().writer;
        epoch(&mut *writer, 5, &rows(10, "old"), Sweep::Older);
        site.server.state.lock().unwrap().refuses = Some("poison".to_owned());
        epoch(&mut *writer, 6, &[upsert("k0003", r#"{"text":"poison"}"#), upsert("k0004", "{}")], Sweep::Keep);
        until_durable(&mut *writer, 7);
        let content = site.content();
        assert_eq!((content.len(), &content["[\"k0004\"]"]), (left, &json!({})), "{on_refused}");
        writer.finish().unwrap();
    }
}

#[test]
fn a_refused_document_ends_the_run_if_that_is_wanted() {
    let site = Site::new().with("on_refused", "stop");
    let mut writer = site.open().writer;
    site.server.state.lock().unwrap().refuses = Some("poison".to_owned());
    writer.write(5, &mut vec![upsert("a", r#"{"text":"poison"}"#)]).unwrap();
    writer.close(5, Sweep::Keep).and_then(|()| writer.finish()).unwrap_err();
}

#[test]
fn a_late_write_of_an_older_epoch_changes_nothing() {
    let site = Site::new();
    let (mut first, mut second) = (site.open().writer, site.open().writer);
    epoch(&mut *second, 9, &rows(10, "new"), Sweep::Older);
    second.finish().unwrap();
    // It has not noticed yet that it is not the owner any more, and is right within the 5 seconds of its last proof.
    assert!(first.write(5, &mut rows(10, "old")).is_err(), "the bound of versions is kept by the owner");
    has_all(&site.content(), 10, "new");
}

#[test]
fn a_tombstone_stays_and_keeps_its_version() {
    let site = Site::new().with("deletes", "tombstone").with("alias", "live");
    let mut writer = site.open().writer;
    epoch(&mut *writer, 5, &rows(2, "x"), Sweep::Older);
    epoch(&mut *writer, 6, &[delete("k0000")], Sweep::Keep);
    epoch(&mut *writer, 7, &rows(0, ""), Sweep::Older);
    writer.finish().unwrap();
    let content = site.content();
    assert_eq!(content["[\"k0000\"]"], json!({ "_deleted": true, "_deleted_at": 6 }), "a sweep leaves it");
    assert_eq!(content["[\"k0001\"]"], json!({ "_deleted": true, "_deleted_at": 7 }));
}

#[test]
fn the_first_fill_is_not_shown_bit_by_bit_and_restores_the_settings() {
    let site = Site::new().with("refresh", "5s").with("replicas", 1);
    // Ended before the fill was complete.
    drop(site.open());
    let mut writer = site.open().writer;
    epoch(&mut *writer, 5, &rows(2, "x"), Sweep::Older);
    writer.finish().unwrap();
    drop(site.open());
    let settings = site.server.state.lock().unwrap().settings.clone();
    let fill = json!({ "refresh_interval": "-1", "number_of_replicas": 0 });
    let restored = json!({ "refresh_interval": "5000ms", "number_of_replicas": null });
    let restored_settings = settings.last().unwrap();
    assert_eq!((&settings[0], &restored_settings["refresh_interval"]), (&fill, &restored["refresh_interval"]));
    assert_eq!(site.server.meta().get("restore"), None);
}

#[test]
fn what_an_unfinished_fill_has_written_is_swept_by_the_next_one() {
    let site = Site::new();
    let mut writer = site.open().writer;
    writer.write(5, &mut rows(20, "old")).unwrap();
    while site.content().len() < 20 {
        writer.idle().unwrap();
    }
    drop(writer);
    let opened = site.open();
    assert!(opened.above > 5);
    let mut writer = opened.writer;
    epoch(&mut *writer, opened.above, &rows(7, "new"), Sweep::Older);
    has_all(&site.content(), 7, "new");
    writer.finish().unwrap();
}

#[test]
fn an_index_that_is_deleted_is_said_to_be_gone_at_whichever_call_that_shows() {
    for (call, before) in [
        ("PUT /moments/_mapping", 1),
        ("PUT /moments/_mapping", 2),
        ("PUT /moments/_settings", 0),
        ("POST /moments/_bulk", 1),
        ("POST /moments/_refresh", 1),
        ("POST /moments/_pit", 0),
    ] {
        let site = Site::new();
        let mut writer = site.open().writer;
        site.server.state.lock().unwrap().deletes_at = Some((call, before));
        let mut written = Ok(());
        for at in [5, 20_000, 40_000] {
            written = written.and_then(|()| writer.write(at, &mut rows(10, "x")));
            written = written.and_then(|()| writer.close(at, Sweep::Older));
        }
        let error = written.and_then(|()| writer.finish()).expect_err(call);
        assert!(error.to_string().contains("it is gone: index_not_found_exception"), "{call}: {error}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_what_helps() {
    let missing = Site::new().with("create", false);
    let error = missing.try_open().err().unwrap().to_string();
    assert!(error.contains("there is no such index") && error.contains("create: true"), "{error}");

    let foreign = Site::new();
    drop(foreign.open());
    {
        let mut state = foreign.server.state.lock().unwrap();
        state.documents.insert("1".to_owned(), (1, Some(json!({}))));
        state.index.as_mut().unwrap()["mappings"]["_meta"] = json!({ "theirs": 1 });
    }
    let error = foreign.try_open().err().unwrap().to_string();
    assert!(error.contains("1 documents that flowstone has not written"), "{error}");

    let other = Site::new().with("create", false);
    drop(Site::of(other.server.clone()).open());
    other.server.state.lock().unwrap().index.as_mut().unwrap()["mappings"]["properties"]["_deleted"] =
        json!({ "type": "text" });
    let error = other.try_open().err().unwrap().to_string();
    assert!(error.contains("\"_deleted\" of its mapping is of type \"text\", and \"boolean\" is needed"), "{error}");
}

#[test]
fn a_run_knows_below_which_epoch_all_versions_are_even_if_the_last_one_was_killed() {
    let site = Site::new();
    let mut writer = site.open().writer;
    epoch(&mut *writer, 5, &rows(2, "x"), Sweep::Older);
    epoch(&mut *writer, 9_000, &rows(2, "y"), Sweep::Keep);
    until_durable(&mut *writer, 9_001);
    drop(writer);
    let opened = site.open();
    assert_eq!(opened.store.unwrap().upper, 6, "it is told now and then");
    assert!(opened.above > 9_000, "{}", opened.above);
}

#[test]
fn users_and_keys_are_sent_with_each_request() {
    for (settings, expected) in [
        (vec![("user", "elastic"), ("password", "pw?>")], "Basic ZWxhc3RpYzpwdz8+"),
        (vec![("api_key", "abc==")], "ApiKey abc=="),
    ] {
        let site = settings.into_iter().fold(Site::new(), |site, (name, value)| site.with(name, value));
        drop(site.open());
        let state = site.server.state.lock().unwrap();
        assert!(state.authorization.iter().all(|sent| sent == expected), "{:?}", state.authorization);
    }
}

#[test]
fn who_is_not_known_or_may_not_write_is_told_which_and_nobody_the_key() {
    for (status, part) in [(401, "it does not accept the user or the API key"), (403, "the user may not do that")] {
        let site = Site::new().with("api_key", "s3cret");
        site.server.state.lock().unwrap().denies = Some(status);
        let error = site.try_open().err().unwrap();
        let said = format!("{error}: {}", std::error::Error::source(&error).unwrap());
        assert!(said.contains(part) && said.contains("security_exception") && !said.contains("s3cret"), "{said}");
    }
}

#[test]
fn a_server_with_tls_is_trusted_if_its_certificate_is_signed_by_who_is_named_and_not_expired() {
    let authority = certificate("authority.pem").to_string_lossy().into_owned();
    let site = Site::of(Server::with_tls(Some("server.pem"))).with("ca", authority.as_str()).with("gzip", false);
    let mut writer = site.open().writer;
    epoch(&mut *writer, 5, &rows(10, "x"), Sweep::Older);
    has_all(&site.content(), 10, "x");
    for site in [
        Site::of(Server::with_tls(Some("server.pem"))),
        Site::of(Server::with_tls(Some("expired.pem"))).with("ca", authority.as_str()),
    ] {
        let error = site.try_open().err().unwrap();
        let said = format!("{error}: {}", std::error::Error::source(&error).unwrap());
        assert!(said.contains("certificate"), "{said}");
    }
}
