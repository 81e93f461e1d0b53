// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the linker finds libblkio: in the folder that BLKIO_LIB_DIR names, where pkg-config says,
//! or where the linker looks by itself.

use std::{env, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=BLKIO_LIB_DIR");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    println!("cargo:rustc-link-lib=dylib=blkio");
    if let Ok(folder) = env::var("BLKIO_LIB_DIR") {
        println!("cargo:rustc-link-search=native={}", folder);
        return;
    }
    let pkg_config = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let asked = Command::new(pkg_config).args(["--libs-only-L", "blkio"]).output();
    if let Ok(said) = asked {
        for flag in String::from_utf8_lossy(&said.stdout).split_whitespace() {
            if let Some(folder) = flag.strip_prefix("-L") {
                println!("cargo:rustc-link-search=native={}", folder);
            }
        }
    }
}
