//! Reading files with a JSON object a line.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _, Write},
    ops::ControlFlow,
    path::Path,
};

use serde::de::DeserializeOwned;

/// The longest line that is read, in bytes.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Reads each line of `from`, which messages call `name`, until `take` has enough; blank ones are passed over.
///
/// # Errors
/// The first line that is no such object, or what `take` says.
pub fn each<T: DeserializeOwned>(
    name: &str,
    from: &mut impl BufRead,
    mut take: impl FnMut(T) -> Result<ControlFlow<()>, String>,
) -> Result<(), String> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let place = |problem: &dyn std::fmt::Display| format!("{name}, line {number}: {problem}");
        let read = from.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(|error| place(&error))?;
        if read == 0 {
            break;
        }
        if read as u64 == LONGEST && line.last() != Some(&b'\n') {
            return Err(place(&"it is longer than 64 MiB"));
        }
        if !line.trim_ascii().is_empty() {
            let object = serde_json::from_slice(&line).map_err(|error| place(&error))?;
            if take(object).map_err(|problem| place(&problem))?.is_break() {
                break;
            }
        }
    }
    Ok(())
}

/// Reads each line of a file.
///
/// # Errors
/// The file cannot be read, a line is no such object, or what `take` says.
pub fn each_of<T: DeserializeOwned>(
    path: &Path,
    take: impl FnMut(T) -> Result<ControlFlow<()>, String>,
) -> Result<(), String> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
    each(&name, &mut BufReader::new(file), take)
}

/// Whether something was printed; whoever reads it, like `head`, may have seen enough.
///
/// # Errors
/// It could not be printed.
pub fn printed(result: io::Result<()>, out: &mut impl Write) -> Result<(), String> {
    match result.and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| format!("this cannot be printed: {error}")),
    }
}
