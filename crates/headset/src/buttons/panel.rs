//! The buttons and lamps of one headset, without the headset: reports in, presses out; lamps in, reports out.
//!
//! Usages of the HID Usage Tables 1.5: page 0x0b (telephony) for buttons, page 0x08 (LED) for lamps.

use super::descriptor::{Field, Kind, fields};

const HOOK_SWITCH: u32 = 0x000b_0020;
const PHONE_MUTE: u32 = 0x000b_002f;
const FLASH: u32 = 0x000b_0021;
const REDIAL: u32 = 0x000b_0024;
const LED_MUTE: u32 = 0x0008_0009;
const LED_OFF_HOOK: u32 = 0x0008_0017;
const LED_RING: u32 = 0x0008_0018;
const LED_HOLD: u32 = 0x0008_0020;

/// What the wearer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Press {
    /// Took the call, or wants a line.
    OffHook,
    /// Put down.
    OnHook,
    /// Changed between mute and speech.
    Mute,
    /// Wants the other call, or to hold this one.
    Flash,
    /// Wants to call again.
    Redial,
}

/// What the headset is to show, and to know: many of them switch their microphone by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lamps {
    /// A call rings.
    pub ring: bool,
    /// A call is up.
    pub off_hook: bool,
    /// The microphone is muted.
    pub mute: bool,
    /// A call is on hold.
    pub hold: bool,
}

/// One headset.
#[derive(Debug, Clone)]
pub struct Panel {
    fields: Vec<Field>,
    /// The last report of each number.
    last: Vec<(u8, Vec<u8>)>,
    off_hook: bool,
}

impl Panel {
    /// From the device's report descriptor; none where it has no hook switch.
    pub fn new(descriptor: &[u8]) -> Option<Self> {
        let fields = fields(descriptor);
        let has_hook = fields.iter().any(|field| field.kind == Kind::Input && field.usage == HOOK_SWITCH);
        has_hook.then(|| Self { fields, last: Vec::new(), off_hook: false })
    }

    fn has_numbers(&self) -> bool {
        self.fields.iter().any(|field| field.report != 0)
    }

    /// Takes a report as it was read, its number in front where reports have one.
    pub fn read(&mut self, report: &[u8]) -> Vec<Press> {
        let (number, body) = match report.split_first() {
            Some((number, body)) if self.has_numbers() => (*number, body),
            _ => (0, report),
        };
        let before = self.last.iter().find(|(other, _)| *other == number).map(|(_, body)| body.clone());
        let mut presses = Vec::new();
        for field in self.fields.iter().filter(|field| field.kind == Kind::Input && field.report == number) {
            let now = bits(body, field) != 0;
            let was = before.as_ref().is_some_and(|before| bits(before, field) != 0);
            let pressed = now && !was;
            match field.usage {
                // A switch that tells its state, and one that tells that it was pressed.
                HOOK_SWITCH if !field.relative && now != was && now != self.off_hook => {
                    self.off_hook = now;
                    presses.push(if now { Press::OffHook } else { Press::OnHook });
                }
                HOOK_SWITCH if field.relative && pressed => {
                    self.off_hook = !self.off_hook;
                    presses.push(if self.off_hook { Press::OffHook } else { Press::OnHook });
                }
                PHONE_MUTE if pressed => presses.push(Press::Mute),
                FLASH if pressed => presses.push(Press::Flash),
                REDIAL if pressed => presses.push(Press::Redial),
                _ => {}
            }
        }
        self.last.retain(|(other, _)| *other != number);
        self.last.push((number, body.to_owned()));
        presses
    }

    /// The reports that show these lamps, each with its number in front (0 where reports have none). Headsets answer them by moving their hook
    /// switch along: that is no press.
    pub fn show(&mut self, lamps: Lamps) -> Vec<Vec<u8>> {
        self.off_hook = lamps.off_hook;
        let mut reports: Vec<(u8, Vec<u8>)> = Vec::new();
        for field in self.fields.iter().filter(|field| field.kind == Kind::Output) {
            let on = match field.usage {
                LED_MUTE => lamps.mute,
                LED_OFF_HOOK => lamps.off_hook,
                LED_RING => lamps.ring,
                LED_HOLD => lamps.hold,
                _ => false,
            };
            let at = reports.iter().position(|(number, _)| *number == field.report).unwrap_or_else(|| {
                reports.push((field.report, Vec::new()));
                reports.len() - 1
            });
            let body = &mut reports[at].1;
            body.resize(body.len().max((field.bit + field.bits).div_ceil(8)), 0);
            if on {
                body[field.bit / 8] |= 1 << (field.bit % 8);
            }
        }
        reports.into_iter().map(|(number, body)| [&[number], &body[..]].concat()).collect()
    }
}

/// The value of a field of up to 32 bits; what a short report leaves out is 0.
fn bits(body: &[u8], field: &Field) -> u32 {
    let bit = |at: usize| body.get(at / 8).map_or(0, |byte| u32::from(byte >> (at % 8) & 1));
    (0..field.bits).fold(0, |value, n| value | bit(field.bit + n) << n)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A headset's descriptor in the form that is usual: report 2 with a hook switch and a line that are states, then mute, flash and redial
    /// that are presses; and lamps in a report of their own. Many mark these inputs as constant (0x23, 0x07), and mean them.
    pub const HEADSET: &[u8] = &[
        0x05, 0x0b, 0x09, 0x05, 0xa1, 0x01, 0x85, 0x02, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x09, 0x20, 0x09, 0x97,
        0x95, 0x02, 0x81, 0x23, 0x09, 0x2f, 0x09, 0x21, 0x09, 0x24, 0x95, 0x03, 0x81, 0x07, 0x75, 0x03, 0x95, 0x01,
        0x81, 0x01, 0x05, 0x08, 0x85, 0x03, 0x09, 0x17, 0x09, 0x09, 0x09, 0x18, 0x09, 0x20, 0x75, 0x01, 0x95, 0x04,
        0x91, 0x22, 0x75, 0x04, 0x95, 0x01, 0x91, 0x01, 0xc0,
    ];
    /// One without report numbers, whose hook switch is a button: usages by range.
    const BUTTONS: &[u8] = &[
        0x05, 0x0b, 0x09, 0x05, 0xa1, 0x01, 0x19, 0x20, 0x29, 0x21, 0x75, 0x01, 0x95, 0x02, 0x81, 0x06, 0x75, 0x06,
        0x95, 0x01, 0x81, 0x01, 0xc0,
    ];

    #[test]
    fn reports_of_a_headset_become_presses_and_what_the_host_told_it_does_not() {
        let mut panel = Panel::new(HEADSET).unwrap();
        for (report, expected) in [
            (0b0000_0000, vec![]),
            (0b0000_0001, vec![Press::OffHook]),
            (0b0000_0001, vec![]),
            (0b0000_0101, vec![Press::Mute]),
            (0b0000_0001, vec![]),
            (0b0000_1001, vec![Press::Flash]),
            (0b0001_0000, vec![Press::OnHook, Press::Redial]),
        ] {
            assert_eq!(panel.read(&[2, report]), expected, "{report:08b}");
        }
        // We answer by a key: the headset follows its lamp.
        let lamps = Lamps { off_hook: true, mute: true, ..Lamps::default() };
        assert_eq!(panel.show(lamps), [vec![3, 0b0011]]);
        assert_eq!(panel.read(&[2, 1]), []);
        assert_eq!(panel.read(&[2, 0]), [Press::OnHook], "the wearer puts down");
        assert_eq!(panel.show(Lamps { ring: true, hold: true, ..Lamps::default() }), [vec![3, 0b1100]]);
        assert_eq!(panel.read(&[9, 255]), [], "a report that is not ours");
    }

    #[test]
    fn a_hook_that_is_a_button_goes_up_and_down_by_turns() {
        let mut panel = Panel::new(BUTTONS).unwrap();
        let pressed: Vec<Press> = [1, 0, 1, 0, 2, 0].iter().flat_map(|report| panel.read(&[*report])).collect();
        assert_eq!(pressed, [Press::OffHook, Press::OnHook, Press::Flash]);
        assert_eq!(panel.show(Lamps::default()), Vec::<Vec<u8>>::new(), "it has no lamps");
    }

    #[test]
    fn descriptors_of_other_devices_and_broken_ones_are_no_headset_and_never_panic() {
        let keyboard = [
            0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02,
            0xc0,
        ];
        assert!(Panel::new(&keyboard).is_none() && Panel::new(&[]).is_none());
        for cut in 0..HEADSET.len() {
            drop(Panel::new(&HEADSET[..cut]));
        }
        let mut state = 1_u32;
        let mut chance = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        for _ in 0..20_000 {
            let mut descriptor = HEADSET.to_vec();
            for _ in 0..3 {
                let at = usize::from(chance()) % descriptor.len();
                descriptor[at] = chance();
            }
            if let Some(mut panel) = Panel::new(&descriptor) {
                panel.read(&[chance(), chance(), chance()]);
                panel.read(&[]);
                assert!(panel.show(Lamps { ring: true, ..Lamps::default() }).len() <= 256);
            }
        }
    }
}
