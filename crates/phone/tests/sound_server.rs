//! The whole way of sound: a tone in the microphone of one phone comes out at the other, and the other's tone out of this one's
//! loudspeaker, through `cpal` and a private PulseAudio with null sinks.
//!
//! Where PulseAudio is not installed the test says so and passes, unless `OFFHOOK_NEED_SOUND=1` asks for it.
#![expect(clippy::disallowed_methods, reason = "tests of an edge start programs and have clocks")]

mod harness;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Desk, WITHIN, files, on_loopback, share_of, tone};
use offhook_phone::{Dial, PhoneEvent, headset};
use offhook_units::Span;

/// A sound server of our own: one null sink as loudspeaker, another whose monitor is the microphone.
struct SoundServer {
    child: Child,
    folder: PathBuf,
}

impl SoundServer {
    fn start(folder: &Path) -> Option<Self> {
        let installed = ["pulseaudio", "pacat", "parec", "pactl"].iter().all(|program| {
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
        });
        if !installed {
            assert!(
                std::env::var("OFFHOOK_NEED_SOUND").as_deref() != Ok("1"),
                "PulseAudio is not installed: apt-get install pulseaudio pulseaudio-utils"
            );
            eprintln!("PulseAudio is not installed: nothing was tested");
            return None;
        }
        for name in ["run", "home"] {
            std::fs::create_dir(folder.join(name)).unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::PermissionsExt::set_mode(
            &mut std::fs::metadata(folder.join("run")).unwrap().permissions(),
            0o700,
        );
        let script = format!(
            "load-module module-null-sink sink_name=desk_spk rate=48000 channels=2\n\
             load-module module-null-sink sink_name=desk_in rate=44100 channels=2\n\
             load-module module-remap-source source_name=desk_mic master=desk_in.monitor\n\
             load-module module-native-protocol-unix auth-anonymous=1 socket={}\n\
             set-default-sink desk_spk\nset-default-source desk_mic\n",
            folder.join("native").display()
        );
        std::fs::write(folder.join("default.pa"), script).unwrap();
        let child = Command::new("pulseaudio")
            .args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"])
            .args(["--log-target=stderr", "--log-level=error", "-F"])
            .arg(folder.join("default.pa"))
            .env("HOME", folder.join("home"))
            .env("XDG_RUNTIME_DIR", folder.join("run"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, folder: folder.to_owned() };
        let deadline = Instant::now() + WITHIN;
        while !server
            .program("pactl")
            .arg("info")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
        {
            assert!(Instant::now() < deadline, "the sound server does not come up");
            std::thread::yield_now();
        }
        Some(server)
    }

    fn address(&self) -> String {
        format!("unix:{}", self.folder.join("native").display())
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("PULSE_SERVER", self.address()).env("HOME", self.folder.join("home")).stdin(Stdio::null());
        command
    }
}

impl Drop for SoundServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A program that is killed when the test is done with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The best tenth of a second of a tone.
fn best_share(hz: f32, rate: u32, samples: &[i16]) -> f32 {
    let window = rate as usize / 10;
    samples.windows(window).step_by(window / 4).map(|part| share_of(hz, rate as f32, part)).fold(0.0, f32::max)
}

#[test]
fn tones_pass_from_the_microphone_to_the_peer_and_from_the_peer_to_the_loudspeaker() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = SoundServer::start(folder.path()) else { return };
    // SAFETY: this file holds one test, and no other thread of it reads the environment yet.
    unsafe { std::env::set_var("PULSE_SERVER", server.address()) };

    // The person at the desk hums 700 Hz.
    let hum: Vec<u8> = (0..44_100 * 20)
        .flat_map(|n| (((n as f32 * 700.0 * core::f32::consts::TAU / 44_100.0).sin() * 12_000.0) as i16).to_le_bytes())
        .collect();
    std::fs::write(folder.path().join("hum.raw"), hum).unwrap();
    let hum = server
        .program("pacat")
        .args(["--playback", "--device=desk_in", "--rate=44100", "--channels=1", "--format=s16le"])
        .arg(folder.path().join("hum.raw"))
        .spawn();
    let _hum = Running(hum.unwrap());

    let mut engine = files(folder.path(), "desk", None);
    engine.headset = Some(headset(None, None));
    let mut desk = on_loopback(engine);
    desk.auto_answer = Some(Span::from_ms(500));
    let desk = Desk::start(desk, 1);
    let caller = Desk::start(on_loopback(files(folder.path(), "caller", Some(tone(1_000.0, 80_000)))), 2);
    let dial = Dial { hang_up_after: Some(Span::from_s(6)), ..Dial::to(&desk.uri()).unwrap() };
    caller.phone.dial(dial).unwrap();
    desk.wait("both devices", {
        let mut open = 0;
        move |event| {
            open += u32::from(matches!(event, PhoneEvent::Device { what, .. } if what.contains(" at ")));
            (open == 2).then_some(())
        }
    });
    caller.answered();

    // Two seconds of the loudspeaker's monitor.
    let ear = server
        .program("parec")
        .args(["--device=desk_spk.monitor", "--rate=48000", "--channels=1", "--format=s16le", "--latency-msec=20"])
        .stdout(Stdio::piped())
        .spawn();
    let mut ear = Running(ear.unwrap());
    let mut heard = vec![0_u8; 48_000 * 2 * 2];
    ear.0.stdout.take().unwrap().read_exact(&mut heard).unwrap();
    let heard: Vec<i16> = heard.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let out = best_share(1_000.0, 48_000, &heard);
    assert!(out > 0.45, "the peer's tone comes out of the loudspeaker: {out}");
    let loud = heard.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
    assert!((8_000..13_000).contains(&loud), "at the level it was sent with: {loud}");

    let (call, desk_call) = (caller.ended(), desk.ended());
    assert!(call.answered && call.media.lost == 0, "{call:?}");
    assert!(desk_call.media.late_frames == 0, "{desk_call:?}");
    let path = folder.path().join("caller.wav");
    let recorded: Vec<i16> = hound::WavReader::open(path).unwrap().samples().map(Result::unwrap).collect();
    let back = best_share(700.0, 8_000, &recorded);
    assert!(back > 0.45, "the microphone's tone arrives at the peer: {back}");
    // Steady: in the last two seconds nearly every tenth of a second is the tone.
    let last = &recorded[recorded.len() - 18_000..recorded.len() - 2_000];
    let good = last.chunks_exact(800).filter(|part| share_of(700.0, 8_000.0, part) > 0.45).count();
    assert!(good >= 18, "{good} of 20 tenths of a second are the tone alone");
    assert!(Duration::from_secs(5) < Duration::from_micros((call.duration_ms * 1_000.0) as u64));
}
