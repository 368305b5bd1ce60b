//! The thread that carries one call's sound: its own pair of ports, a turn every 10 ms by absolute deadlines, and everything that
//! lies between the network and an ear.
//!
//! Nothing here waits for signalling or for a disk: orders come through a channel and are taken at the next turn, files are written
//! by [`Spool`]s, devices are opened on the side. Early packets wait in the socket until signalling has agreed on the media.
#![expect(clippy::disallowed_types, reason = "the edge that owns a call's RTP sockets")]

use core::net::{IpAddr, SocketAddr};
use std::io;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};
use offhook_codec::{Law, NarrowEncoder, Tone};
use offhook_headset::VoiceSwitches;
use offhook_media::Pulled;
use offhook_plan::Negotiated;
use offhook_rtp::{REPORT_BYTES_MAX, ReportWriter, SRTP_TAIL_MAX, is_rtcp};
use offhook_units::{Entropy, RtpSeq, RtpTime, Span, Tick};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cipher::Cipher;
use crate::clock::Clock;
use crate::devices::{DeviceConfig, Devices};
use crate::link::{Link, add};
use crate::listener::{Listener, Noticed, coding_of};
use crate::meters::{Meter, Meters};
use crate::sound::{Player, Sound};
use crate::spool::{Kind, Spool};
use crate::statistics::MediaStatistics;
use crate::talker::{PACKET_BYTES_MAX, PAYLOAD_BYTES_MAX, Talker, Turn};

/// One turn of the engine.
pub const TURN: Span = Span::from_ms(10);
/// Samples of one turn at 8 kHz.
const TURN_SAMPLES: usize = offhook_headset::voice::FRAME;
/// Turns that are made up for at once; a machine that stood still for longer skips the rest and counts it.
const TURNS_BEHIND_MAX: u64 = 10;
/// Datagrams read at one waking.
const BATCH_MAX: usize = 64;
/// Mean time between reports, RFC 3550 section 6.2: each time 0.5 to 1.5 of it.
const REPORTS_EVERY: Span = Span::from_s(5);
/// Pairs of ports tried before giving up.
const PAIRS_MAX: usize = 64;

/// Where an engine's sound comes from and goes to.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The phone's clock.
    pub clock: Clock,
    /// Real devices, where there shall be any.
    pub devices: Option<DeviceConfig>,
    /// What is done to what their microphone hears.
    pub voice: VoiceSwitches,
    /// Speaks in the place of a microphone; `true`: again and again.
    pub play: Option<(Arc<Sound>, bool)>,
    /// Whether it tells five times a second how the call sounds.
    pub meters: bool,
    /// What is heard goes into this WAV file from the answer on.
    pub record: Option<PathBuf>,
    /// Every payload received, in sequence order.
    pub payloads_in: Option<PathBuf>,
    /// Every payload sent, in order.
    pub payloads_out: Option<PathBuf>,
}

/// What an engine is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Sound a tone in the ear until told to talk; none: silence.
    Tone(Option<Tone>),
    /// Ring with this tone until told to talk.
    Ring(Tone),
    /// Tell the ear that a call was answered by itself: a short tone over what is heard.
    Zip,
    /// Process the microphone so from now on.
    Voice(VoiceSwitches),
    /// Media is agreed on, or anew.
    Talk(Box<Negotiated>),
    /// Say nothing, hear on.
    Mute(bool),
    /// The peer is held: silence towards it.
    Hold(bool),
    /// Press these keys.
    Keys(String),
    /// From now on the call is in conference with the one at the other end.
    Join(Box<Link>),
    /// It is no longer.
    Part,
    /// Speech goes by these ports from now on, RTP and RTCP.
    Move(UdpSocket, UdpSocket),
    /// Send nothing more; answered by [`Report::Quiet`].
    Quiet,
    /// Listen for this much longer, then end with [`Report::Stopped`].
    Stop(Span),
}

/// What an engine tells.
#[derive(Debug)]
pub(crate) enum Report {
    /// The first packet of speech came.
    FirstPacket { after: Span },
    /// The peer pressed a key.
    Key(char),
    /// The file to be played is over; silence follows.
    PlayFinished,
    /// The last key of an order was sent.
    KeysSent,
    /// These keys could not be sent, because.
    KeysFailed(&'static str),
    /// Nothing more is sent.
    Quiet,
    /// How it sounds now.
    Meters(Box<Meters>),
    /// A device came, went or failed.
    Device(String),
    /// A file could not be written.
    File(String),
    /// The engine is over.
    Stopped(Box<MediaStatistics>),
}

/// The control thread's end of an engine.
pub(crate) struct Engine {
    orders: Sender<Order>,
    /// Where it listens for RTP.
    pub local: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Opens a pair of ports on `address` and starts the thread.
    pub fn start(
        address: IpAddr,
        config: EngineConfig,
        mut entropy: Entropy,
        report: impl Fn(Report) + Send + 'static,
    ) -> io::Result<Self> {
        let (rtp, rtcp) = open_pair(address)?;
        let local = rtp.local_addr()?;
        let (orders, inbox) = unbounded();
        let ssrc = entropy.next_u32();
        let talker = Talker::new(ssrc, RtpSeq(entropy.next_u32() as u16), RtpTime(entropy.next_u32()));
        let thread = std::thread::Builder::new().name("phone-media".into()).spawn(move || {
            Worker::new(config, entropy, rtp, rtcp, talker, Box::new(report)).run(&inbox);
        })?;
        Ok(Self { orders, local, thread: Some(thread) })
    }

    /// Tells it something; an engine that is over hears nothing.
    pub fn tell(&self, order: Order) {
        drop(self.orders.send(order));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.tell(Order::Stop(Span::ZERO));
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a call's media thread panicked");
        }
    }
}

/// An even port for RTP and the next one for RTCP, RFC 3550 section 11.
pub(crate) fn open_pair(address: IpAddr) -> io::Result<(UdpSocket, UdpSocket)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PAIRS_MAX {
        let rtp = UdpSocket::bind((address, 0))?;
        let port = rtp.local_addr()?.port();
        if port % 2 != 0 || port == u16::MAX {
            continue;
        }
        match UdpSocket::bind((address, port + 1)) {
            Ok(rtcp) => {
                rtp.set_nonblocking(true)?;
                rtcp.set_nonblocking(true)?;
                return Ok((rtp, rtcp));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

struct Worker {
    config: EngineConfig,
    entropy: Entropy,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    report: Box<dyn Fn(Report) + Send>,
    talker: Talker,
    listener: Option<Listener>,
    negotiated: Option<Negotiated>,
    cipher: Option<Cipher>,
    /// For the microphone.
    encoder: NarrowEncoder,
    player: Option<Player>,
    link: Option<Box<Link>>,
    devices: Devices,
    tone: Option<Tone>,
    recorder: Option<Spool>,
    payloads_in: Option<Spool>,
    payloads_out: Option<Spool>,
    muted: bool,
    held: bool,
    quiet: bool,
    /// Speech of the packet in the making, and how many turns are in it.
    payload: [u8; PAYLOAD_BYTES_MAX],
    turns: usize,
    talking_since: Option<Tick>,
    next_reports: Tick,
    stop_at: Option<Tick>,
    concealed_turns: u64,
    late_frames: u64,
    meter: Meter,
    file_bytes_dropped: u64,
}

impl Worker {
    fn new(
        config: EngineConfig,
        entropy: Entropy,
        rtp: UdpSocket,
        rtcp: UdpSocket,
        talker: Talker,
        report: Box<dyn Fn(Report) + Send>,
    ) -> Self {
        let devices = Devices::new(config.devices.clone(), config.voice);
        Self {
            config,
            entropy,
            rtp,
            rtcp,
            report,
            talker,
            listener: None,
            negotiated: None,
            cipher: None,
            encoder: NarrowEncoder::G711(Law::Mu),
            player: None,
            link: None,
            devices,
            tone: None,
            recorder: None,
            payloads_in: None,
            payloads_out: None,
            muted: false,
            held: false,
            quiet: false,
            payload: [0; PAYLOAD_BYTES_MAX],
            turns: 0,
            talking_since: None,
            next_reports: Tick::MAX,
            stop_at: None,
            concealed_turns: 0,
            late_frames: 0,
            meter: Meter::default(),
            file_bytes_dropped: 0,
        }
    }

    fn run(mut self, orders: &Receiver<Order>) {
        let mut next_turn = self.config.clock.now();
        loop {
            let now = self.config.clock.now();
            if now >= next_turn {
                let behind = now.since(next_turn).as_us() / TURN.as_us();
                if behind > TURNS_BEHIND_MAX {
                    self.late_frames += behind;
                    self.talker.pause((behind as usize * TURN_SAMPLES) as u32);
                    next_turn += TURN * behind;
                }
                loop {
                    match orders.try_recv() {
                        Ok(order) => self.order(now, order),
                        Err(TryRecvError::Empty) => break,
                        Err(TryRecvError::Disconnected) => {
                            self.stop_at.get_or_insert(now);
                            break;
                        }
                    }
                }
                if self.stop_at.is_some_and(|at| at <= now) {
                    break;
                }
                self.turn(now);
                next_turn += TURN;
                continue;
            }
            self.wait_and_receive(next_turn.since(now));
        }
        self.receive();
        self.finish();
    }

    fn order(&mut self, now: Tick, order: Order) {
        match order {
            Order::Tone(tone) => self.tone = tone,
            Order::Ring(tone) => self.devices.ring(Some(tone)),
            Order::Zip => self.devices.zip(),
            Order::Voice(switches) => self.devices.switch(switches),
            Order::Talk(negotiated) => self.talk(now, *negotiated),
            Order::Mute(on) => self.muted = on,
            Order::Hold(on) => self.held = on,
            Order::Keys(digits) => self.press(&digits),
            Order::Join(link) => self.link = Some(link),
            Order::Part => self.link = None,
            Order::Move(rtp, rtcp) => (self.rtp, self.rtcp) = (rtp, rtcp),
            Order::Quiet => {
                self.quiet = true;
                (self.report)(Report::Quiet);
            }
            Order::Stop(linger) => {
                self.quiet = true;
                self.stop_at = Some(now + linger);
            }
        }
    }

    fn talk(&mut self, now: Tick, negotiated: Negotiated) {
        Cipher::take(&mut self.cipher, negotiated.crypto.as_ref());
        if let Some(listener) = &mut self.listener {
            let same_codec = self.negotiated.as_ref().is_some_and(|before| before.codec == negotiated.codec);
            listener.renegotiate(negotiated.clone());
            if !same_codec {
                self.encoder = NarrowEncoder::new(coding_of(&negotiated));
                self.player = self.make_player(&negotiated);
            }
            self.turns = 0;
        } else {
            self.listener = Some(Listener::new(negotiated.clone()));
            self.encoder = NarrowEncoder::new(coding_of(&negotiated));
            self.player = self.make_player(&negotiated);
            self.tone = None;
            self.devices.ring(None);
            self.talking_since = Some(now);
            self.next_reports = now + self.reports_after();
            self.recorder = self.create(self.config.record.clone(), Kind::Wav);
            self.payloads_in = self.create(self.config.payloads_in.clone(), Kind::Raw);
            self.payloads_out = self.create(self.config.payloads_out.clone(), Kind::Raw);
        }
        self.negotiated = Some(negotiated);
    }

    fn make_player(&self, negotiated: &Negotiated) -> Option<Player> {
        let (sound, repeat) = self.config.play.as_ref()?;
        Some(Player::new(sound, coding_of(negotiated), *repeat))
    }

    fn create(&self, path: Option<PathBuf>, kind: Kind) -> Option<Spool> {
        let path = path?;
        match Spool::create(&path, kind) {
            Ok(spool) => Some(spool),
            Err(error) => {
                (self.report)(Report::File(format!("{}: {error}", path.display())));
                None
            }
        }
    }

    fn press(&mut self, digits: &str) {
        if self.negotiated.as_ref().is_none_or(|agreed| agreed.telephone_event.is_none()) {
            (self.report)(Report::KeysFailed("the peer takes no telephone-events"));
            return;
        }
        if !digits.chars().all(|digit| self.talker.press(digit)) {
            (self.report)(Report::KeysFailed("not a key, or too many wait"));
        }
    }

    /// One turn of 10 ms: an ear's worth and a mouth's worth.
    fn turn(&mut self, now: Tick) {
        self.devices.look(|what| (self.report)(Report::Device(what)));
        let mut ear = [0_i16; TURN_SAMPLES];
        if let Some(listener) = &mut self.listener {
            if listener.pull(now, &mut ear) == Pulled::Concealed {
                self.concealed_turns += 1;
            }
            if let Some(recorder) = &mut self.recorder {
                recorder.push_samples(&ear);
            }
        } else if let Some(tone) = &mut self.tone {
            tone.fill(&mut ear);
        }
        let mut mouth = [0_i16; TURN_SAMPLES];
        let own = match self.link.take() {
            None => {
                self.devices.turn(&mut ear, &mut mouth);
                mouth
            }
            Some(mut link) => {
                let own = self.confer(&mut link, &ear, &mut mouth);
                self.link = Some(link);
                own
            }
        };
        self.speak(&mouth);
        self.measure(&own, &ear);
        if now >= self.next_reports {
            self.next_reports = now + self.reports_after();
            self.send_reports(now, false);
        }
    }

    /// One turn in conference: `ear` is what this call's peer says, and `mouth` becomes what it shall hear. Gives what we say ourselves.
    fn confer(
        &mut self,
        link: &mut Link,
        ear: &[i16; TURN_SAMPLES],
        mouth: &mut [i16; TURN_SAMPLES],
    ) -> [i16; TURN_SAMPLES] {
        // Who is held, or holds us and lets music play, is not heard.
        let away = self.held || self.negotiated.as_ref().is_some_and(|agreed| !agreed.direction.sends());
        let peer = if away { [0; TURN_SAMPLES] } else { *ear };
        let others = link.take();
        if !link.chair {
            link.give(peer);
            // Its headset stays open, so that it is there at once when the chair leaves.
            self.devices.turn(&mut [0; TURN_SAMPLES], mouth);
            return core::mem::replace(mouth, others);
        }
        let mut heard = peer;
        add(&mut heard, &others);
        self.devices.turn(&mut heard, mouth);
        if let Some(player) = &mut self.player
            && player.fill_samples(mouth)
        {
            (self.report)(Report::PlayFinished);
        }
        if self.muted {
            *mouth = [0; TURN_SAMPLES];
        }
        let own = *mouth;
        let mut to_partner = own;
        add(&mut to_partner, &peer);
        link.give(to_partner);
        add(mouth, &others);
        own
    }

    /// Tells how it sounds, where somebody wants to know. A file in the place of a microphone is not measured.
    fn measure(&mut self, mouth: &[i16; TURN_SAMPLES], ear: &[i16; TURN_SAMPLES]) {
        let Some(listener) = self.listener.as_ref().filter(|_| self.config.meters) else { return };
        let silent = self.muted || self.held;
        if self.meter.turn(if silent { &[0; TURN_SAMPLES] } else { mouth }, ear) {
            let meters = self.meter.tell(&listener.heard(), &self.devices);
            (self.report)(Report::Meters(Box::new(meters)));
        }
    }

    /// Takes 10 ms from the microphone, and sends a packet when its time is full.
    fn speak(&mut self, mouth: &[i16; TURN_SAMPLES]) {
        let Some(negotiated) = self.negotiated.take() else { return };
        if self.quiet || !negotiated.direction.sends() {
            self.talker.pause(TURN_SAMPLES as u32);
            self.turns = 0;
        } else {
            let part = &mut self.payload[self.turns * TURN_SAMPLES..][..TURN_SAMPLES];
            for (byte, sample) in part.iter_mut().zip(mouth) {
                *byte = self.encoder.sample(*sample);
            }
            self.turns += 1;
            if self.turns * 10 >= usize::from(negotiated.ptime_ms) || self.turns * TURN_SAMPLES == PAYLOAD_BYTES_MAX {
                self.send_packet(&negotiated);
                self.turns = 0;
            }
        }
        self.negotiated = Some(negotiated);
    }

    fn send_packet(&mut self, negotiated: &Negotiated) {
        let mut packet = [0; PACKET_BYTES_MAX];
        let mut sealed = [0; PACKET_BYTES_MAX + SRTP_TAIL_MAX];
        let payload = &mut self.payload[..self.turns * TURN_SAMPLES];
        let length = match self.talker.turn(negotiated, &mut packet) {
            Turn::Key(length) => length,
            Turn::LastKey(length) => {
                (self.report)(Report::KeysSent);
                length
            }
            Turn::Speech => {
                if self.held || (self.muted && self.link.is_none()) {
                    payload.fill(coding_of(negotiated).silence());
                } else if self.link.is_none()
                    && let Some(player) = &mut self.player
                    && player.fill(payload)
                {
                    (self.report)(Report::PlayFinished);
                }
                if let Some(spool) = &mut self.payloads_out {
                    spool.push(payload);
                }
                self.talker.speech(negotiated, payload, &mut packet)
            }
        };
        if !negotiated.remote_rtp.ip().is_unspecified() {
            // A full socket or an unreachable peer is loss, and seen in the peer's reports.
            sealed[..length].copy_from_slice(&packet[..length]);
            if let Some(length) = Cipher::seal_rtp(self.cipher.as_mut(), &mut sealed, length) {
                drop(self.rtp.send_to(&sealed[..length], negotiated.remote_rtp));
            }
        }
    }

    fn reports_after(&mut self) -> Span {
        REPORTS_EVERY / 2 + Span::from_us(self.entropy.below(REPORTS_EVERY.as_us()))
    }

    fn send_reports(&mut self, now: Tick, bye: bool) {
        let (Some(negotiated), Some(listener)) = (&self.negotiated, &mut self.listener) else { return };
        let writer = ReportWriter {
            ssrc: self.talker.ssrc(),
            sender: self.talker.sender_info(now),
            block: listener.report(now),
            cname: "phone",
            metrics: listener.metrics(),
            bye,
        };
        let mut report = [0; REPORT_BYTES_MAX];
        let length = writer.write(&mut report);
        let mut out = [0; REPORT_BYTES_MAX + SRTP_TAIL_MAX];
        out[..length].copy_from_slice(&report[..length]);
        let Some(length) = Cipher::seal_rtcp(self.cipher.as_mut(), &mut out, length) else { return };
        let socket = if negotiated.rtcp_mux { &self.rtp } else { &self.rtcp };
        if !negotiated.remote_rtcp.ip().is_unspecified() {
            drop(socket.send_to(&out[..length], negotiated.remote_rtcp));
        }
    }

    /// Waits until the next turn or a datagram. Before media is agreed on, datagrams stay where they are.
    fn wait_and_receive(&mut self, at_most: Span) {
        let timeout = Timespec { tv_sec: at_most.as_s() as i64, tv_nsec: (at_most.as_us() % 1_000_000 * 1_000) as _ };
        let woken = if self.listener.is_some() {
            let mut sockets = [PollFd::new(&self.rtp, PollFlags::IN), PollFd::new(&self.rtcp, PollFlags::IN)];
            poll(&mut sockets, Some(&timeout))
        } else {
            poll(&mut [], Some(&timeout))
        };
        if woken.is_ok_and(|ready| ready > 0) {
            self.receive();
        }
    }

    fn receive(&mut self) {
        let Some(listener) = &mut self.listener else { return };
        let mut datagram = [0; 2_048];
        for _ in 0..BATCH_MAX {
            let Ok((length, from)) = self.rtp.recv_from(&mut datagram) else { break };
            let now = self.config.clock.now();
            let is_report = is_rtcp(&datagram[..length]);
            let Some(length) = Cipher::open(self.cipher.as_mut(), &mut datagram[..length], is_report) else {
                listener.discard();
                continue;
            };
            let bytes = &datagram[..length];
            if is_report {
                listener.rtcp(now, bytes, self.talker.ssrc());
                continue;
            }
            let payloads = &mut self.payloads_in;
            let noticed = listener.rtp(now, from, bytes, |payload| {
                if let Some(spool) = payloads {
                    spool.push(payload);
                }
            });
            match noticed {
                Noticed::Nothing => {}
                Noticed::First => {
                    let after = now.since(self.talking_since.unwrap_or(now));
                    (self.report)(Report::FirstPacket { after });
                }
                Noticed::Key(digit) => (self.report)(Report::Key(digit)),
            }
        }
        for _ in 0..BATCH_MAX {
            let Ok((length, _)) = self.rtcp.recv_from(&mut datagram) else { break };
            let Some(length) = Cipher::open(self.cipher.as_mut(), &mut datagram[..length], true) else {
                listener.discard();
                continue;
            };
            listener.rtcp(self.config.clock.now(), &datagram[..length], self.talker.ssrc());
        }
    }

    fn finish(mut self) {
        self.send_reports(self.config.clock.now(), true);
        let mut statistics = MediaStatistics::default();
        (statistics.sent_packets, statistics.sent_bytes) = self.talker.sent();
        statistics.sent_payload_sha256 = self.talker.digest();
        if let Some(listener) = self.listener.take() {
            let payloads = &mut self.payloads_in;
            let received = listener.finish(|payload| {
                if let Some(spool) = payloads {
                    spool.push(payload);
                }
            });
            let ms = |span: Span| span.as_us() as f64 / 1_000.0;
            statistics.received_packets = received.packets;
            statistics.received_bytes = received.bytes;
            statistics.received_payload_sha256 = received.sha256;
            statistics.lost = received.lost;
            statistics.duplicates = received.duplicates;
            statistics.late = received.playout.late;
            statistics.discarded = received.discarded;
            statistics.jitter_ms = received.jitter_us as f64 / 1_000.0;
            statistics.longest_gap_ms = ms(received.longest_gap);
            statistics.first_packet_ms =
                received.first_at.zip(self.talking_since).map(|(first, since)| ms(first.since(since)));
            statistics.peer_lost_fraction = received.peer_fraction_lost.map(|of_256| f64::from(of_256) / 256.0);
            statistics.round_trip_ms = received.round_trip_us.map(|us| f64::from(us) / 1_000.0);
            statistics.keys = received.keys;
        }
        statistics.concealed_ms = self.concealed_turns * TURN.as_ms();
        statistics.late_frames = self.late_frames;
        statistics.device_xruns = self.devices.gaps();
        for (spool, path) in [
            (self.recorder.take(), &self.config.record),
            (self.payloads_in.take(), &self.config.payloads_in),
            (self.payloads_out.take(), &self.config.payloads_out),
        ] {
            let (Some(spool), Some(path)) = (spool, path) else { continue };
            match spool.finish() {
                Ok(dropped) => self.file_bytes_dropped += dropped,
                Err(error) => (self.report)(Report::File(format!("{}: {error}", path.display()))),
            }
        }
        statistics.file_bytes_dropped = self.file_bytes_dropped;
        (self.report)(Report::Stopped(Box::new(statistics)));
    }
}
