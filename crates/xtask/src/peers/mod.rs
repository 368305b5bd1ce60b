//! The exchange among real peers: each test starts the release build of `offhook` beside programs by others.

mod admin;
pub mod agents;
mod api;
mod browser;
mod chaos;
pub mod chromium;
mod crash;
mod desk;
mod devices;
mod dns;
pub mod exchange;
mod firefox;
mod hostile;
mod instruments;
mod kamailio;
mod keys;
mod lanes;
pub mod line;
mod linphone;
mod linphone_transfer;
mod load;
mod moving;
mod mutual;
mod nat;
mod openid;
mod opus;
mod overload;
mod page;
mod pausing;
mod placement;
mod prack;
mod quality;
mod readme;
mod rebinding;
mod registrar;
mod relay;
mod reload;
mod seeing;
mod sipp;
mod siprec;
mod softphone;
mod softphone_kamailio;
mod srtp;
mod story;
mod supervise;
mod tcp_tls;
mod transfer;
pub mod trunk;
mod voice;
mod wallboard;
mod watching;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{children, demo, steps};

/// Which tests to run.
#[derive(Debug, Args)]
pub struct Options {
    /// Only these, by name; all where none is named.
    names: Vec<String>,
    /// All but this one.
    #[arg(long, value_name = "NAME")]
    except: Vec<String>,
    /// What `nat` and `firefox` run in a network of their own, with this folder.
    #[arg(long, hide = true, value_name = "FOLDER")]
    inside: Option<PathBuf>,
}

/// What a test is given.
#[derive(Debug)]
pub struct Bench {
    /// The release build of the exchange.
    pub offhook: PathBuf,
    /// An empty folder of its own, kept for whoever looks into a failure.
    pub folder: PathBuf,
}

struct Test {
    name: &'static str,
    sentence: &'static str,
    run: fn(&Bench) -> Result<String>,
}

const TESTS: &[Test] = &[
    Test { name: "readme", sentence: "every offhook command and option in README.md exists", run: readme::run },
    Test { name: "instruments", sentence: "the instruments are right about each other", run: instruments::run },
    Test { name: "demo", sentence: "the demonstration's call is answered, heard both ways, recorded", run: demo_once },
    Test {
        name: "browser",
        sentence: "pages in Chromium take calls, over PCMU of the webrtc crate and Opus of a telephone, and all hear each other",
        run: browser::run,
    },
    Test {
        name: "rebinding",
        sentence: "pages in Chromium speak on over one port when a translator changes theirs in mid-call",
        run: rebinding::run,
    },
    Test {
        name: "firefox",
        sentence: "a page in Firefox takes a call of a queue, presses a key, is muted, holds, changes its network, and outlives a cut connection",
        run: firefox::run,
    },
    Test {
        name: "relay",
        sentence: "a page whose browser may use a relay alone talks by Debian's coturn, over UDP and TCP, with credentials of the exchange",
        run: relay::run,
    },
    Test {
        name: "trunk",
        sentence: "50 sipp calls at 10/s: every payload arrives, both ways and in the recording",
        run: trunk::run,
    },
    Test {
        name: "siprec",
        sentence: "an exchange records another one's calls and a border controller's, by RFC 7866; sipp takes over as a recorder",
        run: siprec::run,
    },
    Test {
        name: "quality",
        sentence: "speech through the softphone's resampler scores a PESQ of 4.0",
        run: quality::run,
    },
    Test { name: "devices", sentence: "a tone and a sentence come through the sound devices", run: devices::run },
    Test {
        name: "voice",
        sentence: "an agent in a noisy room is heard with less noise, and understood better than before",
        run: voice::run,
    },
    Test {
        name: "audio-loop",
        sentence: "a click is under way from mouth to ear for 120 ms at most, through two softphones and the exchange",
        run: voice::audio_loop,
    },
    Test {
        name: "crash",
        sentence: "kill -9 during ten calls leaves no leg, agent, record or recording behind",
        run: crash::run,
    },
    Test {
        name: "chaos",
        sentence: "through loss, cuts, a stalled database, a stepped clock, a full disk and kill -9 every call, visit and recording is accounted for",
        run: chaos::run,
    },
    Test {
        name: "hostile",
        sentence: "1,000 mutated messages and 10,000 mutated packets: calls go on, memory stays",
        run: hostile::run,
    },
    Test {
        name: "tcp-tls",
        sentence: "queue calls over TCP, TLS and IPv6; a call outlives a change of certificates",
        run: tcp_tls::run,
    },
    Test {
        name: "linphone",
        sentence: "linphone calls and is called over UDP and TLS, presses keys both ways, holds",
        run: linphone::run,
    },
    Test {
        name: "keys",
        sentence: "a caller without telephone-events presses a key in its sound and hears the agent's",
        run: keys::run,
    },
    Test {
        name: "srtp",
        sentence: "baresip and linphone encrypt their speech, each by its suite, to plain phones and each other",
        run: srtp::run,
    },
    Test {
        name: "mutual",
        sentence: "baresips with certificates call each other over TLS; one without is turned away",
        run: mutual::run,
    },
    Test {
        name: "overload",
        sentence: "at twice the rate of calls, and in a flood, the surplus gets 503, the rest is served, nothing stays",
        run: overload::run,
    },
    Test {
        name: "transfer",
        sentence: "softphone and baresip transfer, blind and attended, and speech goes on both ways",
        run: transfer::run,
    },
    Test {
        name: "story",
        sentence: "in two browsers an agent takes a caller from the queue, a supervisor whispers, and the call is transferred, wrapped up and found again",
        run: story::run,
    },
    Test {
        name: "supervise",
        sentence: "baresip listens, whispers, joins in, leaves, takes over and pauses a recording; three softphones are in conference",
        run: supervise::run,
    },
    Test {
        name: "placement",
        sentence: "a call that rings one softphone is given to another, or moved to another queue; a program that is asked decides",
        run: placement::run,
    },
    Test {
        name: "moving",
        sentence: "legs go from worker to worker, into a talk and into a conference, without a click or a lost packet",
        run: moving::run,
    },
    Test {
        name: "opus",
        sentence: "baresip speaks Opus, the customer G.711; both hear each other, and the recording holds both",
        run: opus::run,
    },
    Test {
        name: "linphone-transfer",
        sentence: "linphone transfers, blind and attended, and speech goes on both ways",
        run: linphone_transfer::run,
    },
    Test {
        name: "kamailio",
        sentence: "calls in and out stay in the path of a carrier's proxy, kamailio, over UDP and TCP",
        run: kamailio::run,
    },
    Test {
        name: "registrar",
        sentence: "registered with kamailio by MD5 and SHA-256; calls in, failover out, a registrar lost and found",
        run: registrar::run,
    },
    Test {
        name: "nat",
        sentence: "a phone behind a router's NAT is called and heard, before and after the router's address changes",
        run: nat::run,
    },
    Test {
        name: "dns",
        sentence: "a trunk found by NAPTR and SRV, past a dead host, and after its name leads elsewhere",
        run: dns::run,
    },
    Test {
        name: "watching",
        sentence: "baresip, linphone and a screen show that a colleague takes a call and ends it",
        run: watching::run,
    },
    Test {
        name: "seeing",
        sentence: "a call's messages are seen in the API, in tshark and by Homer's protocol in sngrep",
        run: seeing::run,
    },
    Test {
        name: "prack",
        sentence: "sipp acknowledges our 183 and we its: a withheld PRACK brings it again, and the answer waits",
        run: prack::run,
    },
    Test {
        name: "bench",
        sentence: "the load generator calls sipp and the exchange: every call answered, its speech back, all accounted for",
        run: load::run,
    },
    Test {
        name: "api",
        sentence: "schemathesis finds no answer that the description of the API lacks; webhooks tell a call, also after kill -9",
        run: api::run,
    },
    Test {
        name: "reload",
        sentence: "40 calls of sipp over five reloads that add, rename and remove agents and queues: none is lost",
        run: reload::run,
    },
    Test {
        name: "desk",
        sentence: "an agent handles a call at the desk by keys, and axe-core finds nothing on any view",
        run: desk::run,
    },
    Test {
        name: "softphone",
        sentence: "an agent's phone on a terminal: TLS, a conference, states at the desk, a second server, messages that wait",
        run: softphone::run,
    },
    Test {
        name: "softphone-kamailio",
        sentence: "two softphones call each other by kamailio, which is killed: both go to the second one, and talk on",
        run: softphone_kamailio::run,
    },
    Test {
        name: "wallboard",
        sentence: "a page over 1,000 agents follows 20 changes of state a second, and what that costs",
        run: wallboard::run,
    },
    Test { name: "page", sentence: "the page shows a waiting caller and a talking agent", run: page::run },
];

/// Runs the chosen tests; each prints a line with its figures or its fault, and is run once more where it
/// failed: real programs share the machine with others, and a fault of the code fails both times.
pub fn run(options: &Options) -> Result<bool> {
    children::catch_interrupts()?;
    let offhook = crate::target().join("release/offhook");
    ensure!(offhook.is_file(), "{} is missing: cargo build --release --package offhook", offhook.display());
    if let Some(folder) = &options.inside {
        let bench = Bench { offhook, folder: folder.clone() };
        let is_firefox = options.names.iter().any(|name| name == "firefox");
        println!("{}", if is_firefox { firefox::inside(&bench) } else { nat::inside(&bench) }?);
        return Ok(true);
    }
    for name in options.names.iter().chain(&options.except) {
        ensure!(TESTS.iter().any(|t| t.name == *name), "no test is called {name}: {}", all_names());
    }
    let chosen = TESTS.iter().filter(|t| options.names.is_empty() || options.names.iter().any(|n| n == t.name));
    let chosen: Vec<&Test> = chosen.filter(|t| !options.except.iter().any(|n| n == t.name)).collect();
    let (passed, failed) = lanes::run(&chosen, &offhook)?;
    println!("{}", steps::summary(passed, failed));
    Ok(failed == 0)
}

/// Runs a test, and once more where it failed; false where it failed then, too.
fn run_twice(test: &Test, offhook: &Path) -> Result<bool> {
    if run_one(test, offhook)? || children::interrupted() {
        return Ok(!children::interrupted());
    }
    let good = run_one(test, offhook)?;
    if good {
        println!("{}{} failed above and passed the second time", steps::UNSTEADY, test.name);
    }
    Ok(good)
}

/// Runs a test in an empty folder and prints what it found; false where it failed.
fn run_one(test: &Test, offhook: &Path) -> Result<bool> {
    let folder = crate::target().join("peers").join(test.name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    std::fs::create_dir_all(&folder)?;
    let begin = Instant::now();
    let outcome = (test.run)(&Bench { offhook: offhook.into(), folder: folder.clone() });
    let took = begin.elapsed().as_secs_f64();
    match &outcome {
        Ok(figures) => println!("ok     {:<11} {} ({took:.1} s)\n         {figures}", test.name, test.sentence),
        Err(error) => {
            println!("FAILED {:<11} {} ({took:.1} s)\n         {error:#}", test.name, test.sentence);
            println!("         its files: {}", folder.display());
        }
    }
    Ok(outcome.is_ok())
}

fn all_names() -> String {
    TESTS.iter().map(|t| t.name).collect::<Vec<_>>().join(", ")
}

fn demo_once(bench: &Bench) -> Result<String> {
    demo::once(&bench.offhook, &bench.folder)
}
