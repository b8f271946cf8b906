//! Reading a request that likely is at fault: slower, by readers that have words for what is wrong.

use memchr::memchr2;

use super::{
    ask::BadField,
    fields::{self, Found},
    turns::Turns,
};

/// The deepest nesting of arrays and objects in a body.
pub(super) const MAX_DEPTH: usize = 128;

/// Finds the fields of a body with what its messages are, as the fast way does for bodies that are as they should be.
///
/// # Errors
/// The body is nested too deeply for those who read it after us, or not one JSON object without repeated names.
#[cold]
pub(super) fn read(body: &[u8]) -> Result<Found, BadField> {
    depth(body)?;
    let fields = fields::find(body)
        .map_err(|error| whole(format!("The body is not a valid JSON request: {error}.")))?;
    let messages = fields.messages.as_ref().map(|place| &place.value);
    let (list, start) = messages.map_or((&body[..0], 0), |place| (&body[place.clone()], place.start));
    let turns = Turns::doubtful(std::str::from_utf8(list).unwrap_or_default(), start);
    Ok(Found { fields: Box::new(fields), turns, long: Vec::new() })
}

/// Refuses a body that is nested too deeply for those who read it after us.
fn depth(body: &[u8]) -> Result<(), BadField> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => at = behind_text(body, at),
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(whole(format!("The body is nested deeper than {MAX_DEPTH} levels.")));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Where a text ends that begins before `at`. Nearly all of a body is texts, a picture one of a megabyte, so the search
/// looks at many bytes at once.
fn behind_text(body: &[u8], mut at: usize) -> usize {
    while let Some(rest) = body.get(at..) {
        match memchr2(b'"', b'\\', rest) {
            Some(found) if rest[found] == b'"' => return at + found + 1,
            // The byte behind a backslash ends nothing.
            Some(found) => at += found + 2,
            None => break,
        }
    }
    body.len()
}

fn whole(message: String) -> BadField {
    BadField { param: None, message }
}
