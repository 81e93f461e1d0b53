// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the declarations with `blkio.h`: writes them down in C, and has the C compiler accept
//! them next to the header. `BLKIO_INCLUDE_DIR` names the folder of `blkio.h`; without it, pkg-config
//! or the compiler finds it.

use blkio_sys as sys;
use std::fmt::Write as _;
use std::io::Write as _;
use std::mem::size_of;
use std::process::{Command, Stdio};

const DECLARATIONS: &str = include_str!("../src/lib.rs");

fn flags() -> Vec<String> {
    if let Ok(folder) = std::env::var("BLKIO_INCLUDE_DIR") {
        return vec![format!("-I{folder}")];
    }
    let asked = Command::new("pkg-config").args(["--cflags", "blkio"]).output();
    let said = asked.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    said.split_whitespace().map(String::from).collect()
}

/// Runs the C compiler with this source on its standard input.
fn cc(options: &[&str], source: &str) -> (bool, String) {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut words = compiler.split_whitespace();
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .args(["-std=c11", "-x", "c", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .args(flags())
        .args(options)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a C compiler");
    child.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    let said = child.wait_with_output().unwrap();
    let text = [said.stdout, said.stderr].concat();
    (said.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn accepts(source: &str) -> Result<(), String> {
    match cc(&["-fsyntax-only"], &format!("#include <blkio.h>\n{source}")) {
        (true, _) => Ok(()),
        (false, said) => Err(format!("{said}\n{source}")),
    }
}

/// A type of Rust in C. `name` is what has the type: C puts it in the middle.
fn c_type(rust: &str, name: &str) -> String {
    if let Some(inner) = rust.strip_prefix("*mut ") {
        return c_type(inner, &format!("*{name}"));
    }
    if let Some(inner) = rust.strip_prefix("*const ") {
        return format!("const {}", c_type(inner, &format!("*{name}")));
    }
    let c = match rust {
        "c_int" => "int",
        "c_char" => "char",
        "c_void" => "void",
        "u32" => "uint32_t",
        "u64" => "uint64_t",
        "usize" => "size_t",
        "bool" => "bool",
        "sigset_t" => "sigset_t",
        "" => "void",
        other => return format!("struct {other} {name}"),
    };
    format!("{c} {name}")
}

/// The functions declared here: their names, and each as a declaration of C.
fn functions() -> Vec<(String, String)> {
    let lines = DECLARATIONS.lines().filter_map(|l| l.trim().strip_prefix("pub fn "));
    lines
        .map(|line| {
            let (name, rest) = line.split_once('(').unwrap();
            let (parameters, result) = rest.rsplit_once(')').unwrap();
            let result = result.trim_end_matches(';').trim_start_matches(" -> ");
            let parameters: Vec<String> = parameters
                .split(", ")
                .filter_map(|p| p.split_once(": "))
                .map(|(name, rust)| c_type(rust, name))
                .collect();
            let list = if parameters.is_empty() { "void".into() } else { parameters.join(", ") };
            (name.to_string(), format!("{};\n", c_type(result, &format!("{name}({list})"))))
        })
        .collect()
}

/// What the C compiler sees of `blkio.h`, and its macros.
fn header(options: &[&str]) -> String {
    let (ok, text) = cc(options, "#include <blkio.h>\n");
    assert!(ok, "{text}");
    text
}

#[test]
fn functions_have_the_types_of_the_header() {
    let all: String = functions().into_iter().map(|(_, declaration)| declaration).collect();
    accepts(&all).unwrap();
}

/// The comparison would see a difference.
#[test]
fn a_wrong_type_is_refused() {
    for (name, declaration) in functions() {
        if declaration.contains("uint64_t ") {
            let wrong = declaration.replacen("uint64_t ", "uint16_t ", 1);
            assert!(accepts(&wrong).is_err(), "{name}");
        }
    }
    let (name, value) = sys::CONSTANTS[0];
    assert!(accepts(&format!("_Static_assert({name} == {}, \"\");\n", value + 1)).is_err());
}

#[test]
fn every_function_is_declared() {
    let text = header(&["-E", "-P"]);
    let mine: Vec<String> = functions().into_iter().map(|(name, _)| name).collect();
    assert!(mine.len() >= 45, "{mine:?}");
    for part in text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '(')) {
        if let Some((name, _)) = part.split_once('(') {
            if name.starts_with("blkio_") || name.starts_with("blkioq_") {
                assert!(mine.iter().any(|m| m == name), "{name} is not declared");
            }
        }
    }
}

#[test]
fn constants_have_the_values_of_the_header() {
    let mut source = String::new();
    for (name, value) in sys::CONSTANTS {
        writeln!(source, "_Static_assert({name} == {value}, \"{name}\");").unwrap();
    }
    accepts(&source).unwrap();
    // Enumerators are in the preprocessed text, macros in the list of macros.
    let text = header(&["-E", "-P"]) + &header(&["-E", "-dM"]);
    for word in text.split(|c: char| !(c.is_alphanumeric() || c == '_')) {
        if word.starts_with("BLKIO_") && word != "BLKIO_H" {
            assert!(sys::CONSTANTS.iter().any(|(name, _)| *name == word), "{word} is not declared");
        }
    }
}

macro_rules! layout {
    ($source:ident, $name:ident { $($field:ident as $c:literal),* $(,)? }) => {{
        // SAFETY: all fields are integers and raw pointers, for which zero is a value.
        let zero: sys::$name = unsafe { std::mem::zeroed() };
        let base = &zero as *const _ as usize;
        let name = stringify!($name);
        let whole = size_of::<sys::$name>();
        writeln!($source, "_Static_assert(sizeof(struct {name}) == {whole}, \"{name}\");").unwrap();
        let mut sum = 0;
        $(
            let offset = std::ptr::addr_of!(zero.$field) as usize - base;
            let size = std::mem::size_of_val(&zero.$field);
            let c = $c;
            writeln!($source, "_Static_assert(offsetof(struct {name}, {c}) == {offset}, \"{c}\");\n\
                _Static_assert(sizeof(((struct {name} *)0)->{c}) == {size}, \"{c}\");").unwrap();
            sum += size;
        )*
        assert_eq!(sum, whole, "{name} has members that are not listed here");
    }};
}

#[test]
fn structures_have_the_layout_of_the_header() {
    let mut source = String::new();
    layout!(source, timespec { tv_sec as "tv_sec", tv_nsec as "tv_nsec" });
    layout!(source, iovec { iov_base as "iov_base", iov_len as "iov_len" });
    layout!(source, blkio_property_info {
        name as "name", doc as "doc", r#type as "type", readable as "readable",
        writable as "writable", reserved_ as "reserved_",
    });
    layout!(source, blkio_mem_region {
        addr as "addr", len as "len", iova as "iova", fd_offset as "fd_offset", fd as "fd",
        flags as "flags",
    });
    layout!(source, blkio_zone {
        start as "start", len as "len", capacity as "capacity", write_pointer as "write_pointer",
        zone_type as "zone_type", zone_state as "zone_state", reset as "reset",
        reserved_ as "reserved_",
    });
    layout!(source, blkio_export {
        name as "name", description as "description", size as "size", reserved_ as "reserved_",
    });
    layout!(source, blkio_vring {
        size as "size", flags as "flags", desc as "desc", driver as "driver", device as "device",
        base as "base", kick_fd as "kick_fd", call_fd as "call_fd", err_fd as "err_fd",
        reserved_ as "reserved_",
    });
    layout!(source, blkio_extent {
        start as "start", len as "len", flags as "flags", reserved_ as "reserved_",
    });
    layout!(source, blkio_completion {
        user_data as "user_data", error_msg as "error_msg", ret as "ret", reserved_ as "reserved_",
    });
    accepts(&source).unwrap();
}
