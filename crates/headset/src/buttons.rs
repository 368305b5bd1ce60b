//! The buttons and lamps of a USB headset: hook, mute, flash, redial; ring, off-hook, mute, hold (USB HID, telephony).
//!
//! [`Buttons::open`] starts a thread that looks for such a headset, also for one that is plugged in later, and hands on what is pressed and
//! shown. What reports mean is [`Panel`]'s business, which knows no device.

mod descriptor;
mod panel;

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

pub use panel::{Lamps, Panel, Press};

/// Presses that wait; further ones are dropped: nobody presses that fast.
const PRESSES_MAX: usize = 16;
/// How long a report is waited for before lamps are looked after, in milliseconds.
const LAMPS_EVERY_MS: i32 = 50;
/// How often a headset is looked for while there is none.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The usage page of telephony devices.
const TELEPHONY: u16 = 0x0b;
/// Longest report descriptor, HID 1.11 and the operating system's limit.
const DESCRIPTOR_MAX: usize = 4_096;

/// A device with reports.
trait Reports {
    /// Reads a report into `report`; 0 where none came within the time. None where the device is gone.
    fn read(&self, report: &mut [u8], within_ms: i32) -> Option<usize>;
    /// Writes a report; false where the device is gone.
    fn write(&self, report: &[u8]) -> bool;
}

impl Reports for hidapi::HidDevice {
    fn read(&self, report: &mut [u8], within_ms: i32) -> Option<usize> {
        self.read_timeout(report, within_ms).ok()
    }

    fn write(&self, report: &[u8]) -> bool {
        Self::write(self, report).is_ok()
    }
}

/// The headset's buttons, whichever headset there is. Copies share them; the thread ends with the last one.
#[derive(Debug, Clone)]
pub struct Buttons {
    /// What was pressed.
    pub presses: Receiver<Press>,
    /// What is to be shown.
    pub lamps: Sender<Lamps>,
}

impl Buttons {
    /// Starts looking for a headset.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn open() -> std::io::Result<Self> {
        let (tell, presses) = bounded(PRESSES_MAX);
        let (lamps, shown) = bounded(PRESSES_MAX);
        std::thread::Builder::new().name("headset-buttons".into()).spawn(move || {
            let mut wanted = Lamps::default();
            loop {
                if let Some((device, mut panel)) = find() {
                    serve(&device, &mut panel, &tell, &shown, &mut wanted);
                }
                match shown.recv_timeout(LOOK_EVERY) {
                    Ok(lamps) => wanted = lamps,
                    Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
                    Err(crossbeam_channel::RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        Ok(Self { presses, lamps })
    }
}

/// The first device with a hook switch.
fn find() -> Option<(hidapi::HidDevice, Panel)> {
    let system = hidapi::HidApi::new().ok()?;
    system.device_list().filter(|info| info.usage_page() == TELEPHONY).find_map(|info| {
        let device = info.open_device(&system).map_err(|error| tracing::debug!(%error, "a headset's buttons")).ok()?;
        let mut descriptor = vec![0; DESCRIPTOR_MAX];
        let length = device.get_report_descriptor(&mut descriptor).ok()?;
        let panel = Panel::new(descriptor.get(..length)?)?;
        tracing::info!(product = info.product_string().unwrap_or("unnamed"), "a headset with buttons");
        Some((device, panel))
    })
}

/// Until the device or our owner is gone.
fn serve(device: &impl Reports, panel: &mut Panel, tell: &Sender<Press>, shown: &Receiver<Lamps>, wanted: &mut Lamps) {
    let show = |panel: &mut Panel, lamps| panel.show(lamps).iter().all(|report| device.write(report));
    if !show(panel, *wanted) {
        return;
    }
    let mut report = [0; 64];
    loop {
        match shown.try_recv() {
            Ok(lamps) => {
                *wanted = lamps;
                if !show(panel, lamps) {
                    return;
                }
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return,
        }
        let Some(length) = device.read(&mut report, LAMPS_EVERY_MS) else { return };
        if length > 0 {
            for press in panel.read(&report[..length]) {
                if tell.try_send(press).is_err() {
                    tracing::debug!(?press, "nobody takes what is pressed");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::VecDeque;

    /// A headset whose reports were written down; it is pulled out after the last one.
    struct Recorded {
        reports: RefCell<VecDeque<Vec<u8>>>,
        written: RefCell<Vec<Vec<u8>>>,
    }

    impl Reports for Recorded {
        fn read(&self, report: &mut [u8], _: i32) -> Option<usize> {
            let next = self.reports.borrow_mut().pop_front()?;
            report[..next.len()].copy_from_slice(&next);
            Some(next.len())
        }

        fn write(&self, report: &[u8]) -> bool {
            self.written.borrow_mut().push(report.to_owned());
            true
        }
    }

    #[test]
    fn presses_of_a_headset_are_told_lamps_are_shown_and_its_end_is_noticed() {
        let reports = [vec![], vec![2, 1], vec![2, 5], vec![2, 1], vec![2, 0]];
        let device = Recorded { reports: RefCell::new(reports.into()), written: RefCell::default() };
        let mut panel = Panel::new(panel::tests::HEADSET).unwrap();
        let (tell, presses) = bounded(PRESSES_MAX);
        let (lamps, shown) = bounded(PRESSES_MAX);
        lamps.send(Lamps { ring: true, ..Lamps::default() }).unwrap();
        let mut wanted = Lamps::default();
        serve(&device, &mut panel, &tell, &shown, &mut wanted);
        assert_eq!(presses.try_iter().collect::<Vec<_>>(), [Press::OffHook, Press::Mute, Press::OnHook]);
        assert_eq!(*device.written.borrow(), [vec![3, 0], vec![3, 0b0100]]);
        assert!(wanted.ring, "a headset that comes back shows it again");
    }
}
