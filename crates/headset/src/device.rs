//! Which devices there are, and one of them turned into a running stream.

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{BufferSize, ErrorKind, SampleFormat, StreamConfig, SupportedBufferSize, SupportedStreamConfig};

use crate::ends::{CaptureEnd, CaptureTap, PlaybackEnd, PlaybackFeed, capture_ring, playback_ring};
use crate::supervisor::Way;

/// A sound device as a person chooses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name in commands and configuration, such as `pulseaudio:alsa_output.usb-headset`; stable while it is plugged in.
    pub id: String,
    /// What its maker or the system calls it.
    pub name: String,
    /// Whether it captures.
    pub input: bool,
    /// Whether it plays.
    pub output: bool,
    /// The system's default for capture or playback.
    pub default: bool,
}

/// Why there is no sound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadsetError {
    /// The name fits no device. Choose one of those listed.
    #[error("no {way} device is called `{wanted}` now; `--list-devices` shows which there are")]
    Unknown {
        /// Capture or playback.
        way: Way,
        /// What was asked for.
        wanted: String,
    },
    /// The system has no device at all. Plug one in, or start the sound server.
    #[error("there is no {way} device; plug one in or start the sound server")]
    NoDevice {
        /// Capture or playback.
        way: Way,
    },
    /// The device refused. Retry once it is free; `why` holds the sound system's words.
    #[error("the {way} device `{device}` could not be opened: {why}")]
    Refused {
        /// Capture or playback.
        way: Way,
        /// Which device.
        device: String,
        /// The sound system's words.
        why: String,
    },
    /// The sound system does not answer. Restart it.
    #[error("the sound system does not answer: {why}")]
    System {
        /// Its words, or ours.
        why: String,
    },
}

/// All devices, those of the sound server first.
///
/// # Errors
/// [`HeadsetError::System`] where the sound system cannot be asked.
pub fn devices() -> Result<Vec<DeviceInfo>, HeadsetError> {
    let host = cpal::default_host();
    let id_of = |device: Option<cpal::Device>| device.and_then(|d| d.id().ok());
    let defaults = [id_of(host.default_input_device()), id_of(host.default_output_device())];
    let all = host.devices().map_err(|error| HeadsetError::System { why: error.to_string() })?;
    Ok(all
        .filter_map(|device| {
            let id = device.id().ok()?;
            let default = defaults.iter().flatten().any(|other| *other == id);
            let (input, output) = (device.supports_input(), device.supports_output());
            (input || output).then(|| DeviceInfo { name: name_of(&device), id: id.to_string(), input, output, default })
        })
        .collect())
}

fn name_of(device: &cpal::Device) -> String {
    device.description().map_or_else(|_| String::from("unnamed"), |d| d.name().to_owned())
}

/// A started stream; stops when dropped, which may take as long as the sound server likes.
pub(crate) struct Running {
    /// Held for its `Drop`.
    pub stream: cpal::Stream,
    /// The device's id, and what it is called.
    pub id: String,
    pub device: String,
    /// Its samples per second.
    pub rate: u32,
}

/// What a stream's error callback tells the supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The stream is dead.
    Died(String),
    /// The system moved the stream to another device, or lost a period; it goes on.
    Passing(String),
}

impl Trouble {
    fn of(error: &cpal::Error) -> Self {
        match error.kind() {
            ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => Self::Passing(error.to_string()),
            _ => Self::Died(error.to_string()),
        }
    }
}

/// What there is now, and what the system would choose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Ids of capture and of playback devices, each with its name.
    present: [Vec<(String, String)>; 2],
    default: [Option<String>; 2],
}

const fn side(way: Way) -> usize {
    match way {
        Way::Capture => 0,
        Way::Playback => 1,
    }
}

impl Survey {
    /// Asks the sound system.
    pub fn take(host: &cpal::Host) -> Result<Self, HeadsetError> {
        let all = host.devices().map_err(|error| HeadsetError::System { why: error.to_string() })?;
        let mut survey = Self::default();
        for device in all {
            let Ok(id) = device.id() else { continue };
            for (way, usable) in [(Way::Capture, device.supports_input()), (Way::Playback, device.supports_output())] {
                if usable {
                    survey.present[side(way)].push((id.to_string(), name_of(&device)));
                }
            }
        }
        let id_of = |device: Option<cpal::Device>| device.and_then(|device| device.id().ok()).map(|id| id.to_string());
        survey.default = [id_of(host.default_input_device()), id_of(host.default_output_device())];
        Ok(survey)
    }

    /// The ids to try in turn: those that are wanted, the system's choice, and all others that are devices. What a loudspeaker plays is
    /// nobody's voice: monitors are captured where they are wanted only.
    pub fn candidates(&self, way: Way, wanted: &[String]) -> Vec<String> {
        let present = &self.present[side(way)];
        let first: Vec<String> = wanted.iter().filter_map(|wanted| self.find(way, wanted)).collect();
        let others = present.iter().map(|(id, _)| id).filter(|id| is_hardware(id));
        let rest = self.default[side(way)].iter().chain(others);
        let mut ids: Vec<String> = Vec::new();
        for id in first.iter().chain(rest.filter(|id| way == Way::Playback || !is_monitor(id))) {
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
        ids
    }

    /// The id of the device that is meant by an id or a part of a name.
    pub fn find(&self, way: Way, wanted: &str) -> Option<String> {
        let present = &self.present[side(way)];
        let lower = wanted.to_lowercase();
        let by_id =
            |(id, _): &&(String, String)| id == wanted || id.split_once(':').is_some_and(|(_, id)| id == wanted);
        let by_name = |(_, name): &&(String, String)| name.to_lowercase().contains(&lower);
        let found = present.iter().find(by_id).or_else(|| present.iter().find(by_name));
        found.map(|(id, _)| id.clone())
    }

    /// Whether the device is there.
    pub fn has(&self, way: Way, id: &str) -> bool {
        // Some systems' choice is not in their list.
        let default = self.default[side(way)].iter();
        self.present[side(way)].iter().map(|(present, _)| present).chain(default).any(|present| present == id)
    }
}

/// Whether a device stands for a thing that sounds. ALSA lists plugins beside them: rate converters, servers that are not there, and one that
/// throws everything away.
fn is_hardware(id: &str) -> bool {
    match id.split_once(':') {
        Some(("alsa", name)) => name.contains("CARD=") || name.starts_with("hw:") || name.starts_with("plughw:"),
        _ => true,
    }
}

/// What PulseAudio and PipeWire call the sound of a loudspeaker.
fn is_monitor(id: &str) -> bool {
    id.ends_with(".monitor")
}

fn by_id(way: Way, id: &str) -> Result<cpal::Device, HeadsetError> {
    let host = cpal::default_host();
    let devices = host.devices().map_err(|error| HeadsetError::System { why: error.to_string() })?;
    let default = match way {
        Way::Capture => host.default_input_device(),
        Way::Playback => host.default_output_device(),
    };
    let gone = || HeadsetError::Unknown { way, wanted: id.to_owned() };
    let usable = |device: &cpal::Device| match way {
        Way::Capture => device.supports_input(),
        Way::Playback => device.supports_output(),
    };
    let mut all = default.into_iter().chain(devices.filter(usable));
    all.find(|device| device.id().is_ok_and(|other| other.to_string() == id)).ok_or_else(gone)
}

/// Periods of 10 ms where the device can: cpal's default lets a sound server buffer two seconds.
fn periods(config: &SupportedStreamConfig) -> [StreamConfig; 2] {
    let wish = config.sample_rate() / 200;
    let frames = match config.buffer_size() {
        SupportedBufferSize::Range { min, max } => wish.clamp(*min, (*max).max(*min)),
        SupportedBufferSize::Unknown => wish,
    };
    let fixed = StreamConfig { buffer_size: BufferSize::Fixed(frames), ..config.config() };
    [fixed, config.config()]
}

/// Opens and starts playback on the device of this id.
pub(crate) fn open_playback(
    id: &str,
    trouble: impl Fn(Trouble) + Send + Clone + 'static,
) -> Result<(Running, PlaybackFeed), HeadsetError> {
    let device = by_id(Way::Playback, id)?;
    let refused = |error: cpal::Error| HeadsetError::Refused {
        way: Way::Playback,
        device: name_of(&device),
        why: error.to_string(),
    };
    let config = device.default_output_config().map_err(refused)?;
    let mut last = None;
    for period in periods(&config) {
        let (feed, end) = playback_ring(config.sample_rate(), config.channels());
        match build_playback(&device, config.sample_format(), period, end, trouble.clone()) {
            Ok(stream) => {
                stream.play().map_err(refused)?;
                return Ok((
                    Running { stream, id: id.to_owned(), device: name_of(&device), rate: config.sample_rate() },
                    feed,
                ));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(refused(last.unwrap_or_else(|| ErrorKind::UnsupportedConfig.into())))
}

/// Opens and starts capture on the device of this id.
pub(crate) fn open_capture(
    id: &str,
    trouble: impl Fn(Trouble) + Send + Clone + 'static,
) -> Result<(Running, CaptureTap), HeadsetError> {
    let device = by_id(Way::Capture, id)?;
    let refused = |error: cpal::Error| HeadsetError::Refused {
        way: Way::Capture,
        device: name_of(&device),
        why: error.to_string(),
    };
    let config = device.default_input_config().map_err(refused)?;
    let mut last = None;
    for period in periods(&config) {
        let (end, tap) = capture_ring(config.sample_rate(), config.channels());
        match build_capture(&device, config.sample_format(), period, end, trouble.clone()) {
            Ok(stream) => {
                stream.play().map_err(refused)?;
                return Ok((
                    Running { stream, id: id.to_owned(), device: name_of(&device), rate: config.sample_rate() },
                    tap,
                ));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(refused(last.unwrap_or_else(|| ErrorKind::UnsupportedConfig.into())))
}

/// How long a sound server may take to make a stream.
const OPEN_WITHIN: core::time::Duration = core::time::Duration::from_secs(3);

fn build_playback(
    device: &cpal::Device,
    format: SampleFormat,
    config: StreamConfig,
    mut end: PlaybackEnd,
    trouble: impl Fn(Trouble) + Send + 'static,
) -> Result<cpal::Stream, cpal::Error> {
    let on_error = move |error: cpal::Error| trouble(Trouble::of(&error));
    macro_rules! build {
        ($sample:ty) => {
            device.build_output_stream::<$sample, _, _>(
                config,
                move |out, _| end.render(out),
                on_error,
                Some(OPEN_WITHIN),
            )
        };
    }
    match format {
        SampleFormat::F32 => build!(f32),
        SampleFormat::I16 => build!(i16),
        SampleFormat::I24 => build!(cpal::I24),
        SampleFormat::I32 => build!(i32),
        SampleFormat::U8 => build!(u8),
        SampleFormat::U16 => build!(u16),
        _ => Err(ErrorKind::UnsupportedConfig.into()),
    }
}

fn build_capture(
    device: &cpal::Device,
    format: SampleFormat,
    config: StreamConfig,
    mut end: CaptureEnd,
    trouble: impl Fn(Trouble) + Send + 'static,
) -> Result<cpal::Stream, cpal::Error> {
    let on_error = move |error: cpal::Error| trouble(Trouble::of(&error));
    macro_rules! build {
        ($sample:ty) => {
            device.build_input_stream::<$sample, _, _>(
                config,
                move |heard, _| end.take(heard),
                on_error,
                Some(OPEN_WITHIN),
            )
        };
    }
    match format {
        SampleFormat::F32 => build!(f32),
        SampleFormat::I16 => build!(i16),
        SampleFormat::I24 => build!(cpal::I24),
        SampleFormat::I32 => build!(i32),
        SampleFormat::U8 => build!(u8),
        SampleFormat::U16 => build!(u16),
        _ => Err(ErrorKind::UnsupportedConfig.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey() -> Survey {
        let named =
            |list: &[(&str, &str)]| list.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect();
        Survey {
            present: [
                named(&[("p:spk.monitor", "Monitor of Speakers"), ("p:cam", "Camera"), ("p:usb-in", "USB Headset")]),
                named(&[
                    ("p:spk", "Speakers"),
                    ("p:usb", "USB Headset"),
                    ("alsa:null", "Nothing"),
                    ("alsa:hw:CARD=0", "Card"),
                ]),
            ],
            default: [Some("p:cam".into()), Some("p:spk".into())],
        }
    }

    #[test]
    fn the_wanted_device_is_tried_first_then_the_systems_choice_then_the_others_and_never_a_monitor() {
        let survey = survey();
        for (way, wanted, expected) in [
            (Way::Playback, vec!["usb"], vec!["p:usb", "p:spk", "alsa:hw:CARD=0"]),
            (Way::Playback, vec![], vec!["p:spk", "p:usb", "alsa:hw:CARD=0"]),
            (Way::Playback, vec!["gone", "usb"], vec!["p:usb", "p:spk", "alsa:hw:CARD=0"]),
            (Way::Playback, vec!["nothing"], vec!["alsa:null", "p:spk", "p:usb", "alsa:hw:CARD=0"]),
            (Way::Capture, vec!["headset"], vec!["p:usb-in", "p:cam"]),
            (Way::Capture, vec!["gone"], vec!["p:cam", "p:usb-in"]),
            (Way::Capture, vec!["p:spk.monitor"], vec!["p:spk.monitor", "p:cam", "p:usb-in"]),
        ] {
            let wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
            assert_eq!(survey.candidates(way, &wanted), expected, "{wanted:?}");
        }
        let elsewhere = Survey { default: [None, Some("alsa:default".into())], ..survey.clone() };
        assert!(elsewhere.has(Way::Playback, "alsa:default") && !elsewhere.has(Way::Capture, "alsa:default"));
        assert!(survey.has(Way::Playback, "p:usb") && !survey.has(Way::Capture, "p:usb"));
    }
}
