//! What the daemon says of its logs, by its status socket.

use std::io::Read;
use std::os::unix::net::UnixStream;

use super::host::Host;

/// The sum of all drops, and how many logs cannot be written now. `None` where no daemon answers.
pub fn drops_and_troubles(host: &Host) -> Option<(u64, usize)> {
    let mut text = String::new();
    UnixStream::connect(host.run_dir().join("xenlog.status")).ok()?.read_to_string(&mut text).ok()?;
    let dropped = text.split("\"dropped\": ").skip(1).map(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        digits.parse::<u64>().unwrap()
    });
    Some((dropped.sum(), text.matches("\"trouble\": \"").count()))
}
