//! What the daemon says of its logs, by its status socket.

use super::host::Host;

/// The sum of all drops, and how many logs cannot be written now. `None` where no daemon answers.
pub fn drops_and_troubles(host: &Host) -> Option<(u64, usize)> {
    let status: serde_json::Value = serde_json::from_str(&host.status()?).ok()?;
    let logs = status["logs"].as_array()?;
    let dropped = logs.iter().map(|log| log["dropped"].as_u64().unwrap()).sum();
    Some((dropped, logs.iter().filter(|log| log["trouble"].is_string()).count()))
}
