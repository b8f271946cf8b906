//! The page that shows what Weir does, with what it shows.

mod board;
mod ended;
mod feed;
mod history;
mod moment;
mod page;
mod speeds;

pub use board::Board;
pub use ended::{Ended, Seen};
pub use feed::live;
pub use moment::keep;
pub use page::{asset, index};
