//! The command line: one file a subcommand.

pub mod keys;
//! The subcommands, one file each.

pub mod check;
//! The commands of `weir`.

pub mod sim;
