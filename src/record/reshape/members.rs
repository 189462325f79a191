//! Documents that are those of rows with members put in.

use crate::record::scalar::write_string;

/// A member to be put in: its name, and its value as JSON text.
pub(super) type Member<'a> = (&'a str, &'a [u8]);

/// Appends the members of an object with others put in: in the place of those of the same name, or at the end.
pub(super) fn put_in(json: &str, members: &[Member<'_>], out: &mut Vec<u8>) {
    out.push(b'{');
    let start = out.len();
    let write = |name: &str, value: &[u8], out: &mut Vec<u8>| {
        if out.len() > start {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        out.extend_from_slice(value);
    };
    let mut done = 0_u64;
    for (name, value) in sonic_rs::to_object_iter(json).map_while(Result::ok) {
        match members.iter().position(|(member, _)| *member == name) {
            Some(at) => {
                done |= 1 << at.min(63);
                write(&name, members[at].1, out);
            }
            None => write(&name, value.as_raw_str().as_bytes(), out),
        }
    }
    for (at, (name, value)) in members.iter().enumerate() {
        // Beyond 63 it is looked for again: nobody puts in so many.
        let is_in = match at {
            0..63 => done & (1 << at) != 0,
            _ => sonic_rs::get(json, [*name]).is_ok(),
        };
        if !is_in {
            write(name, value, out);
        }
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_take_the_place_of_others_or_come_last() {
        let mut out = Vec::new();
        put_in(r#"{"a": 1,"b":{"c": [2]},"d":null}"#, &[("e", b"5"), ("a", b"\"x\"")], &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":"x","b":{"c": [2]},"d":null,"e":5}"#);
        let mut out = Vec::new();
        put_in("{}", &[("e", b"5")], &mut out);
        put_in("[1]", &[], &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"e":5}{}"#, "what is no object has no members");
        let many: Vec<String> = (0..70).map(|n| format!("m{n}")).collect();
        let members: Vec<Member<'_>> = many.iter().map(|name| (name.as_str(), &b"1"[..])).collect();
        let mut out = Vec::new();
        put_in(r#"{"m69":0,"m62":0,"m3":0}"#, &members, &mut out);
        assert_eq!(String::from_utf8(out).unwrap().matches(":1").count(), 70, "each once");
    }
}
