//! Lets the built binary find libtorch where it was linked from, so that nothing need be exported to run it, and tells it
//! the commit that it is built from.

#[path = "build/commit.rs"]
mod commit;

use std::{env, path::PathBuf, process::Command};

fn main() {
    let version = env!("CARGO_PKG_VERSION");
    let version =
        commit::known().map_or(version.to_owned(), |commit| format!("{version}+{commit}"));
    println!("cargo:rustc-env=HEADROOM_CODE_VERSION={version}");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=LIBTORCH_USE_PYTORCH");
    let folder = if env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        folder_of_pytorch()
    } else {
        env::var_os("LIBTORCH").map(PathBuf::from)
    };
    if let Some(folder) = folder {
        println!(
            "cargo:rustc-link-arg=-Wl,-rpath,{}",
            folder.join("lib").display()
        );
    }
    // Where an image or a package keeps the libraries beside the binary's folder.
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/headroom");
}

fn folder_of_pytorch() -> Option<PathBuf> {
    let python = Command::new("python3")
        .args([
            "-c",
            "import os, torch; print(os.path.dirname(torch.__file__))",
        ])
        .output()
        .ok()?;
    let folder = String::from_utf8(python.stdout).ok()?;
    python
        .status
        .success()
        .then(|| PathBuf::from(folder.trim()))
}
