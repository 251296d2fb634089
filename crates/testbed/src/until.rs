//! Waiting for what has to come.

use std::time::{Duration, Instant};

/// How long a test waits for what has to come before it fails. Only a hung test waits that long, so it is no measure
/// of speed, and generous: machines are slow under load.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Calls `look` until it gives something.
///
/// # Panics
/// With `what` in the text, when [`PATIENCE`] is over.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {} s in vain for {what}", PATIENCE.as_secs());
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_until_it_finds() {
        let mut looks = 0;
        let found = until("the third look", || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found, 3);
    }
}
