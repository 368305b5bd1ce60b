//! The streams of all calls, without sockets or clocks: what each sends every 20 ms, and what became of it.
//!
//! Speech was encoded before the run, in whatever codec, and goes plain or under SRTP. Flows are spread over 20 slots of a millisecond each, so that packets leave evenly. A flow is found by the address that its peer
//! described; where several share one, by the source number of what they sent, which an echo brings back.

use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use offhook_net::Letter;
use offhook_plan::{COMFORT_NOISE, CodecKind, Crypto};
use offhook_rtp::{
    HEADER_BYTES, Header, KeySender, Packet, ReceiverStats, SRTP_TAIL_MAX, SrtpReceiver, SrtpSender, is_rtcp,
};
use offhook_units::{Entropy, RtpSeq, RtpTime, Span, Tick};

use crate::mark::Mark;
use crate::sample::{Sample, is_new};
use crate::statistics::Times;

/// Time between two packets of a flow.
pub const PACKET_EVERY: Span = Span::from_ms(20);
/// Packets in a second.
const PACKETS_PER_S: u32 = 50;
/// What a packet time of keys is counted as, before the clock of the codec is (RFC 4733 section 2.1).
const KEY_SAMPLES: u32 = 160;
/// Largest payload that is sent: a packet of Opus with a mark.
const PAYLOAD_BYTES_MAX: usize = 1_400;
/// Room for a packet, protected or not.
const PACKET_BYTES_MAX: usize = HEADER_BYTES + PAYLOAD_BYTES_MAX + SRTP_TAIL_MAX;
/// Slots that flows are spread over.
const SLOTS: usize = 20;
/// One slot.
const SLOT: Span = Span::from_ms(1);
/// Slots that are made up for at once; a generator that stood still for longer leaves the rest out and counts it.
const SLOTS_BEHIND_MAX: u64 = 200;
/// Two packets that are further apart than this are a gap that is heard.
const GAP: Span = Span::from_ms(60);

/// What a flow does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Speaks, and listens for what comes back.
    Caller,
    /// Sends back what it hears.
    Echo,
    /// An agent who speaks.
    Speaker,
}

/// What a flow is to be.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Its number, never used again within one run.
    pub flow: u32,
    /// What it does.
    pub part: Part,
    /// By which of our sockets.
    pub socket: usize,
    /// Where its peer listens, and sends from.
    pub remote: SocketAddr,
    /// Payload type of speech that is sent.
    pub payload_type: u8,
    /// Payload types of telephone-events that are sent and received, where the peer knows them.
    pub events: Option<(u8, u8)>,
    /// What is spoken, and in which codec.
    pub speech: Speech,
    /// Whether packets go under SRTP.
    pub secret: Secrecy,
}

/// Whether the packets of a flow go under SRTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// They do not.
    None,
    /// Under these keys.
    Keys(Crypto),
    /// Whoever carries them on protects them.
    Elsewhere,
}

/// What the signalling wants of the flows.
#[derive(Debug, Clone)]
pub enum Order {
    /// A call was answered.
    Open(Box<Opening>),
    /// Its peer listens elsewhere from now on, or wants nothing (hold).
    Change {
        /// Which flow.
        flow: u32,
        /// Where the peer listens.
        remote: SocketAddr,
        /// Whether it wants to hear anything.
        sends: bool,
        /// The keys of SRTP from now on.
        crypto: Option<Crypto>,
    },
    /// Its caller presses keys, each text so long from now.
    Press(u32, Vec<(Span, String)>),
    /// What its caller hears from now on is kept, and what is said begins anew, without marks.
    Sample(u32),
    /// The call is over.
    Close(u32),
}

/// What the flows tell while they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// A caller's own speech came back for the first time: somebody hears it.
    Heard {
        /// Which flow.
        flow: u32,
        /// When.
        at: Tick,
    },
}

/// Counts of all flows together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Flows that are open.
    pub open: u64,
    /// Flows that were opened.
    pub opened: u64,
    /// Of these, flows under SRTP, whoever agreed on its keys.
    pub encrypted: u64,
    /// Packets that callers and speakers sent of their own.
    pub sent: u64,
    /// Packets received on open flows.
    pub received: u64,
    /// Numbers that never came, by the streams' own numbers.
    pub lost: u64,
    /// Callers' own packets that came back.
    pub echoed: u64,
    /// Marked packets missing between the first and the last one that came back, or that one speaker had of the other.
    pub marks_lost: u64,
    /// Callers of whose packets none came back.
    pub without_echo: u64,
    /// Flows that received nothing at all.
    pub unheard: u64,
    /// Gaps of more than 60 ms between two packets of a stream.
    pub gaps: u64,
    /// Marked packets of one caller that another one heard.
    pub crosstalk: u64,
    /// Packets that the keys of their flow do not open.
    pub unproved: u64,
    /// Packets of nobody's: before the answer, after the end, or from an address that no description named.
    pub strays: u64,
    /// Packets left out because the generator stood still.
    pub left_out: u64,
}

/// What all flows saw.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Counts.
    pub counts: Counts,
    /// From sending a packet to its return.
    pub round_trip: Times,
    /// From a sender of ours to a receiver of ours.
    pub one_way: Times,
    /// Jitter of each flow at its end (RFC 3550 appendix A.8).
    pub jitter: Times,
    /// The longest gap of each flow.
    pub longest_gap: Times,
    /// How long after their time packets were sent.
    pub late: Times,
    /// What a sampled caller heard.
    pub sample: Option<Sample>,
}

/// What opens and protects the packets of a flow.
struct Secret {
    send: SrtpSender,
    receive: SrtpReceiver,
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    fn new(crypto: &Crypto) -> Box<Self> {
        Box::new(Self { send: SrtpSender::new(&crypto.send), receive: SrtpReceiver::new(&crypto.receive) })
    }
}

#[derive(Debug)]
struct Flow {
    part: Part,
    socket: usize,
    remote: SocketAddr,
    sends: bool,
    payload_type: u8,
    events: Option<(u8, u8)>,
    keys: VecDeque<(Tick, String)>,
    pressing: KeySender,
    key_began: RtpTime,
    slot: usize,
    ssrc: u32,
    seq: RtpSeq,
    timestamp: RtpTime,
    sent: u32,
    /// How far it has got in the speech.
    said: usize,
    heard: ReceiverStats,
    received: u64,
    last_at: Option<Tick>,
    longest_gap: Span,
    /// Of the marks that count for this flow: the first and the last one, and how many.
    marks: Option<(u32, u32, u64)>,
    sample: Option<Box<Sample>>,
    speech: Speech,
    secret: Option<Box<Secret>>,
}

/// What is spoken, encoded once for all.
#[derive(Debug, Clone)]
pub struct Speech {
    /// The codec.
    pub codec: CodecKind,
    /// Payloads of 20 ms each, at least one; at most [`PAYLOAD_BYTES_MAX`] less a mark each.
    pub packets: Arc<[Box<[u8]>]>,
    /// Every how many packets one is marked; 1: each.
    pub mark_every: u32,
}

impl Speech {
    /// Of a codec whose payloads are cut from one run of bytes, 160 for 20 ms, such as G.711. The last one is made whole with `filling`.
    pub fn cut(codec: CodecKind, bytes: &[u8], filling: u8, mark_every: u32) -> Self {
        let whole = |payload: &[u8]| {
            let mut payload = payload.to_vec();
            payload.resize(CUT_BYTES, filling);
            payload.into_boxed_slice()
        };
        let bytes = if bytes.is_empty() { &[filling] } else { bytes };
        Self { codec, packets: bytes.chunks(CUT_BYTES).map(whole).collect(), mark_every }
    }

    /// What a packet adds to the timestamp.
    pub const fn step(&self) -> u32 {
        self.codec.clock() / PACKETS_PER_S
    }

    /// The payload of the packet with this number, from the begin again after the last one.
    pub fn payload(&self, number: usize) -> &[u8] {
        self.packets.get(number % self.packets.len().max(1)).map_or(&[], |payload| payload)
    }
}

/// Bytes of 20 ms of G.711, and of G.722.
const CUT_BYTES: usize = 160;

/// All flows.
#[derive(Debug)]
pub struct Flows {
    by_number: BTreeMap<u32, Flow>,
    by_peer: BTreeMap<(usize, SocketAddr), Vec<u32>>,
    by_source: BTreeMap<u32, u32>,
    slots: Vec<Vec<u32>>,
    /// The slot that is sent next, and when it is due.
    slot: u64,
    due: Tick,
    run: u64,
    /// Agents are of this program too, so that their clock is ours.
    both_ends: bool,
    entropy: Entropy,
    figures: Figures,
    /// Round trips since somebody asked.
    recent: Times,
    /// A packet while it is opened.
    opened: Vec<u8>,
}

/// Packets to be sent, by socket.
#[derive(Debug, Default)]
pub struct Outbox {
    /// One list for each socket.
    pub letters: Vec<Vec<Letter>>,
    /// What was told.
    pub notices: Vec<Notice>,
    spare: Vec<Vec<u8>>,
}

impl Outbox {
    /// For so many sockets.
    pub fn new(sockets: usize) -> Self {
        Self { letters: (0..sockets).map(|_| Vec::new()).collect(), notices: Vec::new(), spare: Vec::new() }
    }

    fn push(&mut self, socket: usize, peer: SocketAddr, packet: &[u8]) {
        let Some(letters) = self.letters.get_mut(socket) else { return };
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.extend_from_slice(packet);
        letters.push(Letter { source: None, peer, bytes });
    }

    /// Everything was sent: its room is used again.
    pub fn clear(&mut self) {
        for letters in &mut self.letters {
            self.spare.extend(letters.drain(..).map(|letter| {
                let mut bytes = letter.bytes;
                bytes.clear();
                bytes
            }));
        }
    }
}

impl Flows {
    /// None yet. `run` tells the marks of this run from those of others; `both_ends`: agents are of this program too.
    pub fn new(now: Tick, run: u64, both_ends: bool, entropy: Entropy) -> Self {
        Self {
            by_number: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            by_source: BTreeMap::new(),
            slots: vec![Vec::new(); SLOTS],
            slot: 0,
            due: now,
            run: run & u64::from(u32::MAX),
            both_ends,
            entropy,
            figures: Figures::default(),
            recent: Times::default(),
            opened: Vec::with_capacity(PACKET_BYTES_MAX),
        }
    }

    /// The round trips since the last time that this was asked.
    pub fn take_recent(&mut self) -> Times {
        core::mem::take(&mut self.recent)
    }

    /// Takes an order.
    pub fn order(&mut self, now: Tick, order: Order) {
        match order {
            Order::Open(opening) => self.open(*opening),
            Order::Change { flow, remote, sends, crypto } => {
                let Some(found) = self.by_number.get_mut(&flow) else { return };
                match (&mut found.secret, &crypto) {
                    (Some(secret), Some(crypto)) => {
                        secret.send.rekey(&crypto.send);
                        secret.receive.rekey(&crypto.receive);
                    }
                    (secret, crypto) => *secret = crypto.as_ref().map(Secret::new),
                }
                let (socket, before) = (found.socket, found.remote);
                (found.remote, found.sends) = (remote, sends);
                if before != remote {
                    self.forget_peer(socket, before, flow);
                    self.by_peer.entry((socket, remote)).or_default().push(flow);
                }
            }
            Order::Press(flow, keys) => {
                if let Some(flow) = self.by_number.get_mut(&flow) {
                    flow.keys = keys.into_iter().map(|(after, keys)| (now + after, keys)).collect();
                }
            }
            Order::Sample(flow) => {
                if let Some(flow) = self.by_number.get_mut(&flow) {
                    flow.said = 0;
                    flow.sample.get_or_insert_with(|| Box::new(Sample::new(flow.speech.step())));
                }
            }
            Order::Close(flow) => self.close(flow),
        }
    }

    fn open(&mut self, opening: Opening) {
        let Opening { flow, part, socket, remote, payload_type, events, speech, secret } = opening;
        let slot = (0..SLOTS).min_by_key(|slot| self.slots[*slot].len()).unwrap_or(0);
        let ssrc = self.entropy.next_u32();
        let timestamp = RtpTime(self.entropy.next_u32());
        let found = Flow {
            part,
            socket,
            remote,
            sends: true,
            payload_type,
            events,
            keys: VecDeque::new(),
            pressing: KeySender::default(),
            key_began: timestamp,
            slot,
            ssrc,
            seq: RtpSeq(self.entropy.next_u32() as u16),
            timestamp,
            sent: 0,
            said: 0,
            heard: ReceiverStats::default(),
            received: 0,
            last_at: None,
            longest_gap: Span::ZERO,
            marks: None,
            sample: None,
            speech,
            secret: if let Secrecy::Keys(crypto) = &secret { Some(Secret::new(crypto)) } else { None },
        };
        if part != Part::Echo {
            self.slots[slot].push(flow);
        }
        self.by_peer.entry((socket, remote)).or_default().push(flow);
        self.by_source.insert(ssrc, flow);
        self.by_number.insert(flow, found);
        self.figures.counts.open += 1;
        self.figures.counts.opened += 1;
        self.figures.counts.encrypted += u64::from(secret != Secrecy::None);
    }

    fn forget_peer(&mut self, socket: usize, remote: SocketAddr, flow: u32) {
        if let Some(flows) = self.by_peer.get_mut(&(socket, remote)) {
            flows.retain(|each| *each != flow);
            if flows.is_empty() {
                self.by_peer.remove(&(socket, remote));
            }
        }
    }

    fn close(&mut self, flow: u32) {
        let Some(mut found) = self.by_number.remove(&flow) else { return };
        self.slots[found.slot].retain(|each| *each != flow);
        self.forget_peer(found.socket, found.remote, flow);
        self.by_source.remove(&found.ssrc);
        self.figures.close(&found);
        self.figures.sample = found.sample.take().map(|sample| *sample).or_else(|| self.figures.sample.take());
    }

    /// The figures so far; those of open flows are told when they close.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Closes what is open, and gives the figures of all.
    pub fn finish(mut self) -> Figures {
        for flow in self.by_number.keys().copied().collect::<Vec<_>>() {
            self.close(flow);
        }
        self.figures
    }

    /// When something is to be sent next.
    pub const fn due(&self) -> Tick {
        self.due
    }

    /// Sends what is due.
    pub fn tick(&mut self, now: Tick, out: &mut Outbox) {
        let behind = now.since(self.due).as_us() / SLOT.as_us();
        if behind > SLOTS_BEHIND_MAX {
            self.figures.late.note(now.since(self.due));
            let skipped = behind - behind % SLOTS as u64;
            // Each flow leaves out one packet for each turn of all slots.
            let speaking: usize = self.slots.iter().map(Vec::len).sum();
            self.figures.counts.left_out += skipped / SLOTS as u64 * speaking as u64;
            self.slot += skipped;
            self.due += SLOT * skipped;
        }
        while self.due <= now {
            let late = now.since(self.due);
            let slot = (self.slot % SLOTS as u64) as usize;
            let flows = core::mem::take(&mut self.slots[slot]);
            for id in &flows {
                if let Some(flow) = self.by_number.get_mut(id) {
                    self.figures.late.note(late);
                    self.figures.counts.sent += u64::from(flow.speak(now, *id, self.run, out));
                }
            }
            self.slots[slot] = flows;
            self.slot += 1;
            self.due += SLOT;
        }
    }

    /// A datagram came in on one of our sockets.
    pub fn receive(&mut self, now: Tick, socket: usize, peer: SocketAddr, bytes: &[u8], out: &mut Outbox) {
        if is_rtcp(bytes) {
            return;
        }
        // An echo brings our own number back, and whoever else shares an address cannot be told apart. SRTP leaves it clear.
        let source =
            bytes.get(8..HEADER_BYTES).map(|ssrc| ssrc.iter().fold(0, |word, byte| (word << 8) | u32::from(*byte)));
        let id = match self.by_peer.get(&(socket, peer)).map(Vec::as_slice) {
            Some([only]) => Some(*only),
            Some(_) | None => source.and_then(|source| self.by_source.get(&source).copied()),
        };
        let found = id.and_then(|id| Some((id, self.by_number.get_mut(&id)?)));
        let Some((id, flow)) = found.filter(|(_, flow)| flow.socket == socket) else {
            self.figures.counts.strays += 1;
            return;
        };
        let bytes = match &mut flow.secret {
            Some(secret) => {
                self.opened.clear();
                self.opened.extend_from_slice(bytes);
                let Ok(length) = secret.receive.unprotect_rtp(&mut self.opened) else {
                    self.figures.counts.unproved += 1;
                    return;
                };
                &self.opened[..length]
            }
            None => bytes,
        };
        let Ok(packet) = Packet::parse(bytes) else {
            self.figures.counts.strays += 1;
            return;
        };
        let clock = u64::from(flow.speech.codec.clock());
        let arrival = (u128::from(now.as_us()) * u128::from(clock) / 1_000_000) as u32;
        let is_event = flow.events.is_some_and(|(_, received)| received == packet.header.payload_type);
        let is_speech = !is_event && packet.header.payload_type != COMFORT_NOISE;
        if !is_new(&mut flow.heard, &packet.header, is_speech.then_some(arrival)) {
            return;
        }
        if let Some(sample) = flow.sample.as_mut().filter(|_| is_speech) {
            sample.hear(packet.header.timestamp, packet.payload);
        }
        flow.received += 1;
        self.figures.counts.received += 1;
        if let Some(last) = flow.last_at.replace(now) {
            let gap = now.since(last);
            flow.longest_gap = flow.longest_gap.max(gap);
            self.figures.counts.gaps += u64::from(gap > GAP);
        }
        if let Some((mark, turned)) = Mark::read(packet.payload).filter(|(mark, _)| mark.run == self.run) {
            let turned = turned.filter(|_| self.both_ends);
            if mark.flow == id {
                self.recent.note(now.since(mark.sent));
            }
            self.figures.mark(now, id, flow, mark, turned, out);
        }
        if flow.part == Part::Echo && flow.sends && is_speech {
            flow.echo(now, &packet, out);
        }
    }
}

impl Flow {
    /// Sends one packet, its own or of a key; says whether it was one of speech.
    fn speak(&mut self, now: Tick, id: u32, run: u64, out: &mut Outbox) -> bool {
        let samples = self.speech.step();
        while let Some((_, keys)) = self.keys.pop_front_if(|(at, _)| *at <= now) {
            // Where the peer takes no events there is nothing to press; the call goes on without.
            for key in keys.chars() {
                self.pressing.press(key);
            }
        }
        let key =
            self.events.and_then(|(payload_type, _)| Some((payload_type, self.pressing.step(KEY_SAMPLES as u16)?)));
        let (seq, timestamp) = (self.seq, self.timestamp);
        self.timestamp = self.timestamp.wrapping_add(samples);
        if !self.sends {
            return false;
        }
        self.seq = self.seq.next();
        if let Some((payload_type, key)) = key {
            if key.begins {
                self.key_began = timestamp;
            }
            let header = Header { payload_type, marker: key.begins, seq, timestamp: self.key_began, ssrc: self.ssrc };
            let mut event = key.event;
            event.duration = event.duration.saturating_mul((samples / KEY_SAMPLES) as u16);
            self.send(&header, &event.encode(), out);
            return false;
        }
        let header =
            Header { payload_type: self.payload_type, marker: self.sent == 0, seq, timestamp, ssrc: self.ssrc };
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        let said = self.speech.payload(self.said);
        let mut length = said.len().min(PAYLOAD_BYTES_MAX);
        payload[..length].copy_from_slice(&said[..length]);
        let every = self.speech.mark_every.max(1);
        if self.sample.is_none() && self.sent.is_multiple_of(every) {
            let mark = Mark { run, flow: id, number: self.sent / every, sent: now };
            length = mark.write(self.speech.codec, &mut payload, length);
        }
        self.said += 1;
        self.sent += 1;
        self.send(&header, &payload[..length], out);
        true
    }

    /// Sends a packet back, as a source of its own with its own numbers (RFC 3550 section 8.2), so that what was lost on the way here
    /// is not counted once more on the way back.
    fn echo(&mut self, now: Tick, packet: &Packet<'_>, out: &mut Outbox) {
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        let Some(room) = payload.get_mut(..packet.payload.len()) else { return };
        room.copy_from_slice(packet.payload);
        Mark::turn(room, now);
        let header = Header { ssrc: self.ssrc, payload_type: self.payload_type, seq: self.seq, ..packet.header };
        self.seq = self.seq.next();
        self.send(&header, room, out);
    }

    /// Sends a packet to the peer, protected where the flow has keys.
    fn send(&mut self, header: &Header, payload: &[u8], out: &mut Outbox) {
        let mut buffer = [0; PACKET_BYTES_MAX];
        let Some(length) = header.write(payload, &mut buffer) else { return };
        let length = match &mut self.secret {
            // Each packet has a number of its own, and there is room for the tail.
            Some(secret) => secret.send.protect_rtp(&mut buffer, length).unwrap_or(0),
            None => length,
        };
        out.push(self.socket, self.remote, &buffer[..length]);
    }

    fn count_mark(&mut self, number: u32) -> bool {
        let is_first = self.marks.is_none();
        let (first, last, count) = self.marks.get_or_insert((number, number, 0));
        (*first, *last, *count) = ((*first).min(number), (*last).max(number), *count + 1);
        is_first
    }
}

impl Figures {
    /// A mark of this run arrived at `id`.
    fn mark(&mut self, now: Tick, id: u32, flow: &mut Flow, mark: Mark, turned: Option<Tick>, out: &mut Outbox) {
        if mark.flow == id {
            self.round_trip.note(now.since(mark.sent));
            // The far end of ours stamps what it sends back.
            if let Some(turned) = turned.filter(|turned| *turned >= mark.sent && *turned <= now) {
                self.one_way.note(now.since(turned));
            }
            self.counts.echoed += 1;
            if flow.count_mark(mark.number) {
                out.notices.push(Notice::Heard { flow: id, at: now });
            }
            return;
        }
        match flow.part {
            // What a caller hears of others' speech: of an agent of ours who speaks, or of somebody else's call.
            Part::Caller if turned.is_some() => self.counts.crosstalk += 1,
            Part::Caller | Part::Echo | Part::Speaker => {
                self.one_way.note(now.since(mark.sent));
                if flow.count_mark(mark.number) && flow.part == Part::Caller {
                    out.notices.push(Notice::Heard { flow: id, at: now });
                }
            }
        }
    }

    fn close(&mut self, flow: &Flow) {
        let counts = &mut self.counts;
        counts.open = counts.open.saturating_sub(1);
        counts.lost += flow.heard.lost();
        counts.unheard += u64::from(flow.received == 0);
        match (flow.part, flow.marks) {
            // What an echo missed, its caller misses too.
            (Part::Echo, _) | (Part::Speaker, None) => {}
            (Part::Caller | Part::Speaker, Some((first, last, count))) => {
                counts.marks_lost += (u64::from(last - first) + 1).saturating_sub(count);
            }
            // Whoever is sampled sends no marks, and is heard by what came.
            (Part::Caller, None) => {
                let has_heard = flow.sample.as_ref().is_some_and(|sample| !sample.is_empty());
                counts.without_echo += u64::from(!has_heard);
            }
        }
        if flow.received > 0 {
            let clock = u64::from(flow.speech.codec.clock());
            self.jitter.note(Span::from_us(u64::from(flow.heard.jitter()) * 1_000_000 / clock));
            self.longest_gap.note(flow.longest_gap);
        }
    }
}
