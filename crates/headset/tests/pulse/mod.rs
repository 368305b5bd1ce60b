//! A private PulseAudio of null sinks, as loudspeakers and microphones without hardware. The phone's tests have it, too.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the sound server may take to come up.
const UP_WITHIN: Duration = Duration::from_secs(20);

/// The server; ends when dropped.
pub struct SoundServer {
    child: Child,
    folder: PathBuf,
}

impl SoundServer {
    /// Starts one in `folder` with what `script` loads beside the protocol. None where PulseAudio is not installed: the test says so and
    /// passes, unless `OFFHOOK_NEED_SOUND=1` asks for it.
    pub fn start(folder: &Path, script: &str) -> Option<Self> {
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
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(folder.join("run"), private).unwrap();
        let protocol = format!(
            "load-module module-native-protocol-unix auth-anonymous=1 socket={}\n",
            folder.join("native").display()
        );
        std::fs::write(folder.join("default.pa"), protocol + script).unwrap();
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
        let deadline = Instant::now() + UP_WITHIN;
        while server.run("pactl", &["info"]).is_none() {
            assert!(Instant::now() < deadline, "the sound server does not come up");
            std::thread::yield_now();
        }
        Some(server)
    }

    /// What `PULSE_SERVER` is to be.
    pub fn address(&self) -> String {
        format!("unix:{}", self.folder.join("native").display())
    }

    /// A program of this server.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("PULSE_SERVER", self.address()).env("HOME", self.folder.join("home")).stdin(Stdio::null());
        command
    }

    /// What a program of this server prints; none where it fails.
    pub fn run(&self, name: &str, arguments: &[&str]) -> Option<String> {
        let output = self.program(name).args(arguments).stderr(Stdio::null()).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Tells the server something that must work.
    pub fn pactl(&self, arguments: &[&str]) -> String {
        self.run("pactl", arguments).unwrap_or_else(|| panic!("pactl {arguments:?}"))
    }
}

impl Drop for SoundServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A program that is killed when the test is done with it.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
