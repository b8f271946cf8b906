//! What black-box tests stand on: processes under test, a scripted upstream, a client.

pub mod books;
pub mod client;
pub mod collector;
pub mod ledger;
pub mod limits;
pub mod line;
pub mod openai;
pub mod process;
pub mod raw;
pub mod refusal;
pub mod script;
pub mod served;
pub mod settings;
pub mod sim;
pub mod sse;
pub mod transcript;
pub mod weir;
pub mod wire;
