//! What a row gives to one function.

use smallvec::SmallVec;

use super::condition::Met;
use super::fields::Item;
use super::places::{PlaceId, Places};
use super::ranked::{Rank, Ranked};
use super::spec::{Computed, Function};
use super::value::{Value, number};
use crate::record::Interner;

/// Takes from rows what they give to one function.
pub(super) struct Taker {
    function: Function,
    /// Where the fields are that the function reads, in its order.
    fields: SmallVec<[PlaceId; 2]>,
    conditions: Vec<Met>,
    /// Rows are never taken back.
    is_growing: bool,
}

impl Taker {
    pub(super) fn new(computed: &Computed, is_growing: bool, places: &mut Places) -> Self {
        let fields = computed.function.paths().map(|path| places.add(path)).collect();
        let conditions = computed.conditions.iter().map(|condition| Met::new(condition, places)).collect();
        Taker { function: computed.function.clone(), fields, conditions, is_growing }
    }

    /// What a row gives, whose document was found in `places`.
    pub(super) fn item(
        &self,
        json: &str,
        places: &Places,
        write_key: &impl Fn(&mut Vec<u8>),
        strings: &mut Interner,
    ) -> Result<Item, String> {
        if !self.conditions.iter().all(|condition| condition.is_met(json, places, strings)) {
            return Ok(Item::Nothing);
        }
        let values = |take: &mut dyn FnMut(&str) -> Result<Item, String>| values(json, places, self.fields[0], take);
        let path = self.fields.first().map(|at| places.path(*at));
        let item = match (&self.function, path) {
            (Function::Rows, _) | (_, None) => Ok(Item::Once),
            (Function::Count(_), _) => values(&mut |_| Ok(Item::Once)),
            (Function::Sum(_) | Function::Average(_), Some(path)) => {
                values(&mut |json| number(json, path).map(Item::Number))
            }
            (Function::Min(_) | Function::Max(_) | Function::Distinct(_), Some(path)) => {
                values(&mut |json| Value::read(json, path, strings).map(Item::Value))
            }
            (Function::Histogram(_), Some(path)) => values(&mut |json| match json.starts_with('{') {
                true => counts(json, places, self.fields[0], strings).map(Item::Several),
                false => Value::read(json, path, strings).map(|value| Item::Named(value.name(), 1)),
            }),
            (Function::Top { .. } | Function::End { .. }, Some(_)) => self.ranked(json, places, write_key, strings),
        }?;
        Ok(if self.is_growing { of_event(item, &self.function) } else { item })
    }

    /// Where a row stands among those of its group: one that lacks the value by which they stand, or what is shown, is not among
    /// them.
    fn ranked(
        &self,
        json: &str,
        places: &Places,
        write_key: &impl Fn(&mut Vec<u8>),
        strings: &mut Interner,
    ) -> Result<Item, String> {
        let of = self.fields.get(1);
        let shown = of.and_then(|of| places.single(json, *of));
        let Some(value) = places.single(json, self.fields[0]).filter(|_| of.is_none() || shown.is_some()) else {
            return Ok(Item::Nothing);
        };
        let value = Value::read(value, places.path(self.fields[0]), strings)?;
        let rank = match &self.function {
            Function::End { is_last: false, .. } => Rank::least(value),
            _ => Rank::greatest(value),
        };
        let mut key = Vec::new();
        write_key(&mut key);
        let key = String::from_utf8(key).expect("a key is JSON text").into();
        Ok(Item::Ranked(Box::new(Ranked { rank, key, of: shown.map(Into::into) })))
    }
}

/// What a row gives that is never taken back.
fn of_event(item: Item, function: &Function) -> Item {
    match (item, function) {
        (Item::Several(items), _) => Item::Several(items.into_iter().map(|item| of_event(item, function)).collect()),
        (Item::Value(value), Function::Min(_)) => Item::Least(value),
        (Item::Value(value), Function::Max(_)) => Item::Greatest(value),
        (Item::Value(value), _) => Item::Member(value),
        (Item::Ranked(ranked), Function::Top { k, .. }) => Item::Best(ranked, *k as u32),
        (Item::Ranked(ranked), _) => Item::Best(ranked, 1),
        (item, _) => item,
    }
}

/// What each value of a field is taken for; `null` is none.
fn values(
    json: &str,
    places: &Places,
    at: PlaceId,
    take: &mut dyn FnMut(&str) -> Result<Item, String>,
) -> Result<Item, String> {
    if !places.fans_out(at) {
        return places.single(json, at).map_or(Ok(Item::Nothing), take);
    }
    let mut items: SmallVec<[Item; 1]> = SmallVec::new();
    let mut problem = None;
    places.each(json, at, |json| match json {
        "null" => {}
        json => match take(json) {
            Ok(item) => items.push(item),
            Err(reason) => drop(problem.get_or_insert(reason)),
        },
    });
    if let Some(reason) = problem {
        return Err(reason);
    }
    Ok(match items.len() {
        0 => Item::Nothing,
        1 => items.remove(0),
        _ => Item::Several(items.into_iter().collect()),
    })
}

/// A histogram with more of a value is refused, so that their sums stay far below 2^63.
const MOST_TIMES: i64 = 1_000_000_000_000;

/// A histogram that was made elsewhere: names and whole numbers.
fn counts(json: &str, places: &Places, at: PlaceId, strings: &mut Interner) -> Result<Box<[Item]>, String> {
    let mut items = Vec::new();
    for member in sonic_rs::to_object_iter(json) {
        let (name, value) = member.map_err(|_| places.wrong(at, "an object", json))?;
        let times = value.as_raw_str().parse().ok().filter(|times| (0..=MOST_TIMES).contains(times));
        let times = times.ok_or_else(|| places.wrong(at, "an object of whole numbers up to 10^12", json))?;
        items.push(Item::Named(strings.text(&name), times));
    }
    Ok(items.into())
}
