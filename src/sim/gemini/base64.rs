//! Base64 in either alphabet, padded or not, as Google takes it.

use base64::{
    DecodeError, Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// The bytes that a text stands for.
///
/// # Errors
/// Says what is wrong with it in the usual alphabet.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, DecodeError> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let usual = GeneralPurpose::new(&STANDARD, config).decode(text);
    usual.or_else(|error| GeneralPurpose::new(&URL_SAFE, config).decode(text).map_err(|_| error))
}
