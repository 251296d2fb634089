//! The library as C programs see it: installed, found by pkg-config, and used against the real daemon on Xen's own
//! store.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use testbed::{Store, StoreKind, until};

/// Our header and programs.
const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// What was built beside this test.
fn built(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().unwrap().with_file_name(name);
    assert!(path.exists(), "{} is missing: run `cargo build --workspace` first", path.display());
    path
}

/// Whether these programs are here; if not, says so, and the test is passed by.
fn have(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| std::env::split_paths(&path).any(|dir| dir.join(program).exists());
    let missing: Vec<_> = programs.iter().filter(|program| !is_there(program)).collect();
    let all = std::env::var_os("XENLOG_TEST_ALL").is_some_and(|value| value == "1");
    assert!(missing.is_empty() || !all, "missing: {missing:?} (Debian: apt install gcc g++ libc6-dev pkg-config)");
    if !missing.is_empty() {
        println!("passed by: {missing:?} missing (Debian: apt install gcc g++ libc6-dev pkg-config)");
    }
    missing.is_empty()
}

/// Runs a command that has to end well; its standard output.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{command:?}: {}\n{out}{err}", output.status);
    out
}

/// The library installed in a directory, and the program compiled against it.
struct Installed {
    dir: TempDir,
}

impl Installed {
    fn new() -> Installed {
        let dir = tempfile::tempdir().unwrap();
        let build = built("libxenlog.so");
        let install = Path::new(HERE).join("install.sh");
        output(Command::new(install).arg(build.parent().unwrap()).arg(dir.path().join("usr")));
        Installed { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn pkg_config(&self, arguments: &[&str]) -> Vec<String> {
        let mut command = Command::new("pkg-config");
        command.args(arguments).arg("xenlog").env("PKG_CONFIG_PATH", self.path("usr/lib/pkgconfig"));
        output(&mut command).split_whitespace().map(str::to_owned).collect()
    }

    fn compile(&self, program: &str) -> PathBuf {
        let client = self.path("client");
        let mut cc = Command::new("cc");
        cc.args(["-std=c99", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-o"]);
        cc.arg(&client).arg(Path::new(HERE).join("tests").join(program));
        output(cc.args(self.pkg_config(&["--cflags", "--libs"])));
        client
    }

    fn run(&self, client: &Path, host: &Host, arguments: &[&str]) -> Command {
        let mut command = Command::new(client);
        command.args(arguments).env("LD_LIBRARY_PATH", self.path("usr/lib"));
        host.env(&mut command);
        command
    }
}

/// A host in a directory: Xen's own store, and the real daemon.
struct Host {
    daemon: Option<Child>,
    store: Store,
}

impl Host {
    fn quiet() -> Host {
        let host = Host { daemon: None, store: Store::start(StoreKind::C) };
        host.dirs().iter().for_each(|dir| fs::create_dir(dir).unwrap());
        host
    }

    fn start() -> Host {
        let mut host = Host::quiet();
        // By way of `xenlog try-daemon`, so that the daemon ends even if this test is killed.
        let mut daemon = Command::new(built("xenlog"));
        daemon.args(["try-daemon", &std::process::id().to_string(), "--"]).arg(built("xenconsoled"));
        let own_log = fs::File::create(host.store.dir().join("daemon.log")).unwrap();
        let config = host.store.dir().join("daemon.toml");
        fs::write(&config, "").unwrap();
        daemon.args(["-i", "--no-hypervisor", "--config"]).arg(config).stderr(own_log);
        host.daemon = Some(host.env(&mut daemon).spawn().unwrap());
        let mut client = host.store.client();
        until("the daemon to serve", || client.read("/tool/xenconsoled/logging").ok());
        host
    }

    fn dirs(&self) -> [PathBuf; 2] {
        ["xen-run", "xen-log"].map(|name| self.store.dir().join(name))
    }

    fn env<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let [run_dir, log_dir] = self.dirs();
        command.env("XENSTORED_PATH", self.store.socket()).env("XEN_RUN_DIR", run_dir).env("XEN_LOG_DIR", log_dir)
    }

    fn assert_clean(&self) {
        assert_eq!(self.entries(), 0);
        let mut in_run = fs::read_dir(&self.dirs()[0]).unwrap().map(Result::unwrap);
        assert!(!in_run.any(|entry| entry.file_type().unwrap().is_fifo()), "FIFOs are left");
    }

    fn entries(&self) -> usize {
        self.store.client().directory("/libxl/5/logging").unwrap_or_default().len()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

#[test]
fn the_header_is_clean_c99_and_cplusplus() {
    if !have(&["cc", "c++"]) {
        return;
    }
    for (compiler, standard, language) in [("cc", "c99", "c"), ("cc", "c11", "c"), ("c++", "c++11", "c++")] {
        let mut command = Command::new(compiler);
        command.args([&format!("-std={standard}"), "-x", language]);
        command.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I"]);
        command.arg(Path::new(HERE).join("include")).arg("-").stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let program = "#include <xenlog.h>\n#include <xenlog.h>\nstruct xenlog_request r = XENLOG_REQUEST_INIT;\n";
        child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{compiler} {standard}");
    }
}

#[test]
fn it_is_installed_by_the_name_of_its_abi() {
    if !have(&["cc", "pkg-config"]) {
        return;
    }
    let installed = Installed::new();
    let link = |name: &str| fs::read_link(installed.path("usr/lib").join(name)).unwrap();
    let version = installed.pkg_config(&["--modversion"]).concat();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    assert_eq!(link("libxenlog.so"), Path::new("libxenlog.so.1"));
    assert_eq!(link("libxenlog.so.1"), Path::new(&format!("libxenlog.so.{version}")));
    // A program asks the loader for the ABI's name.
    let client = fs::read(installed.compile("client.c")).unwrap();
    let needed = b"\0libxenlog.so.1\0";
    assert!(client.windows(needed.len()).any(|bytes| bytes == needed));
}

#[test]
fn a_c_program_logs_through_the_real_daemon_in_both_ways() {
    if !have(&["cc", "pkg-config"]) || !StoreKind::C.available() {
        return;
    }
    let (installed, host) = (Installed::new(), Host::start());
    let client = installed.compile("client.c");
    for (way, is_nonblocking) in [("open", 0), ("loop", 1)] {
        let file = format!("{way}.log");
        let said = output(&mut installed.run(&client, &host, &[way, &file, "from C\n"]));
        let path = host.dirs()[1].join(&file);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0], format!("file {}", path.display()));
        assert!(lines[1].starts_with(&format!("id {way}-")), "{said}");
        let rest = ["pipe is there", &format!("nonblocking {is_nonblocking}"), "close-on-exec 1"];
        assert_eq!(lines[2..], rest);
        until("the line", || (fs::read_to_string(&path).ok()? == "from C\n").then_some(()));
        host.assert_clean();
    }
}

#[test]
fn a_static_program_does_too() {
    if !have(&["cc", "pkg-config"]) || !StoreKind::C.available() {
        return;
    }
    let (installed, host) = (Installed::new(), Host::start());
    // Only ours is linked statically: there is no shared one left to take.
    for name in ["libxenlog.so", "libxenlog.so.1"] {
        fs::remove_file(installed.path("usr/lib").join(name)).unwrap();
    }
    let client = installed.path("client");
    let mut cc = Command::new("cc");
    cc.args(["-D_POSIX_C_SOURCE=200809L", "-o"]).arg(&client).arg(Path::new(HERE).join("tests/client.c"));
    output(cc.args(installed.pkg_config(&["--static", "--cflags", "--libs"])));
    output(&mut installed.run(&client, &host, &["open", "a.log", "static\n"]));
    let path = host.dirs()[1].join("a.log");
    until("the line", || (fs::read_to_string(&path).ok()? == "static\n").then_some(()));
}

#[test]
fn errors_are_numbers_and_texts_and_leave_nothing() {
    if !have(&["cc", "pkg-config"]) || !StoreKind::C.available() {
        return;
    }
    let (installed, host) = (Installed::new(), Host::start());
    let client = installed.compile("client.c");
    let said = output(&mut installed.run(&client, &host, &["refused"]));
    let lines: Vec<&str> = said.lines().collect();
    let text = "-13 NULL the log daemon refused: bad-file: /libxl/5/logging/passwd-";
    assert!(lines[0].starts_with(text), "{said}");
    assert_eq!(lines[1..], ["-13 the log ", "-13"]);
    host.assert_clean();

    let quiet = Host::quiet();
    let failed = installed.run(&client, &quiet, &["open", "a.log", "x"]).output().unwrap();
    let said = String::from_utf8(failed.stdout).unwrap();
    assert!(said.starts_with("xenlog_open: -3: no log daemon runs"), "{said}");
    let mut nowhere = installed.run(&client, &quiet, &["loop", "a.log", "x"]);
    let failed = nowhere.env("XENSTORED_PATH", "/nonexistent/store").output().unwrap();
    let said = String::from_utf8(failed.stdout).unwrap();
    assert!(said.starts_with("xenlog_opening_process: -107: ") && said.contains("/nonexistent/store"), "{said}");
}

#[test]
fn an_event_loop_can_give_up() {
    if !have(&["cc", "pkg-config"]) || !StoreKind::C.available() {
        return;
    }
    let (installed, host) = (Installed::new(), Host::quiet());
    let client = installed.compile("client.c");
    host.store.client().write("/tool/xenconsoled/logging", b"1").unwrap();
    let mut command = installed.run(&client, &host, &["cancel", "a.log"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    until("the request", || (host.entries() == 1).then_some(()));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    host.assert_clean();
}

#[test]
fn wrong_arguments_are_errors() {
    if !have(&["cc", "pkg-config"]) || !StoreKind::C.available() {
        return;
    }
    let (installed, host) = (Installed::new(), Host::quiet());
    let said = output(&mut installed.run(&installed.compile("client.c"), &host, &["misuse"]));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines, ["-22", "-22", "-22 file: none is named", "-22", "-22", "-1 1 0", "-22 0 -22", "1"]);
}
