//! Debian packages: what is missing is named, then installed as root or through sudo.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A Debian package and why it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Package {
    /// Its name in Debian 12.
    pub name: &'static str,
    /// What it is for, shown before it is installed.
    pub why: &'static str,
}

/// A package and why it is wanted.
pub const fn package(name: &'static str, why: &'static str) -> Package {
    Package { name, why }
}

/// What the build needs.
pub const BUILD: [Package; 4] = [
    package("build-essential", "the C compiler that SQLite's crate and the linker need"),
    package("pkg-config", "finds libraries for the build"),
    package("libasound2-dev", "sound devices of the softphone"),
    package("libopus-dev", "the codec Opus"),
];

/// What the demonstration needs beside the build.
pub const DEMO: [Package; 1] = [VOICE];

/// The recorded voice: prompts of the exchange and the speech of demo and tests.
pub const VOICE: Package =
    package("asterisk-core-sounds-en-wav", "recorded prompts (CC BY-SA 3.0), also the caller's speech");

/// What the checks need beside the build.
pub const VERIFY: [Package; 22] = [
    VOICE,
    package("sip-tester", "sipp, the trunk of the tests"),
    package("baresip-core", "a softphone by others, as agent in the tests"),
    package("linphone-cli", "another softphone by others, over UDP and TLS"),
    package("kamailio", "a proxy by others, between the exchange and its trunk"),
    package("dnsmasq-base", "a name server that knows a carrier by NAPTR and SRV"),
    package("iproute2", "networks of the test of phones behind NAT"),
    package("nftables", "the router that translates addresses there"),
    package("tshark", "reads the capture files of calls"),
    package("sngrep", "takes SIP messages in Homer's protocol"),
    package("openssl", "looks at the certificate that the exchange shows"),
    package("chromium", "opens the page"),
    package("firefox-esr", "opens the page of a phone"),
    package("coturn", "a relay for a page whose browser may use nothing else"),
    package("libfaketime", "another clock for an exchange than the machine's"),
    package("flac", "decodes exported recordings"),
    package("opus-tools", "decodes those in Opus"),
    package("tmux", "a terminal for the softphone's screen"),
    package("pulseaudio", "sound devices without hardware"),
    package("pulseaudio-utils", "plays into and records from them"),
    package(
        "python3-venv",
        "environments for the PESQ speech quality measure, schemathesis, axe-core and an S3 server (development only)",
    ),
    package("python3-dev", "PESQ is compiled where it is installed (development only)"),
];

/// Packages whose server Debian starts as soon as it is installed, at the port of SIP on every address. Tests start their own.
const SERVERS: [&str; 2] = ["kamailio", "coturn"];

/// Installs what is missing of `wanted`.
pub fn install(wanted: &[Package]) -> Result<()> {
    let missing: Vec<&Package> = wanted.iter().filter(|p| !installed(p.name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !exists("apt-get") {
        let names: Vec<&str> = missing.iter().map(|p| p.name).collect();
        bail!(
            "this needs the Debian packages {}, and there is no apt-get here: install their like and try again",
            names.join(" ")
        );
    }
    eprintln!("Debian packages to be installed:");
    for package in &missing {
        eprintln!("  {:<28} {}", package.name, package.why);
    }
    let names: Vec<&str> = missing.iter().map(|p| p.name).collect();
    let fetch = [&["install", "-y", "--no-install-recommends"][..], &names].concat();
    // The lists of a fresh machine are empty or old; refreshed only where the packages cannot be had without.
    if apt_get(&fetch, true).is_err() {
        apt_get(&["update"], false).context("apt-get update")?;
        apt_get(&fetch, false).with_context(|| format!("apt-get install {}", names.join(" ")))?;
    }
    names.iter().filter(|name| SERVERS.contains(name)).try_for_each(|name| keep_off(name))
}

/// Stops the server of a package that was just installed, for good, where systemd would have started it.
fn keep_off(server: &str) -> Result<()> {
    if !std::path::Path::new("/run/systemd/system").is_dir() {
        return Ok(());
    }
    let mut command = Command::new(if rustix::process::geteuid().is_root() { "systemctl" } else { "sudo" });
    if !rustix::process::geteuid().is_root() {
        command.arg("systemctl");
    }
    let status = command.args(["disable", "--now", "--quiet", server]).status().context("systemctl")?;
    if !status.success() {
        bail!("systemctl disable --now {server} ended with {status}: its server would hold the port of SIP");
    }
    Ok(())
}

fn apt_get(arguments: &[&str], quiet: bool) -> Result<()> {
    let root = rustix::process::geteuid().is_root();
    if !root && !exists("sudo") {
        bail!("installing packages needs root: run `apt-get {}` as root, or install sudo", arguments.join(" "));
    }
    let mut command = Command::new(if root { "apt-get" } else { "sudo" });
    if !root {
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    }
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq").args(["-o", "DPkg::Lock::Timeout=300"]).args(arguments);
    command.stdin(if root { Stdio::null() } else { Stdio::inherit() }).stdout(Stdio::null());
    if quiet {
        command.stderr(Stdio::null());
    }
    let status = command.status().context("apt-get")?;
    if !status.success() {
        bail!("apt-get {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}

fn installed(name: &str) -> bool {
    let query = Command::new("dpkg-query").args(["-W", "-f", "${Status}", name]).output();
    query.is_ok_and(|o| o.status.success() && String::from_utf8_lossy(&o.stdout).contains("install ok installed"))
}

fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Fails where a program is missing.
pub fn must_have(program: &str) -> Result<()> {
    must_have_or(program, "`cargo verify` installs what the tests need")
}

/// As [`must_have`], with what to do about it.
pub fn must_have_or(program: &str, advice: &str) -> Result<()> {
    if !exists(program) {
        bail!("{program} is not installed: {advice}");
    }
    Ok(())
}
