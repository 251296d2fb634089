//! How it goes, in one line for whoever watches the service (`systemctl status`).

use std::time::{Duration, Instant};

/// It is told at most so often.
const EVERY: Duration = Duration::from_secs(1);

/// What was told last, and when.
#[derive(Debug, Default)]
pub struct Summary {
    told: Option<(Instant, [usize; 3])>,
}

impl Summary {
    /// The line, if it says something new and it is time for it: how many logs are served, how many of these are in trouble, and
    /// how many descriptors could not be kept.
    pub fn news(&mut self, counts: [usize; 3], now: Instant) -> Option<String> {
        match self.told {
            Some((_, told)) if told == counts => return None,
            Some((at, _)) if now.saturating_duration_since(at) < EVERY => return None,
            _ => self.told = Some((now, counts)),
        }
        let [logs, trouble, not_kept] = counts;
        let mut line = format!("serving {logs} log{}", if logs == 1 { "" } else { "s" });
        if trouble > 0 {
            line += &format!(", {trouble} in trouble");
        }
        if not_kept > 0 {
            line += &format!(", {not_kept} descriptors not kept");
        }
        Some(line)
    }

    /// When to look again, if the last that was told is not what `counts` says.
    pub fn due(&self, counts: [usize; 3], now: Instant) -> Option<Duration> {
        let (at, told) = self.told?;
        (told != counts).then(|| (at + EVERY).saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_told_once_and_not_too_often() {
        let (mut summary, now) = (Summary::default(), Instant::now());
        assert_eq!(summary.news([0, 0, 0], now).as_deref(), Some("serving 0 logs"));
        assert_eq!(summary.news([0, 0, 0], now + EVERY), None);
        assert_eq!(summary.news([1, 0, 0], now + EVERY).as_deref(), Some("serving 1 log"));
        assert_eq!(summary.due([1, 0, 0], now + EVERY), None);
        let soon = now + EVERY + EVERY / 2;
        assert_eq!((summary.news([12, 1, 3], soon), summary.due([12, 1, 3], soon)), (None, Some(EVERY / 2)));
        let told = summary.news([12, 1, 3], now + 2 * EVERY);
        assert_eq!(told.as_deref(), Some("serving 12 logs, 1 in trouble, 3 descriptors not kept"));
    }
}
