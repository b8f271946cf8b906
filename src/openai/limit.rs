//! Lowering the output limit that a body names.

use std::ops::Range;

use bytes::Bytes;

use super::{ask::json_string, edit::Edits, fields};

/// The fields of OpenAI's API that name a limit.
pub const NAMES: [&str; 2] = ["max_completion_tokens", "max_tokens"];

/// The body with no limit above `most`: each of `names` that stands there is lowered; where none does, `absent` tells
/// under which name a limit is put in, and which. A body that names no higher one is not copied. One that is no JSON
/// object with a model passes.
pub fn lower(body: &Bytes, names: &[&str], most: u64, absent: (&str, u64)) -> Bytes {
    let Ok(fields) = fields::find(body) else {
        return body.clone();
    };
    let places = || names.iter().filter_map(|name| fields.get(name)).map(|place| place.value.clone());
    let says_null = |place: &Range<usize>| &body[place.clone()] == b"null";
    let above = |place: &Range<usize>| {
        // What is no whole number is the provider's to refuse.
        serde_json::from_slice::<u64>(&body[place.clone()]).is_ok_and(|limit| limit > most)
    };
    let mut edits = Edits::default();
    let put = match places().all(|place| says_null(&place)) {
        // A field that says nothing gets to say something.
        true => places().next().map(|place| (place, absent.1.to_string())).or_else(|| {
            let end = fields.model.as_ref()?.value.end;
            Some((end..end, format!(",{}:{}", json_string(absent.0), absent.1)))
        }),
        false => None,
    };
    for (place, text) in places().filter(above).map(|place| (place, most.to_string())).chain(put) {
        edits.replace(place, text);
    }
    edits.apply(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lowered(body: &str) -> String {
        let body = Bytes::copy_from_slice(body.as_bytes());
        String::from_utf8(lower(&body, &NAMES, 300, ("max_completion_tokens", 300)).to_vec()).unwrap()
    }

    #[test]
    fn limits_are_lowered_where_they_stand() {
        for (before, after) in [
            (r#"{"model":"m","max_tokens" : 301}"#, r#"{"model":"m","max_tokens" : 300}"#),
            (r#"{"max_completion_tokens":9000,"model":"m"}"#, r#"{"max_completion_tokens":300,"model":"m"}"#),
            (
                r#"{"model":"m","max_tokens":301,"max_completion_tokens":7}"#,
                r#"{"model":"m","max_tokens":300,"max_completion_tokens":7}"#,
            ),
            (r#"{"model":"m" ,"x":1}"#, r#"{"model":"m","max_completion_tokens":300 ,"x":1}"#),
            (r#"{"model":"m","max_tokens":null}"#, r#"{"model":"m","max_tokens":300}"#),
            (
                r#"{"model":"m","max_tokens":null,"max_completion_tokens":400}"#,
                r#"{"model":"m","max_tokens":null,"max_completion_tokens":300}"#,
            ),
        ] {
            assert_eq!(lowered(before), after);
        }
    }

    #[test]
    fn what_is_low_enough_is_not_copied() {
        for body in [r#"{ "model":"m","max_tokens":300}"#, "[]", r#"{"model":"m","max_tokens":"x"}"#] {
            let body = Bytes::copy_from_slice(body.as_bytes());
            assert_eq!(lower(&body, &NAMES, 300, ("x", 300)).as_ptr(), body.as_ptr());
        }
    }
}
