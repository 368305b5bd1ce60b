//! Records and their packing into segments.
//!
//! A segment is a version byte and then, for each record: position and instant as differences to the record before it (the
//! first to zero; the instant zigzag-coded), stream, kind, version, length of the bytes, the bytes. All numbers are LEB128.

use offhook_units::Tick;

/// One event of the log. What `kind` and `bytes` mean is the owner crate's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose event it is.
    pub stream: u16,
    /// Its position in the log: rises strictly over all streams.
    pub seq: u64,
    /// When it happened.
    pub at: Tick,
    /// Its kind within the stream.
    pub kind: u16,
    /// The version of its encoding.
    pub version: u16,
    /// The event, encoded by its owner.
    pub bytes: Vec<u8>,
}

/// The first byte of a segment.
const FORMAT: u8 = 1;

/// Bytes at which a segment is closed and the next begun.
pub const SEGMENT_BYTES: usize = 256 * 1_024;

/// A run of records as one row of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Position of its first record.
    pub first_seq: u64,
    /// Position of its last record.
    pub last_seq: u64,
    /// Earliest instant.
    pub first_at: Tick,
    /// Latest instant.
    pub last_at: Tick,
    /// How many records.
    pub records: u64,
    /// The records.
    pub packed: Vec<u8>,
}

/// Packs records (positions rising) into as few segments as [`SEGMENT_BYTES`] allows.
pub fn pack<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut before = (0, 0);
    for record in records {
        let Record { stream, seq, at, kind, version, bytes } = record;
        if segments.last().is_none_or(|s| s.packed.len() >= SEGMENT_BYTES) {
            let packed = vec![FORMAT];
            segments.push(Segment { first_seq: *seq, last_seq: 0, first_at: *at, last_at: *at, records: 0, packed });
            before = (0, 0);
        }
        let Some(segment) = segments.last_mut() else { continue };
        let out = &mut segment.packed;
        put(out, seq.wrapping_sub(before.0));
        put(out, zigzag(at.as_us().wrapping_sub(before.1) as i64));
        for number in [u64::from(*stream), u64::from(*kind), u64::from(*version), bytes.len() as u64] {
            put(out, number);
        }
        out.extend_from_slice(bytes);
        before = (*seq, at.as_us());
        segment.last_seq = *seq;
        segment.first_at = segment.first_at.min(*at);
        segment.last_at = segment.last_at.max(*at);
        segment.records += 1;
    }
    segments
}

/// Reads what [`pack`] made of one segment; `Err` says what is wrong with it.
pub fn unpack(mut packed: &[u8], mut each: impl FnMut(Record)) -> Result<(), &'static str> {
    match packed.split_off_first() {
        Some(&FORMAT) => {}
        Some(_) => return Err("unknown segment format"),
        None => return Err("empty segment"),
    }
    let mut before = (0_u64, 0_u64);
    while !packed.is_empty() {
        let mut number = || take(&mut packed).ok_or("cut number");
        let seq = before.0.wrapping_add(number()?);
        let at = before.1.wrapping_add(unzigzag(number()?) as u64);
        let mut small = || u16::try_from(number()?).map_err(|_| "number out of range");
        let (stream, kind, version) = (small()?, small()?, small()?);
        let length = usize::try_from(number()?).map_err(|_| "length out of range")?;
        let bytes = packed.split_off(..length).ok_or("cut record")?.to_vec();
        each(Record { stream, seq, at: Tick::from_us(at), kind, version, bytes });
        before = (seq, at);
    }
    Ok(())
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

const fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64, at: u64, bytes: &[u8]) -> Record {
        Record { stream: 7, seq, at: Tick::from_us(at), kind: 300, version: 1, bytes: bytes.to_vec() }
    }

    fn unpacked(packed: &[u8]) -> Result<Vec<Record>, &'static str> {
        let mut out = Vec::new();
        unpack(packed, |r| out.push(r)).map(|()| out)
    }

    #[test]
    fn a_segment_reads_back_what_was_packed_even_where_time_or_position_jump() {
        let records = [
            record(1, 1_700_000_000_000_000, b"a"),
            record(2, 1_699_999_999_999_999, b""),
            record(u64::MAX, u64::MAX, &[0; 999]),
        ];
        let segments = pack(&records);
        assert_eq!(segments.len(), 1);
        assert_eq!((segments[0].first_seq, segments[0].last_seq, segments[0].records), (1, u64::MAX, 3));
        assert_eq!(segments[0].first_at.as_us(), 1_699_999_999_999_999);
        assert_eq!(unpacked(&segments[0].packed).as_deref(), Ok(&records[..]));
    }

    #[test]
    fn many_records_are_cut_into_segments_of_about_256_kib() {
        let records: Vec<_> = (1..=1_000).map(|seq| record(seq, seq, &[1; 1_000])).collect();
        let segments = pack(&records);
        assert_eq!(segments.len(), 4);
        let all: Vec<_> = segments.iter().flat_map(|s| unpacked(&s.packed).expect("readable")).collect();
        assert_eq!(all, records);
    }

    #[test]
    fn a_segment_cut_or_changed_anywhere_never_panics() {
        let packed = pack(&[record(1, 5, b"hello"), record(2, 6, b"world")]).remove(0).packed;
        for cut in 0..packed.len() {
            let _ = unpacked(&packed[..cut]);
            let mut changed = packed.clone();
            changed[cut] ^= 0xff;
            let _ = unpacked(&changed);
        }
        assert_eq!(unpacked(&packed[..packed.len() - 1]), Err("cut record"));
        assert_eq!(unpacked(&[9]), Err("unknown segment format"));
    }
}
