//! The files in a request: pictures, documents.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

use super::{
    error::Refusal,
    field::{self, inside},
};

/// What a picture costs, in tokens.
pub(crate) const PICTURE: u64 = 1_600;
const PICTURES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// How the pictures of each kind begin.
const BEGINNINGS: [(&str, &[u8]); 4] = [
    ("image/jpeg", b"\xff\xd8\xff"),
    ("image/png", b"\x89PNG\r\n\x1a\n"),
    ("image/gif", b"GIF8"),
    ("image/webp", b"RIFF"),
];

/// Checks the `source` of a picture.
///
/// # Errors
/// As Anthropic refuses it.
pub(crate) fn picture(source: &Value, place: &str) -> Result<(), Refusal> {
    let place = &inside(place, "source");
    let (kind, source) = field::tagged(source, place, &["base64", "file", "url"])?;
    let place = &inside(place, kind);
    match kind {
        "base64" => {
            field::only(source, place, &["type", "media_type", "data"])?;
            let media_place = inside(place, "media_type");
            let media_type = field::required(source, place, "media_type")?;
            let media_type = field::one_of(media_type, &media_place, &PICTURES)?;
            let bytes = bytes(field::required_text(source, place, "data")?, place)?;
            let found = BEGINNINGS.iter().find(|(_, begin)| bytes.starts_with(begin)).map(|(kind, _)| *kind);
            match found {
                Some(found) if found != media_type => {
                    let message = format!(
                        "The image was specified using the {media_type} media type, but the image appears to be a \
                         {found} image"
                    );
                    Err(Refusal::at(&media_place, &message))
                }
                _ => Ok(()),
            }
        }
        _ => elsewhere(kind, source, place),
    }
}

/// Checks the `source` of a document.
///
/// # Errors
/// As Anthropic refuses it.
pub(crate) fn document(source: &Value, place: &str) -> Result<(), Refusal> {
    let place = &inside(place, "source");
    let (kind, source) = field::tagged(source, place, &["base64", "content", "file", "text", "url"])?;
    let place = &inside(place, kind);
    match kind {
        "base64" | "text" => {
            field::only(source, place, &["type", "media_type", "data"])?;
            let allowed = if kind == "text" { "text/plain" } else { "application/pdf" };
            let media_type = field::required(source, place, "media_type")?;
            field::one_of(media_type, &inside(place, "media_type"), &[allowed])?;
            let data = field::required_text(source, place, "data")?;
            if kind == "base64" { bytes(data, place).map(drop) } else { Ok(()) }
        }
        "content" => {
            field::only(source, place, &["type", "content"])?;
            field::required(source, place, "content").map(drop)
        }
        _ => elsewhere(kind, source, place),
    }
}

fn elsewhere(kind: &str, source: &field::Object, place: &str) -> Result<(), Refusal> {
    if kind == "file" {
        field::only(source, place, &["type", "file_id"])?;
        return field::required_text(source, place, "file_id").map(drop);
    }
    field::only(source, place, &["type", "url"])?;
    let url = field::required_text(source, place, "url")?;
    if url.starts_with("https://") {
        return Ok(());
    }
    Err(Refusal::at(&inside(place, "url"), "Only HTTPS URLs are supported."))
}

fn bytes(data: &str, place: &str) -> Result<Vec<u8>, Refusal> {
    match BASE64_STANDARD.decode(data) {
        Ok(bytes) if bytes.is_empty() => Err(Refusal::at(place, "image cannot be empty")),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(Refusal::at(&inside(place, "data"), &format!("Invalid base64 data: {error}"))),
    }
}
