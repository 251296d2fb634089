//! Gives the shared library its name for the loader. It changes with the ABI, never otherwise: include/xenlog.h.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libxenlog.so.1");
}
