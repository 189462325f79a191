//! Values of JSON as values of CEL, and back.

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional, CelString, CelUInt,
};
use cel::common::value::Val;

use super::object::Object;
use crate::record::scalar::{write_integer, write_string};
use crate::record::select::unescape;

/// Takes a value out of JSON text. Whole numbers stay whole.
pub(super) fn read<'v>(json: &'v str) -> Result<Box<dyn Val + 'v>, String> {
    let json = json.trim_ascii();
    Ok(match json.as_bytes().first() {
        Some(b'"') => {
            let text = unescape(json).ok_or_else(|| format!("not a valid string: {}", short(json)))?;
            Box::new(CelString::from(text))
        }
        Some(b't') => Box::new(CelBool::from(true)),
        Some(b'f') => Box::new(CelBool::from(false)),
        Some(b'n') | None => Box::new(CelNull),
        Some(b'{') => Box::new(Object::new(json)),
        Some(b'[') => {
            let mut elements: Vec<Box<dyn Val + 'v>> = Vec::new();
            for element in sonic_rs::to_array_iter(json).map_while(Result::ok) {
                match element.as_raw_cow() {
                    std::borrow::Cow::Borrowed(raw) => elements.push(read(raw)?),
                    std::borrow::Cow::Owned(_) => return Err(format!("not a valid list: {}", short(json))),
                }
            }
            Box::new(CelList::from(elements))
        }
        Some(_) => number(json)?,
    })
}

fn number<'v>(json: &str) -> Result<Box<dyn Val + 'v>, String> {
    if let Ok(whole) = json.parse::<i64>() {
        return Ok(Box::new(CelInt::from(whole)));
    }
    if let Ok(whole) = json.parse::<u64>() {
        return Ok(Box::new(CelUInt::from(whole)));
    }
    if json.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return Err(format!("{} has more than 64 bits", short(json)));
    }
    match json.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Box::new(CelDouble::from(number))),
        _ => Err(format!("not a number that 64 bits can hold: {}", short(json))),
    }
}

fn short(json: &str) -> String {
    json.chars().take(60).collect()
}

/// Appends a value as JSON.
pub(super) fn write(value: &dyn Val, out: &mut Vec<u8>) -> Result<(), String> {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        write_string(text.inner(), out);
    } else if let Some(whole) = value.downcast_ref::<CelInt>() {
        write_integer(*whole.inner(), out);
    } else if let Some(whole) = value.downcast_ref::<CelUInt>() {
        out.extend_from_slice(itoa::Buffer::new().format(*whole.inner()).as_bytes());
    } else if let Some(number) = value.downcast_ref::<CelDouble>() {
        if !number.inner().is_finite() {
            return Err(format!("{} is no number that JSON can hold", number.inner()));
        }
        out.extend_from_slice(ryu::Buffer::new().format_finite(*number.inner()).as_bytes());
    } else if let Some(truth) = value.downcast_ref::<CelBool>() {
        out.extend_from_slice(if *truth.inner() { b"true" } else { b"false" });
    } else if value.downcast_ref::<CelNull>().is_some() {
        out.extend_from_slice(b"null");
    } else if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        write_list(list, out)?;
    } else if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        write_map(map, out)?;
    } else if let Some(optional) = value.downcast_ref::<CelOptional<'_>>() {
        match optional.inner() {
            Some(inner) => write(inner, out)?,
            None => out.extend_from_slice(b"null"),
        }
    } else {
        write_object(value, out)?;
    }
    Ok(())
}

fn write_list(list: &CelList<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    out.push(b'[');
    for (n, element) in list.inner().iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write(element.as_ref(), out)?;
    }
    out.push(b']');
    Ok(())
}

/// By key, because it has no order of its own.
fn write_map(map: &CelMap<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    let name = |key: &CelMapKey<'_>| match key.inner().downcast_ref::<CelString<'_>>() {
        Some(text) => text.inner().to_owned(),
        None => shown(key.inner()),
    };
    let mut entries: Vec<(String, &dyn Val)> =
        map.inner().iter().map(|(key, value)| (name(key), value.as_ref() as &dyn Val)).collect();
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    out.push(b'{');
    for (n, (name, value)) in entries.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        write(*value, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// An object of a document, in its own order.
fn write_object(value: &dyn Val, out: &mut Vec<u8>) -> Result<(), String> {
    let refused = || format!("{} is no value that JSON can hold", value.get_type().name());
    let (names, members) = value.as_iterable().zip(value.as_indexer()).ok_or_else(refused)?;
    let mut names = names.iter();
    out.push(b'{');
    let mut is_first = true;
    while let Some(name) = names.next() {
        let text = name.downcast_ref::<CelString<'_>>().ok_or_else(refused)?;
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        write_string(text.inner(), out);
        out.push(b':');
        let member = members.get(name).map_err(|error| error.to_string())?;
        write(member.as_ref(), out)?;
    }
    out.push(b'}');
    Ok(())
}

/// A value, for people.
pub(super) fn shown(value: &dyn Val) -> String {
    let mut out = Vec::new();
    match write(value, &mut out) {
        Ok(()) => short(&String::from_utf8_lossy(&out)),
        Err(_) => value.get_type().name().to_owned(),
    }
}
