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
    #[error("no {way} device is called `{wanted}`; `--list-devices` shows which there are")]
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
    /// What the device is called.
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

fn find(way: Way, wanted: Option<&str>) -> Result<cpal::Device, HeadsetError> {
    let host = cpal::default_host();
    let Some(wanted) = wanted else {
        let default = match way {
            Way::Capture => host.default_input_device(),
            Way::Playback => host.default_output_device(),
        };
        return default.ok_or(HeadsetError::NoDevice { way });
    };
    let devices = host.devices().map_err(|error| HeadsetError::System { why: error.to_string() })?;
    let usable: Vec<cpal::Device> = devices
        .filter(|device| match way {
            Way::Capture => device.supports_input(),
            Way::Playback => device.supports_output(),
        })
        .collect();
    let lower = wanted.to_lowercase();
    let by_id = |device: &&cpal::Device| device.id().is_ok_and(|id| id.id() == wanted || id.to_string() == wanted);
    let by_name = |device: &&cpal::Device| name_of(device).to_lowercase().contains(&lower);
    let found = usable.iter().find(by_id).or_else(|| usable.iter().find(by_name)).cloned();
    found.ok_or_else(|| HeadsetError::Unknown { way, wanted: wanted.to_owned() })
}

/// Periods of 10 ms where the device can: cpal's default lets a sound server buffer two seconds.
fn periods(config: &SupportedStreamConfig) -> [StreamConfig; 2] {
    let wish = config.sample_rate() / 100;
    let frames = match config.buffer_size() {
        SupportedBufferSize::Range { min, max } => wish.clamp(*min, (*max).max(*min)),
        SupportedBufferSize::Unknown => wish,
    };
    let fixed = StreamConfig { buffer_size: BufferSize::Fixed(frames), ..config.config() };
    [fixed, config.config()]
}

/// Opens and starts playback on the wanted or default device.
pub(crate) fn open_playback(
    wanted: Option<&str>,
    trouble: impl Fn(Trouble) + Send + Clone + 'static,
) -> Result<(Running, PlaybackFeed), HeadsetError> {
    let device = find(Way::Playback, wanted)?;
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
                return Ok((Running { stream, device: name_of(&device), rate: config.sample_rate() }, feed));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(refused(last.unwrap_or_else(|| ErrorKind::UnsupportedConfig.into())))
}

/// Opens and starts capture on the wanted or default device.
pub(crate) fn open_capture(
    wanted: Option<&str>,
    trouble: impl Fn(Trouble) + Send + Clone + 'static,
) -> Result<(Running, CaptureTap), HeadsetError> {
    let device = find(Way::Capture, wanted)?;
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
                return Ok((Running { stream, device: name_of(&device), rate: config.sample_rate() }, tap));
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
