//! Xen's libraries are found, asked, and missed as promised: each scenario runs in a process of its own, whose loader finds
//! what the test has put there. Libraries are those of the system, or tests/fake.c.
#![forbid(unsafe_code)]

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{Errno, FdFlags, fcntl_getfd};
use xen_sys::xen::{EventChannels, HypervisorConsole, Memory, PAGE_SIZE, XenError};

const FAKE: &str = include_str!("fake.c");
const EVENTS: &str = "libxenevtchn.so.1";
const GRANTS: &str = "libxengnttab.so.1";
const FOREIGN: &str = "libxenforeignmemory.so.1";
/// Of a Xen that is newer than all there are: before the one that is installed.
const CTRL: &str = "libxenctrl.so.4.59";

/// The name that is tried first.
fn first_ctrl() -> String {
    let version = ["major", "minor"].map(|part| fs::read_to_string(format!("/sys/hypervisor/version/{part}")));
    match version {
        [Ok(major), Ok(minor)] => format!("libxenctrl.so.{}.{}", major.trim(), minor.trim()),
        _ => "libxenctrl.so.4.60".into(),
    }
}

/// A directory for the loader.
struct Libraries(tempfile::TempDir);

impl Libraries {
    fn new() -> Libraries {
        Libraries(tempfile::tempdir().unwrap())
    }

    /// Puts the fake there under these names, compiled with this before it.
    fn fake(self, names: &[&str], before: &str) -> Libraries {
        let library = compile("fake", &format!("{before}\n{FAKE}"), self.0.path());
        names.iter().for_each(|name| symlink(&library, self.0.path().join(name)).unwrap());
        self
    }

    /// Puts a library there without any function.
    fn empty(self, name: &str) -> Libraries {
        let library = compile("empty", "extern int nothing;\nint nothing;\n", self.0.path());
        symlink(library, self.0.path().join(name)).unwrap();
        self
    }

    /// Puts something there that is no library.
    fn broken(self, name: &str) -> Libraries {
        fs::write(self.0.path().join(name), "no library\n").unwrap();
        self
    }

    /// Runs a scenario with them. It has to succeed, and nothing but the scenario itself writes anything.
    fn run(&self, scenario: &str) {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", scenario, "--ignored", "--nocapture"])
            .env("LD_LIBRARY_PATH", self.0.path())
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("1 passed"), "{scenario}:\n{out}\n{err}");
        assert_eq!(err, "", "a library has written something");
    }
}

fn compile(name: &str, source: &str, private: &Path) -> PathBuf {
    testbed::preload(name, source, private).unwrap()
}

/// What an error has to be.
fn refused<T: std::fmt::Debug, E: std::fmt::Display>(result: Result<T, E>, parts: &[&str]) {
    let error = result.unwrap_err().to_string();
    assert!(parts.iter().all(|part| error.contains(part)), "{error}: not with {parts:?}");
}

/// How many mappings there are of a memfd with this name, and how many descriptors.
fn uses(name: &str) -> (usize, usize) {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let links = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let of = |text: &str| text.contains(&format!("memfd:{name} "));
    (maps.lines().filter(|line| of(line)).count(), links.filter(|link| of(link.to_str().unwrap())).count())
}

#[test]
fn event_channels_are_those_of_the_library() {
    Libraries::new().fake(&[EVENTS], "").run("events");
}

#[test]
#[ignore = "a scenario: run by the test above"]
fn events() {
    let channels = EventChannels::open().unwrap();
    assert!(fcntl_getfd(&channels).unwrap().contains(FdFlags::CLOEXEC));
    assert!(fcntl_getfl(channels.as_fd()).unwrap().contains(OFlags::NONBLOCK));
    let mut ports = [0; 3];
    assert_eq!(channels.pending(&mut ports).unwrap(), 0);
    assert_eq!(channels.bind_interdomain(7, 3).unwrap(), 1003);
    assert_eq!(channels.bind_interdomain(8, 3).unwrap_err().raw_os_error(), Some(Errno::SRCH.raw_os_error()));
    assert_eq!(channels.bind_virq(8).unwrap(), 2008);
    for port in [1003, 2008, 0x0102_0304] {
        channels.notify(port).unwrap();
    }
    channels.unmask(5).unwrap();
    // As many as have room, then the rest.
    assert_eq!((channels.pending(&mut ports).unwrap(), ports), (3, [1003, 2008, 0x0102_0304]));
    assert_eq!((channels.pending(&mut ports).unwrap(), ports[0]), (1, 5));
    assert_eq!(channels.pending(&mut ports).unwrap(), 0);
    channels.notify(6).unwrap();
    assert_eq!(channels.pending(&mut []).unwrap(), 0);
    // More than one read can bring.
    let mut many = vec![0; 5000];
    assert_eq!((channels.pending(&mut many).unwrap(), many[0]), (1, 6));
    channels.unbind(1003).unwrap();
    assert_eq!(channels.unbind(1).unwrap_err().raw_os_error(), Some(Errno::NOTCONN.raw_os_error()));
    // Closed with the last one who has it; also in another thread.
    let number = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&channels.as_fd()));
    std::thread::spawn(move || drop(channels)).join().unwrap();
    assert!(!Path::new(&number).exists());
}

#[test]
fn pages_are_mapped_by_grant_and_by_place_as_long_as_they_are_held() {
    Libraries::new().fake(&[GRANTS, FOREIGN], "").run("pages");
}

#[test]
#[ignore = "a scenario: run by the test above"]
fn pages() {
    let memory = Memory::open().unwrap();
    assert!(memory.without_grants().is_none());
    for (name, map) in [
        ("fake-grants", (|memory, page| memory.map_grant(7, page)) as fn(&Memory, u32) -> _),
        ("fake-foreign", |memory, page| memory.map_foreign(7, page.into())),
    ] {
        let (one, same, other) = (map(&memory, 3).unwrap(), map(&memory, 3).unwrap(), map(&memory, 4).unwrap());
        assert_eq!(one.len(), PAGE_SIZE);
        assert_eq!(uses(name), (3, 1));
        one.store_u32(PAGE_SIZE - 4, 77);
        assert_eq!((same.load_u32(PAGE_SIZE - 4), other.load_u32(PAGE_SIZE - 4)), (77, 0));
        drop((same, other));
        assert_eq!(uses(name).0, 1);
        let error = map(&memory, 16).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::INVAL.raw_os_error()));
    }
    assert!(memory.map_grant(8, 3).is_err() && memory.map_foreign(8, 3).is_err());
    // A gfn is not cut to 32 bits.
    assert!(memory.map_foreign(7, 1 << 32 | 3).is_err());
    assert_eq!(uses("fake-grants"), (0, 1));
    // A page keeps what it needs to be unmapped.
    let (granted, foreign) = (memory.map_grant(7, 0).unwrap(), memory.map_foreign(7, 0).unwrap());
    drop(memory);
    assert_eq!((uses("fake-grants"), uses("fake-foreign")), ((1, 1), (1, 1)));
    foreign.store_u8(0, 1);
    drop(foreign);
    std::thread::spawn(move || drop(granted)).join().unwrap();
    assert_eq!((uses("fake-grants"), uses("fake-foreign")), ((0, 0), (0, 0)));
}

#[test]
fn without_grants_pages_are_mapped_by_place() {
    Libraries::new().fake(&[FOREIGN], "").broken(GRANTS).run("no_grants");
}

#[test]
#[ignore = "a scenario: run by the test above"]
fn no_grants() {
    let memory = Memory::open().unwrap();
    let why = memory.without_grants().unwrap().to_string();
    assert!(why.contains(GRANTS) && why.contains("apt install libxengnttab1"), "{why}");
    assert_eq!(memory.map_grant(7, 0).unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    memory.map_foreign(7, 0).unwrap().store_u8(0, 1);
}

#[test]
fn the_hypervisors_console_is_read_from_where_it_was_left() {
    Libraries::new().fake(&[&first_ctrl()], "").run("console");
}

/// A hypervisor answers EACCES to a library of another version.
#[test]
fn a_library_that_does_not_fit_the_hypervisor_is_passed_over() {
    let misfit = Libraries::new().fake(&[&first_ctrl()], "#define READ_ERROR EACCES");
    misfit.fake(&[CTRL], "").run("console");
}

#[test]
fn a_library_that_is_none_is_passed_over() {
    Libraries::new().broken(&first_ctrl()).fake(&[CTRL], "").run("console");
}

#[test]
#[ignore = "a scenario: run by the tests above"]
fn console() {
    let console = HypervisorConsole::open().unwrap();
    let mut buffer = [0; 12];
    assert_eq!(console.read(0, &mut buffer).unwrap(), (12, 22));
    assert_eq!(&buffer, b"klmnopqrstuv", "from the oldest that is there");
    assert_eq!(console.read(22, &mut buffer).unwrap(), (4, 26));
    assert_eq!(&buffer[..4], b"wxyz");
    assert_eq!(console.read(26, &mut buffer).unwrap(), (0, 26));
    assert_eq!(uses("fake-ctrl").1, 1, "what did not fit is closed");
    std::thread::spawn(move || drop(console)).join().unwrap();
    assert_eq!(uses("fake-ctrl").1, 0);
}

#[test]
fn a_library_that_cannot_be_loaded_names_itself_and_its_package() {
    [EVENTS, GRANTS, FOREIGN].into_iter().fold(Libraries::new(), Libraries::broken).run("broken");
}

#[test]
#[ignore = "a scenario: run by the test above"]
fn broken() {
    refused(EventChannels::open(), &[EVENTS, "apt install libxenevtchn1)"]);
    refused(Memory::open(), &[FOREIGN, "apt install libxenforeignmemory1)"]);
}

#[test]
fn a_library_without_a_function_names_both_and_its_package() {
    let names = [EVENTS, GRANTS, FOREIGN, &first_ctrl()];
    names.into_iter().fold(Libraries::new(), Libraries::empty).run("empty");
}

#[test]
#[ignore = "a scenario: run by the test above"]
fn empty() {
    refused(EventChannels::open(), &[EVENTS, "no function xenevtchn_open ", "apt install libxenevtchn1)"]);
    refused(Memory::open(), &[FOREIGN, "no function xenforeignmemory_open ", "apt install libxenforeignmemory1)"]);
    refused(
        HypervisorConsole::open(),
        &["no function xc_interface_open ", "libxenctrl.so.4.", "apt install libxenmisc4."],
    );
}

#[test]
fn without_xen_it_is_said_what_cannot_be_opened() {
    Libraries::new().fake(&[EVENTS, GRANTS, FOREIGN, &first_ctrl()], "#define NO_XEN").run("no_xen");
}

#[test]
#[ignore = "a scenario: run by the test above"]
fn no_xen() {
    refused(EventChannels::open(), &["cannot open Xen's event channels: ", "No such file"]);
    refused(Memory::open(), &["cannot open the memory of Xen's guests: ", "No such file"]);
    refused(HypervisorConsole::open(), &["cannot open the hypervisor's console: ", "No such file"]);
}

/// Xen's own libraries have what is asked for, and write nothing themselves, whether there is a Xen or not. Where they are not
/// installed the test is skipped and says so; with XENLOG_TEST_ALL=1 it fails.
#[test]
fn the_systems_own_libraries_do() {
    Libraries::new().run("installed");
}

#[test]
#[ignore = "a scenario: run by the test above"]
fn installed() {
    let opened = [
        EventChannels::open().map(drop),
        Memory::open().map(|memory| assert!(!matches!(memory.without_grants(), Some(XenError::Function { .. })))),
        HypervisorConsole::open().map(drop),
    ];
    for error in opened.into_iter().filter_map(Result::err) {
        match error {
            XenError::Open { .. } => {}
            XenError::Library { .. } => {
                let all = std::env::var_os("XENLOG_TEST_ALL").is_some_and(|all| all == "1");
                assert!(!all, "{error}");
                println!("skipped: {error}");
            }
            XenError::Function { .. } => panic!("{error}"),
        }
    }
}
