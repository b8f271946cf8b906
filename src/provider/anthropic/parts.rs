//! What was said, as Anthropic's content blocks.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    gap::{Gaps, bad},
    request::{Block, Kind, Source},
};
use crate::openai::{
    BadField,
    chat::{Content, File, ImageUrl, Part},
};

/// The pictures that the API takes.
const IMAGES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp"];

/// Which parts a role's turn may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Texts.
    Text,
    /// Texts with refusals.
    Answer,
    /// Texts, pictures, documents.
    Media,
}

/// The blocks of `content`, which stands at `place`, like `messages[2].content`. Texts without a visible character are
/// left out: the API refuses them.
///
/// # Errors
/// The part that cannot be taken.
pub fn blocks<'a>(
    place: &str,
    content: &'a Content,
    allowed: Allowed,
    gaps: &mut Gaps<'_>,
) -> Result<Vec<Block<'a>>, BadField> {
    match content {
        Content::Text(text) => Ok(visible(text).into_iter().collect()),
        Content::Parts(parts) => {
            let mut blocks = Vec::with_capacity(parts.len());
            for (at, part) in parts.iter().enumerate() {
                blocks.extend(block(&format!("{place}[{at}]"), part, allowed, gaps)?);
            }
            Ok(blocks)
        }
    }
}

/// A text as a block, if there is something to see in it.
pub fn visible(text: &str) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then(|| Block::text(text))
}

fn block<'a>(
    place: &str,
    part: &'a Part,
    allowed: Allowed,
    gaps: &mut Gaps<'_>,
) -> Result<Option<Block<'a>>, BadField> {
    let missing = || bad(place, format!("`{place}` lacks what its type names."));
    let block = match (&*part.kind, allowed) {
        ("text", _) => visible(part.text.as_deref().ok_or_else(missing)?),
        ("refusal", Allowed::Answer) => visible(part.refusal.as_deref().ok_or_else(missing)?),
        ("image_url", Allowed::Media) => {
            Some(image(&format!("{place}.image_url"), part.image_url.as_ref().ok_or_else(missing)?, gaps)?)
        }
        ("file", Allowed::Media) => {
            Some(document(&format!("{place}.file"), part.file.as_ref().ok_or_else(missing)?)?)
        }
        ("input_audio", Allowed::Media) => {
            return Err(bad(format!("{place}.input_audio"), "Anthropic's API takes no audio."));
        }
        (kind, _) => {
            let place = format!("{place}.type");
            let message = format!("Anthropic's API takes no part of the type `{kind}` here (`{place}`).");
            return Err(bad(place, message));
        }
    };
    for (name, _) in part.extra.iter().filter(|(_, value)| !value.is_null()) {
        // What cited an answer's text is of no use to the model.
        if !(allowed == Allowed::Answer && ["annotations", "citations"].contains(&&**name)) {
            gaps.meet(format!("{place}.{name}"), "Anthropic's API has no counterpart to this field")?;
        }
    }
    Ok(block.map(|block| Block { cache_control: part.cache_control.as_ref(), ..block }))
}

fn image<'a>(place: &str, image: &'a ImageUrl, gaps: &mut Gaps<'_>) -> Result<Block<'a>, BadField> {
    // Pictures are always read in full, which is what the other values ask for.
    if image.detail.as_deref() == Some("low") {
        gaps.meet(format!("{place}.detail"), "Anthropic's API reads pictures in full")?;
    }
    let place = format!("{place}.url");
    if ["https://", "http://"].iter().any(|scheme| image.url.starts_with(scheme)) {
        return Ok(Kind::Image { source: Source::Url { url: &image.url } }.into());
    }
    match data_url(&image.url) {
        Some((media_type, data)) if IMAGES.contains(&media_type) => {
            Ok(Kind::Image { source: Source::Base64 { media_type, data } }.into())
        }
        Some((media_type, _)) => {
            let message = format!(
                "`{place}` is of the type `{media_type}`; Anthropic's API takes {}.",
                IMAGES.join(", ")
            );
            Err(bad(place, message))
        }
        None => {
            let message =
                format!("`{place}` must begin with https://, http://, or be like data:image/png;base64,...");
            Err(bad(place, message))
        }
    }
}

fn document<'a>(place: &str, file: &'a File) -> Result<Block<'a>, BadField> {
    if file.file_id.is_some() {
        let place = format!("{place}.file_id");
        let message =
            format!("A file that was uploaded to OpenAI cannot be read here (`{place}`); send its data.");
        return Err(bad(place, message));
    }
    let place = format!("{place}.file_data");
    let title = file.filename.as_deref();
    let source = match file.file_data.as_deref().and_then(data_url) {
        Some((media_type @ "application/pdf", data)) => Source::Base64 { media_type, data },
        Some((media_type @ "text/plain", data)) => {
            let text = STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let not_text = || bad(&place, format!("`{place}` holds no text in UTF-8 and base64."));
            Source::Text { media_type, data: text.ok_or_else(not_text)? }
        }
        _ => {
            let message = format!(
                "`{place}` must be like data:application/pdf;base64,... or data:text/plain;base64,..."
            );
            return Err(bad(place, message));
        }
    };
    Ok(Kind::Document { source, title }.into())
}

/// The media type with the data of a base64 data URL.
fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    Some((media_type.split(';').next().unwrap_or(media_type), data))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(parts: Value, allowed: Allowed, drop: bool) -> Result<(Value, Vec<String>), String> {
        let content: Content = serde_json::from_value(parts).unwrap();
        let mut gaps = Gaps::new(drop);
        let blocks = blocks("c", &content, allowed, &mut gaps).map_err(|bad| bad.param.unwrap())?;
        Ok((serde_json::to_value(&blocks).unwrap(), gaps.dropped))
    }

    fn media(part: Value) -> Result<Value, String> {
        read(json!([part]), Allowed::Media, false).map(|(blocks, _)| blocks[0].clone())
    }

    #[test]
    fn pictures_come_by_address_or_as_data() {
        let image =
            |url: &str| media(json!({"type": "image_url", "image_url": {"url": url, "detail": "high"}}));
        assert_eq!(
            image("https://a/b.png").unwrap(),
            json!({"type": "image", "source": {"type": "url", "url": "https://a/b.png"}})
        );
        assert_eq!(
            image("data:image/png;base64,AAAA").unwrap()["source"],
            json!({"type": "base64", "media_type": "image/png", "data": "AAAA"})
        );
        for bad in ["data:image/tiff;base64,AA", "data:image/png,AA", "ftp://a", ""] {
            assert_eq!(image(bad), Err("c[0].image_url.url".into()), "{bad}");
        }
        let low = json!({"type": "image_url", "image_url": {"url": "https://a", "detail": "low"}});
        assert_eq!(media(low), Err("c[0].image_url.detail".into()));
    }

    #[test]
    fn files_come_as_data() {
        let file = |file: Value| media(json!({"type": "file", "file": file}));
        assert_eq!(
            file(json!({"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"})).unwrap(),
            json!({"type": "document", "title": "a.pdf",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"}})
        );
        assert_eq!(
            file(json!({"file_data": "data:text/plain;charset=utf-8;base64,aGk="})).unwrap()["source"],
            json!({"type": "text", "media_type": "text/plain", "data": "hi"})
        );
        assert_eq!(file(json!({"file_id": "x"})), Err("c[0].file.file_id".into()));
        assert_eq!(file(json!({"file_data": "AA"})), Err("c[0].file.file_data".into()));
        assert_eq!(
            file(json!({"file_data": "data:text/plain;base64,/w=="})),
            Err("c[0].file.file_data".into())
        );
    }

    #[test]
    fn what_cannot_be_taken_is_named() {
        let audio = json!({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}});
        assert_eq!(media(audio), Err("c[0].input_audio".into()));
        assert_eq!(media(json!({"type": "video_url"})), Err("c[0].type".into()));
        assert_eq!(media(json!({"type": "text"})), Err("c[0]".into()));
        let image = json!([{"type": "image_url", "image_url": {"url": "https://a"}}]);
        assert_eq!(read(image, Allowed::Text, true), Err("c[0].type".into()));
        let odd = json!([{"type": "text", "text": "a", "odd": 1, "none": null}]);
        assert_eq!(read(odd.clone(), Allowed::Text, false), Err("c[0].odd".into()));
        assert_eq!(read(odd, Allowed::Text, true).unwrap().1, ["c[0].odd"]);
    }

    #[test]
    fn cache_marks_pass_and_empty_texts_do_not() {
        let parts = json!([{"type": "text", "text": " "},
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]);
        let (blocks, _) = read(parts, Allowed::Text, false).unwrap();
        assert_eq!(blocks, json!([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]));
        assert_eq!(read(json!(""), Allowed::Media, false).unwrap().0, json!([]));
    }
}
