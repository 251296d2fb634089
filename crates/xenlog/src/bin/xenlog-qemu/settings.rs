//! What the wrapper was told: from the environment, else from the configuration file, else the defaults.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use logproto::Config;

/// What the wrapper was told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where the real QEMU may be, named by `XENLOG_QEMU` and by `qemu.path`, in that order.
    pub qemu: Vec<PathBuf>,
    /// The most bytes of the log file; the daemon's default where it is not named.
    pub limit: Option<u64>,
    /// Rotated copies; the daemon's default where they are not named.
    pub copies: Option<u32>,
    /// How long the guest's start may wait for its log.
    pub wait: Duration,
}

/// Reads the settings. A guest starts whatever is wrong with them: what cannot be used is left out, and told in one
/// line each.
pub fn read(
    env: impl Fn(&str) -> Option<OsString>,
    file: impl Fn(&OsStr) -> std::io::Result<String>,
) -> (Settings, Vec<String>) {
    let mut complaints = Vec::new();
    let config = config(&env, file).unwrap_or_else(|complaint| {
        complaints.push(complaint);
        Config::default()
    });
    let mut number = |name: &str, read: fn(&str) -> Option<u64>| {
        let value = env(name).filter(|value| !value.is_empty())?;
        let number = value.to_str().and_then(read);
        if number.is_none() {
            complaints.push(format!("{name}={}: not a number", value.display()));
        }
        number
    };
    let limit = number("XENLOG_LIMIT", logproto::size).or(config.qemu.limit);
    let copies = number("XENLOG_COPIES", |value| logproto::decimal(value.as_bytes()))
        .map(|copies| u32::try_from(copies).unwrap_or(u32::MAX))
        .or(config.qemu.copies);
    let named = env("XENLOG_QEMU").filter(|path| !path.is_empty()).map(PathBuf::from);
    let qemu = named.into_iter().chain(config.qemu.path).collect();
    (Settings { qemu, limit, copies, wait: config.qemu.wait }, complaints)
}

fn config(
    env: impl Fn(&str) -> Option<OsString>,
    file: impl Fn(&OsStr) -> std::io::Result<String>,
) -> Result<Config, String> {
    let named = env("XENLOG_CONFIG").filter(|path| !path.is_empty());
    let path = named.clone().unwrap_or_else(|| logproto::config::PATH.into());
    let text = match file(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => return Ok(Config::default()),
        Err(error) => return Err(format!("{}: {error}; going on with the defaults", path.display())),
    };
    Config::parse(&text).map_err(|error| {
        // The TOML reader draws the place in several lines; a log wants one.
        let error = error.to_string();
        let lines: Vec<&str> = error.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        format!("{}: {}; going on with the defaults", path.display(), lines.join(" "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    fn told(env: &[(&str, &str)], file: Result<&str, ErrorKind>) -> (Settings, Vec<String>) {
        let get = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        read(get, |_| file.map(str::to_owned).map_err(Error::from))
    }

    #[test]
    fn nothing_said_means_the_defaults() {
        let defaults = Settings { wait: Config::default().qemu.wait, ..Settings::default() };
        assert_eq!(told(&[], Err(ErrorKind::NotFound)), (defaults, vec![]));
    }

    #[test]
    fn the_environment_comes_before_the_file() {
        let file = "[qemu]\npath = \"/f\"\nlimit = \"8K\"\ncopies = 1\nwait-seconds = 2\n";
        let wait = Duration::from_secs(2);
        let (settings, complaints) = told(&[], Ok(file));
        assert_eq!(complaints, Vec::<String>::new());
        assert_eq!(settings, Settings { qemu: vec!["/f".into()], limit: Some(8192), copies: Some(1), wait });
        let env = [("XENLOG_QEMU", "/e"), ("XENLOG_LIMIT", "1M"), ("XENLOG_COPIES", "0")];
        let qemu = vec!["/e".into(), "/f".into()];
        assert_eq!(told(&env, Ok(file)).0, Settings { qemu, limit: Some(1 << 20), copies: Some(0), wait });
        let empty = [("XENLOG_QEMU", ""), ("XENLOG_LIMIT", ""), ("XENLOG_COPIES", "")];
        assert_eq!(told(&empty, Ok(file)), (settings, vec![]));
    }

    #[test]
    fn what_is_broken_is_told_in_a_line_and_left_out() {
        let (settings, complaints) = told(&[("XENLOG_COPIES", "3")], Ok("[qemu]\nlimits = 5\ncopies = 7"));
        assert_eq!((settings.limit, settings.copies), (None, Some(3)));
        assert!(matches!(&complaints[..], [line] if line.contains("limits") && !line.contains('\n')), "{complaints:?}");

        let (settings, complaints) =
            told(&[("XENLOG_LIMIT", "lots"), ("XENLOG_COPIES", "-1")], Ok("[qemu]\ncopies = 7"));
        assert_eq!((settings.limit, settings.copies), (None, Some(7)));
        assert!(complaints[0].contains("XENLOG_LIMIT=lots") && complaints[1].contains("XENLOG_COPIES=-1"));

        let (_, complaints) = told(&[], Err(ErrorKind::PermissionDenied));
        assert!(complaints[0].starts_with(logproto::config::PATH), "{complaints:?}");
        let (_, complaints) = told(&[("XENLOG_CONFIG", "/gone.toml")], Err(ErrorKind::NotFound));
        assert!(complaints[0].starts_with("/gone.toml"), "{complaints:?}");
    }
}
