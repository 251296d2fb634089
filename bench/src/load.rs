//! What writes to the logs: a process of its own, so that its cost is nobody's.

pub mod child;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::works::Failure;

/// What is written. Lines are [numbered](crate::lines), and go to all logs in turn where there are several.
#[derive(Clone, Debug)]
pub enum Load {
    /// So many bytes to one log, in writes of 64 KiB.
    Stream {
        /// A multiple of a line's length.
        bytes: u64,
    },
    /// The same, for so long.
    Flood {
        /// How long.
        time: Duration,
    },
    /// So many lines to each log, a write each, as fast as they are taken.
    Lines {
        /// How many each log has already.
        before: u64,
        /// How many each log gets.
        each: u64,
    },
    /// The same, each line at a time of its own.
    Paced {
        /// How many each log has already.
        before: u64,
        /// How many each log gets.
        each: u64,
        /// Lines a second, of all logs together.
        rate: u32,
    },
    /// Single lines to one log, each after a silence; it is waited for until it is in the file.
    Latency {
        /// How many the log has already.
        before: u64,
        /// How many it gets.
        each: u64,
        /// The silence.
        gap: Duration,
        /// The log's file.
        file: PathBuf,
        /// The processor to stay on.
        cpu: Option<usize>,
    },
}

/// What came of it.
#[derive(Debug)]
pub struct Loaded {
    /// Just before the first write.
    pub began: Duration,
    /// Bytes to each log.
    pub each: u64,
    /// With [`Load::Latency`]: from before each write until its line was in the file.
    pub latencies: Vec<Duration>,
}

/// A load under way.
#[derive(Debug)]
pub struct Loading {
    child: Child,
}

impl Load {
    /// Starts to write to these pipes.
    pub fn start(&self, pipes: &[PathBuf]) -> Result<Loading, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(child::WORD).args(self.words()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let list: String = pipes.iter().map(|pipe| format!("{}\n", pipe.display())).collect();
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(list.as_bytes())?;
        }
        Ok(Loading { child })
    }

    fn words(&self) -> Vec<String> {
        match self {
            Load::Stream { bytes } => vec!["stream".into(), bytes.to_string(), "0".into()],
            Load::Flood { time } => vec!["stream".into(), u64::MAX.to_string(), time.as_nanos().to_string()],
            Load::Lines { before, each } => vec!["lines".into(), before.to_string(), each.to_string()],
            Load::Paced { before, each, rate } => {
                vec!["paced".into(), before.to_string(), each.to_string(), rate.to_string()]
            }
            Load::Latency { before, each, gap, file, cpu } => vec![
                "latency".into(),
                before.to_string(),
                each.to_string(),
                gap.as_nanos().to_string(),
                file.display().to_string(),
                cpu.map_or("-".into(), |cpu| cpu.to_string()),
            ],
        }
    }
}

impl Loading {
    /// Waits for its end, for so long; says whether it has come.
    pub fn wait(&self, time: Duration) -> Result<bool, Failure> {
        let Some(stdout) = &self.child.stdout else { return Ok(true) };
        // It says nothing before it is done.
        let mut fds = [PollFd::new(stdout, PollFlags::IN)];
        Ok(poll(&mut fds, Some(&Timespec::try_from(time)?))? > 0)
    }

    /// What came of it, after its end.
    pub fn finish(mut self) -> Result<Loaded, Failure> {
        let mut text = String::new();
        if let Some(stdout) = &mut self.child.stdout {
            stdout.read_to_string(&mut text)?;
        }
        let status = self.child.wait()?;
        if !status.success() {
            return Err(format!("the load: {status}").into());
        }
        let numbers: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
        match numbers?.as_slice() {
            [began, each, latencies @ ..] => Ok(Loaded {
                began: Duration::from_nanos(*began),
                each: *each,
                latencies: latencies.iter().copied().map(Duration::from_nanos).collect(),
            }),
            _ => Err("the load says nothing".into()),
        }
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
