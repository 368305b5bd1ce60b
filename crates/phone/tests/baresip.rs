//! baresip (Debian package `baresip-core`) as the peer, both ways, with G.711 and with G.722. Where it is not installed the test says so and passes, unless
//! `OFFHOOK_NEED_BARESIP=1` asks for it.
#![expect(clippy::disallowed_methods, reason = "tests of an edge start programs and have clocks")]

mod harness;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use harness::{Desk, WITHIN, files, on_loopback, share_of, tone};
use offhook_phone::{Dial, EndedBy, PhoneEvent};
use offhook_plan::{CodecCap, CodecKind};
use offhook_units::Span;

const MODULES: &str = "/usr/lib/baresip/modules";

/// It takes the next port for TLS, too: two for each, out of the range that systems give to others, and apart from other runs.
static NEXT: AtomicU16 = AtomicU16::new(0);

struct Baresip {
    child: Child,
    port: u16,
    lines: crossbeam_channel::Receiver<String>,
}

impl Baresip {
    /// Speaks a tone of 440 Hz and dumps what it hears into `folder`; `commands` are run at its start.
    fn start(folder: &Path, commands: &[String]) -> Option<Self> {
        Self::start_with(folder, "pcmu,pcma", 8_000, commands)
    }

    /// The same with these codecs, and a tone at their rate.
    fn start_with(folder: &Path, codecs: &str, rate: u32, commands: &[String]) -> Option<Self> {
        if !Path::new(MODULES).join("sndfile.so").exists() {
            assert!(
                std::env::var("OFFHOOK_NEED_BARESIP").is_err(),
                "baresip is not installed: apt-get install baresip-core"
            );
            eprintln!("baresip is not installed: nothing was tested");
            return None;
        }
        let port = 21_000 + (std::process::id() % 1_000) as u16 * 10 + NEXT.fetch_add(2, Ordering::Relaxed);
        let said = folder.join("said.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&said, spec).unwrap();
        for sample in tone(440.0 * 8_000.0 / rate as f32, 10 * rate as usize) {
            writer.write_sample(sample).unwrap();
        }
        writer.finalize().unwrap();
        let config = format!(
            "poll_method epoll\nsip_listen 127.0.0.1:{port}\nnet_interface 127.0.0.1\naudio_source aufile,{}\n\
             audio_player aubridge,heard\naudio_alert aubridge,alert\nsnd_path {}\nmodule_path {MODULES}\n\
             module g711.so\nmodule g722.so\nmodule sndfile.so\nmodule aubridge.so\nmodule aufile.so\n\
             module_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\n",
            said.display(),
            folder.display(),
        );
        std::fs::write(folder.join("config"), config).unwrap();
        let account = format!("<sip:bob@127.0.0.1:{port}>;regint=0;answermode=auto;audio_codecs={codecs}\n");
        std::fs::write(folder.join("accounts"), account).unwrap();
        std::fs::write(folder.join("contacts"), "").unwrap();
        let mut command = Command::new("baresip");
        command.arg("-f").arg(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        for line in commands {
            command.arg("-e").arg(line);
        }
        let mut child = command.spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (tell, lines) = crossbeam_channel::unbounded();
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).for_each(|line| drop(tell.send(line)));
        });
        let peer = Self { child, port, lines };
        peer.wait("baresip is ready");
        Some(peer)
    }

    fn wait(&self, part: &str) {
        let deadline = std::time::Instant::now() + WITHIN;
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_deadline(deadline) {
                Ok(line) if line.contains(part) => return,
                Ok(line) => seen.push(line),
                Err(error) => panic!("`{part}`: {error}; baresip said {seen:#?}"),
            }
        }
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn recorded(path: &Path) -> Vec<i16> {
    hound::WavReader::open(path).unwrap().samples().map(Result::unwrap).collect()
}

/// What baresip heard.
fn dumped(folder: &Path) -> Vec<i16> {
    let dump = std::fs::read_dir(folder).unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let dump = dump.filter(|path| path.to_string_lossy().ends_with("-dec.wav")).max().unwrap();
    // baresip leaves the lengths in the header open: the samples are what follows it.
    let heard = std::fs::read(dump).unwrap();
    heard[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// The best half second of a tone: gaps at begin and end do not count.
fn best_share(hz: f32, samples: &[i16]) -> f32 {
    samples.windows(4_000).step_by(400).map(|window| share_of(hz, 8_000.0, window)).fold(0.0, f32::max)
}

#[test]
fn we_call_baresip_which_answers_by_itself_and_both_hear_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let Some(peer) = Baresip::start(folder.path(), &[]) else { return };
    let caller = Desk::start(on_loopback(files(folder.path(), "caller", Some(tone(1_000.0, 40_000)))), 1);
    let uri = format!("sip:bob@127.0.0.1:{}", peer.port);
    let dial = Dial { hang_up_after: Some(Span::from_s(3)), ..Dial::to(&uri).unwrap() };
    caller.phone.dial(dial).unwrap();
    let call = caller.ended();
    assert!(call.answered && call.ended_by == EndedBy::Us, "{call:?}");
    assert!(call.media.received_packets > 100 && call.media.lost == 0, "{call:?}");
    peer.wait("terminated");
    assert!(best_share(440.0, &recorded(&folder.path().join("caller.wav"))) > 0.45, "baresip's tone arrives");
    drop(peer);
    let heard = dumped(folder.path());
    assert!(best_share(1_000.0, &heard) > 0.45, "our tone arrives: {} samples", heard.len());
}

#[test]
fn with_g722_alone_we_and_baresip_hear_each_others_tones() {
    let folder = tempfile::tempdir().unwrap();
    let Some(peer) = Baresip::start_with(folder.path(), "g722/16000/1", 16_000, &[]) else { return };
    let mut config = on_loopback(files(folder.path(), "caller", Some(tone(1_000.0, 40_000))));
    config.caps.codecs = vec![CodecCap { kind: CodecKind::G722, fmtp: None }];
    let caller = Desk::start(config, 1);
    let dial =
        Dial { hang_up_after: Some(Span::from_s(3)), ..Dial::to(&format!("sip:bob@127.0.0.1:{}", peer.port)).unwrap() };
    caller.phone.dial(dial).unwrap();
    let call = caller.ended();
    assert!(call.answered && call.media.received_packets > 100 && call.media.lost == 0, "{call:?}");
    peer.wait("terminated");
    assert!(best_share(440.0, &recorded(&folder.path().join("caller.wav"))) > 0.45, "baresip's tone arrives");
    drop(peer);
    let heard = dumped(folder.path());
    let share = heard.windows(8_000).step_by(800).map(|window| share_of(1_000.0, 16_000.0, window)).fold(0.0, f32::max);
    assert!(share > 0.45, "our tone arrives: {share} of {} samples", heard.len());
}

#[test]
fn baresip_calls_us_and_we_answer_by_ourselves_and_hang_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = on_loopback(files(folder.path(), "callee", None));
    config.auto_answer = Some(Span::from_ms(200));
    let callee = Desk::start(config, 2);
    let Some(peer) = Baresip::start(folder.path(), &[format!("/dial {}", callee.uri())]) else { return };
    let call = callee.incoming();
    callee.wait("speech", |event| matches!(event, PhoneEvent::FirstPacket { .. }).then_some(()));
    // A second of speech, counted by a key of ours that has to be sent in it.
    callee.phone.press(call, "1234567");
    callee.wait("our keys", |event| matches!(event, PhoneEvent::KeysSent { .. }).then_some(()));
    callee.phone.hang_up(call);
    let call = callee.ended();
    assert!(call.answered && call.ended_by == EndedBy::Us && call.number == "bob", "{call:?}");
    assert!(call.media.lost == 0 && call.media.received_packets > 50, "{call:?}");
    peer.wait("terminated");
    assert!(best_share(440.0, &recorded(&folder.path().join("callee.wav"))) > 0.45, "baresip's tone arrives");
}
