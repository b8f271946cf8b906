//! Embeddings, one or a batch.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::{
    answer::reported,
    fields::{self, EMBEDDINGS},
    losses::{Losses, wrong},
    path,
    request::{Content, Part},
    response::UsageMetadata,
};
use crate::{
    openai::{Ask, BadField, Rewrite},
    provider::{Decoded, Encoded, Expected, Failure},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct One<'a> {
    model: &'a str,
    content: Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_type: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Batch<'a> {
    requests: Vec<One<'a>>,
}

/// Translates an embeddings request: a text to `embedContent`, a list to `batchEmbedContents`.
///
/// # Errors
/// The field that Gemini cannot take, like tokens instead of texts.
pub fn encode(ask: &Ask, rewrite: &Rewrite<'_>) -> Result<Encoded, BadField> {
    let body = ask.rewrite(rewrite);
    let fields = fields::read(&body)?;
    let mut losses = Losses::new(rewrite.drop_unsupported);
    fields::only(&fields, |name| EMBEDDINGS.contains(&name), &mut losses)?;
    let base64 = match fields::first(&fields, &["encoding_format"]).map(|raw| raw.get()) {
        None | Some("\"float\"") => false,
        Some("\"base64\"") => true,
        Some(_) => return Err(wrong("encoding_format", "`encoding_format` has to be float or base64.")),
    };
    let input = fields::first(&fields, &["input"]).map_or("null", |raw| raw.get());
    let model = path::resource(rewrite.model);
    let one = |text: String| One {
        model: &model,
        content: Content { role: None, parts: vec![Part::text(text)] },
        task_type: fields::first(&fields, &["task_type"]),
        output_dimensionality: fields::first(&fields, &["dimensions"]),
    };
    let (method, body) = if let Ok(text) = serde_json::from_str::<String>(input) {
        ("embedContent", serde_json::to_vec(&one(text)))
    } else if let Ok(texts) = serde_json::from_str::<Vec<String>>(input) {
        let requests = texts.into_iter().map(one).collect();
        ("batchEmbedContents", serde_json::to_vec(&Batch { requests }))
    } else {
        return Err(wrong("input", "Gemini embeds a text or a list of texts, no tokens: see `input`."));
    };
    Ok(Encoded {
        path: path::path(rewrite.model, method).into(),
        body: body.expect("structs of texts and numbers always serialize").into(),
        headers: HeaderMap::new(),
        dropped: losses.into_dropped(),
        answer_tool: None,
        base64,
    })
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Response {
    embedding: Option<Embedding>,
    embeddings: Option<Vec<Embedding>>,
    usage_metadata: Option<UsageMetadata>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Embedding {
    values: Vec<f64>,
}

/// Reads embeddings. Gemini often does not say what they used: OpenAI's clients then read a usage of nothing.
///
/// # Errors
/// The body is an error, or holds no embeddings.
pub fn decode(expected: &Expected, body: &[u8]) -> Result<Decoded, Failure> {
    let response: Response = serde_json::from_slice(body)
        .map_err(|_| Failure::invalid("The provider's answer cannot be read as Gemini's embeddings."))?;
    if response.error.is_some() {
        return Err(reported(body));
    }
    let embeddings = response.embeddings.or_else(|| response.embedding.map(|one| vec![one]));
    let Some(embeddings) = embeddings.filter(|list| !list.is_empty()) else {
        return Err(Failure::invalid("The provider's answer has no embeddings."));
    };
    let usage = response.usage_metadata.and_then(|metadata| metadata.usage());
    let prompt = usage.map_or(0, |usage| usage.prompt());
    let written = |(index, embedding): (usize, Embedding)| {
        let vector = if expected.base64 { packed(&embedding.values).into() } else { json!(embedding.values) };
        json!({"object": "embedding", "index": index, "embedding": vector})
    };
    let answer = json!({
        "object": "list",
        "data": embeddings.into_iter().enumerate().map(written).collect::<Vec<_>>(),
        "model": expected.model,
        "usage": {"prompt_tokens": prompt, "total_tokens": prompt},
    });
    Ok(Decoded {
        body: answer.to_string().into(),
        usage,
        model: Some(expected.model.clone()).filter(|model| !model.is_empty()),
        finish_reason: None,
        said: None,
    })
}

/// Floats of 32 bits, the lowest byte first, in base64, as OpenAI packs them.
fn packed(values: &[f64]) -> String {
    let bytes: Vec<u8> = values.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::outcome::Outcome, openai::Endpoint};

    fn encoded(body: Value) -> Result<(String, Value, bool), String> {
        let ask = Ask::parse(Endpoint::Embeddings, body.to_string().into()).unwrap();
        let rewrite = Rewrite { model: "gemini-embedding-001", ..Rewrite::default() };
        let encoded = encode(&ask, &rewrite).map_err(|bad| bad.param.unwrap())?;
        Ok((
            encoded.path.into_owned(),
            serde_json::from_slice(&encoded.body.whole()).unwrap(),
            encoded.base64,
        ))
    }

    #[test]
    fn a_text_or_a_list_is_embedded() {
        let (path, body, base64) =
            encoded(json!({"model": "m", "input": "a", "dimensions": 8, "encoding_format": "base64"}))
                .unwrap();
        assert_eq!(path, "/models/gemini-embedding-001:embedContent");
        let one = |text| json!({"model": "models/gemini-embedding-001", "content": {"parts": [{"text": text}]}, "outputDimensionality": 8});
        assert_eq!((body, base64), (one("a"), true));
        let (path, body, base64) =
            encoded(json!({"model": "m", "input": ["a", "b"], "dimensions": 8})).unwrap();
        assert_eq!(path, "/models/gemini-embedding-001:batchEmbedContents");
        assert_eq!((body, base64), (json!({"requests": [one("a"), one("b")]}), false));
        let (_, body, _) =
            encoded(json!({"model": "m", "input": "a", "task_type": "RETRIEVAL_QUERY"})).unwrap();
        assert_eq!(body["taskType"], "RETRIEVAL_QUERY");
    }

    #[test]
    fn what_cannot_be_embedded_is_refused() {
        for (body, param) in [
            (json!({"model": "m", "input": [1, 2]}), "input"),
            (json!({"model": "m", "input": [[1, 2]]}), "input"),
            (json!({"model": "m", "input": "a", "encoding_format": "hex"}), "encoding_format"),
            (json!({"model": "m", "input": "a", "brand_new": 1}), "brand_new"),
        ] {
            assert_eq!(encoded(body), Err(param.into()));
        }
    }

    #[test]
    fn embeddings_have_openais_form() {
        let expected = Expected { model: "m".into(), endpoint: Endpoint::Embeddings, ..Expected::default() };
        let of = |expected: &Expected, body: &str| decode(expected, body.as_bytes());
        let decoded = of(&expected, r#"{"embeddings":[{"values":[0.5,-1]},{"values":[2]}]}"#).unwrap();
        assert_eq!((decoded.usage, decoded.model.as_deref()), (None, Some("m")));
        let body: Value = serde_json::from_slice(&decoded.body).unwrap();
        assert_eq!(
            body,
            json!({"object": "list", "model": "m", "usage": {"prompt_tokens": 0, "total_tokens": 0}, "data": [
                {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
                {"object": "embedding", "index": 1, "embedding": [2.0]}]})
        );
        let base64 = Expected { base64: true, ..expected.clone() };
        let one = r#"{"embedding":{"values":[1]},"usageMetadata":{"promptTokenCount":4}}"#;
        let decoded = of(&base64, one).unwrap();
        assert_eq!(decoded.usage.unwrap().input, 4);
        let body: Value = serde_json::from_slice(&decoded.body).unwrap();
        assert_eq!(body["data"][0]["embedding"], "AACAPw==");
        let outcome = |body| of(&expected, body).unwrap_err().outcome;
        assert_eq!(outcome(r#"{"error":{"message":"no"}}"#), Outcome::ErrorEvent);
        assert_eq!(outcome(r#"{"embeddings":[]}"#), Outcome::InvalidAnswer);
        assert_eq!(outcome("[]"), Outcome::InvalidAnswer);
    }
}
