//! Lowering the output limit that a body names.

use std::ops::Range;

use bytes::Bytes;

use super::{
    ask::json_string,
    edit::Edits,
    fields::{self, Found},
};

/// The fields of OpenAI's API that name a limit.
pub const NAMES: [&str; 2] = ["max_completion_tokens", "max_tokens"];

/// What has to be said instead of what is said of limits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// In the place of each of [`NAMES`], where something has to change.
    pub(super) instead: [Option<u64>; 2],
    /// What to say where nothing is said.
    pub(super) fresh: Option<u64>,
}

impl Limits {
    /// What to say instead under a name.
    pub(super) fn of(&self, name: &str) -> Option<u64> {
        NAMES.iter().position(|known| *known == name).and_then(|at| self.instead[at])
    }
}

/// What to say so that no limit is above `most`, where `said` is the JSON of each of [`NAMES`]; `absent` is what to say
/// where none says anything.
pub(super) fn limits(said: [Option<&[u8]>; 2], most: u64, absent: u64) -> Limits {
    let mut instead = said.map(|json| json.filter(|json| is_above(json, most)).map(|_| most));
    let is_silent = |json: &Option<&[u8]>| json.is_none_or(|json| json == b"null");
    if !said.iter().all(is_silent) {
        return Limits { instead, fresh: None };
    }
    match said.iter().position(Option::is_some) {
        // A field that says nothing gets to say something.
        Some(null) => instead[null] = Some(absent),
        None => return Limits { instead, fresh: Some(absent) },
    }
    Limits { instead, fresh: None }
}

/// Whether a limit is higher; what is no whole number is the provider's to refuse.
fn is_above(json: &[u8], most: u64) -> bool {
    serde_json::from_slice::<u64>(json).is_ok_and(|limit| limit > most)
}

/// The body with no limit above `most`: each of `names` that stands there is lowered; where none does, `absent` tells
/// under which name a limit is put in, and which. A body that names no higher one is not copied. One that is no JSON
/// object with a model passes.
pub fn lower(body: &Bytes, names: &[&str], most: u64, absent: (&str, u64)) -> Bytes {
    let text = std::str::from_utf8(body).ok();
    let Some(Ok(Found { fields, .. })) = text.map(|text| fields::read(text, false)) else {
        return body.clone();
    };
    let places = || names.iter().filter_map(|name| fields.get(name)).map(|place| place.value.clone());
    let says_null = |place: &Range<usize>| &body[place.clone()] == b"null";
    let above = |place: &Range<usize>| is_above(&body[place.clone()], most);
    let mut edits = Edits::default();
    let put = match places().all(|place| says_null(&place)) {
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
    use proptest::prelude::*;

    use super::{
        super::{Ask, Endpoint, Rewrite},
        *,
    };

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

    proptest! {
        #[test]
        fn a_limit_is_written_as_it_is_lowered_in_a_body(
            client in prop::collection::vec(("max_tokens|max_completion_tokens|n|stream", "null|7|300|301|1.5|\"x\""), 0..3),
            wishes in prop::collection::vec(("max_tokens|max_completion_tokens|seed", "null|7|301"), 0..3),
            behind: bool, completions: bool,
        ) {
            let endpoint = if completions { Endpoint::Completions } else { Endpoint::Chat };
            let mut fields: Vec<(String, String)> = Vec::new();
            fields.push(("model".into(), "\"a\"".into()));
            fields.push(("prompt".into(), "\"p\"".into()));
            fields.push(("messages".into(), "[{\"role\":\"user\"}]".into()));
            for field in client {
                fields.insert(if behind { fields.len() } else { 0 }, field);
            }
            let body: Vec<String> = fields.iter().map(|(name, json)| format!("\"{name}\":{json}")).collect();
            let Ok(ask) = Ask::parse(endpoint, format!("{{{}}}", body.join(",")).into()) else { return Ok(()) };
            let mut defaults: Vec<(String, String)> = Vec::new();
            for wish in wishes {
                if defaults.iter().all(|(name, _)| *name != wish.0) {
                    defaults.push(wish);
                }
            }
            for model in ["a", "another"] {
                let rewrite = Rewrite { model, defaults: &defaults, ..Rewrite::default() };
                let apart = ask.lowered(&ask.rewrite(&rewrite), 300, &NAMES, ask.limit_name());
                prop_assert_eq!(ask.rewrite(&Rewrite { max_output: Some(300), ..rewrite }), apart);
            }
        }
    }
}
