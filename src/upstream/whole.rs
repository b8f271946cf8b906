//! The body of an answer, read to its end.

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;

/// Why a body did not come whole.
#[derive(Debug)]
pub enum Torn<E> {
    /// It is larger than it may be.
    TooLarge,
    /// It broke off.
    Broke(E),
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// [`Torn`]; dropping the body then closes the provider's request.
pub async fn whole<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
    limit: usize,
) -> Result<Bytes, Torn<B::Error>> {
    let (mut first, mut more) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Torn::Broke)?.into_data() else { continue };
        if first.len() + more.len() + data.len() > limit {
            return Err(Torn::TooLarge);
        }
        // Most answers come in one piece, which then passes as it is.
        if first.is_empty() && more.is_empty() {
            first = data;
        } else {
            if more.is_empty() {
                let left = body.size_hint().lower().min((limit - first.len()) as u64);
                more.reserve(first.len() + data.len() + usize::try_from(left).unwrap_or(0));
                more.extend_from_slice(&std::mem::take(&mut first));
            }
            more.extend_from_slice(&data);
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(if more.is_empty() { first } else { more.freeze() })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::*;

    #[tokio::test]
    async fn a_body_comes_whole_or_not_at_all() {
        let pieces = |pieces: &'static [&'static str]| {
            let frames =
                pieces.iter().map(|piece| Ok::<_, &str>(Frame::data(Bytes::from_static(piece.as_bytes()))));
            StreamBody::new(stream::iter(frames))
        };
        assert_eq!(whole(&mut pieces(&["a", "", "bc", "d"]), 4).await.unwrap(), "abcd");
        assert!(matches!(whole(&mut pieces(&["a", "", "bc", "d"]), 3).await, Err(Torn::TooLarge)));
        assert_eq!(whole(&mut pieces(&[]), 0).await.unwrap(), "");
        let torn = [Ok(Frame::data(Bytes::from("a"))), Err("torn")];
        assert!(matches!(whole(&mut StreamBody::new(stream::iter(torn)), 9).await, Err(Torn::Broke("torn"))));
        // One piece is not copied.
        let one = Bytes::from("whole");
        let read: Result<_, Torn<Infallible>> = whole(&mut Full::new(one.clone()), 5).await;
        assert_eq!(read.unwrap().as_ptr(), one.as_ptr());
    }
}
