//! Where and when it was measured, as notes.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Packages of Debian that peers and the store are in.
const PACKAGES: &[&str] = &[
    "apache2-utils",
    "conmon",
    "daemontools",
    "libvirt-daemon",
    "libvirt-daemon-system",
    "runit",
    "s6",
    "xen-utils-4.17",
];

/// What can be told before anything is measured; `data` is where files are written.
pub fn before(data: &Path) -> Vec<String> {
    let mut notes = vec![
        format!("Processors: {} × {}", processors(), cpu()),
        format!("Memory: {} GiB", memory()),
        format!(
            "System: Debian {}, Linux {}",
            first_line("/etc/debian_version"),
            first_line("/proc/sys/kernel/osrelease")
        ),
        format!("Files: on {}", file_system(data)),
        format!("Peers: {}", packages()),
        format!("This project: commit {}", output("git", &["describe", "--always", "--dirty=, changed"])),
        format!("Date: {}", output("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
    ];
    notes.push(format!("Load before: {}", load()));
    notes
}

/// What can be told when all is measured.
pub fn after() -> Vec<String> {
    vec![format!("Load after: {}", load())]
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

fn cpu() -> String {
    value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into())
}

fn memory() -> u64 {
    let kib: u64 = value(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or_default();
    (kib + (1 << 19)) >> 20
}

/// The load of 1, 5 and 15 minutes (proc(5)).
fn load() -> String {
    read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn file_system(data: &Path) -> String {
    let of = |field: &str| output("findmnt", &["-no", field, "-T", &data.display().to_string()]);
    format!("{} ({})", of("FSTYPE"), of("OPTIONS"))
}

fn packages() -> String {
    let format = "${db:Status-Abbrev} ${Package} ${Version}\n";
    let listed = output("dpkg-query", &[&["-W", "-f", format], PACKAGES].concat());
    installed(&listed)
}

/// Those that are installed, out of lines with state, name and version.
fn installed(listed: &str) -> String {
    let all = listed.lines().filter_map(|line| line.strip_prefix("ii ")).map(str::trim);
    all.collect::<Vec<_>>().join(", ")
}

/// The value of a key in a file of lines `key: value`.
fn value(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

fn first_line(path: &str) -> String {
    read(path).lines().next().unwrap_or("unknown").trim().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What a program says, or that it says nothing: a note less is no reason to stop.
fn output(program: &str, arguments: &[&str]) -> String {
    let said = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    if said.is_empty() { "unknown".into() } else { said }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_key() {
        let text = "processor\t: 0\nmodel name\t: Some CPU: fast\nMemTotal:       24684096 kB\n";
        assert_eq!(value(text, "model name").unwrap(), "Some CPU: fast");
        assert_eq!(value(text, "MemTotal").unwrap(), "24684096 kB");
        assert_eq!(value(text, "model"), None);
    }

    #[test]
    fn only_what_is_installed_counts() {
        assert_eq!(
            installed("ii  s6 2.11.3.2\nrc  runit 2.1\nun  conmon \nii  conmon 2.1.6\n"),
            "s6 2.11.3.2, conmon 2.1.6"
        );
    }

    #[test]
    fn a_machine_is_told_of() {
        let notes = before(Path::new("/"));
        assert!(notes.iter().all(|note| note.contains(": ")), "{notes:?}");
        assert_eq!(after().len(), 1);
    }
}
