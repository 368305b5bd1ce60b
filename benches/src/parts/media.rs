//! The parts of speech.

use core::hint::black_box;

use offhook_codec::opus::{self, Encoded};
use offhook_codec::{Coding, G711, KeyDetector, Law, LevelMeter, Transcoder, g722, power};
use offhook_media::{JitterBuffer, JitterConfig, PULL_EVERY};
use offhook_plan::CodecKind;
use offhook_rtp::{Header, Packet, SRTP_TAIL_MAX, SrtpReceiver, SrtpSender};
use offhook_units::{CryptoSuite, Entropy, MasterKey, RtpSeq, RtpTime, SampleRate, Span, Tick};

use super::{Part, count};
use crate::talk::Talk;

const fn part(name: &'static str, unit: &'static str, units: u32, turns: u32, begin: fn() -> Box<dyn FnMut()>) -> Part {
    Part { name, unit, units, turns, begin }
}

/// All of them.
pub const PARTS: &[Part] = &[
    part("rtp: read a header", "packet", 1, 1_000, read_header),
    part("srtp: protect, AES_CM_128_HMAC_SHA1_80", "packet", 1, 500, || protect(CryptoSuite::AesCm128HmacSha1_80)),
    part("srtp: open, AES_CM_128_HMAC_SHA1_80", "packet", 1, 500, || open(CryptoSuite::AesCm128HmacSha1_80)),
    part("srtp: protect, AEAD_AES_128_GCM", "packet", 1, 500, || protect(CryptoSuite::AeadAes128Gcm)),
    part("srtp: open, AEAD_AES_128_GCM", "packet", 1, 500, || open(CryptoSuite::AeadAes128Gcm)),
    part("media: relay G.711", "packet", 2, 500, || talk(2, CodecKind::Pcmu)),
    part("media: relay G.722", "packet", 2, 500, || talk(2, CodecKind::G722)),
    part("media: one who listens in, G.711", "20 ms", 1, 300, listener),
    part("media: mix of 3, G.711", "20 ms", 1, 300, || talk(3, CodecKind::Pcmu)),
    part("media: mix of 8, G.711", "20 ms", 1, 100, || talk(8, CodecKind::Pcmu)),
    part("media: mix of 3, G.722", "20 ms", 1, 200, || talk(3, CodecKind::G722)),
    part("media: jitter buffer, in order", "packet", 50, 40, || jitter(0, 0)),
    part("media: jitter buffer, 30 ms of jitter, 5 % lost", "packet", 50, 40, || jitter(30_000, 50)),
    part("codec: G.711 to linear and back", "packet", 50, 40, g711),
    part("codec: PCMU to PCMA", "packet", 50, 40, || transcode(Coding::G711(Law::Mu), Coding::G711(Law::A))),
    part("codec: G.722 encode", "packet", 50, 20, g722_encode),
    part("codec: G.722 decode", "packet", 50, 20, g722_decode),
    part("codec: G.722 to PCMA", "packet", 50, 20, || transcode(Coding::G722, Coding::G711(Law::A))),
    part("codec: Opus encode, 48 kHz", "packet", 50, 10, opus_encode),
    part("codec: Opus decode, 48 kHz", "packet", 50, 10, opus_decode),
    part("codec: keys heard in speech", "packet", 50, 40, keys),
    part("codec: level of G.711", "packet", 50, 40, level),
];

/// Packets of a second, and bytes of one of G.711.
const SECOND: usize = 50;
const PACKET: usize = 160;
/// A packet with its header.
const WHOLE: usize = 172;

/// A packet of G.711 with room for what SRTP adds.
fn packet(number: u32) -> [u8; WHOLE + SRTP_TAIL_MAX] {
    let mut buffer = [0; WHOLE + SRTP_TAIL_MAX];
    let (seq, timestamp) = (RtpSeq(number as u16), RtpTime(number * 160));
    let header = Header { payload_type: 0, marker: false, seq, timestamp, ssrc: 7 };
    header.write(&[0x55; PACKET], &mut buffer).expect("it fits");
    buffer
}

fn read_header() -> Box<dyn FnMut()> {
    let buffer = packet(1);
    Box::new(move || {
        count(|| black_box(Packet::parse(black_box(&buffer[..WHOLE]))).is_ok());
    })
}

fn protect(suite: CryptoSuite) -> Box<dyn FnMut()> {
    let mut sender = SrtpSender::new(&MasterKey::generate(suite, &mut Entropy::from_number(1)));
    let mut number = 0;
    Box::new(move || {
        let mut buffer = packet(number);
        number += 1;
        count(|| sender.protect_rtp(&mut buffer, WHOLE).expect("a new number"));
    })
}

fn open(suite: CryptoSuite) -> Box<dyn FnMut()> {
    let key = MasterKey::generate(suite, &mut Entropy::from_number(1));
    let (mut sender, mut receiver) = (SrtpSender::new(&key), SrtpReceiver::new(&key));
    let mut number = 0;
    Box::new(move || {
        let mut buffer = packet(number);
        number += 1;
        let length = sender.protect_rtp(&mut buffer, WHOLE).expect("a new number");
        count(|| black_box(receiver.unprotect_rtp(&mut buffer[..length]).expect("the sender's own")));
    })
}

/// Everybody hears everybody; two are relayed.
fn talk(legs: u16, codec: CodecKind) -> Box<dyn FnMut()> {
    let edges = (0..legs).flat_map(|to| (0..legs).filter(move |from| *from != to).map(move |from| (to, from)));
    let mut talk = Talk::of(vec![codec; usize::from(legs)], edges);
    Box::new(move || count(|| talk.turn()))
}

fn listener() -> Box<dyn FnMut()> {
    let mut talk = Talk::new(3, [(0, 1), (1, 0), (2, 0), (2, 1)].into_iter());
    Box::new(move || count(|| talk.turn()))
}

/// A second of a stream whose packets come up to `jitter_us` late, and of which `lost` in a thousand do not come.
fn jitter(jitter_us: u64, lost: u64) -> Box<dyn FnMut()> {
    let mut buffer = JitterBuffer::new(JitterConfig::default());
    let (mut decoder, mut entropy) = (G711::new(Law::Mu), Entropy::from_number(3));
    let (mut now, mut number) = (Tick::from_us(1_700_000_000_000_000), 0_u32);
    let (payload, mut out) = ([0x55; PACKET], [0; PACKET / 2]);
    Box::new(move || {
        let mut arrivals: Vec<(Tick, u32)> = (0..SECOND as u32)
            .filter_map(|n| {
                let late = Span::from_us(entropy.below(jitter_us + 1));
                (entropy.below(1_000) >= lost).then(|| (now + Span::from_ms(20) * u64::from(n) + late, number + n))
            })
            .collect();
        arrivals.sort_unstable();
        number += SECOND as u32;
        count(|| {
            let mut arrivals = arrivals.iter().peekable();
            for _ in 0..SECOND * 2 {
                while let Some((at, n)) = arrivals.next_if(|(at, _)| *at <= now) {
                    let (seq, timestamp) = (RtpSeq(*n as u16), RtpTime(n * 160));
                    let header = Header { payload_type: 0, marker: false, seq, timestamp, ssrc: 7 };
                    black_box(buffer.push(*at, &Packet { header, payload: &payload, payload_at: 12 }));
                }
                black_box(buffer.pull(now, &mut decoder, &mut out));
                now += PULL_EVERY;
            }
        });
    })
}

/// A second of two tones and their overtones.
fn speech(rate: i32) -> Vec<i16> {
    let saw = |n: i32, hertz: i32| n * hertz % rate * 8_000 / rate - 4_000;
    (0..rate).map(|n| (saw(n, 140) / 2 + saw(n, 610) / 8) as i16).collect()
}

fn g711() -> Box<dyn FnMut()> {
    use offhook_codec::{Decoder as _, Encoder as _};
    let (pcm, mut codec) = (speech(8_000), G711::new(Law::Mu));
    let (mut bytes, mut back) = ([0; PACKET], [0; PACKET]);
    Box::new(move || {
        count(|| {
            for frame in pcm.chunks_exact(PACKET) {
                codec.encode(black_box(frame), &mut bytes);
                black_box(codec.decode(&bytes, &mut back));
            }
        });
    })
}

fn g722_coded() -> Vec<u8> {
    let mut bytes = vec![0; SECOND * PACKET];
    g722::Encoder::default().encode(&speech(16_000), &mut bytes);
    bytes
}

fn g722_encode() -> Box<dyn FnMut()> {
    let (pcm, mut out, mut encoder) = (speech(16_000), [0; PACKET], g722::Encoder::default());
    Box::new(move || {
        count(|| {
            for frame in pcm.chunks_exact(2 * PACKET) {
                black_box(encoder.encode(frame, &mut out));
            }
        });
    })
}

fn g722_decode() -> Box<dyn FnMut()> {
    let (bytes, mut out, mut decoder) = (g722_coded(), [0; 2 * PACKET], g722::Decoder::default());
    Box::new(move || {
        count(|| {
            for payload in bytes.chunks_exact(PACKET) {
                black_box(decoder.decode(payload, &mut out));
            }
        });
    })
}

fn transcode(from: Coding, to: Coding) -> Box<dyn FnMut()> {
    let (coded, mut transcoder) = (g722_coded(), Transcoder::new(from, to).expect("two codings"));
    Box::new(move || {
        let mut bytes = coded.clone();
        count(|| bytes.chunks_exact_mut(PACKET).for_each(|payload| transcoder.payload(payload)));
    })
}

fn opus_settings() -> opus::Settings {
    opus::Settings { expected_loss_percent: 5, ..opus::Settings::voice(SampleRate::FULL) }
}

fn opus_encode() -> Box<dyn FnMut()> {
    let (pcm, mut out) = (speech(48_000), [0; opus::PACKET_BYTES_MAX]);
    let mut encoder = opus::Encoder::new(&opus_settings()).expect("an encoder");
    Box::new(move || {
        count(|| {
            for frame in pcm.chunks_exact(960) {
                black_box(encoder.encode(frame, &mut out).is_ok());
            }
        });
    })
}

fn opus_decode() -> Box<dyn FnMut()> {
    let mut encoder = opus::Encoder::new(&opus_settings()).expect("an encoder");
    let mut packets = Vec::new();
    for frame in speech(48_000).chunks_exact(960) {
        let mut out = vec![0; opus::PACKET_BYTES_MAX];
        if let Ok(Encoded::Packet(bytes)) = encoder.encode(frame, &mut out) {
            out.truncate(bytes);
            packets.push(out);
        }
    }
    let (mut decoder, mut out) = (opus::Decoder::new(SampleRate::FULL).expect("a decoder"), vec![0; 5_760]);
    Box::new(move || {
        count(|| {
            for packet in &packets {
                black_box(decoder.decode(packet, &mut out).is_ok());
            }
        });
    })
}

fn keys() -> Box<dyn FnMut()> {
    let (pcm, mut detector) = (speech(8_000), KeyDetector::default());
    Box::new(move || {
        count(|| {
            for packet in pcm.chunks_exact(PACKET) {
                detector.feed(packet, |key| {
                    black_box(key);
                });
            }
        });
    })
}

fn level() -> Box<dyn FnMut()> {
    let (bytes, mut meter) = (g722_coded(), LevelMeter::default());
    Box::new(move || {
        count(|| {
            for payload in bytes.chunks_exact(PACKET) {
                meter.take(PACKET as u32, power(Law::A, black_box(payload)));
            }
        });
    })
}
