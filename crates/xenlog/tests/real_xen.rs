//! All of it on real Xen: rig/run boots the hypervisor, dom0 with Debian's own toolstack and PV, PVH and HVM guests in an
//! emulated machine, with the daemon beside the stock one and in its place, and runs the scenarios of rig/scenario there. Each
//! says what it promises.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;

/// What `rig/run` says where this machine cannot have a rig (rig/README.md).
const NOT_HERE: i32 = 77;

#[test]
fn every_scenario_passes_on_real_xen() {
    let programs = Path::new(env!("CARGO_BIN_EXE_xenlog-qemu")).parent().unwrap();
    let daemon = programs.join("xenconsoled");
    assert!(daemon.exists(), "{} is missing: cargo build --workspace", daemon.display());

    let rig = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rig/run");
    let mut run = Command::new(rig);
    // What the rig downloads and builds goes beside what cargo builds.
    run.env("CARGO_TARGET_DIR", programs.parent().unwrap()).arg("--bin").arg(programs);
    // For each boot; on a quiet machine none takes half of it.
    run.args(["--timeout", "600"]);
    let done = run.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if done.status.code() == Some(NOT_HERE) {
        let all = std::env::var_os("XENLOG_TEST_ALL").is_some_and(|all| all == "1");
        assert!(!all, "{err}");
        eprintln!("skipped: {err}");
        return;
    }
    assert!(done.status.success(), "{}\n{out}\n{err}", done.status);
    println!("{out}");
}
