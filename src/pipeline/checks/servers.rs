//! Stores that are servers: addresses, names, credentials.

use super::super::problem::Report;
use super::{Group, Item, Outline, Settings};

pub(super) fn check(sink: &Item<'_>, report: &mut Report) {
    if let Some(elasticsearch) = sink.kind("elasticsearch") {
        urls(&elasticsearch, report);
        index_name(&elasticsearch, "index", report);
        index_name(&elasticsearch, "alias", report);
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

/// As the server demands it.
fn index_name(settings: &Settings<'_>, field: &str, report: &mut Report) {
    let Some(name) = settings.text(field) else { return };
    let forbidden = |c: char| c.is_uppercase() || c.is_whitespace() || "\\/*?\"<>|,#:".contains(c);
    let problem = if let Some(c) = name.text.chars().find(|c| forbidden(*c)) {
        format!("{:?} is no name for an index: {c:?} is not allowed in it", name.text)
    } else if name.text.starts_with(['-', '_', '+', '.']) {
        format!("{:?} is no name for an index: it must not start with -, _, + or a dot", name.text)
    } else if name.text.len() > 255 {
        format!("{:?} is no name for an index: it is longer than 255 bytes", name.text)
    } else {
        return;
    };
    name.problem(report, problem, None);
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
            let names = names.iter().filter_map(|name| settings.text(name)).map(|text| text.text);
            let target =
                names.fold(format!("{kind} {}", servers.join(",")), |target, name| format!("{target} {name:?}"));
            if let Some((_, other)) = seen.iter().find(|(there, _)| *there == target) {
                name.problem(report, format!("the sink {other:?} is written there already"), None);
            }
            seen.push((target, sink.name));
        }
    }
}
