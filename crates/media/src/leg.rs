//! One leg: what was agreed, what it hears, what is heard from it.

use core::net::SocketAddr;
use core::ops::Range;

use offhook_codec::{Coding, Form, Law, Transcoder, opus};
use offhook_plan::tap::Side;
use offhook_plan::{
    COMFORT_NOISE, COMFORT_NOISE_CLOCK, CodecKind, LegPlan, LegReport, MediaEvent, Negotiated, SpeechReport, SrtpReport,
};
use offhook_rtp::{Header, Heard, Packet, ReceiverStats, TelephoneEvent};
use offhook_units::{CallId, LegId, RecordingId, RtpTime, SampleRate, Span, Tick};

use crate::crypto::LegCrypto;
use crate::hold::Hold;
use crate::inband::Inband;
use crate::meter::Meter;
use crate::mix::Mix;
use crate::out::{OutStream, Relay};
use crate::player::Player;
use crate::rate::Rated;
use crate::reports::Reports;
use crate::transport::Door;
use crate::voice::{Recent, Voice};

/// A peer's address is given up for a new one only after this silence.
pub const LATCH_SILENCE: Span = Span::from_ms(200);
/// Keys that follow faster than this are not told: no human and no standard (ITU-T Q.24: 40 ms) sends them.
const KEY_SPACING: Span = Span::from_ms(40);

/// What a leg is sent.
pub enum Source {
    Nothing,
    /// Another leg; its speech is turned into this leg's coding where that is another.
    Leg {
        leg: LegId,
        relay: Relay,
        transcoder: Option<Transcoder>,
    },
    Player(Player),
    /// Several at once.
    Mix(Box<Mix>),
}

/// What kind of payload a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Speech,
    /// Comfort noise in place of speech, RFC 3389.
    Noise,
    Key(TelephoneEvent),
    /// A payload type that was not agreed on.
    Unknown,
}

/// A packet that was taken in.
#[derive(Debug, Clone)]
pub struct Incoming {
    pub at: Tick,
    /// Whose it is, and what its timestamps are counted in.
    pub leg: LegId,
    pub clock: SampleRate,
    pub header: Header,
    pub payload: Range<usize>,
    pub kind: Kind,
    pub began: bool,
}

/// Why a datagram was thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    Malformed,
    Stranger,
    Duplicate,
    NotReceiving,
}

/// The key being pressed.
#[derive(Debug, Default)]
struct Keys {
    begin: Option<RtpTime>,
    event: u8,
    ended: bool,
    told_at: Option<Tick>,
    /// When its first packet came.
    begun_at: Tick,
    /// Nobody heard this leg then: the key was for the exchange, and its tail is not for whoever hears the leg later.
    unheard: bool,
}

pub struct Leg {
    pub id: LegId,
    pub call: CallId,
    /// Its ports of ours, of RTP and RTCP.
    pub locals: (SocketAddr, Option<SocketAddr>),
    pub media: Option<Negotiated>,
    /// Where we send; `None` where the peer told no address that can be sent to and nothing came yet.
    pub to: Option<SocketAddr>,
    pub out: OutStream,
    pub hears: Source,
    /// Slots of the legs that hear this one, alone or in a mix.
    pub heard_by: Vec<u32>,
    pub hold: Hold,
    /// The last packets that were relayed.
    pub recent: Recent,
    /// Its speech as samples, while it is heard in a mix.
    pub voice: Option<Box<Voice>>,
    pub taps: Vec<RecordingId>,
    /// The side of these that it is heard as.
    pub heard_as: Side,
    /// Slots of the legs outside that its directions go to as well.
    pub forks: Vec<(Side, u32)>,
    pub reports: Reports,
    pub stats: ReceiverStats,
    pub report: LegReport,
    pub speech: SpeechReport,
    /// Keys and counters, where the leg is encrypted.
    pub crypto: Option<Box<LegCrypto>>,
    /// Packets received that could not be opened.
    pub unopened: u64,
    /// Its handshake, where its keys come by one.
    pub door: Option<Box<Door>>,
    latched: Option<SocketAddr>,
    pub last_heard: Tick,
    pub told_silent: bool,
    /// The peer said by comfort noise that it pauses.
    pub pauses: bool,
    pub rated: Rated,
    pub meter: Meter,
    keys: Keys,
    /// Where no telephone-events were agreed on.
    pub inband: Option<Box<Inband>>,
}

/// How the payloads of a codec are to be read.
pub const fn form_of(codec: CodecKind) -> Form {
    match codec {
        CodecKind::Pcmu => Form::Bytes(Coding::G711(Law::Mu)),
        CodecKind::Pcma => Form::Bytes(Coding::G711(Law::A)),
        CodecKind::G722 => Form::Bytes(Coding::G722),
        CodecKind::Opus => Form::Opus,
        CodecKind::L16 => Form::Linear,
    }
}

/// The coding of a codec whose payloads are read byte by byte; of the others, none.
pub const fn coding_of(codec: CodecKind) -> Option<Coding> {
    match form_of(codec) {
        Form::Bytes(coding) => Some(coding),
        Form::Linear | Form::Opus => None,
    }
}

/// How long a payload sounds, in units of its codec's clock.
pub fn samples_in(codec: CodecKind, payload: &[u8]) -> u32 {
    match codec {
        CodecKind::Pcmu | CodecKind::Pcma | CodecKind::G722 => payload.len() as u32,
        CodecKind::L16 => (payload.len() / 2) as u32,
        // What is no packet of Opus is passed on all the same, as one that holds nothing.
        CodecKind::Opus => opus::samples_in(payload, SampleRate::FULL).unwrap_or(0) as u32,
    }
}

fn usable(address: SocketAddr) -> Option<SocketAddr> {
    (address.port() != 0 && !address.ip().is_unspecified()).then_some(address)
}

impl Leg {
    pub fn new(call: CallId, plan: &LegPlan, reports: Reports, door: Option<Box<Door>>, now: Tick) -> Self {
        Self {
            id: plan.leg,
            call,
            locals: (plan.local, plan.local_rtcp()),
            media: None,
            to: None,
            out: OutStream::new(plan.ssrc, plan.first_seq, plan.first_timestamp),
            hears: Source::Nothing,
            heard_by: Vec::new(),
            hold: Hold::new(),
            recent: Recent::new(),
            voice: None,
            taps: Vec::new(),
            heard_as: Side::Heard,
            forks: Vec::new(),
            reports,
            stats: ReceiverStats::default(),
            report: LegReport::default(),
            speech: SpeechReport::default(),
            crypto: None,
            unopened: 0,
            door,
            latched: None,
            last_heard: now,
            told_silent: false,
            pauses: false,
            rated: Rated::default(),
            meter: Meter::default(),
            keys: Keys::default(),
            inband: None,
        }
    }

    /// Takes over what was agreed. A peer that names another address than before is latched onto anew.
    pub fn agree(&mut self, media: Option<&Negotiated>, now: Tick) {
        let Some(media) = media.filter(|_| !self.awaits_keys()) else {
            self.media = None;
            return;
        };
        if self.door.is_none() {
            self.take_keys(media.crypto.as_ref());
        }
        if self.media.as_ref().is_some_and(|old| old.remote_rtp != media.remote_rtp) {
            self.latched = None;
            self.reports.forget_address();
        }
        if self.media.as_ref().is_none_or(|old| old.direction != media.direction) {
            self.end_silence(now);
            self.last_heard = now;
        }
        let form = media.telephone_event.is_none().then(|| form_of(media.codec));
        if self.inband.as_ref().map(|inband| inband.form) != form {
            let clock = SampleRate(media.codec.clock());
            self.inband = form.and_then(|form| Inband::new(form, clock)).map(Box::new);
        }
        if self.media.as_ref().is_some_and(|old| old.codec != media.codec) {
            self.recent = Recent::new();
        }
        self.out.clock = SampleRate(media.codec.clock());
        self.media = Some(media.clone());
        self.begin_to_measure();
        self.to = match &self.door {
            Some(door) => door.path,
            None => self.latched.or(usable(media.remote_rtp)),
        };
    }

    /// Leaves its call for another one: nobody hears it and nothing is recorded of it, and a key that is held down was for those
    /// whom it leaves. A mix that it hears fades in the new call; what it heard packet by packet ends with a packet.
    pub fn part(&mut self, to: CallId) {
        self.call = to;
        self.heard_by.clear();
        self.hold_while_unheard();
        self.taps.clear();
        self.forks.clear();
        self.keys.unheard = true;
        if let Some(inband) = &mut self.inband {
            inband.sounding.forget();
        }
        if let Source::Mix(mix) = &mut self.hears {
            mix.edges = 0;
            mix.inputs.iter_mut().for_each(|input| input.leaving = true);
        } else {
            self.hears = Source::Nothing;
        }
        if let Some(voice) = &mut self.voice {
            voice.listeners = 0;
        }
    }

    /// What it says is held exactly while nobody hears it: after every change of who does.
    pub fn hold_while_unheard(&mut self) {
        if self.heard_by.is_empty() {
            self.hold.begin();
        } else {
            self.hold.end();
        }
    }

    /// How it is encrypted, where it is.
    pub fn srtp_report(&self) -> Option<SrtpReport> {
        let suite = self.crypto.as_ref()?.suite();
        Some(SrtpReport { suite, failed_packets: self.unopened })
    }

    /// The address that RTP comes from, once latched.
    pub const fn latched(&self) -> Option<SocketAddr> {
        self.latched
    }

    /// What a packet is by what was agreed.
    pub fn kind_of(&self, payload_type: u8, payload: &[u8]) -> Kind {
        let Some(media) = &self.media else { return Kind::Unknown };
        if payload_type == media.recv_payload_type {
            return Kind::Speech;
        }
        match media.telephone_event {
            Some((_, receive)) if receive == payload_type => {
                TelephoneEvent::parse(payload).map_or(Kind::Unknown, Kind::Key)
            }
            // Gateways send it unasked, and its payload type has no other meaning: it is understood, agreed on or not.
            Some(_) | None if payload_type == COMFORT_NOISE && media.codec.clock() == COMFORT_NOISE_CLOCK => {
                Kind::Noise
            }
            Some(_) | None => Kind::Unknown,
        }
    }

    /// What timestamps are counted in: that of the codec, or of nearly all until one is agreed on.
    pub fn clock(&self) -> SampleRate {
        self.out.clock
    }

    /// Takes a datagram in: says what it is, or why it is thrown away. A new peer's address is told, and the end of
    /// its silence.
    pub fn accept(
        &mut self,
        now: Tick,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<(Incoming, [Option<MediaEvent>; 2]), Discard> {
        let packet = Packet::parse(datagram).map_err(|_| Discard::Malformed)?;
        if self.media.as_ref().is_some_and(|media| !media.direction.receives()) {
            return Err(Discard::NotReceiving);
        }
        let kind = self.kind_of(packet.header.payload_type, packet.payload);
        let known = self.media.is_none() || kind != Kind::Unknown;
        let latched = self.latch(now, from, known)?;
        let arrival = (kind == Kind::Speech).then(|| self.clock().samples(now.since(Tick::ZERO)) as u32);
        let header = packet.header;
        let began = match self.stats.heard(header.ssrc, header.seq, header.timestamp, arrival) {
            Heard::Began => true,
            Heard::Newest { skipped } => {
                self.reports.bursts.lost(skipped);
                false
            }
            // It counts as lost already, since it may be of no use any more.
            Heard::Late => false,
            Heard::Duplicate => return Err(Discard::Duplicate),
            Heard::Stray => return Err(Discard::Malformed),
        };
        self.reports.bursts.came();
        if began {
            self.keys = Keys { told_at: self.keys.told_at, ..Keys::default() };
        }
        let silent_for = self.end_silence(now);
        self.last_heard = now;
        if kind == Kind::Speech {
            self.rate(now);
        }
        self.pauses = kind == Kind::Noise || self.pauses && kind != Kind::Speech;
        if known {
            self.report.received_packets += 1;
            self.report.received_bytes += packet.payload.len() as u64;
        } else {
            self.report.discarded_packets += 1;
        }
        let latched = latched.then_some(MediaEvent::Latched { call: self.call, leg: self.id, from });
        let again = silent_for.map(|silent_for| MediaEvent::HeardAgain { call: self.call, leg: self.id, silent_for });
        let (leg, clock) = (self.id, self.clock());
        Ok((Incoming { at: now, leg, clock, header, payload: packet.payload_range(), kind, began }, [latched, again]))
    }

    /// The peer speaks again, or need not: counts the silence that was told, and gives its length.
    pub fn end_silence(&mut self, now: Tick) -> Option<Span> {
        if !self.told_silent {
            return None;
        }
        self.told_silent = false;
        let silent_for = now.since(self.last_heard);
        self.speech.silences = self.speech.silences.saturating_add(1);
        self.speech.silent_us += silent_for.as_us();
        Some(silent_for)
    }

    /// Whether packets from `from` are this leg's; `Ok(true)` where they are so from now on. The first valid packet's source
    /// wins; the address that signalling named wins over it; any other must wait until the old one is silent.
    fn latch(&mut self, now: Tick, from: SocketAddr, valid: bool) -> Result<bool, Discard> {
        // Its packets are under keys that the handshake gave, and where speech goes is decided there.
        if self.door.is_some() {
            let is_new = valid && self.latched != Some(from);
            self.latched = if valid { Some(from) } else { self.latched };
            return Ok(is_new);
        }
        match self.latched {
            Some(latched) if latched == from => return Ok(false),
            Some(_) => {
                let named = self.media.as_ref().is_some_and(|media| media.remote_rtp == from);
                if !named && now.since(self.last_heard) < LATCH_SILENCE {
                    return Err(Discard::Stranger);
                }
            }
            None => {}
        }
        if !valid {
            return Err(Discard::Stranger);
        }
        self.latched = Some(from);
        if self.media.is_some() {
            self.to = Some(from);
        }
        Ok(true)
    }

    /// The key of an event packet, once per press, however many of its packets are lost, late or doubled.
    pub fn key_pressed(&mut self, now: Tick, header: &Header, event: TelephoneEvent) -> Option<char> {
        let keys = &mut self.keys;
        if let Some(begin) = keys.begin {
            let step = header.timestamp.distance(begin);
            // A press longer than 65,535 units goes on in a segment of its own, RFC 4733 section 2.5.1.3.
            let segment = !keys.ended && event.event == keys.event && !header.marker && step == 0xffff;
            if step == 0 || segment {
                keys.begin = Some(header.timestamp);
                keys.ended |= event.end;
                return None;
            }
            if step < 0 && step > -(self.out.clock.0 as i32 * 60) {
                return None;
            }
        }
        *keys = Keys {
            begin: Some(header.timestamp),
            event: event.event,
            ended: event.end,
            told_at: keys.told_at,
            begun_at: now,
            unheard: self.heard_by.is_empty(),
        };
        let digit = event.digit()?;
        if keys.told_at.is_some_and(|told| now.since(told) < KEY_SPACING) {
            return None;
        }
        keys.told_at = Some(now);
        Some(digit)
    }

    /// Whether a key packet belongs to a press that began before anybody heard this leg.
    pub fn key_is_spent(&self, header: &Header) -> bool {
        self.keys.unheard && self.keys.begin == Some(header.timestamp)
    }

    /// Somebody hears this leg from `since` on: a press that began then is theirs.
    pub fn heard_since(&mut self, since: Tick) {
        self.keys.unheard &= self.keys.begun_at < since;
    }

    /// Its figures until now.
    pub fn figures(&self) -> LegReport {
        LegReport {
            sent_packets: self.out.packets,
            sent_bytes: self.out.bytes,
            lost_packets: self.stats.lost(),
            jitter: self.stats.jitter(),
            duplicate_packets: self.stats.duplicates(),
            ..self.report.clone()
        }
    }
}
