//! Report descriptors: where in a device's reports its buttons and lamps are (Device Class Definition for HID 1.11, section 6.2.2).

/// Where a report ends at the latest, in bits; headsets have a few bytes.
const REPORT_BITS_MAX: usize = 8 * 1_024;
/// Fields that are kept; a headset has about twenty.
const FIELDS_MAX: usize = 256;

/// Which way a field goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From the device.
    Input,
    /// To it.
    Output,
}

/// One bit, or a few, of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Which way.
    pub kind: Kind,
    /// The report's number, 0 where reports have none.
    pub report: u8,
    /// Where it begins in the report, after its number, in bits.
    pub bit: usize,
    /// How many bits.
    pub bits: usize,
    /// The usage's page above, its number below.
    pub usage: u32,
    /// It tells changes, not a state.
    pub relative: bool,
}

/// What is said once and holds for what follows, until it is said otherwise.
#[derive(Debug, Clone, Copy, Default)]
struct Global {
    page: u32,
    bits: usize,
    count: usize,
    report: u8,
}

/// The fields of a descriptor with a usage of their own. What is broken ends it; what came before counts.
pub fn fields(descriptor: &[u8]) -> Vec<Field> {
    let (mut global, mut stack) = (Global::default(), Vec::new());
    let (mut usages, mut range): (Vec<u32>, (u32, u32)) = (Vec::new(), (0, 0));
    let mut filled: Vec<((Kind, u8), usize)> = Vec::new();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(&head) = descriptor.get(at) {
        if head == 0xfe {
            // A long item: its length follows; none are in use.
            at += 3 + usize::from(descriptor.get(at + 1).copied().unwrap_or(0));
            continue;
        }
        let size = [0, 1, 2, 4][usize::from(head & 3)];
        let Some(data) = descriptor.get(at + 1..at + 1 + size) else { break };
        let value = data.iter().rev().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
        at += 1 + size;
        // A usage of four bytes brings its page.
        let usage = if size == 4 { value } else { global.page << 16 | value };
        match head & 0xfc {
            0x04 => global.page = value & 0xffff,
            0x74 => global.bits = value as usize,
            0x94 => global.count = value as usize,
            0x84 => global.report = value as u8,
            0xa4 if stack.len() < FIELDS_MAX => stack.push(global),
            0xb4 => global = stack.pop().unwrap_or(global),
            0x08 if usages.len() < FIELDS_MAX => usages.push(usage),
            0x18 => range.0 = usage,
            0x28 => range.1 = usage,
            main @ (0x80 | 0x90) => {
                let kind = if main == 0x80 { Kind::Input } else { Kind::Output };
                let place = (kind, global.report);
                if !filled.iter().any(|(other, _)| *other == place) {
                    filled.push((place, 0));
                }
                let Some((_, bit)) = filled.iter_mut().find(|(other, _)| *other == place) else { break };
                if range.1 >= range.0 && range.1 > 0 {
                    usages.extend((range.0..=range.1).take(FIELDS_MAX));
                }
                let is_variable = value & 2 != 0;
                for n in 0..global.count.min(FIELDS_MAX) {
                    // The last usage stands for the fields that follow.
                    let usage = usages.get(n).or(usages.last()).copied().filter(|_| is_variable);
                    let (report, bits, relative) = (global.report, global.bits, value & 4 != 0);
                    let fits = (1..=32).contains(&bits) && bit.saturating_add((n + 1) * bits) <= REPORT_BITS_MAX;
                    if let Some(usage) = usage.filter(|_| found.len() < FIELDS_MAX && fits) {
                        found.push(Field { kind, report, bit: *bit + n * bits, bits, usage, relative });
                    }
                }
                *bit = bit.saturating_add(global.bits.saturating_mul(global.count));
                usages.clear();
                range = (0, 0);
            }
            // Feature reports and collections end what was said of the one item alone.
            0xb0 | 0xa0 | 0xc0 => {
                usages.clear();
                range = (0, 0);
            }
            _ => {}
        }
    }
    found
}
