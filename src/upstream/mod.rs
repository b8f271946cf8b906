//! The providers at work.

mod allowance;
mod attempt;
mod checkup;
mod course;
mod credentials;
mod diary;
mod execute;
mod faults;
mod fleet;
mod hedge;
mod inflight;
mod leaf;
mod live;
mod outage;
mod probe;
mod progress;
mod race;
mod tap;
pub mod transport;
mod unit;
mod ward;
mod watch;
mod whole;

pub use attempt::Won;
pub use checkup::{Checkup, Shown, keep_checking};
pub use credentials::{Shut, Standing};
pub use diary::Diary;
pub use execute::{Errand, Executed, Stopped, Timing, Trail, Tried, execute};
pub use fleet::{Fleet, Vitals};
pub use live::{Cut, Frame, Live};
pub use outage::{Outages, targets_up};
pub use probe::operation;
pub use unit::Unit;
pub use ward::{Kind, Patient, word};
