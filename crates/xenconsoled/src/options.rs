//! The command line: today's xenconsoled's, taken as getopt_long(3) takes it there (tools/console/daemon/main.c), and ours.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Parser};

/// The line that `--version` has always printed; scripts look for it.
pub const VERSION: &str = "Xen Console Daemon 3.0";

/// Xen console and log daemon.
#[derive(Debug, Parser)]
#[command(name = "xenconsoled", infer_long_args = true, disable_version_flag = true, disable_help_flag = true)]
pub struct Options {
    /// Print this help and exit
    #[arg(short = 'h', long, action = ArgAction::SetTrue)]
    pub help: bool,
    /// Print the version and exit
    #[arg(short = 'V', long, action = ArgAction::SetTrue)]
    pub version: bool,
    /// Say more in the daemon's own log
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Stay in the foreground; the daemon's own log goes to standard error
    #[arg(short, long, action = ArgAction::Count)]
    pub interactive: u8,
    /// What to log: none, guest (consoles), hv (the hypervisor's) or all
    #[arg(long, value_name = "WHAT")]
    pub log: Vec<OsString>,
    /// Directory of console logs [default: console below the log directory]
    #[arg(long, value_name = "DIR", overrides_with = "log_dir")]
    pub log_dir: Option<PathBuf>,
    /// Where the daemon writes its process id when it goes to the background
    #[arg(long, value_name = "FILE", overrides_with = "pid_file")]
    pub pid_file: Option<PathBuf>,
    /// Which of these logs have the time before each line: none, guest, hv or all
    #[arg(short, long, value_name = "WHAT")]
    pub timestamp: Vec<OsString>,
    /// When nobody reads a console: discard what does not fit any more, or keep it, so that the guest waits
    #[arg(short, long, value_name = "POLICY")]
    pub overflow_data: Vec<OsString>,
    /// Write a full stop for each escape character into console logs
    #[arg(long, action = ArgAction::Count)]
    pub replace_escape: u8,
    /// The most bytes of a console's or the hypervisor's log file; k, m and g are 2^10, 2^20 and 2^30
    #[arg(long, value_name = "BYTES", default_value = "1m", value_parser = log_size, overrides_with = "console_limit")]
    pub console_limit: u64,
    /// How many rotated copies of these are kept
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u32).range(0..=999))]
    #[arg(overrides_with = "console_copies")]
    pub console_copies: u32,
    /// Serve logs only: nothing of the hypervisor is touched, and no root is needed
    #[arg(long, action = ArgAction::Count)]
    pub no_hypervisor: u8,
    /// Keep a daemon: start it again whenever it ends, with all that it had open; for hosts without systemd. It is stuck when
    /// nothing is heard of it for SECONDS; 0: it never is
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "10")]
    #[arg(overrides_with = "supervise")]
    pub supervise: Option<u64>,
    /// What the keeper starts: its child stays where it is
    #[arg(long, hide = true, action = ArgAction::Count)]
    pub kept: u8,
    /// Directory below which pipes lie [default: $XEN_RUN_DIR or /run/xen]
    #[arg(long, value_name = "DIR", overrides_with = "xen_run_dir")]
    pub xen_run_dir: Option<PathBuf>,
    /// Directory below which log files lie [default: $XEN_LOG_DIR or /var/log/xen]
    #[arg(long, value_name = "DIR", overrides_with = "xen_log_dir")]
    pub xen_log_dir: Option<PathBuf>,
    /// Configuration: defaults and bounds [default: /etc/xen/xenlog.toml, if it is there]
    #[arg(long, value_name = "FILE", overrides_with = "config")]
    pub config: Option<PathBuf>,
    /// Ignored, as getopt_long does with what is no option
    #[arg(hide = true)]
    pub rest: Vec<OsString>,
}

/// What becomes of a command line that does not start the daemon.
#[derive(Debug, PartialEq, Eq)]
pub struct Leave {
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
    /// The exit status: 0, 1 (EPERM) or 22 (EINVAL), as the stock daemon's.
    pub status: u8,
}

/// The least limit of a log, as of those that entries ask for.
const LEAST: u64 = 4096;

fn log_size(text: &str) -> Result<u64, String> {
    match logproto::size(text) {
        Some(bytes) if bytes >= LEAST => Ok(bytes),
        Some(_) => Err(format!("at least {LEAST} bytes")),
        None => Err("a number of bytes, with k, m or g behind it".to_owned()),
    }
}

/// What of consoles and hypervisor an option is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// Guests' consoles.
    pub guest: bool,
    /// The hypervisor's console.
    pub hv: bool,
}

impl Options {
    /// What is logged. One value adds to the other, and nothing takes away; what is no value is ignored, as with stock.
    pub fn logged(&self) -> Which {
        self.log.iter().fold(Which::default(), |which, value| match value.to_str() {
            Some("guest") => Which { guest: true, ..which },
            Some("hv") => Which { hv: true, ..which },
            Some("all") => Which { guest: true, hv: true },
            _ => which,
        })
    }

    /// Which logs have the time before each line. As [`Options::logged`], but `none` begins anew.
    pub fn stamped(&self) -> Which {
        self.timestamp.iter().fold(Which::default(), |which, value| match value.to_str() {
            Some("guest") => Which { guest: true, ..which },
            Some("hv") => Which { hv: true, ..which },
            Some("all") => Which { guest: true, hv: true },
            Some("none") => Which::default(),
            _ => which,
        })
    }

    /// Whether a guest waits when nobody reads its console. What is no value is ignored.
    pub fn keeps(&self) -> bool {
        self.overflow_data.iter().fold(false, |keeps, value| match value.to_str() {
            Some("keep") => true,
            Some("discard") => false,
            _ => keeps,
        })
    }

    /// Reads a command line, the program's name first.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Options, Leave> {
        use clap::CommandFactory;
        let args: Vec<OsString> = args.into_iter().collect();
        let name = args.first().map_or_else(|| "xenconsoled".into(), |name| name.to_string_lossy().into_owned());
        let options = Options::try_parse_from(args).map_err(|why| {
            let text = why.to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let err = format!("{name}: {first}\nTry `{name} --help' for more information\n");
            Leave { out: String::new(), err, status: 22 }
        })?;
        let say = |out| Leave { out, err: String::new(), status: 0 };
        if options.help {
            return Err(say(Options::command().render_help().to_string()));
        }
        if options.version {
            return Err(say(format!("{VERSION}\n")));
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Options, Leave> {
        Options::read(std::iter::once("xenconsoled").chain(args.iter().copied()).map(OsString::from))
    }

    #[test]
    fn every_stock_option_is_taken() {
        let options = read(&[
            "-v",
            "-i",
            "--log=all",
            "--log-dir=/l",
            "--pid-file=/p",
            "-t",
            "guest",
            "-o",
            "keep",
            "--replace-escape",
        ])
        .unwrap();
        assert!(options.verbose == 1 && options.interactive == 1 && options.replace_escape == 1);
        assert_eq!(options.log_dir, Some("/l".into()));
        assert_eq!(options.pid_file, Some("/p".into()));
    }

    #[test]
    fn options_may_be_shortened_repeated_and_mixed_with_words() {
        let options = read(&["--verb", "--int", "--log-d=/a", "word", "--log-dir", "/b", "--log", "guest", "--log=hv"]);
        let options = options.unwrap();
        assert_eq!((options.log_dir, options.log.len()), (Some("/b".into()), 2));
        assert!(read(&["-vvi", "-ii"]).is_ok());
    }

    #[test]
    fn a_keeper_knows_how_long_to_wait() {
        let seconds = |args: &[&str]| read(args).unwrap().supervise;
        assert_eq!((seconds(&[]), seconds(&["--supervise"]), seconds(&["--supervise=3"])), (None, Some(10), Some(3)));
        assert_eq!(seconds(&["--superv=3", "--supervise", "7"]), Some(10), "a word behind it is no value");
        assert_eq!(read(&["--supervise=soon"]).unwrap_err().status, 22);
        let kept = read(&["--kept", "--supervise"]).unwrap();
        assert_eq!((kept.kept, kept.supervise), (1, Some(10)));
    }

    #[test]
    fn values_that_the_stock_daemon_ignores_are_no_errors() {
        assert!(read(&["--log=nonsense", "-t", "nonsense", "--overflow-data=nonsense"]).is_ok());
    }

    #[test]
    fn help_and_version_leave_with_0_and_bad_options_with_22() {
        assert_eq!(read(&["-V"]).unwrap_err().out, "Xen Console Daemon 3.0\n");
        assert!(read(&["--help"]).unwrap_err().out.contains("--xen-log-dir"));
        for bad in [&["--nonsense"][..], &["-x"], &["--log"], &["--ver"]] {
            let leave = read(bad).unwrap_err();
            assert_eq!(leave.status, 22, "{bad:?}");
            assert!(leave.err.ends_with("Try `xenconsoled --help' for more information\n"), "{}", leave.err);
        }
    }
}
