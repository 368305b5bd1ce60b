//! The VoIP metrics of extended reports, RFC 3611 section 4.7: written behind a report, read out of a compound; and the bursts and gaps
//! of loss that they tell of.

/// Bytes of an extended report with one block of VoIP metrics.
pub const VOIP_METRICS_BYTES: usize = 8 + BLOCK_BYTES;
/// RTCP's number of extended reports.
pub const EXTENDED_REPORT: u8 = 207;

const BLOCK_BYTES: usize = 36;
const BLOCK_TYPE: u8 = 7;
/// Words behind a block's first.
const BLOCK_WORDS: u16 = 8;
/// Most blocks of one report that are looked at: a hostile one costs bounded time.
const BLOCKS_MAX: usize = 16;
/// A level, rating or score that is not known.
const UNKNOWN: u8 = 127;
/// So many packets that came in a row end a burst, RFC 3611 section 4.7.2.
const GAP_MIN: u32 = 16;

/// What one end tells of the speech that it hears; none is what it does not know. Times in ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VoipMetrics {
    /// Lost on the way since the begin, of 256.
    pub lost: u8,
    /// Came, and too late or too early for the jitter buffer, of 256.
    pub discarded: u8,
    /// Lost or discarded within bursts, of 256.
    pub burst_density: u8,
    /// The same between them.
    pub gap_density: u8,
    /// Mean length of a burst.
    pub burst_ms: u16,
    /// Mean length of a gap.
    pub gap_ms: u16,
    /// Round trip; zero where it is not known.
    pub round_trip_ms: u16,
    /// Delay within the end; zero where it is not known.
    pub end_system_ms: u16,
    /// Level of the speech, in dBm0.
    pub signal_dbm0: Option<i8>,
    /// Level of the noise in pauses, in dBm0.
    pub noise_dbm0: Option<i8>,
    /// The E-model's rating, 0 to 100.
    pub rating: Option<u8>,
    /// Listening quality as a mean opinion score, in tenths.
    pub mos_lq_x10: Option<u8>,
    /// Conversational quality, in tenths.
    pub mos_cq_x10: Option<u8>,
    /// Delay of the jitter buffer at the time; zero where there is none.
    pub jitter_buffer_ms: u16,
    /// The most that it may be.
    pub jitter_buffer_max_ms: u16,
}

impl VoipMetrics {
    /// Writes an extended report of `ours` on the source `about`.
    pub fn write(&self, ours: u32, about: u32, out: &mut [u8; VOIP_METRICS_BYTES]) {
        let level = |level: Option<i8>| level.map_or(UNKNOWN, |level| level as u8);
        let score = |score: Option<u8>| score.unwrap_or(UNKNOWN);
        let mut parts = Parts { out, at: 0 };
        parts.put([0x80, EXTENDED_REPORT]);
        parts.put(((VOIP_METRICS_BYTES / 4 - 1) as u16).to_be_bytes());
        parts.put(ours.to_be_bytes());
        parts.put([BLOCK_TYPE, 0]);
        parts.put(BLOCK_WORDS.to_be_bytes());
        parts.put(about.to_be_bytes());
        parts.put([self.lost, self.discarded, self.burst_density, self.gap_density]);
        for ms in [self.burst_ms, self.gap_ms, self.round_trip_ms, self.end_system_ms] {
            parts.put(ms.to_be_bytes());
        }
        parts.put([level(self.signal_dbm0), level(self.noise_dbm0), UNKNOWN, GAP_MIN as u8]);
        parts.put([score(self.rating), UNKNOWN, score(self.mos_lq_x10), score(self.mos_cq_x10)]);
        // Concealment and adaptation are not told; reserved.
        parts.put([0, 0]);
        for ms in [self.jitter_buffer_ms, self.jitter_buffer_max_ms, self.jitter_buffer_max_ms] {
            parts.put(ms.to_be_bytes());
        }
    }

    /// Reads the block about `ours` out of an extended report (header included), where there is one. Blocks of other kinds, about
    /// other sources and of another length are passed over.
    pub fn read(packet: &[u8], ours: u32) -> Option<Self> {
        let mut rest = packet.get(8..)?;
        for _ in 0..BLOCKS_MAX {
            let &[kind, _, high, low, ..] = rest else { return None };
            let length = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
            let (block, after) = rest.split_at_checked(length)?;
            if kind == BLOCK_TYPE
                && let Ok(block) = <&[u8; BLOCK_BYTES]>::try_from(block)
                && block[4..8] == ours.to_be_bytes()
            {
                return Some(Self::of(block));
            }
            rest = after;
        }
        None
    }

    fn of(block: &[u8; BLOCK_BYTES]) -> Self {
        let ms = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
        let level = |at: usize| (block[at] != UNKNOWN).then_some(block[at] as i8);
        // What lies outside of its scale is as good as not known.
        let score = |at: usize, scale: core::ops::RangeInclusive<u8>| Some(block[at]).filter(|it| scale.contains(it));
        Self {
            lost: block[8],
            discarded: block[9],
            burst_density: block[10],
            gap_density: block[11],
            burst_ms: ms(12),
            gap_ms: ms(14),
            round_trip_ms: ms(16),
            end_system_ms: ms(18),
            signal_dbm0: level(20),
            noise_dbm0: level(21),
            rating: score(24, 0..=100),
            mos_lq_x10: score(26, 10..=50),
            mos_cq_x10: score(27, 10..=50),
            jitter_buffer_ms: ms(30),
            jitter_buffer_max_ms: ms(32),
        }
    }
}

struct Parts<'a> {
    out: &'a mut [u8; VOIP_METRICS_BYTES],
    at: usize,
}

impl Parts<'_> {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.out[self.at..self.at + N].copy_from_slice(&bytes);
        self.at += N;
    }
}

/// The losses of a stream as bursts and gaps, RFC 3611 section 4.7.2: a burst begins and ends with a loss, and has fewer than 16 packets in
/// a row between any two. Told only of losses, and of how many packets came before each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bursts {
    /// Packets that came since the last loss.
    came: u32,
    /// Losses in a row that are so near to each other that they are a burst.
    near: u32,
    gap: Counted,
    burst: Counted,
    /// Bursts that are over.
    over: u64,
    /// The burst that is not over yet.
    open: Counted,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    packets: u64,
    lost: u64,
}

impl Counted {
    const fn add(&mut self, came: u32, lost: u32) {
        self.packets += came as u64 + lost as u64;
        self.lost += lost as u64;
    }

    fn density(self) -> u8 {
        (self.lost * 256).checked_div(self.packets).unwrap_or(0).min(255) as u8
    }
}

impl Bursts {
    /// A packet came.
    pub const fn came(&mut self) {
        self.came = self.came.saturating_add(1);
    }

    /// So many in a row did not.
    pub fn lost(&mut self, count: u16) {
        if count == 0 {
            return;
        }
        let (came, lost) = (core::mem::take(&mut self.came), u32::from(count));
        if came < GAP_MIN && self.near > 0 {
            self.near = self.near.saturating_add(lost);
            self.open.add(came, lost);
        } else {
            self.close();
            self.gap.add(came, 0);
            self.near = lost;
            self.open.add(0, lost);
        }
    }

    /// What was open is a burst, or a single loss within a gap.
    fn close(&mut self) {
        let open = core::mem::take(&mut self.open);
        if self.near > 1 {
            self.burst.packets += open.packets;
            self.burst.lost += open.lost;
            self.over += 1;
        } else {
            self.gap.packets += open.packets;
            self.gap.lost += open.lost;
        }
        self.near = 0;
    }

    /// Densities and mean lengths of bursts and gaps until now, of packets of `packet_ms`.
    pub fn tell(mut self, packet_ms: u16, metrics: &mut VoipMetrics) {
        let came = core::mem::take(&mut self.came);
        self.close();
        self.gap.add(came, 0);
        let mean = |packets: u64, times: u64| {
            let ms = packets.saturating_mul(u64::from(packet_ms)).checked_div(times).unwrap_or(0);
            u16::try_from(ms).unwrap_or(u16::MAX)
        };
        (metrics.burst_density, metrics.gap_density) = (self.burst.density(), self.gap.density());
        // As many gaps as bursts, and the one that goes on.
        metrics.burst_ms = mean(self.burst.packets, self.over);
        metrics.gap_ms = mean(self.gap.packets, self.over + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: VoipMetrics = VoipMetrics {
        lost: 12,
        discarded: 3,
        burst_density: 90,
        gap_density: 1,
        burst_ms: 240,
        gap_ms: 9_000,
        round_trip_ms: 41,
        end_system_ms: 60,
        signal_dbm0: Some(-21),
        noise_dbm0: Some(-64),
        rating: Some(81),
        mos_lq_x10: Some(41),
        mos_cq_x10: Some(40),
        jitter_buffer_ms: 40,
        jitter_buffer_max_ms: 400,
    };

    fn written(metrics: &VoipMetrics) -> [u8; VOIP_METRICS_BYTES] {
        let mut out = [0xaa; VOIP_METRICS_BYTES];
        metrics.write(3, 9, &mut out);
        out
    }

    #[test]
    fn metrics_lie_where_rfc_3611_has_them_and_read_back() {
        let bytes = written(&METRICS);
        assert_eq!(bytes[..16], [0x80, 207, 0, 10, 0, 0, 0, 3, 7, 0, 0, 8, 0, 0, 0, 9]);
        assert_eq!(bytes[16..28], [12, 3, 90, 1, 0, 240, 0x23, 0x28, 0, 41, 0, 60]);
        assert_eq!(bytes[28..], [235, 192, 127, 16, 81, 127, 41, 40, 0, 0, 0, 40, 1, 144, 1, 144]);
        assert_eq!(VoipMetrics::read(&bytes, 9), Some(METRICS));
        assert_eq!(VoipMetrics::read(&bytes, 8), None, "about somebody else");
        let unknown = VoipMetrics::default();
        assert_eq!(VoipMetrics::read(&written(&unknown), 9), Some(unknown));
        assert!(rtcp_types::Compound::parse(&bytes).unwrap().all(|packet| packet.is_ok()));
    }

    #[test]
    fn a_block_is_found_behind_others_and_scores_outside_of_their_scale_are_not_known() {
        let mut bytes = vec![0x80, 207, 0, 0, 0, 0, 0, 3, /* receiver reference time */ 4, 0, 0, 2];
        bytes.extend([0; 8]);
        let mut own = written(&METRICS);
        (own[32], own[34], own[35]) = (101, 9, 255);
        bytes.extend(&own[8..]);
        let read = VoipMetrics::read(&bytes, 9).unwrap();
        assert_eq!(read, VoipMetrics { rating: None, mos_lq_x10: None, mos_cq_x10: None, ..METRICS });
    }

    #[test]
    fn broken_reports_hold_nothing() {
        let bytes = written(&METRICS);
        for length in 0..bytes.len() {
            assert_eq!(VoipMetrics::read(&bytes[..length], 9), None, "{length} bytes");
        }
        let mut longer = bytes;
        longer[11] = 200;
        assert_eq!(VoipMetrics::read(&longer, 9), None);
        let empty_blocks = [&bytes[..8], &[0; 4 * 40]].concat();
        assert_eq!(VoipMetrics::read(&empty_blocks, 9), None);
    }

    /// `.` came, `x` was lost.
    #[track_caller]
    fn check(stream: &str, bursts: (u8, u16), gaps: (u8, u16)) {
        let mut told = Bursts::default();
        for packet in stream.chars() {
            match packet {
                '.' => told.came(),
                _ => told.lost(1),
            }
        }
        let mut metrics = VoipMetrics::default();
        told.tell(20, &mut metrics);
        assert_eq!(((metrics.burst_density, metrics.burst_ms), (metrics.gap_density, metrics.gap_ms)), (bursts, gaps));
    }

    #[test]
    fn bursts_are_losses_with_fewer_than_16_packets_between_them_and_single_ones_belong_to_the_gaps() {
        let quiet = ".".repeat(100);
        check("", (0, 0), (0, 0));
        check(&quiet, (0, 0), (0, 2_000));
        // One loss of 201 packets.
        check(&format!("{quiet}x{quiet}"), (0, 0), (1, 4_020));
        // Three of four lost: 80 ms at 192 of 256.
        check(&format!("{quiet}xx.x{quiet}"), (192, 80), (0, 2_000));
        // The same with 15 between two, and with 16.
        check(&format!("{quiet}x{}x{quiet}", ".".repeat(15)), (30, 340), (0, 2_000));
        check(&format!("{quiet}x{}x{quiet}", ".".repeat(16)), (0, 0), (2, 4_360));
        // A burst that goes on.
        check(&format!("{quiet}xxxx"), (255, 80), (0, 1_000));
    }
}
