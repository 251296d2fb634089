//! What whoever started the daemon gave it on its way: where to send notifications, how often, and descriptors that were kept
//! (sd_listen_fds(3), sd_watchdog_enabled(3), sd_notify(3)).

use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};
use std::time::Duration;

/// Where passed descriptors begin (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;
/// More descriptors no process can have (`sysctl_nr_open`, fs/file.c).
const MOST: RawFd = 1 << 20;
/// The name of what came without one (sd_listen_fds_with_names(3)).
const UNNAMED: &str = "unknown";

/// What the environment says. Nothing in it is for another process: that is told by the process id next to it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Where notifications go: a path, or a name in the abstract namespace behind an `@`.
    pub address: Option<OsString>,
    /// How long the daemon may be silent.
    pub watchdog: Option<Duration>,
    /// How many descriptors may be kept, where that is told (systemd 254 and the keeper do).
    pub most: Option<usize>,
    /// Numbers and names of the descriptors that were passed.
    numbers: Vec<(RawFd, String)>,
}

impl Passed {
    /// Reads the environment of the process with this id.
    pub fn read(pid: u32, env: impl Fn(&str) -> Option<OsString>) -> Passed {
        let text = |name| env(name)?.into_string().ok();
        let is_own = |name| text(name).map(|id| id.parse() == Ok(pid));
        let micros = || text("WATCHDOG_USEC")?.parse().ok().filter(|micros| *micros > 0).map(Duration::from_micros);
        let count = || text("LISTEN_FDS")?.parse().ok().filter(|count| (1..=MOST).contains(count));
        let count = if is_own("LISTEN_PID") == Some(true) { count().unwrap_or(0) } else { 0 };
        let names = text("LISTEN_FDNAMES");
        let names = names.iter().flat_map(|names| names.split(':')).chain(std::iter::repeat(UNNAMED));
        Passed {
            address: env("NOTIFY_SOCKET").filter(|address| !address.is_empty()),
            watchdog: if is_own("WATCHDOG_PID") == Some(false) { None } else { micros() },
            most: text("FDSTORE").and_then(|most| most.parse().ok()),
            numbers: (FIRST..FIRST + count).zip(names.map(str::to_owned)).collect(),
        }
    }

    /// Takes the descriptors. What is not open is left out.
    pub fn descriptors(&self) -> Vec<(String, OwnedFd)> {
        let take = |(number, name): &(RawFd, String)| Some((name.clone(), xen_sys::listen::inherited(*number)?));
        self.numbers.iter().filter_map(take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(env: &[(&str, &str)]) -> Passed {
        Passed::read(42, |name| env.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    fn numbers(env: &[(&str, &str)]) -> Vec<(RawFd, String)> {
        read(env).numbers
    }

    #[test]
    fn descriptors_have_their_names_in_order() {
        let own = ("LISTEN_PID", "42");
        let named = |number, name: &str| (number, name.to_owned());
        let two = numbers(&[own, ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "a:a")]);
        assert_eq!(two, [named(3, "a"), named(4, "a")]);
        let more = numbers(&[own, ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "a")]);
        assert_eq!(more, [named(3, "a"), named(4, "unknown")]);
        let empty = numbers(&[own, ("LISTEN_FDS", "3"), ("LISTEN_FDNAMES", "a::c")]);
        assert_eq!(empty, [named(3, "a"), named(4, ""), named(5, "c")]);
        let fewer = numbers(&[own, ("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "a:b")]);
        assert_eq!(fewer, [named(3, "a")]);
    }

    #[test]
    fn what_is_for_another_process_is_not_taken() {
        let other = [("LISTEN_PID", "43"), ("LISTEN_FDS", "2"), ("WATCHDOG_PID", "43"), ("WATCHDOG_USEC", "5")];
        assert_eq!(read(&other), Passed::default());
        assert_eq!(read(&[("LISTEN_FDS", "2")]), Passed::default());
        assert_eq!(read(&[]), Passed::default());
    }

    #[test]
    fn numbers_that_make_no_sense_are_none() {
        for bad in ["", "-1", "0", "x", "1048577", "99999999999999999999"] {
            assert!(numbers(&[("LISTEN_PID", "42"), ("LISTEN_FDS", bad)]).is_empty(), "{bad}");
        }
        for bad in ["", "-1", "0", "x", "99999999999999999999"] {
            assert_eq!(read(&[("WATCHDOG_USEC", bad)]), Passed::default(), "{bad}");
        }
    }

    #[test]
    fn the_watchdog_and_the_address_are_told() {
        let env = [("WATCHDOG_USEC", "10000000"), ("NOTIFY_SOCKET", "@x"), ("FDSTORE", "7")];
        let expected = Passed {
            address: Some("@x".into()),
            watchdog: Some(Duration::from_secs(10)),
            most: Some(7),
            numbers: Vec::new(),
        };
        assert_eq!(read(&env), expected);
        let with_pid = [("WATCHDOG_USEC", "10000000"), ("WATCHDOG_PID", "42")];
        assert_eq!(read(&with_pid).watchdog, Some(Duration::from_secs(10)));
    }
}
