//! The Xen console and log daemon: see the library.

fn main() -> std::process::ExitCode {
    xenconsoled::main()
}
