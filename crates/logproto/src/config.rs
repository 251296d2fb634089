//! `/etc/xen/xenlog.toml`: the daemon's defaults and bounds, and what the QEMU wrapper asks for. Text in, values out.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::{Policy, Stamp};

/// Where the configuration is looked for when no other path is named.
pub const PATH: &str = "/etc/xen/xenlog.toml";

/// The whole configuration. Every part and key may be left out; a key that is not known is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What a node that an entry leaves out means.
    pub defaults: Defaults,
    /// What an entry may ask for.
    pub bounds: Bounds,
    /// How the daemon goes about it.
    pub daemon: Daemon,
    /// What `xenlog-qemu` asks for.
    pub qemu: Qemu,
}

/// What a node that an entry leaves out means.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Defaults {
    /// The most bytes of a log file; 1 MiB, as XSA-180's stop-gap allowed.
    #[serde(deserialize_with = "bytes")]
    pub limit: u64,
    /// Rotated copies kept; 4.
    pub copies: u32,
    /// What happens when a log cannot be written fast enough; `drop`, so that no guest ever waits.
    pub policy: Policy,
    /// Whether lines get the time; `none`.
    pub timestamp: Stamp,
}

impl Default for Defaults {
    fn default() -> Defaults {
        Defaults { limit: 1 << 20, copies: 4, policy: Policy::Drop, timestamp: Stamp::None }
    }
}

/// What an entry may ask for: the daemon's own protection, since the store sets dom0 no quota.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bounds {
    /// The smallest limit, in bytes; 4096.
    #[serde(deserialize_with = "bytes")]
    pub min_limit: u64,
    /// The largest limit, in bytes; 16 GiB.
    #[serde(deserialize_with = "bytes")]
    pub max_limit: u64,
    /// The most rotated copies; 99.
    pub max_copies: u32,
    /// The most logs of one domain; 64.
    pub logs_per_domain: usize,
    /// The most logs of the host; 4096.
    pub logs_of_host: usize,
    /// The most logs in all; 16384.
    pub logs: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            min_limit: 4096,
            max_limit: 16 << 30,
            max_copies: 99,
            logs_per_domain: 64,
            logs_of_host: 4096,
            logs: 16384,
        }
    }
}

/// How the daemon goes about it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Daemon {
    /// How long a log whose entry is gone is still read, in seconds, while somebody holds its pipe open; 10.
    #[serde(rename = "drain-seconds", deserialize_with = "seconds")]
    pub drain: Duration,
    /// Bytes a second that one log may have in the long run; 0: no bound; 64 MiB. What is more is dropped and counted, or, with
    /// policy `block`, waits.
    #[serde(deserialize_with = "bytes")]
    pub rate: u64,
    /// Bytes that one log may have at once after a silence; 256 MiB.
    #[serde(deserialize_with = "bytes")]
    pub burst: u64,
}

impl Default for Daemon {
    fn default() -> Daemon {
        Daemon { drain: Duration::from_secs(10), rate: 64 << 20, burst: 256 << 20 }
    }
}

/// What `xenlog-qemu` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Qemu {
    /// The real QEMU; found in Debian's and upstream's places where it is not named.
    pub path: Option<PathBuf>,
    /// The most bytes of a QEMU log; the daemon's default where it is not named.
    #[serde(deserialize_with = "maybe_bytes")]
    pub limit: Option<u64>,
    /// Rotated copies of a QEMU log; the daemon's default where they are not named.
    pub copies: Option<u32>,
    /// How long a guest's start may wait for its log, in seconds; 5.
    #[serde(rename = "wait-seconds", deserialize_with = "seconds")]
    pub wait: Duration,
}

impl Default for Qemu {
    fn default() -> Qemu {
        Qemu { path: None, limit: None, copies: None, wait: Duration::from_secs(5) }
    }
}

/// What is wrong with a configuration: the line, the key and why, as the TOML reader tells it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// Values that do not go together.
    #[error("{0}")]
    Sense(String),
}

impl Config {
    /// Reads a configuration and sees that it makes sense.
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        let config: Config = toml::from_str(text)?;
        let (defaults, bounds) = (&config.defaults, &config.bounds);
        let sense = |good: bool, why: String| {
            if good { Ok(()) } else { Err(ConfigError::Sense(why)) }
        };
        let (min, max) = (bounds.min_limit, bounds.max_limit);
        sense(min > 0, "bounds.min-limit: must be at least 1".into())?;
        sense(min <= max, format!("bounds.min-limit: {min} is more than bounds.max-limit, {max}"))?;
        let most = 999;
        sense(bounds.max_copies <= most, format!("bounds.max-copies: {} is more than {most}", bounds.max_copies))?;
        let within = |name: &str, limit: u64| {
            let why = format!("{name}: {limit} is not from bounds.min-limit, {min}, to bounds.max-limit, {max}");
            sense((min..=max).contains(&limit), why)
        };
        let few = |name: &str, copies: u32| {
            let why = format!("{name}: {copies} is more than bounds.max-copies, {}", bounds.max_copies);
            sense(copies <= bounds.max_copies, why)
        };
        within("defaults.limit", defaults.limit)?;
        few("defaults.copies", defaults.copies)?;
        config.qemu.limit.map_or(Ok(()), |limit| within("qemu.limit", limit))?;
        config.qemu.copies.map_or(Ok(()), |copies| few("qemu.copies", copies))?;
        Ok(config)
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a number of bytes, or a text such as \"10M\"")]
enum Bytes {
    Number(u64),
    Text(String),
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    match Bytes::deserialize(from)? {
        Bytes::Number(bytes) => Ok(bytes),
        Bytes::Text(text) => crate::size(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a size: a number, with K, M or G"))),
    }
}

fn maybe_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    bytes(from).map(Some)
}

fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    /// A day: longer can only be a slip of the keyboard.
    const MOST: u64 = 86_400;
    match u64::deserialize(from)? {
        seconds if seconds <= MOST => Ok(Duration::from_secs(seconds)),
        seconds => Err(serde::de::Error::custom(format!("{seconds} seconds are more than {MOST}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(Config::parse("").unwrap(), Config::default());
        assert_eq!(Config::parse("[defaults]\n[qemu]\n").unwrap(), Config::default());
    }

    #[test]
    fn every_key_is_read() {
        let config = Config::parse(
            r#"
            [defaults]
            limit = "64K"
            copies = 2
            policy = "block"
            timestamp = "line"
            [bounds]
            min-limit = 1024
            max-limit = "1G"
            max-copies = 9
            logs-per-domain = 3
            logs-of-host = 4
            logs = 5
            [daemon]
            drain-seconds = 1
            rate = "1M"
            burst = 0
            [qemu]
            path = "/opt/qemu"
            limit = 65536
            copies = 9
            wait-seconds = 2
            "#,
        )
        .unwrap();
        let (policy, timestamp) = (Policy::Block, Stamp::Line);
        assert_eq!(config.defaults, Defaults { limit: 65536, copies: 2, policy, timestamp });
        let (min_limit, max_limit, max_copies) = (1024, 1 << 30, 9);
        let bounds = Bounds { min_limit, max_limit, max_copies, logs_per_domain: 3, logs_of_host: 4, logs: 5 };
        assert_eq!(config.bounds, bounds);
        assert_eq!(config.daemon, Daemon { drain: Duration::from_secs(1), rate: 1 << 20, burst: 0 });
        let (path, wait) = (Some("/opt/qemu".into()), Duration::from_secs(2));
        assert_eq!(config.qemu, Qemu { path, limit: Some(65536), copies: Some(9), wait });
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("[defaults]\nlimits = 5", "limits"),
            ("[default]\n", "default"),
            ("[defaults]\nlimit = \"5X\"", "5X"),
            ("[defaults]\nlimit = -1", "limit"),
            ("[defaults]\nlimit = 100", "defaults.limit"),
            ("[defaults]\npolicy = \"never\"", "never"),
            ("[bounds]\nmin-limit = \"2G\"\nmax-limit = \"1G\"", "bounds.min-limit"),
            ("[bounds]\nmax-copies = 1000", "bounds.max-copies"),
            ("[qemu]\ncopies = 100", "qemu.copies"),
            ("[daemon]\ndrain-seconds = 100000", "100000"),
            ("nonsense", "nonsense"),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text:?} says {error:?}");
        }
    }
}
