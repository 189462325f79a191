//! Stores that are servers: addresses, names, credentials.

use super::super::index_name::{Bucket, IndexName};
use super::super::problem::Report;
use super::{Group, Item, Outline, Settings, Text, references};

pub(super) fn check(outline: &Outline<'_>, sink: &Item<'_>, report: &mut Report) {
    if let Some(elasticsearch) = sink.kind("elasticsearch") {
        urls(&elasticsearch, report);
        if let Some(index) = elasticsearch.text("index") {
            match index.text.parse::<IndexName>() {
                Ok(name) => {
                    index_name(&index, &name.head(), report);
                    divided(outline, sink, &index, &name, report);
                }
                Err(problem) => index.problem(report, problem, None),
            }
        }
        if let Some(alias) = elasticsearch.text("alias") {
            index_name(&alias, alias.text, report);
        }
        credentials(&elasticsearch, report);
        tombstones(&elasticsearch, report);
    }
    if let Some(cassandra) = sink.kind("cassandra") {
        for node in cassandra.texts("nodes") {
            let has_port =
                node.text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            if !has_port || node.text.contains("://") {
                node.problem(
                    report,
                    format!("{:?} is not HOST:PORT", node.text),
                    Some("for example localhost:9042".to_owned()),
                );
            }
        }
        credentials(&cassandra, report);
        if let Some(tls) = cassandra.mapping("tls") {
            match (tls.text("certificate"), tls.text("key")) {
                (Some(certificate), None) => {
                    certificate.problem(report, "a certificate needs its key", Some("key: FILE".to_owned()));
                }
                (None, Some(key)) => {
                    key.problem(report, "a key needs its certificate", Some("certificate: FILE".to_owned()));
                }
                _ => {}
            }
        }
        columns(&cassandra, report);
    }
}

fn urls(settings: &Settings<'_>, report: &mut Report) {
    for url in settings.texts("url") {
        let rest = url.text.strip_prefix("http://").or_else(|| url.text.strip_prefix("https://"));
        let hint = || Some("for example http://localhost:9200".to_owned());
        match rest {
            None => url.problem(report, format!("{:?} is not http://HOST:PORT or https://…", url.text), hint()),
            Some(rest) if rest.contains('@') => {
                let hint = "take them out of the address: user, and password: \"${PASSWORD}\"".to_owned();
                url.problem(report, "user and password do not belong into an address, which logs show", Some(hint));
            }
            Some(rest) if rest.is_empty() || rest.contains(['?', '#']) => {
                url.problem(report, format!("{:?} is not an address of a server", url.text), hint());
            }
            Some(_) => {}
        }
    }
}

/// As the server demands it. `name` is what `text` is made into.
fn index_name(text: &Text<'_>, name: &str, report: &mut Report) {
    let forbidden = |c: char| c.is_uppercase() || c.is_whitespace() || "\\/*?\"<>|,#:".contains(c);
    let problem = if let Some(c) = name.chars().find(|c| forbidden(*c)) {
        format!("{:?} is no name for an index: {c:?} is not allowed in it", text.text)
    } else if name.starts_with(['-', '_', '+', '.']) {
        format!("{:?} is no name for an index: it must not start with -, _, + or a dot", text.text)
    } else if name.len() > 240 {
        format!("{:?} is no name for an index: it is longer than 240 bytes", text.text)
    } else {
        return;
    };
    text.problem(report, problem, None);
}

/// Several indexes: what decides of them must follow from the key.
fn divided(outline: &Outline<'_>, sink: &Item<'_>, index: &Text<'_>, name: &IndexName, report: &mut Report) {
    let Some(bucket) = name.bucket() else { return };
    let creates = sink.kind("elasticsearch").and_then(|settings| settings.get("create")?.value.text());
    if creates != Some("true") {
        index.problem(report, "several indexes are made as rows come", Some("create: true".to_owned()));
    }
    let from = sink.settings().text("from").and_then(|from| outline.find(from.text));
    let (Bucket::Time(_, path), Some(from)) = (bucket, from) else { return };
    match (path, references::has_moments(outline, from)) {
        (Some(path), true) => {
            let hint = name.bucket_text().replace(&format!(":{path}"), "");
            index.problem(report, "moments are divided by their start and by no other field", Some(hint));
        }
        (None, false) => {
            let hint = name.bucket_text().replace('}', ":/time}");
            index.problem(
                report,
                "only moments have a time of their own; name the field of the key that holds it",
                Some(hint),
            );
        }
        (Some(path), false) => {
            let path = path.to_string();
            let of_source = from.settings().texts("key");
            let of_upsert = from.kind("upsert").map(|upsert| upsert.texts("key")).unwrap_or_default();
            let is_key = of_source.iter().chain(&of_upsert).any(|field| field.text == path);
            if !is_key {
                let hint = "divide by a field of the key, or by {hash:8}".to_owned();
                let message = format!(
                    "{path} is not in the key of {:?}: when it changes, the row would be in two indexes",
                    from.name
                );
                index.problem(report, message, Some(hint));
            }
        }
        (None, true) => {}
    }
}

fn credentials(settings: &Settings<'_>, report: &mut Report) {
    let (user, password) = (settings.text("user"), settings.text("password"));
    match (&user, &password) {
        (Some(user), None) => {
            user.problem(report, "a user needs a password", Some("password: \"${PASSWORD}\"".to_owned()));
        }
        (None, Some(password)) => password.problem(report, "a password needs a user", None),
        _ => {}
    }
    if let (Some(_), Some(key)) = (user, settings.text("api_key")) {
        key.problem(report, "either a user or an API key, not both", None);
    }
}

fn tombstones(settings: &Settings<'_>, report: &mut Report) {
    let Some(deletes) = settings.text("deletes").filter(|deletes| deletes.text == "tombstone") else { return };
    if settings.get("alias").is_none() {
        let hint = "alias: NAME, which is made and hides what is deleted; search by that name".to_owned();
        deletes.problem(report, "searches would find what is deleted", Some(hint));
    }
}

fn columns(cassandra: &Settings<'_>, report: &mut Report) {
    for group in ["partition", "clustering", "columns"] {
        let Some(columns) = cassandra.get(group) else { continue };
        for column in columns.value.entries() {
            let path = format!("{}.{group}.{}", cassandra.path, column.key);
            if column.value.get("divide").is_some()
                && column.value.get("type").and_then(|t| t.value.text()) != Some("bigint")
            {
                report.problem(column.at, &path, format!("{path}: only a bigint can be divided"), None);
            }
        }
    }
}

/// Two sinks must not write the same index or table.
pub(super) fn collisions(outline: &Outline<'_>, report: &mut Report) {
    let mut seen: Vec<(String, &str)> = Vec::new();
    for sink in outline.group(Group::Sink) {
        for (kind, server, names) in
            [("elasticsearch", "url", &["index"][..]), ("cassandra", "nodes", &["keyspace", "table"][..])]
        {
            let Some(settings) = sink.kind(kind) else { continue };
            let Some(name) = settings.text(names[names.len() - 1]) else { continue };
            let mut servers: Vec<&str> =
                settings.texts(server).iter().map(|text| text.text.trim_end_matches('/')).collect();
            servers.sort_unstable();
            // Indexes that are called alike are in each other's way, whatever they are divided by.
            let names = names.iter().filter_map(|name| settings.text(name));
            let names = names.map(|text| text.text.split_once('{').map_or(text.text, |(before, _)| before));
            let target =
                names.fold(format!("{kind} {}", servers.join(",")), |target, name| format!("{target} {name:?}"));
            if let Some((_, other)) = seen.iter().find(|(there, _)| *there == target) {
                name.problem(report, format!("the sink {other:?} is written there already"), None);
            }
            seen.push((target, sink.name));
        }
    }
}
