//! A table holds what the moments are, whatever happened on the way.

use std::time::Duration;

use flowstone_services::cassandra::{Cassandra, CassandraOptions};
use flowstone_services::shared;
use scylla::value::CqlValue;

use super::archive::{annotation, deletion, following, from_source, joey, kitchen, pipeline, text};
use super::support::{Place, SECOND};
use super::table::Keyspace;
use super::{at_last, expected, round};

fn shared_keyspace() -> Keyspace {
    Keyspace::new(shared::cassandra())
}

/// Lines of several assets, and a place that reads them.
fn archived(keyspace: &Keyspace, more: &str) -> (Place, Vec<String>) {
    let place = Place::with(&pipeline("", &keyspace.sink(more)));
    let lines: Vec<String> = (0..4).flat_map(|n| ["a7", "b8"].map(|asset| round(asset, n))).flatten().collect();
    place.write("in/a.ndjson", text(&lines));
    (place, lines)
}

#[test]
fn a_table_holds_the_moments_with_the_epoch_as_their_timestamp() {
    let keyspace = shared_keyspace();
    let (place, mut lines) = archived(&keyspace, ", create: true");
    place.backfill();
    assert_eq!(keyspace.documents(), expected(&lines));
    let more = vec![annotation("late", "a7", "DIALOGUE_SEARCH", 30 * SECOND, 31 * SECOND), deletion("b8-joey")];
    lines.extend(more.clone());
    place.write("in/b.ndjson", text(more));
    place.backfill();
    assert_eq!(keyspace.documents(), expected(&lines));
    let hours = keyspace.rows(&format!("SELECT hour, start_ns FROM {}.moments", keyspace.name));
    let is_in_its_hour = |row: &Vec<Option<CqlValue>>| match row[..] {
        [Some(CqlValue::BigInt(hour)), Some(CqlValue::BigInt(start_ns))] => hour == start_ns / 3_600_000_000_000,
        _ => false,
    };
    assert!(hours.iter().all(is_in_its_hour), "{hours:?}");
    let epochs = keyspace.assert_timestamps();
    assert_eq!(epochs.len(), 2, "the fill, and the moment that changed");
}

#[test]
fn a_reset_fills_again_and_sweeps_what_somebody_else_has_written() {
    let keyspace = shared_keyspace();
    let (place, lines) = archived(&keyspace, ", create: true");
    place.backfill();
    let name = &keyspace.name;
    keyspace.rows(&format!(
        "INSERT INTO {name}.moments (asset, hour, start_ns, document) VALUES ('x', 1, 2, 'theirs') USING TIMESTAMP 5"
    ));
    keyspace.rows(&format!("DELETE FROM {name}.moments WHERE asset = 'a7' AND hour = 0 AND start_ns = 12000000000"));
    assert_ne!(keyspace.documents(), expected(&lines));
    // The deletion has the time of day as its timestamp: the fill must be above it, and is a moment later.
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(place.flowstone(&["sinks", "reset", "store", "pipeline.yaml"]).code, Some(0));
    place.backfill();
    assert_eq!(keyspace.documents(), expected(&lines));
}

#[test]
fn lost_state_is_built_again_in_epochs_above_those_of_the_table() {
    let keyspace = shared_keyspace();
    let (place, mut lines) = archived(&keyspace, ", create: true");
    place.backfill();
    std::fs::remove_dir_all(place.path("state")).unwrap();
    lines.truncate(7);
    place.write("in/a.ndjson", text(&lines));
    place.backfill();
    assert_eq!(keyspace.documents(), expected(&lines), "what the new input lacks is swept");
}

#[test]
fn a_table_that_was_made_anew_is_refused_until_it_is_reset() {
    let keyspace = shared_keyspace();
    let (place, lines) = archived(&keyspace, ", create: true");
    place.backfill();
    keyspace.rows(&format!("DROP TABLE {}.moments", keyspace.name));
    let said = place.refused(1);
    assert!(said.contains("its store is not the one that it wrote") && said.contains("sinks reset store"), "{said}");
    assert_eq!(place.flowstone(&["sinks", "reset", "store", "pipeline.yaml"]).code, Some(0));
    place.backfill();
    assert_eq!(keyspace.documents(), expected(&lines));
}

#[test]
fn a_table_that_was_restored_from_an_older_copy_is_refused_until_it_is_reset() {
    let keyspace = shared_keyspace();
    let (place, mut lines) = archived(&keyspace, ", create: true");
    let name = &keyspace.name;
    place.backfill();
    let memory = keyspace.rows(&format!("SELECT table_id, upper, above FROM {name}.flowstone_sinks"));
    let [Some(CqlValue::Text(id)), Some(CqlValue::BigInt(upper)), Some(CqlValue::BigInt(above))] = &memory[0][..]
    else {
        panic!("{memory:?}")
    };
    lines.push(annotation("late", "a7", "DIALOGUE_SEARCH", 30 * SECOND, 31 * SECOND));
    place.write("in/b.ndjson", text(&lines[lines.len() - 1..]));
    place.backfill();
    // The copy is of the same table, and has lost what came after it.
    for table in ["moments", "flowstone_sinks"] {
        keyspace.rows(&format!("TRUNCATE {name}.{table}"));
    }
    keyspace.rows(&format!(
        "INSERT INTO {name}.flowstone_sinks (table_name, table_id, upper, above) VALUES ('moments', '{id}', {upper}, {above}) \
         USING TIMESTAMP {upper}000"
    ));
    let said = place.refused(1);
    assert!(said.contains("its store lost data") && said.contains("sinks reset store"), "{said}");
    assert_eq!(place.flowstone(&["sinks", "reset", "store", "pipeline.yaml"]).code, Some(0));
    place.backfill();
    assert_eq!(keyspace.documents(), expected(&lines));
}

#[test]
fn a_table_that_is_dropped_while_it_is_written_ends_the_run() {
    let keyspace = shared_keyspace();
    let place = Place::with(&following("", &keyspace.sink(", create: true")));
    let lines = round("a7", 0);
    place.write("in/live.ndjson", text(&lines));
    let run = place.start(&["run", "pipeline.yaml", "--workers", "2"]);
    at_last("the fill", || keyspace.documents() == expected(&lines));
    keyspace.rows(&format!("DROP TABLE {}.moments", keyspace.name));
    place.append("in/live.ndjson", text(round("b8", 1)));
    let ran = run.wait();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("its table is gone"), "{}", ran.stderr);
}

#[test]
fn a_table_that_is_made_anew_while_it_is_written_ends_the_run() {
    let keyspace = shared_keyspace();
    let place = Place::with(&following("", &keyspace.sink(", create: true")));
    let lines = round("a7", 0);
    place.write("in/live.ndjson", text(&lines));
    let run = place.start(&["run", "pipeline.yaml", "--workers", "2"]);
    at_last("the fill", || keyspace.documents() == expected(&lines));
    let name = &keyspace.name;
    keyspace.rows(&format!("DROP TABLE {name}.moments"));
    let columns = "asset text, hour bigint, start_ns bigint, document text, epoch bigint";
    keyspace.rows(&format!("CREATE TABLE {name}.moments ({columns}, PRIMARY KEY ((asset, hour), start_ns))"));
    place.append("in/live.ndjson", text(round("b8", 1)));
    let ran = run.wait();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("its table is gone"), "{}", ran.stderr);
    let said = place.refused(1);
    assert!(said.contains("truncate it"), "what came before that was noticed is in the new one: {said}");
}

#[test]
fn a_missing_keyspace_and_a_table_of_another_shape_are_refused_with_what_helps() {
    let keyspace = shared_keyspace();
    let (place, _) = archived(&keyspace, "");
    let said = place.refused(1);
    assert!(said.contains("there is no such table") && said.contains("create: true"), "{said}");
    let name = &keyspace.name;
    keyspace.rows(&format!(
        "CREATE KEYSPACE {name} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
    ));
    keyspace.rows(&format!(
        "CREATE TABLE {name}.moments (asset text, start_ns int, document text, PRIMARY KEY (asset, start_ns))"
    ));
    let said = place.refused(1);
    for difference in
        ["it has no column \"hour\" (partition_key bigint number 2)", "\"start_ns\" is clustering int number 1"]
    {
        assert!(said.contains(difference), "{difference} in {said}");
    }
}

#[test]
fn columns_with_types_and_paths_and_a_time_to_live() {
    let keyspace = shared_keyspace();
    let columns = ", create: true, ttl: 1d, partition: { video: { type: text, path: /associated_ids/ASSET_ID } }, \
                   clustering: { at: { type: bigint, path: /time_bucket_start_ns } }, \
                   columns: { second: { type: bigint, path: /time_bucket_start_ns, divide: 1s }, \
                   labels: { type: text, path: /source_annotations/*/label }, none: { type: double, path: /none } }";
    let place = Place::with(&pipeline("", &keyspace.sink(columns)));
    place.write("in/a.ndjson", text([joey(), kitchen()]));
    place.backfill();
    let rows = keyspace.rows(&format!("SELECT video, second, labels, none FROM {}.moments", keyspace.name));
    assert_eq!(rows.len(), 4);
    let labels = CqlValue::Text(r#"["Joey","kitchen"]"#.to_owned());
    assert_eq!(rows[0], [Some(CqlValue::Text("a7".to_owned())), Some(CqlValue::BigInt(4)), Some(labels), None]);
    let ttl = keyspace.rows(&format!("SELECT TTL(labels) FROM {}.moments", keyspace.name));
    assert!(matches!(ttl[0][0], Some(CqlValue::Int(80_000..=86_400))), "{ttl:?}");
}

#[test]
fn a_row_that_is_too_large_is_a_dead_letter_and_the_others_are_written() {
    let keyspace = shared_keyspace();
    let sink = keyspace.sink(", create: true").replace("from: moments", "from: annotations");
    let source = "file: { paths: [\"in/*.ndjson\"] }, key: /annotation_id, delete: /deleted";
    let place = Place::with(&from_source(source, "", &sink));
    let large = annotation("large", "a7", "X", 0, 1)
        .replace("\"label\":\"large\"", &format!("\"label\":\"{}\"", "x".repeat(9 << 20)));
    place.write("in/a.ndjson", text([joey(), large, kitchen()]));
    place.backfill();
    let mut keys = keyspace.rows(&format!("SELECT key FROM {}.moments", keyspace.name));
    keys.sort_by_key(|key| format!("{key:?}"));
    let text = |text: &str| vec![Some(CqlValue::Text(text.to_owned()))];
    assert_eq!(keys, [text("[\"Joey\"]"), text("[\"kitchen\"]")]);
    let letters = std::fs::read_to_string(place.path("state/dead-letters.store.ndjson")).unwrap();
    assert!(
        letters.contains("\"origin\":\"[\\\"large\\\"]\"") && letters.contains("oversized mutation"),
        "{}",
        &letters[..400]
    );
}

#[test]
fn a_server_that_is_killed_under_load_costs_time_and_nothing_else() {
    // The default acknowledges a write up to a tenth of a second before a killed server would find it again.
    let yaml = "commitlog_sync: batch\ncommitlog_sync_period: 0ms".to_owned();
    let mut server = Cassandra::start(&CassandraOptions { yaml, ..CassandraOptions::default() }).unwrap();
    let keyspace = Keyspace::new(&server.address().to_string());
    let place = Place::with(&following("", &keyspace.sink(", create: true")));
    let mut lines = round("a0", 0);
    place.write("in/live.ndjson", text(&lines));
    let run = place.start(&["run", "pipeline.yaml", "--workers", "2"]);
    at_last("the fill", || keyspace.documents() == expected(&lines));
    for n in 0..60 {
        let update = round(&format!("a{}", n % 5), n / 5 + 1);
        place.append("in/live.ndjson", text(&update));
        lines.extend(update);
        match n {
            20 => server.kill(),
            40 => server.restart().unwrap(),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    at_last("everything", || keyspace.documents() == expected(&lines));
    run.signal("TERM");
    let ran = run.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn a_server_that_stands_still_is_waited_for() {
    let server = Cassandra::start(&CassandraOptions::default()).unwrap();
    let keyspace = Keyspace::new(&server.address().to_string());
    let place = Place::with(&following("", &keyspace.sink(", create: true")));
    let mut lines = round("a7", 0);
    place.write("in/live.ndjson", text(&lines));
    let mut run = place.start(&["run", "pipeline.yaml", "--workers", "2"]);
    at_last("the fill", || keyspace.documents() == expected(&lines));
    server.freeze();
    lines.extend(round("b8", 1));
    place.append("in/live.ndjson", text(round("b8", 1)));
    run.wait_for("does not take what is written");
    assert!(run.is_running());
    server.thaw();
    at_last("the update", || keyspace.documents() == expected(&lines));
}

#[test]
fn a_wrong_password_is_said_and_the_right_one_is_taken() {
    let server = Cassandra::start(&CassandraOptions { passwords: true, ..CassandraOptions::default() }).unwrap();
    let keyspace = Keyspace::new(&server.address().to_string());
    let (place, _) = archived(&keyspace, ", create: true, user: cassandra, password: wrong");
    let said = place.refused(1);
    assert!(said.contains("do not accept the user or the password") && !said.contains("wrong"), "{said}");
    let (place, _) = archived(&keyspace, ", create: true, user: cassandra, password: cassandra");
    // The user may be there only a moment after the start.
    at_last("a login", || place.flowstone(&["backfill", "pipeline.yaml"]).code == Some(0));
}

/// A file for tests: certificates of `127.0.0.1` (`own`, `expired`) and of another address, one key for all, and the certificate of
/// who has signed them.
fn certificate(name: &str) -> String {
    format!("{}/tests/stores/certificates/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A server that encrypts connections if it is asked to, and then wants to see a certificate.
fn encrypting(name: &str) -> (Cassandra, tempfile::TempDir) {
    let read = |name: &str| std::fs::read_to_string(certificate(name)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    // It wants key and certificate in one file.
    let own = dir.path().join("own.pem");
    std::fs::write(&own, read("own.key") + &read(name)).unwrap();
    let (own, trusted) = (own.display(), certificate("authority.pem"));
    let yaml = format!(
        "client_encryption_options:\n  enabled: true\n  optional: true\n  require_client_auth: true\n  keystore: {own}\n  \
         truststore: {trusted}\n  ssl_context_factory:\n    \
         class_name: org.apache.cassandra.security.PEMBasedSslContextFactory\n"
    );
    // It reads the files when somebody connects.
    (Cassandra::start(&CassandraOptions { yaml, ..CassandraOptions::default() }).unwrap(), dir)
}

#[test]
fn connections_are_encrypted_if_the_servers_are_trusted_and_trust_us() {
    let (server, _files) = encrypting("own.pem");
    let keyspace = Keyspace::new(&server.address().to_string());
    let (ca, own, key) = (certificate("authority.pem"), certificate("own.pem"), certificate("own.key"));
    let tls = |tls: &str| archived(&keyspace, &format!(", create: true, tls: {{ {tls} }}"));
    let (place, lines) = tls(&format!("ca: {ca}, certificate: {own}, key: {key}"));
    place.backfill();
    assert_eq!(keyspace.documents(), expected(&lines));

    let said = tls(&format!("ca: {ca}")).0.refused(1);
    assert!(said.contains("want another certificate, or any; check `tls.certificate`"), "{said}");
    let said = tls(&format!("ca: {own}, certificate: {own}, key: {key}")).0.refused(1);
    assert!(said.contains("is not trusted, not valid, or of another address; check `tls.ca`"), "{said}");
    let said = tls(&format!("ca: {key}")).0.refused(1);
    assert!(said.contains("is no PEM file with certificates"), "{said}");
}

#[test]
fn servers_with_certificates_of_another_time_or_address_are_refused() {
    for name in ["expired.pem", "elsewhere.pem"] {
        let (server, _files) = encrypting(name);
        let (ca, own, key) = (certificate("authority.pem"), certificate("own.pem"), certificate("own.key"));
        let keyspace = Keyspace::new(&server.address().to_string());
        let tls = format!(", create: true, tls: {{ ca: {ca}, certificate: {own}, key: {key} }}");
        let said = archived(&keyspace, &tls).0.refused(1);
        assert!(said.contains("is not trusted, not valid, or of another address"), "{name}: {said}");
    }
}
