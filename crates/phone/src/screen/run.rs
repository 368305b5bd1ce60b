//! The view on a real terminal: its keys, its mouse, its size.

use std::io::{self, Stdout};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use crossterm::event::{
    DisableMouseCapture, EnableMouseCapture, Event as TerminalEvent, KeyEvent, MouseButton, MouseEventKind,
};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, execute, terminal};
use offhook_headset::VoiceSwitches;
use offhook_units::Tick;
use ratatui::Terminal as Canvas;
use ratatui::backend::CrosstermBackend;

use super::draw::{Spots, draw};
use super::{View, Wish};
use crate::agent::AgentWish;
use crate::clock::Clock;
use crate::event::{PhoneEvent, Told};
use crate::phone::{Dial, Phone, PhoneError};
use crate::statistics::CallStatistics;

/// How often the time on the screen is set right.
const REDRAW_EVERY: Duration = Duration::from_secs(1);

/// Raw mode, the alternate screen and the mouse, given back whatever happens.
struct Terminal;

impl Terminal {
    fn take() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let taken = Self;
        execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, cursor::Hide)?;
        Ok(taken)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(execute!(io::stdout(), DisableMouseCapture, cursor::Show, LeaveAlternateScreen));
        drop(terminal::disable_raw_mode());
    }
}

/// Shows the phone until it is off; `stop` switches it off from outside. Gives the figures of all its calls. Colours are left out where the
/// environment asks for that (`NO_COLOR`). What the agent wants of the exchange goes to `desk`.
///
/// # Errors
/// The terminal's.
pub fn run(
    phone: &Phone,
    told: &Receiver<Told>,
    stop: &Receiver<()>,
    clock: Clock,
    title: &str,
    voice: VoiceSwitches,
    desk: &dyn Fn(AgentWish),
) -> io::Result<Vec<CallStatistics>> {
    let terminal = Terminal::take()?;
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut canvas: Canvas<CrosstermBackend<Stdout>> = Canvas::new(CrosstermBackend::new(io::stdout()))?;
    let (tell_keys, keys) = bounded(64);
    let (alive, gone) = bounded::<()>(0);
    let reader = std::thread::Builder::new().name("phone-keys".into()).spawn(move || read_keys(&tell_keys, &gone))?;
    let mut view = View::new(title, voice);
    let mut calls = Vec::new();
    let mut stop = stop.clone();
    loop {
        let mut spots = Spots::default();
        canvas.draw(|frame| spots = draw(&view, clock.now(), colours, frame))?;
        select! {
            recv(told) -> event => {
                let Ok(event) = event else { break };
                view.take(&event);
                match event.event {
                    PhoneEvent::Ended { statistics } => calls.push(*statistics),
                    PhoneEvent::Off => break,
                    _ => {}
                }
            }
            recv(keys) -> event => {
                let wish = event.map_or(Wish::Nothing, |event| wish_of(&mut view, &spots, &event));
                grant(phone, &mut view, clock.now(), wish, desk);
            }
            recv(stop) -> _ => {
                phone.off();
                stop = crossbeam_channel::never();
            }
            default(REDRAW_EVERY) => {}
        }
    }
    drop(alive);
    drop(terminal);
    drop(reader.join());
    Ok(calls)
}

/// What a key or the mouse asks for; a screen of another size is drawn anew anyway.
fn wish_of(view: &mut View, spots: &Spots, event: &TerminalEvent) -> Wish {
    match event {
        TerminalEvent::Key(key) => view.key(*key),
        TerminalEvent::Mouse(mouse) if mouse.kind == MouseEventKind::Down(MouseButton::Left) => {
            if let Some(call) = spots.call(mouse.column, mouse.row) {
                view.chosen = Some(call);
            }
            let key = spots.key(mouse.column, mouse.row);
            key.map_or(Wish::Nothing, |code| view.key(KeyEvent::from(code)))
        }
        _ => Wish::Nothing,
    }
}

fn grant(phone: &Phone, view: &mut View, now: Tick, wish: Wish, desk: &dyn Fn(AgentWish)) {
    let called = match wish {
        Wish::Nothing | Wish::TypeCall | Wish::TypeTransfer(_) | Wish::TypeReason | Wish::Select(_) => Ok(()),
        Wish::Answer(call, others) => {
            for other in others {
                phone.hold(other, true);
            }
            phone.answer(call);
            Ok(())
        }
        Wish::HangUp(call) => {
            phone.hang_up(call);
            Ok(())
        }
        Wish::Hold(call, on) => {
            phone.hold(call, on);
            Ok(())
        }
        Wish::Swap(held, back) => {
            phone.hold(held, true);
            phone.hold(back, false);
            view.chosen = Some(back);
            Ok(())
        }
        Wish::Mute(call, on) => {
            phone.mute(call, on);
            Ok(())
        }
        Wish::Press(call, key) => {
            phone.press(call, key.encode_utf8(&mut [0; 4]));
            Ok(())
        }
        Wish::Dial(address) => call(phone, &address),
        Wish::Consult(held, address) => {
            phone.hold(held, true);
            call(phone, &address)
        }
        Wish::Transfer(call, address) => phone.transfer(call, &address),
        Wish::Join(call, with) => {
            phone.join(call, with);
            Ok(())
        }
        Wish::Confer(call, with) => {
            phone.confer(call, with);
            Ok(())
        }
        Wish::Split(call) => {
            phone.split(call);
            Ok(())
        }
        Wish::Agent(wish) => {
            desk(wish);
            Ok(())
        }
        Wish::Voice(change) => {
            phone.voice(change);
            Ok(())
        }
        Wish::Quit => {
            phone.off();
            Ok(())
        }
    };
    if let Err(error) = called {
        view.note(now, &error.to_string());
    }
}

fn call(phone: &Phone, address: &str) -> Result<(), PhoneError> {
    phone.dial(Dial::to(&phone.whom(address)?.to_string())?).map(drop)
}

fn read_keys(tell: &Sender<TerminalEvent>, gone: &Receiver<()>) {
    while matches!(gone.try_recv(), Err(crossbeam_channel::TryRecvError::Empty)) {
        match crossterm::event::poll(Duration::from_millis(100)) {
            Ok(true) => {
                let Ok(event) = crossterm::event::read() else { return };
                if tell.send(event).is_err() {
                    return;
                }
            }
            Ok(false) => {}
            Err(_) => return,
        }
    }
}
