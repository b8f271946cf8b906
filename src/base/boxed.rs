//! Futures that are made where they stay.

use std::pin::Pin;

/// Boxes the future that `make` gives, in the box itself. `Box::pin` makes it on the stack and copies it: for the future of
/// a request's way those are kilobytes, nearly all of them room that nothing stands in yet.
pub fn boxed<F>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::into_pin(Box::write(Box::new_uninit(), make()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_the_future_that_was_made() {
        let text = String::from("here");
        assert_eq!(boxed(|| async move { text }).await, "here");
    }
}
