//! A recorded or invented network replayed through a jitter buffer on a virtual clock: what a listener would have heard.

use offhook_codec::Decoder;
use offhook_rtp::{Header, Packet};
use offhook_units::{RtpSeq, RtpTime, Span, Tick};

use crate::{JitterBuffer, JitterConfig, Played, Pulled};

/// How often the listener's clock pulls.
pub const PULL_EVERY: Span = Span::from_ms(10);

/// A packet of a trace, in the order of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When it came on the listener's clock; `None` where it was lost.
    pub at: Option<Tick>,
    /// Its timestamp.
    pub timestamp: RtpTime,
}

/// One pull of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When it was pulled; its first sample is heard then.
    pub at: Tick,
    /// What it consists of.
    pub pulled: Pulled,
    /// In detail.
    pub played: Played,
}

/// Replays `arrivals`, of which number n carries `payload(n)`, from `start` until a second after the last packet. `heard` gets
/// each pull and its samples.
pub fn replay<'a>(
    config: JitterConfig,
    decoder: &mut dyn Decoder,
    arrivals: &[Arrival],
    payload: impl Fn(usize) -> &'a [u8],
    start: Tick,
    mut heard: impl FnMut(Step, &[i16]),
) {
    let mut order: Vec<(Tick, usize)> =
        arrivals.iter().enumerate().filter_map(|(n, arrival)| Some((arrival.at?, n))).collect();
    order.sort_unstable();
    let end = order.last().map_or(start, |(at, _)| *at + Span::from_s(1));
    let mut buffer = JitterBuffer::new(config);
    let mut out = vec![0; config.rate.samples(PULL_EVERY) as usize];
    let mut order = order.into_iter().peekable();
    let mut now = start;
    while now < end {
        while let Some((at, n)) = order.next_if(|(at, _)| *at <= now) {
            let (seq, timestamp) = (RtpSeq(n as u16), arrivals[n].timestamp);
            let header = Header { payload_type: 0, marker: n == 0, seq, timestamp, ssrc: 1 };
            buffer.push(at, &Packet { header, payload: payload(n), payload_at: 12 });
        }
        let pulled = buffer.pull(now, decoder, &mut out);
        heard(Step { at: now, pulled, played: buffer.last() }, &out);
        now += PULL_EVERY;
    }
}
