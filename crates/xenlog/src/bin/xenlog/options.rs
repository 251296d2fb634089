//! The options that all subcommands share.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xenlog::Places;
use xenstore::Address;

use crate::{console, exec, list, tail, trial};

/// Logs that stay within their bounds, kept by xenconsoled
#[derive(Debug, Parser)]
#[command(name = "xenlog", version, max_term_width = 100)]
pub struct Options {
    /// The store's socket or device [default: XENSTORED_PATH, else as Xen's own tools]
    #[arg(long, global = true, help_heading = "Places", value_name = "PATH")]
    store: Option<PathBuf>,

    /// Where FIFOs are made [default: XEN_RUN_DIR, else /run/xen]
    #[arg(long, global = true, help_heading = "Places", value_name = "DIR")]
    xen_run_dir: Option<PathBuf>,

    /// Where log files are [default: XEN_LOG_DIR, else /var/log/xen]
    #[arg(long, global = true, help_heading = "Places", value_name = "DIR")]
    xen_log_dir: Option<PathBuf>,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Console(console::Console),
    Exec(exec::Exec),
    List(list::List),
    Tail(tail::Tail),
    Try(trial::Try),
    #[command(hide = true)]
    TryDaemon(trial::Leashed),
}

impl Options {
    /// Where everything is, by the options, else by the environment.
    pub fn places(&self) -> Places {
        let env = Places::from_env();
        Places {
            store: self.store.as_ref().map_or(env.store, |path| vec![Address::either(path)]),
            run_dir: self.xen_run_dir.clone().unwrap_or(env.run_dir),
            log_dir: self.xen_log_dir.clone().unwrap_or(env.log_dir),
        }
    }
}

/// Prints what is wrong with the arguments, or the help that was asked for. A script that runs a program through `exec`
/// tells our failures from the program's by their code, so that is the code of a usage error there too.
pub fn explain(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell when the terminal is gone.
    let _ = error.print();
    let is_exec =
        || std::env::args_os().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "exec");
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ if is_exec() => exec::OWN_FAILURE.into(),
        _ => 2.into(),
    }
}
