//! Names of sources, operators and sinks.

use std::collections::HashMap;

use super::super::problem::Report;
use super::{Item, Outline};

/// The collection that every pipeline has.
pub(super) const DEAD_LETTERS: &str = "dead_letters";

pub(super) fn check(outline: &Outline<'_>, report: &mut Report) {
    let mut taken: HashMap<&str, &Item<'_>> = HashMap::new();
    let mut items: Vec<&Item<'_>> = outline.items.iter().collect();
    items.sort_by_key(|item| item.at);
    for item in items {
        let (name, path) = (item.name, item.path());
        if name == DEAD_LETTERS {
            let message = format!(
                "{path}: the name \"{DEAD_LETTERS}\" is taken: it stands for records that can not be processed"
            );
            report.problem(item.at, &path, message, None);
        } else if !is_name(name) {
            let message =
                format!("{path}: {name:?} is not a name: a letter or \"_\", then letters, digits, \"_\" and \"-\"");
            let hint = repaired(name).map(|name| format!("did you mean {name:?}?"));
            report.problem(item.at, &path, message, hint);
        }
        match taken.get(name) {
            Some(first) => {
                let message =
                    format!("{path}: {name:?} is the name of {} already (line {})", first.group.one(), first.at.line);
                let hint = "names are shared by sources, operators and sinks".to_owned();
                report.problem(item.at, &path, message, Some(hint));
            }
            None => drop(taken.insert(name, item)),
        }
    }
}

fn is_name(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// The name with what is not allowed in it replaced, if that makes a name.
fn repaired(name: &str) -> Option<String> {
    let replaced = name.trim().replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_");
    let sensible = is_name(&replaced) && replaced.contains(|c: char| c.is_ascii_alphanumeric());
    sensible.then_some(replaced)
}
