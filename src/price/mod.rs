//! What models cost, with what else is known of them.

mod catalogue;
mod rates;

pub use catalogue::{Catalogue, Modality, ModelFacts};
pub use rates::{Price, Rates, cost};
