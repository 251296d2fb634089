//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::peers::xenlog::{CONFIG, Xenlog};
use crate::peers::{self, Peer};
use crate::works::{Failure, WORKS, Work};

/// Measures xenconsoled beside its peers, on the same work in one run
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub struct Options {
    /// What is measured [default: everything]
    #[arg(value_name = "WORK")]
    pub works: Vec<String>,
    /// Rounds of each work; slow peers have fewer
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// A little of everything, to see that it runs: figures mean nothing
    #[arg(long)]
    pub trial: bool,
    /// How long each attack of "hostile" lasts [default: 3]
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,
    /// Who is measured [default: everybody who is installed]
    #[arg(long, value_name = "PEER,…", value_delimiter = ',')]
    pub peers: Vec<String>,
    /// Another build of our daemon, measured beside the others
    #[arg(long, value_name = "NAME=PATH", value_parser = named)]
    pub daemon: Vec<(String, PathBuf)>,
    /// The configuration file that our daemon goes by [default: nothing is dropped, and no log has a budget]
    #[arg(long, value_name = "FILE")]
    pub daemon_config: Option<PathBuf>,
    /// Where files are written [default: bench/data in the build directory]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where every figure is written [default: bench/figures.tsv in the build directory]
    #[arg(long, value_name = "FILE")]
    pub raw: Option<PathBuf>,
    /// Measure nothing: make the report of figures that were measured before
    #[arg(long, value_name = "RAW", conflicts_with_all = ["works", "trial", "peers", "daemon"])]
    pub report: Option<PathBuf>,
    /// Write docs/benchmarks.md and its plots, whatever was measured; a run of everything does
    #[arg(long)]
    pub page: bool,
}

fn named(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.to_owned(), path.into())),
        _ => Err("not NAME=PATH".to_owned()),
    }
}

impl Options {
    /// Whether all that there is will be measured, as it is meant to be.
    pub fn is_whole(&self) -> bool {
        self.report.is_none()
            && self.works.is_empty()
            && self.peers.is_empty()
            && self.daemon.is_empty()
            && !self.trial
            && self.daemon_config.is_none()
            && self.seconds.is_none()
    }

    /// The works that were asked for.
    pub fn works(&self) -> Result<Vec<&'static Work>, Failure> {
        if let Some(name) = self.works.iter().find(|name| WORKS.iter().all(|work| !work.id.eq_ignore_ascii_case(name)))
        {
            let all: Vec<&str> = WORKS.iter().map(|work| work.id).collect();
            return Err(format!("{name}: not one of {}", all.join(", ")).into());
        }
        let asked =
            |work: &&Work| self.works.is_empty() || self.works.iter().any(|name| work.id.eq_ignore_ascii_case(name));
        Ok(WORKS.iter().filter(asked).collect())
    }

    /// The peers that were asked for, installed or not, other builds of our daemon first.
    pub fn peers(&self) -> Result<Vec<&'static dyn Peer>, Failure> {
        let config = self.daemon_config.as_ref().map_or(Ok(CONFIG.to_owned()), std::fs::read_to_string)?;
        let mut all: Vec<Box<dyn Peer>> = vec![Box::new(Xenlog::beside_this().configured(config.clone()))];
        for (name, path) in &self.daemon {
            // Names live as long as figures do: as long as this process.
            let other = Xenlog::of(name.clone().leak(), path.clone());
            all.push(Box::new(other.configured(config.clone())));
        }
        all.extend(peers::others());
        let is_asked = |name: &str| self.peers.is_empty() || self.peers.iter().any(|asked| asked == name);
        let is_given = |name: &str| self.daemon.iter().any(|(given, _)| given == name);
        if let Some(name) = self.peers.iter().find(|name| all.iter().all(|peer| peer.name() != *name)) {
            return Err(format!("{name}: no such peer").into());
        }
        let chosen = all.into_iter().filter(|peer| is_asked(peer.name()) || is_given(peer.name()));
        Ok(chosen.map(|peer| &*Box::leak(peer)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Options {
        Options::try_parse_from([&["bench"], words].concat()).unwrap()
    }

    #[test]
    fn works_are_those_that_there_are() {
        assert_eq!(options(&[]).works().unwrap().len(), WORKS.len());
        let two: Vec<_> = options(&["w2", "W1"]).works().unwrap().iter().map(|work| work.id).collect();
        assert_eq!(two, ["W1", "W2"], "in their own order");
        assert!(options(&["W1", "W99"]).works().is_err());
    }

    #[test]
    fn another_build_stands_beside_those_asked_for() {
        let options = options(&["--peers", "xenlog,probe", "--daemon", "old=/old/xenconsoled"]);
        let names: Vec<_> = options.peers().unwrap().iter().map(|peer| peer.name()).collect();
        assert_eq!(names, ["xenlog", "old", "probe"]);
        assert!(Options::try_parse_from(["bench", "--daemon", "/old/xenconsoled"]).is_err());
    }

    #[test]
    fn an_unknown_peer_is_an_error() {
        assert!(options(&["--peers", "syslog"]).peers().is_err());
    }
}
