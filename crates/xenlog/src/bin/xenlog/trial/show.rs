//! What a person sees of it.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use xenlog::Places;

use super::programs::{GREEDY, Program, Programs};
use crate::list::bytes;

/// A table that is drawn again and again on a terminal, and plain lines elsewhere.
pub struct Screen {
    dir: PathBuf,
    is_terminal: bool,
    began: Instant,
    next: Instant,
    /// Lines of the table that stands on the terminal.
    drawn: usize,
}

impl Screen {
    /// A screen for what goes on in `dir`.
    pub fn new(dir: &Path) -> Screen {
        let (is_terminal, now) = (io::stdout().is_terminal(), Instant::now());
        Screen { dir: dir.to_owned(), is_terminal, began: now, next: now, drawn: 0 }
    }

    /// Says what this is.
    pub fn begin(&mut self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "A store, the log daemon and three programs, all in {}.", self.dir.display())?;
        writeln!(out, "Each program asked for a log; flood, of domain {} ({}),", GREEDY.id, GREEDY.name)?;
        writeln!(out, "writes as fast as it can. No log may grow beyond its bound, limit x (copies + 1).\n")?;
        self.began = Instant::now();
        out.flush()
    }

    /// Shows how things stand, if it is time to.
    pub fn show(&mut self, programs: &Programs) -> io::Result<()> {
        let now = Instant::now();
        if now < self.next {
            return Ok(());
        }
        let seconds = now.duration_since(self.began).as_secs_f64();
        let mut out = io::stdout().lock();
        if self.is_terminal {
            self.next = now + Duration::from_millis(200);
            if self.drawn > 0 {
                write!(out, "\x1b[{}A", self.drawn)?;
            }
            writeln!(
                out,
                "\x1b[K{:>6}  {:>10}  {:>10}  {:>10}  after {seconds:.1} s",
                "LOG", "WRITTEN", "ON DISK", "BOUND"
            )?;
            for program in &programs.all {
                let [written, total, bound] = [program.written(), program.usage.total, program.bound].map(bytes);
                let name = program.name;
                writeln!(out, "\x1b[K{name:>6}  {written:>10}  {total:>10}  {bound:>10}")?;
            }
            self.drawn = programs.all.len() + 1;
        } else {
            self.next = now + Duration::from_secs(1);
            let one = |program: &Program| {
                let [written, total, bound] = [program.written(), program.usage.total, program.bound].map(bytes);
                format!("{} wrote {written}, on disk {total} of {bound}", program.name)
            };
            let all: Vec<String> = programs.all.iter().map(one).collect();
            writeln!(out, "{seconds:4.1} s: {}", all.join("; "))?;
        }
        out.flush()
    }

    /// Says that it goes on, and how to use it.
    pub fn keep(&mut self, places: &Places) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "\nThe flood rests; everything else goes on until ^C. In another terminal:\n")?;
        let store = places.store.first().map(ToString::to_string).unwrap_or_default();
        let dirs = [("XEN_RUN_DIR", &places.run_dir), ("XEN_LOG_DIR", &places.log_dir)];
        writeln!(out, "  export XENSTORED_PATH={}", quoted(&store))?;
        for (name, dir) in dirs {
            writeln!(out, "  export {name}={}", quoted(&dir.to_string_lossy()))?;
        }
        writeln!(out, "  xenlog list")?;
        writeln!(out, "  xenlog tail -f chatty.log\n")?;
        out.flush()
    }

    /// Says how it went and where the files are.
    pub fn end(&mut self, programs: &Programs) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out)?;
        for program in &programs.all {
            let Program { name, most, bound, looks, .. } = program;
            let [written, most, bound] = [program.written(), *most, *bound].map(bytes);
            writeln!(out, "{name} wrote {written}; its log took at most {most} of its {bound}, in {looks} looks.")?;
        }
        writeln!(out, "\nThe files, which stay until you remove {}:\n", self.dir.display())?;
        let mut files: Vec<_> = fs::read_dir(self.dir.join("log"))?.collect::<io::Result<_>>()?;
        files.sort_by_key(fs::DirEntry::file_name);
        for file in files {
            writeln!(out, "{:>8}  {}", bytes(file.metadata()?.len()), file.path().display())?;
        }
        out.flush()
    }
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_the_shell() {
        assert_eq!(quoted("/tmp/xenlog-try-x"), "/tmp/xenlog-try-x");
        assert_eq!(quoted("/tmp/it's here"), r"'/tmp/it'\''s here'");
    }
}
