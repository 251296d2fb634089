//! What the options, the environment and the configuration file come to.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use logproto::{Config, RootPath, Rules, config};

use crate::budget::Rate;
use crate::consoles::Manner;
use crate::inlets::Keeping;
use crate::options::Options;
use crate::writer::Places;

/// Why the daemon cannot start as it is told to.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The configuration file cannot be read.
    #[error("{path}: {why}")]
    Read {
        /// The file.
        path: String,
        /// The system's answer.
        why: std::io::Error,
    },
    /// The configuration file is wrong.
    #[error("{path}: {why}")]
    Config {
        /// The file.
        path: String,
        /// What is wrong.
        why: config::ConfigError,
    },
    /// A directory is named by a relative path.
    #[error("{name}: \"{path}\" is not an absolute path")]
    Relative {
        /// The option or variable.
        name: &'static str,
        /// Its value.
        path: String,
    },
}

/// What the daemon goes by.
#[derive(Debug)]
pub struct Settings {
    /// How entries are judged.
    pub rules: Rules,
    /// Where things are.
    pub places: Places,
    /// Consoles, where they are served.
    pub consoles: Option<ConsoleSettings>,
    /// How console logs and the hypervisor's are kept.
    pub keeping: Keeping,
}

/// What of the hypervisor and its guests is served, and how.
#[derive(Clone, Copy, Debug)]
pub struct ConsoleSettings {
    /// Guests' consoles.
    pub manner: Manner,
    /// Whether the hypervisor's console is logged.
    pub logs_hypervisor: bool,
    /// Whether lines there get the time.
    pub stamps_hypervisor: bool,
}

impl Settings {
    /// Puts options, environment and configuration file together; an option beats a variable.
    pub fn gather(options: &Options, env: impl Fn(&str) -> Option<OsString>) -> Result<Settings, SettingsError> {
        let root = |option: &Option<PathBuf>, name, variable, default: &str| {
            let from_env = || env(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
            let path = option.clone().or_else(from_env).unwrap_or_else(|| default.into());
            // Without a slash at the end and the like, so that it compares well.
            let path: PathBuf = path.components().collect();
            match path.is_absolute() {
                true => Ok(RootPath::new(&path)),
                false => Err(SettingsError::Relative { name, path: path.display().to_string() }),
            }
        };
        let run = root(&options.xen_run_dir, "--xen-run-dir (or XEN_RUN_DIR)", "XEN_RUN_DIR", "/run/xen")?;
        let log = root(&options.xen_log_dir, "--xen-log-dir (or XEN_LOG_DIR)", "XEN_LOG_DIR", "/var/log/xen")?;
        let dir = match &options.log_dir {
            None => log.path().join("console"),
            // Relative ones are as good as they ever were in the foreground.
            Some(dir) => std::path::absolute(dir).unwrap_or_else(|_| dir.clone()).components().collect(),
        };
        let keeping =
            Keeping { dir: RootPath::new(&dir), limit: options.console_limit, copies: options.console_copies };
        let (logged, stamped) = (options.logged(), options.stamped());
        let consoles = (options.no_hypervisor == 0).then(|| ConsoleSettings {
            manner: Manner {
                logs: logged.guest,
                stamps: stamped.guest,
                replaces_escape: options.replace_escape > 0,
                keeps: options.keeps(),
            },
            logs_hypervisor: logged.hv,
            stamps_hypervisor: stamped.hv,
        });
        let Config { defaults, bounds, daemon, .. } = read_config(options.config.as_deref())?;
        let places = Places {
            run: run.clone(),
            log: log.clone(),
            console: is_apart(&dir, log.path()).then(|| keeping.dir.clone()),
            drain: daemon.drain,
            rate: Rate { bytes: daemon.rate, burst: daemon.burst },
        };
        Ok(Settings { rules: Rules { run, log, defaults, bounds }, places, consoles, keeping })
    }
}

/// Whether console logs have to be opened from their own directory: it is not below the log directory, or a link on the way there leads
/// elsewhere.
fn is_apart(dir: &Path, log: &Path) -> bool {
    let Ok(below) = dir.strip_prefix(log) else { return true };
    match (dir.canonicalize(), log.canonicalize()) {
        (Ok(dir), Ok(log)) => dir != log.join(below),
        _ => false,
    }
}

/// The configuration: the file that is named, or the usual one if it is there.
fn read_config(named: Option<&Path>) -> Result<Config, SettingsError> {
    let path = named.unwrap_or(Path::new(config::PATH));
    let shown = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Config::parse(&text).map_err(|why| SettingsError::Config { path: shown, why }),
        Err(why) if named.is_none() && why.kind() == std::io::ErrorKind::NotFound => Ok(Config::default()),
        Err(why) => Err(SettingsError::Read { path: shown, why }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(args: &[&str], env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let options = Options::read(std::iter::once("x").chain(args.iter().copied()).map(OsString::from)).unwrap();
        Settings::gather(&options, |name| env.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn an_option_beats_a_variable_and_that_the_default() {
        let paths = |settings: Settings| (settings.rules.run.path().to_owned(), settings.rules.log.path().to_owned());
        assert_eq!(paths(gather(&[], &[]).unwrap()), ("/run/xen".into(), "/var/log/xen".into()));
        let env = [("XEN_RUN_DIR", "/r/"), ("XEN_LOG_DIR", "/l")];
        assert_eq!(paths(gather(&[], &env).unwrap()), ("/r".into(), "/l".into()));
        assert_eq!(paths(gather(&["--xen-log-dir=/o"], &env).unwrap()), ("/r".into(), "/o".into()));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let relative = gather(&["--xen-run-dir=run"], &[]).unwrap_err().to_string();
        assert!(relative.contains("--xen-run-dir") && relative.contains("\"run\""), "{relative}");
        let missing = gather(&["--config=/nonexistent.toml"], &[]).unwrap_err().to_string();
        assert!(missing.contains("/nonexistent.toml"), "{missing}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "[bounds]\nlogs-per-domian = 5").unwrap();
        let wrong = gather(&["--config", path.to_str().unwrap()], &[]).unwrap_err().to_string();
        assert!(wrong.contains("c.toml") && wrong.contains("logs-per-domian"), "{wrong}");
    }
}
