//! `xenlog`: logs for people and scripts.

#![forbid(unsafe_code)]

mod console;
mod exec;
mod failure;
mod follow;
mod list;
mod options;
mod signals;
mod tail;
mod trial;
mod visible;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let options = match options::Options::try_parse() {
        Ok(options) => options,
        Err(error) => return options::explain(&error),
    };
    let places = options.places();
    match options.command {
        options::Command::Console(command) => console::run(&command, &places),
        options::Command::Exec(command) => exec::run(&command, places),
        options::Command::List(command) => failure::code(list::run(&command, &places)),
        options::Command::Tail(command) => failure::code(tail::run(&command, &places)),
        options::Command::Try(command) => failure::code(trial::run(&command)),
        options::Command::TryDaemon(command) => command.run(),
    }
}
