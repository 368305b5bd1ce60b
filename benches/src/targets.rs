//! One function for each parser that reads what strangers send: it panics where the parser does, and where what was read
//! does not print to the same again. `fuzz/` runs them under libFuzzer, `tests/targets.rs` over seeds and their mutations.

mod browser;
mod media;
mod signalling;

/// A parser under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of the fuzz target, and of its seeds' folder in `fixtures/fuzz`.
    pub name: &'static str,
    /// Reads the bytes; panics where anything is wrong with how they are read.
    pub run: fn(&[u8]),
}

/// All of them. The configuration's target stands beside the configuration.
pub const ALL: [Target; 18] = [
    Target { name: "message", run: signalling::message },
    Target { name: "stream", run: signalling::stream },
    Target { name: "endpoint", run: signalling::endpoint },
    Target { name: "uri", run: signalling::uri },
    Target { name: "name_addr", run: signalling::name_addr },
    Target { name: "via", run: signalling::via },
    Target { name: "digest", run: signalling::digest },
    Target { name: "sdp_offer", run: signalling::sdp_offer },
    Target { name: "sdp_answer", run: signalling::sdp_answer },
    Target { name: "body", run: signalling::body },
    Target { name: "metadata", run: signalling::metadata },
    Target { name: "stun", run: signalling::stun },
    Target { name: "rtp", run: media::rtp },
    Target { name: "rtcp", run: media::rtcp },
    Target { name: "event", run: media::event },
    Target { name: "g722", run: media::g722 },
    Target { name: "opus", run: media::opus },
    Target { name: "browser", run: browser::browser },
];

/// Runs one target by its name.
///
/// # Panics
/// Where there is no such target, and where the target finds a fault.
pub fn run(name: &str, data: &[u8]) {
    let target = ALL.iter().find(|target| target.name == name).expect("a target of this name");
    (target.run)(data);
}
