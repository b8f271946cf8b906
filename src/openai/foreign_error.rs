//! Reading error bodies in the many forms that providers give them.

use std::borrow::Cow;

use serde_json::Value;

use super::error::ErrorBody;

/// The longest message that is taken from a plain text or a web page, in characters.
const MAX_PLAIN: usize = 300;
/// The longest message that is taken from JSON, in characters.
const MAX_MESSAGE: usize = 4000;
/// The longest error type, code or parameter, in characters.
const MAX_NAME: usize = 200;
/// A longer error body is not read as JSON, in bytes.
const MAX_JSON: usize = 1024 * 1024;
/// How deep errors in errors are followed.
const MAX_DEPTH: usize = 4;

/// Reads an error body: OpenAI's envelope, and what others send instead of it. Something is always found to say.
pub fn parse_upstream(body: &[u8]) -> ErrorBody {
    let json = (body.len() <= MAX_JSON).then(|| serde_json::from_slice::<Value>(body).ok()).flatten();
    let mut error = json.as_ref().and_then(|json| read(json, 0)).unwrap_or_default();
    if error.message.is_empty() {
        error.message = match &json {
            Some(Value::Object(map)) if map.is_empty() => String::new(),
            Some(Value::Null) => String::new(),
            _ => plain(body),
        };
    }
    if error.message.is_empty() {
        error.message = "The provider gave no message.".into();
    }
    error
}

/// What a JSON value says as an error.
fn read(value: &Value, depth: usize) -> Option<ErrorBody> {
    if depth > MAX_DEPTH {
        return None;
    }
    match value {
        Value::String(text) => Some(ErrorBody { message: cut(text, MAX_MESSAGE), ..ErrorBody::default() }),
        // Gemini's OpenAI format wraps the error in a list.
        Value::Array(list) => read(list.first()?, depth + 1),
        Value::Object(_) => Some(object(value, depth)),
        _ => None,
    }
}

fn object(value: &Value, depth: usize) -> ErrorBody {
    let own = flat(value, depth);
    let inner = match (&value["error"], &value["detail"]) {
        (Value::Null | Value::Bool(_), Value::Null) => None,
        (Value::Null | Value::Bool(_), detail) => validation(detail).or_else(|| read(detail, depth + 1)),
        (error, _) => read(error, depth + 1),
    };
    let Some(inner) = inner else {
        return own;
    };
    // xAI has the text inside and the code outside.
    ErrorBody {
        kind: inner.kind.or(own.kind.filter(|kind| kind != "error")),
        param: inner.param.or(own.param),
        code: inner.code.or(own.code),
        message: if inner.message.is_empty() { own.message } else { inner.message },
    }
}

/// An error's fields where they stand beside each other.
fn flat(value: &Value, depth: usize) -> ErrorBody {
    let message = ["message", "msg", "Message", "error_message"]
        .iter()
        .map(|name| &value[*name])
        .find(|message| !message.is_null());
    let nested = match message {
        Some(Value::String(text)) => ErrorBody { message: cut(text, MAX_MESSAGE), ..ErrorBody::default() },
        // Mistral puts a list of validation errors there.
        Some(message) => read(message, depth + 1).unwrap_or_default(),
        None => ErrorBody::default(),
    };
    let mut error = ErrorBody {
        kind: name(&value["type"]).or_else(|| name(&value["status"])).or(nested.kind),
        param: name(&value["param"]).map(Cow::into_owned).or(nested.param),
        code: ["code", "error_code"].iter().find_map(|field| name(&value[*field])).or(nested.code),
        message: nested.message,
    };
    // OpenRouter says "Provider returned error" and keeps the provider's own words aside.
    if let Some(raw) = value["metadata"]["raw"].as_str()
        && depth < MAX_DEPTH
    {
        let cause = serde_json::from_str::<Value>(raw)
            .ok()
            .and_then(|json| read(&json, depth + 1))
            .map_or_else(|| cut(raw, MAX_PLAIN), |inner| inner.message);
        if !cause.is_empty() && !error.message.contains(&cause) {
            error.message = cut(&format!("{}: {cause}", error.message), MAX_MESSAGE);
        }
    }
    error
}

/// FastAPI's list of validation errors: `[{"loc": ["body", "messages", 0], "msg": "...", "type": "..."}]`.
fn validation(detail: &Value) -> Option<ErrorBody> {
    let list = detail.as_array()?;
    let place = |item: &Value| {
        let parts = item["loc"].as_array().into_iter().flatten();
        let parts = parts.map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned));
        parts.filter(|part| part != "body").collect::<Vec<_>>().join(".")
    };
    let messages: Vec<String> = list
        .iter()
        .take(8)
        .filter_map(|item| {
            let message = item["msg"].as_str()?;
            let place = place(item);
            Some(if place.is_empty() { message.to_owned() } else { format!("{place}: {message}") })
        })
        .collect();
    if messages.is_empty() {
        return None;
    }
    let param = list.first().map(place).filter(|place| !place.is_empty());
    Some(ErrorBody {
        message: cut(&messages.join("; "), MAX_MESSAGE),
        param: param.map(|param| cut(&param, MAX_NAME)),
        ..ErrorBody::default()
    })
}

/// A name or a number as a name.
fn name(value: &Value) -> Option<Cow<'static, str>> {
    match value {
        Value::String(text) if !text.is_empty() => Some(cut(text, MAX_NAME).into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

/// The words of a plain text or a web page.
fn plain(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(64 * 1024)]);
    let text = if text.trim_start().starts_with('<') { without_tags(&text) } else { text.into_owned() };
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let words: String = text.chars().map(printable).collect();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&words, MAX_PLAIN)
}

/// A web page's text; scripts and styles are no text.
fn without_tags(page: &str) -> String {
    let mut out = String::new();
    let mut rest = page;
    while let Some(open) = rest.find('<') {
        out.push_str(&rest[..open]);
        out.push(' ');
        let tag = &rest[open..];
        let lower = tag.get(..7).unwrap_or_default().to_ascii_lowercase();
        let end = match lower.as_str() {
            "<script" => tag.find("</script"),
            _ if lower.starts_with("<style") => tag.find("</style"),
            _ => Some(0),
        };
        let close = end.and_then(|at| tag[at..].find('>').map(|close| at + close + 1));
        rest = close.map_or("", |close| &tag[close..]);
    }
    out.push_str(rest);
    out
}

/// The text's first `max` characters, marked where it was cut.
fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}...", &text[..at]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_known_form() {
        // (body, message, type, param, code)
        let cases = [
            (
                r#"{"error":{"message":"m","type":"t","param":"p","code":"c"}}"#,
                "m",
                Some("t"),
                Some("p"),
                Some("c"),
            ),
            (r#"{"error":{"message":"m","type":null,"code":400}}"#, "m", None, None, Some("400")),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"m"},"request_id":"r"}"#,
                "m",
                Some("overloaded_error"),
                None,
                None,
            ),
            (
                r#"[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]"#,
                "m",
                Some("INVALID_ARGUMENT"),
                None,
                Some("400"),
            ),
            (r#"{"error":"m"}"#, "m", None, None, None),
            (r#"{"code":"invalid-argument","error":"m"}"#, "m", None, None, Some("invalid-argument")),
            (r#"{"detail":"m"}"#, "m", None, None, None),
            (r#"{"detail":{"message":"m","code":"c"}}"#, "m", None, None, Some("c")),
            (
                r#"{"detail":[{"type":"missing","loc":["body","messages",0,"role"],"msg":"required"},{"msg":"x"}]}"#,
                "messages.0.role: required; x",
                None,
                Some("messages.0.role"),
                None,
            ),
            (
                r#"{"object":"error","message":{"detail":[{"loc":["body","n"],"msg":"bad"}]},"type":"t","code":null}"#,
                "n: bad",
                Some("t"),
                Some("n"),
                None,
            ),
            (r#"{"message":"m","type":"t","code":"c"}"#, "m", Some("t"), None, Some("c")),
            (r#"{"error_code":"BAD_REQUEST","message":"m"}"#, "m", None, None, Some("BAD_REQUEST")),
            (r#"{"error":{"msg":"m"}}"#, "m", None, None, None),
            (r#"{"error":true,"message":"m"}"#, "m", None, None, None),
            (
                r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"too long\"}}"}}}"#,
                "Provider returned error: too long",
                None,
                None,
                Some("400"),
            ),
            (r#""m""#, "m", None, None, None),
            ("upstream\n connect  error", "upstream connect error", None, None, None),
            (
                "<html><head><style>a{}</style></head><body><h1>502 Bad Gateway</h1></body></html>",
                "502 Bad Gateway",
                None,
                None,
                None,
            ),
            ("", "The provider gave no message.", None, None, None),
            ("{}", "The provider gave no message.", None, None, None),
        ];
        for (body, message, kind, param, code) in cases {
            let error = parse_upstream(body.as_bytes());
            assert_eq!(error.message, message, "{body}");
            assert_eq!(error.kind.as_deref(), kind, "{body}");
            assert_eq!(error.param.as_deref(), param, "{body}");
            assert_eq!(error.code.as_deref(), code, "{body}");
        }
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(parse_upstream("é".repeat(400).as_bytes()).message.chars().count(), 303);
        let json = format!(r#"{{"error":{{"message":"{}"}}}}"#, "x".repeat(9000));
        assert_eq!(parse_upstream(json.as_bytes()).message.len(), 4003);
    }

    proptest! {
        #[test]
        fn takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(!parse_upstream(&bytes).message.is_empty());
        }

        #[test]
        fn takes_any_page(parts in prop::collection::vec(prop::sample::select(&[
            "<", ">", "<script>", "</script", "<style", "é", "\u{0}", "<!", "a",
        ][..]), 0..20)) {
            parse_upstream(parts.concat().as_bytes());
        }
    }
}
