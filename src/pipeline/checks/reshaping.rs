//! The fields of `join` and `distinct` that must fit each other.

use super::super::problem::Report;
use super::{Item, duplicates, single_value};

pub(super) fn check(operator: &Item<'_>, report: &mut Report) {
    let Some(join) = operator.kind("join") else { return };
    let on = join.texts("on");
    let with = join.mapping("with");
    let with_on = with.as_ref().map(|with| with.texts("on")).unwrap_or_default();
    for paths in [&on, &with_on] {
        duplicates(paths)
            .for_each(|again| again.problem(report, format!("{:?} is in the list already", again.text), None));
        paths.iter().for_each(|path| single_value(path, report));
    }
    if let (false, Some(first)) = (on.is_empty() || on.len() == with_on.len(), with_on.first()) {
        let message =
            format!("on has {} of them, and with.on {}: they are compared one by one", on.len(), with_on.len());
        first.problem(report, message, None);
    }
}
