//! What one call has of the sound devices: a headset to talk through, the processing of its microphone, and where it rings.
//!
//! Devices are opened and closed on threads of their own: a sound server may take its time, the call goes on.

use crossbeam_channel::{Receiver, TryRecvError, bounded};
use offhook_codec::{Cadence, Tone};
use offhook_headset::voice::FRAME;
use offhook_headset::{
    Headset, HeadsetConfig, HeadsetError, HeadsetEvent, Microphone, Speaker, Voice, VoiceFigures, VoiceSwitches,
};
use offhook_units::{SampleRate, Span};

/// What tells an agent that a call has answered by itself.
const ZIP_HZ: f32 = 800.0;
const ZIP_LOUD: i16 = 4_000;
const ZIP_FOR: Span = Span::from_ms(200);

/// Devices that are being opened, open, or not there.
enum Slot<T> {
    None,
    Opening(Receiver<Result<T, HeadsetError>>),
    Open(Box<T>),
}

impl<T: Send + 'static> Slot<T> {
    fn open(how: impl FnOnce() -> Result<T, HeadsetError> + Send + 'static) -> Self {
        let (tell, opened) = bounded(1);
        let spawned = std::thread::Builder::new().name("phone-devices".into()).spawn(move || drop(tell.send(how())));
        match spawned {
            Ok(_) => Self::Opening(opened),
            Err(error) => {
                tracing::error!(%error, "no thread to open the sound devices");
                Self::None
            }
        }
    }

    /// Takes what has been opened meanwhile; gives why nothing was.
    fn look(&mut self) -> Option<HeadsetError> {
        let Self::Opening(opened) = self else { return None };
        match opened.try_recv() {
            Ok(Ok(open)) => *self = Self::Open(Box::new(open)),
            Ok(Err(error)) => {
                *self = Self::None;
                return Some(error);
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => *self = Self::None,
        }
        None
    }

    /// Closes it in the background.
    fn close(&mut self) {
        let open = core::mem::replace(self, Self::None);
        if let Self::None = open {
            return;
        }
        if let Err(error) = std::thread::Builder::new().name("phone-close".into()).spawn(move || drop(open)) {
            tracing::warn!(%error, "a sound device could not be closed in the background");
        }
    }
}

/// Where the sound of a call comes from and goes to, beside the network.
#[derive(Debug, Clone)]
pub struct DeviceConfig {
    /// What is talked through.
    pub headset: HeadsetConfig,
    /// Id or part of the name of what rings, where that is not the headset.
    pub ring: Option<String>,
}

impl DeviceConfig {
    /// A headset at the rate that the calls of this phone have, by ids or parts of names; none for the system's choice. It rings on `ring`,
    /// or on the headset.
    pub fn new(input: Option<String>, output: Option<String>, ring: Option<String>) -> Self {
        Self { headset: HeadsetConfig { input, output, instead: None, call_rate: SampleRate::NARROW }, ring }
    }
}

/// The devices of one call.
pub(crate) struct Devices {
    config: Option<DeviceConfig>,
    talk: Slot<(Headset, Microphone, Speaker)>,
    ring: Slot<(Headset, Speaker)>,
    ringing: Option<Tone>,
    /// The tone of a call that answered by itself, and for how many more turns.
    zip: Option<(Tone, u32)>,
    voice: Voice,
    /// Of devices that were closed before the end.
    gaps: u64,
}

impl Devices {
    /// Opens what `config` wants; the microphone is processed as `switches` say.
    pub fn new(config: Option<DeviceConfig>, switches: VoiceSwitches) -> Self {
        let talk = config.as_ref().map_or(Slot::None, |config| {
            let headset = config.headset.clone();
            Slot::open(move || Headset::open(headset))
        });
        // What has no microphone has nothing to process.
        let voice = Voice::new(if config.is_some() { switches } else { VoiceSwitches::OFF });
        Self { config, talk, ring: Slot::None, ringing: None, zip: None, voice, gaps: 0 }
    }

    /// Rings with this tone, until told to stop; on the device for it, or on the headset where there is none.
    pub fn ring(&mut self, tone: Option<Tone>) {
        if tone.is_none() {
            if let Slot::Open(open) = &self.ring {
                self.gaps += open.1.gaps();
            }
            self.ring.close();
        } else if let (Slot::None, Some(config)) = (&self.ring, &self.config)
            && let Some(device) = config.ring.clone()
        {
            let HeadsetConfig { output, call_rate, .. } = config.headset.clone();
            let wanted = HeadsetConfig { input: None, output: Some(device), instead: output, call_rate };
            self.ring = Slot::open(move || Headset::open_speaker(wanted));
        }
        self.ringing = tone;
    }

    /// A short tone at the ear, over what is heard: a call has answered by itself, and somebody listens.
    pub fn zip(&mut self) {
        let cadence = Cadence { on: ZIP_FOR, off: Span::ZERO };
        self.zip =
            Some((Tone::new(SampleRate::NARROW, [ZIP_HZ, ZIP_HZ], ZIP_LOUD, cadence), ZIP_FOR.as_ms() as u32 / 10));
    }

    /// Switches parts of the processing.
    pub const fn switch(&mut self, switches: VoiceSwitches) {
        if self.config.is_some() {
            self.voice.switch(switches);
        }
    }

    /// Takes devices that were opened meanwhile, and tells what happened to them.
    pub fn look(&mut self, tell: impl Fn(String)) {
        if let Some(error) = self.talk.look() {
            tell(error.to_string());
        }
        if let Some(error) = self.ring.look() {
            tell(format!("it rings on the headset: {error}"));
        }
        if let Slot::Open(open) = &self.talk {
            open.0.events().try_iter().for_each(|event| tell(in_words(&event)));
        }
        if let Slot::Open(open) = &self.ring {
            open.0.events().try_iter().for_each(|event| tell(format!("ring {}", in_words(&event))));
        }
    }

    /// 10 ms: `ear` is played and `mouth` filled with what was captured, silence where nothing was.
    pub fn turn(&mut self, ear: &mut [i16; FRAME], mouth: &mut [i16; FRAME]) {
        if let Some(tone) = &mut self.ringing {
            match &mut self.ring {
                Slot::Open(open) => {
                    let mut frame = [0; FRAME];
                    tone.fill(&mut frame);
                    open.1.play(&frame);
                }
                // Soon it rings there.
                Slot::Opening(_) => {}
                Slot::None => tone.fill(ear),
            }
        }
        let Slot::Open(open) = &mut self.talk else { return };
        if let Some((tone, turns)) = &mut self.zip {
            let mut frame = [0; FRAME];
            tone.fill(&mut frame);
            for (sample, tone) in ear.iter_mut().zip(frame) {
                *sample = sample.saturating_add(tone);
            }
            *turns -= 1;
            if *turns == 0 {
                self.zip = None;
            }
        }
        let (_, microphone, speaker) = &mut **open;
        speaker.play(ear);
        microphone.read(mouth);
        let delay_ms = speaker.delay_ms() + microphone.delay_ms();
        self.voice.played(ear, delay_ms);
        self.voice.captured(mouth);
    }

    /// How often a device in use was left without sound, or had brought too little.
    pub fn gaps(&self) -> u64 {
        let talk = match &self.talk {
            Slot::Open(open) => open.1.gaps() + open.2.gaps(),
            Slot::None | Slot::Opening(_) => 0,
        };
        self.gaps + talk
    }

    /// Sound that lies between the call and its devices, both ways, in milliseconds.
    pub fn delay_ms(&self) -> u32 {
        match &self.talk {
            Slot::Open(open) => open.1.delay_ms() + open.2.delay_ms(),
            Slot::None | Slot::Opening(_) => 0,
        }
    }

    /// How the processing goes.
    pub fn figures(&self) -> VoiceFigures {
        self.voice.figures()
    }
}

fn in_words(event: &HeadsetEvent) -> String {
    match event {
        HeadsetEvent::Opened { way, device, rate } => format!("{way}: {device} at {rate} Hz"),
        HeadsetEvent::Lost { way, why } => format!("{way} lost: {why}"),
        HeadsetEvent::Missing { way, wanted } => {
            format!("{way}: no device is called `{wanted}` now; another one stands in until it is there")
        }
        HeadsetEvent::Trouble { way, why } => format!("{way}: {why}"),
    }
}
