//! Pictures, sounds, documents: addresses or data in base64.

use super::{
    losses::wrong,
    request::{Blob, FileData, Part},
};
use crate::openai::BadField;

/// What is at a URL: `data:` travels along, anything else is fetched by Gemini.
///
/// # Errors
/// A `data:` URL without a type or not in base64; `param` names its field.
pub fn at(url: &str, param: &str) -> Result<Part, BadField> {
    match url.get(..5) {
        Some(scheme) if scheme.eq_ignore_ascii_case("data:") => inline(&url[5..], param),
        _ => Ok(Part {
            file_data: Some(FileData { mime_type: guess(url).map(Into::into), file_uri: url.to_owned() }),
            ..Part::default()
        }),
    }
}

/// `image/png;base64,AAAA`.
fn inline(rest: &str, param: &str) -> Result<Part, BadField> {
    let parts = rest.split_once(',').and_then(|(head, data)| {
        let mut words = head.split(';');
        let kind = words.next().filter(|kind| kind.contains('/'))?;
        words.any(|word| word.trim().eq_ignore_ascii_case("base64")).then_some((kind, data))
    });
    match parts {
        Some((kind, payload)) => Ok(data(kind, payload)),
        None => Err(wrong(param, format!("`{param}` has to look like data:image/png;base64,..."))),
    }
}

/// Data in base64.
pub fn data(mime_type: &str, payload: &str) -> Part {
    let blob = Blob { mime_type: mime_type.to_ascii_lowercase(), data: payload.to_owned() };
    Part { inline_data: Some(blob), ..Part::default() }
}

/// The type by the ending of the URL's path, which Gemini wants to be told.
fn guess(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let ending = path.rsplit_once('.')?.1.to_ascii_lowercase();
    Some(match ending.as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "bmp" => "image/bmp",
        "svg" => "image/svg+xml",
        "pdf" => "application/pdf",
        "mp4" => "video/mp4",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "txt" => "text/plain",
        _ => return None,
    })
}

/// The type of a sound by OpenAI's name of its format.
pub fn sound(format: &str) -> Option<&'static str> {
    Some(match format {
        "wav" => "audio/wav",
        "mp3" => "audio/mp3",
        "aac" => "audio/aac",
        "flac" => "audio/flac",
        "ogg" => "audio/ogg",
        "aiff" => "audio/aiff",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_travels_along() {
        let part = at("data:image/PNG;charset=x;base64,AA==", "p").unwrap();
        assert_eq!(
            serde_json::to_string(&part).unwrap(),
            r#"{"inlineData":{"mimeType":"image/png","data":"AA=="}}"#
        );
        for url in ["data:image/png,AA", "data:;base64,AA", "data:", "data:image/png;base64"] {
            assert_eq!(at(url, "p").unwrap_err().param.as_deref(), Some("p"), "{url}");
        }
    }

    #[test]
    fn addresses_are_fetched() {
        let part = at("https://h/a.JPG?x=.png", "p").unwrap();
        let expected = r#"{"fileData":{"mimeType":"image/jpeg","fileUri":"https://h/a.JPG?x=.png"}}"#;
        assert_eq!(serde_json::to_string(&part).unwrap(), expected);
        assert_eq!(at("gs://b/é", "p").unwrap().file_data.unwrap().mime_type, None);
    }
}
