//! The view on a screen: words and signs first, colours besides. The colours are told apart by people who see no red or no green (Okabe and
//! Ito 2008), and nothing is said by colour alone.

use offhook_units::Tick;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span as Words};
use ratatui::widgets::{Block, Paragraph};

use super::{AGENT_KEYS, KEYS, REASONS, Shown, Stand, Typed, Typing, View, Wish};
use crate::agent::{AgentNow, AgentState, Customer};
use crate::meters::{Meters, Quality};
use crossterm::event::KeyCode;

const BLUE: Color = Color::Rgb(86, 180, 233);
const GREEN: Color = Color::Rgb(0, 158, 115);
const ORANGE: Color = Color::Rgb(230, 159, 0);
const VERMILION: Color = Color::Rgb(213, 94, 0);

/// Rows of the state with its frame, and of levels, line and processing between two rules.
const STATE_ROWS: u16 = 5;
const SOUND_ROWS: u16 = 5;
/// Calls shown at once; the others are counted.
const CALLS_SHOWN: usize = 6;
/// The scale of a level meter, in decibels below full scale.
const METER_DB: f32 = 60.0;
/// Louder than this is too loud.
const LOUD_DB: f32 = -6.0;

/// Where a mouse finds what.
#[derive(Debug, Default)]
pub(super) struct Spots {
    keys: Vec<(Rect, KeyCode)>,
    calls: Vec<(Rect, u32)>,
}

impl Spots {
    /// The key under the mouse.
    pub fn key(&self, column: u16, row: u16) -> Option<KeyCode> {
        let at = Position::new(column, row);
        self.keys.iter().find(|(place, _)| place.contains(at)).map(|(_, key)| *key)
    }

    /// The call under the mouse.
    pub fn call(&self, column: u16, row: u16) -> Option<u32> {
        let at = Position::new(column, row);
        self.calls.iter().find(|(place, _)| place.contains(at)).map(|(_, call)| *call)
    }
}

/// Draws the view as it is at `now`; without colours where they are not wanted.
pub(super) fn draw(view: &View, now: Tick, colours: bool, frame: &mut Frame<'_>) -> Spots {
    let paint = Paint { colours };
    let mut spots = Spots::default();
    let keys = key_lines(view, frame.area().width);
    let calls = view.calls.len().clamp(1, CALLS_SHOWN + 1) as u16;
    let customer = view.agent.as_ref().and_then(|agent| agent.customer.as_ref());
    let state_rows = STATE_ROWS + u16::from(customer.is_some_and(|customer| customer.note.is_some()));
    // On a low screen the state and the keys are what must be seen.
    let spare = frame.area().height.saturating_sub(1 + state_rows + keys.len() as u16);
    let calls = calls.min(spare);
    let sound_rows = if spare >= calls + SOUND_ROWS { SOUND_ROWS } else { 0 };
    let [title, state, list, sound, history, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(state_rows),
        Constraint::Length(calls),
        Constraint::Length(sound_rows),
        Constraint::Fill(1),
        Constraint::Length(keys.len() as u16),
    ])
    .areas(frame.area());
    draw_title(view, now, &paint, frame, title);
    draw_state(view, now, &paint, frame, state);
    draw_calls(view, now, &paint, frame, list, &mut spots);
    draw_sound(view, &paint, frame, sound);
    let room = usize::from(history.height);
    let newest = view.history.iter().skip(view.history.len().saturating_sub(room));
    frame.render_widget(Paragraph::new(newest.map(|line| Line::from(format!(" {line}"))).collect::<Vec<_>>()), history);
    draw_keys(view, &paint, frame, bottom, keys, &mut spots);
    spots
}

struct Paint {
    colours: bool,
}

impl Paint {
    fn of(&self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn bold(&self, colour: Color) -> Style {
        self.of(colour).add_modifier(Modifier::BOLD)
    }
}

fn draw_title(view: &View, now: Tick, paint: &Paint, frame: &mut Frame<'_>, area: Rect) {
    let sign = if view.well { "●" } else { "✖" };
    let mail = view.mailbox.as_ref().map_or_else(String::new, |what| format!("✉ {what}  "));
    let (agent, colour) = view.agent.as_ref().map_or((String::new(), GREEN), |agent| {
        let (sign, words, colour) = look_of_agent(agent, now);
        (format!("{sign} {words}  "), colour)
    });
    let standing = Line::from(vec![
        Words::styled(mail, paint.bold(ORANGE)),
        Words::styled(agent, paint.of(colour)),
        Words::styled(format!("{sign} "), paint.of(if view.well { GREEN } else { VERMILION })),
        Words::raw(format!("{} ", view.standing)),
    ]);
    frame.render_widget(Paragraph::new(format!(" {}", view.title)).style(Modifier::BOLD), area);
    frame.render_widget(Paragraph::new(standing.right_aligned()), area);
}

/// Sign, word and colour of a call.
fn look_of(shown: &Shown) -> (&'static str, &'static str, Color) {
    let word = shown.word();
    match shown.stand {
        Stand::Rings => ("◆", word, ORANGE),
        Stand::Calling => ("▷", word, BLUE),
        Stand::Talking if shown.held_by_us => ("‖", word, ORANGE),
        Stand::Talking if shown.muted => ("∅", word, VERMILION),
        Stand::Talking if shown.conference => ("∴", word, GREEN),
        Stand::Talking => ("▶", word, GREEN),
    }
}

fn time(now: Tick, since: Tick) -> String {
    let seconds = now.since(since).as_s();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Sign, words and colour of what an agent does.
fn look_of_agent(agent: &AgentNow, now: Tick) -> (&'static str, String, Color) {
    let for_so_long = time(now, agent.since);
    let why = agent.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    match agent.state {
        AgentState::Available => ("●", "ready".to_owned(), GREEN),
        AgentState::Offered => ("◆", "offered".to_owned(), ORANGE),
        AgentState::Busy => ("▶", "busy".to_owned(), GREEN),
        AgentState::WrapUp => match agent.until {
            Some(until) => ("✎", format!("wrap-up, {} left", time(until, now)), BLUE),
            None => ("✎", format!("wrap-up {for_so_long}"), BLUE),
        },
        AgentState::NotReady => ("‖", format!("not ready{why} {for_so_long}"), ORANGE),
        AgentState::LoggedOut => ("○", "logged out".to_owned(), VERMILION),
    }
}

/// What is said of a customer beside the name.
fn remarks_of(customer: &Customer, now: Tick) -> Vec<String> {
    let entered = (!customer.entered.is_empty()).then(|| format!("pressed {}", customer.entered));
    let earlier = match customer.earlier {
        0 => None,
        1 => Some("called once before".to_owned()),
        times => Some(format!("called {times} times before")),
    };
    let remarks = [
        customer.waits_since.map(|since| format!("waits {}", time(now, since))),
        customer.callback.then(|| "wants to be called back".to_owned()),
        entered,
        earlier,
    ];
    remarks.into_iter().flatten().collect()
}

/// The state, seen from across the room.
fn draw_state(view: &View, now: Tick, paint: &Paint, frame: &mut Frame<'_>, area: Rect) {
    let spaced = |word: &str| word.chars().flat_map(|letter| [letter, ' ']).collect::<String>();
    let (lines, colour) = match view.first() {
        None if view.well => match &view.agent {
            None => (vec![format!("●  {}", spaced("READY")), String::new()], GREEN),
            Some(agent) => {
                let (sign, words, colour) = look_of_agent(agent, now);
                let queues = match &*agent.queues {
                    [] => format!("{} · in no queue", agent.name),
                    queues => format!("{} · {}", agent.name, queues.join(", ")),
                };
                (vec![format!("{sign}  {}", spaced(&words.to_uppercase())), queues], colour)
            }
        },
        None => (vec![format!("✖  {}", spaced("NOT CONNECTED")), view.standing.clone()], VERMILION),
        Some(shown) => {
            let (sign, word, colour) = look_of(shown);
            let customer = view.agent.as_ref().and_then(|agent| agent.customer.as_ref());
            // The exchange knows of one customer at a time: of the call that came from a queue.
            let customer = customer.filter(|_| shown.queue.is_some());
            let remarks = [
                shown.queue.as_ref().map(|queue| format!("queue {queue}")),
                shown.codec.map(str::to_owned),
                shown.held_by_peer.then(|| "held by the other side".to_owned()),
            ];
            let known = customer.map(|customer| remarks_of(customer, now)).unwrap_or_default();
            let remarks: Vec<String> = remarks.into_iter().flatten().chain(known).collect();
            let first = format!("{sign}  {}  {}", spaced(word), time(now, shown.since));
            let others = view.calls.iter().filter(|other| shown.conference && other.conference);
            let others = others.filter(|other| other.call != shown.call).map(|other| format!(" and {}", other.who));
            let who = others.fold(shown.who.clone(), |who, other| who + &other);
            let note = customer.and_then(|customer| customer.note.as_ref()).map(|note| format!("✎ {}", one_line(note)));
            ([first, who, remarks.join(" · ")].into_iter().chain(note).collect(), colour)
        }
    };
    let block = Block::bordered().border_style(paint.bold(colour));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let text = lines.into_iter().enumerate().map(|(n, line)| {
        let style = if n == 0 { paint.bold(colour) } else { Style::new().add_modifier(Modifier::BOLD) };
        Line::styled(format!("  {line}"), style)
    });
    frame.render_widget(Paragraph::new(text.collect::<Vec<_>>()), inner);
}

/// What somebody has written, on one line, steering no terminal.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).collect()
}

fn draw_calls(view: &View, now: Tick, paint: &Paint, frame: &mut Frame<'_>, area: Rect, spots: &mut Spots) {
    let current = view.current().map(|shown| shown.call);
    for (n, shown) in view.calls.iter().take(CALLS_SHOWN).enumerate() {
        let Some(row) = area.rows().nth(n) else { return };
        let (sign, word, colour) = look_of(shown);
        let mark = if Some(shown.call) == current { ">" } else { " " };
        let line = Line::from(vec![
            Words::raw(format!(" {mark} ")),
            Words::styled(format!("{sign} {word:10}"), paint.of(colour)),
            Words::raw(format!(" {:>6}  {}", time(now, shown.since), shown.who)),
        ]);
        frame.render_widget(Paragraph::new(line), row);
        spots.calls.push((row, shown.call));
    }
    if let (Some(more), Some(row)) =
        (view.calls.len().checked_sub(CALLS_SHOWN).filter(|more| *more > 0), area.rows().nth(CALLS_SHOWN))
    {
        frame.render_widget(Paragraph::new(format!("     and {more} more")), row);
    }
}

/// A level as a bar of `width` characters.
fn bar(db: f32, width: usize) -> String {
    let full = ((1.0 + db / METER_DB).clamp(0.0, 1.0) * width as f32).round() as usize;
    "█".repeat(full) + &"░".repeat(width - full)
}

fn draw_sound(view: &View, paint: &Paint, frame: &mut Frame<'_>, area: Rect) {
    let switch = |name: &str, on: bool| format!("{name} {}", if on { "on" } else { "OFF" });
    let processing = [
        switch("echo cancellation", view.voice.echo),
        switch("noise suppression", view.voice.noise),
        switch("gain control", view.voice.gain),
    ];
    let rule = Line::from("─".repeat(usize::from(area.width)));
    let mut lines = vec![rule.clone()];
    let meters = view.current().and_then(|shown| shown.meters.as_ref());
    lines.push(match meters {
        Some(meters) => levels(meters, usize::from(area.width), paint),
        None => Line::from(" microphone and ear are measured in a call"),
    });
    lines.push(match meters {
        Some(meters) => network(meters, paint),
        None => Line::default(),
    });
    lines.push(Line::from(format!(" {}", processing.join(" · "))));
    lines.push(rule);
    frame.render_widget(Paragraph::new(lines), area);
}

fn levels(meters: &Meters, width: usize, paint: &Paint) -> Line<'static> {
    let long = (width.saturating_sub(36) / 2).min(30);
    let mut words = Vec::new();
    for (name, db) in [("you", meters.mouth_db), ("they", meters.ear_db)] {
        let (colour, remark) = if db > LOUD_DB { (ORANGE, "LOUD") } else { (BLUE, "    ") };
        words.push(Words::raw(format!(" {name} ")));
        words.push(Words::styled(bar(db, long), paint.of(colour)));
        words.push(Words::raw(format!(" {db:>4.0} dB {remark}")));
    }
    Line::from(words)
}

fn network(meters: &Meters, paint: &Paint) -> Line<'static> {
    let (sign, colour) = match meters.quality {
        Quality::Good => ("●●●", GREEN),
        Quality::Fair => ("●●○", BLUE),
        Quality::Poor => ("●○○", ORANGE),
        Quality::Bad | Quality::Silent => ("○○○", VERMILION),
    };
    let why = meters.why.map_or_else(String::new, |why| format!(": {why}"));
    let round_trip = meters.round_trip_ms.map_or_else(String::new, |ms| format!(" · round trip {ms:.0} ms"));
    let gaps = match meters.device_xruns {
        0 => String::new(),
        gaps => format!(" · {gaps} gaps at the sound device"),
    };
    Line::from(vec![
        Words::styled(format!(" {sign} "), paint.bold(colour)),
        Words::styled(format!("line {}{why}", meters.quality.word()), paint.of(colour)),
        Words::raw(format!(
            " · {:.1} % lost · jitter {:.0} ms{round_trip}{gaps} · gain {:+.0} dB",
            meters.lost_percent, meters.jitter_ms, meters.gain_db
        )),
    ])
}

/// Keys by lines of a screen so wide.
fn key_lines(view: &View, width: u16) -> Vec<Vec<(char, &'static str)>> {
    if view.typed.is_some() {
        return vec![Vec::new()];
    }
    let mut lines: Vec<Vec<(char, &'static str)>> = vec![Vec::new()];
    let mut used = 0;
    let of_agents = if view.agent.is_some() { &AGENT_KEYS[..] } else { &[] };
    for (key, word) in KEYS.iter().chain(of_agents).copied() {
        let long = word.len() + 5;
        if used + long > usize::from(width) && used > 0 {
            lines.push(Vec::new());
            used = 0;
        }
        used += long;
        if let Some(line) = lines.last_mut() {
            line.push((key, word));
        }
    }
    lines
}

fn draw_keys(
    view: &View,
    paint: &Paint,
    frame: &mut Frame<'_>,
    area: Rect,
    keys: Vec<Vec<(char, &'static str)>>,
    spots: &mut Spots,
) {
    if let Some(Typed { text, what, number: _ }) = &view.typed {
        let line = match what {
            Typing::Transfer(_) => format!(" transfer to: {text}_   (Enter transfers, ↑ earlier numbers, Esc forgets)"),
            Typing::Call => format!(" call: {text}_   (Enter calls, ↑ earlier numbers, Esc forgets)"),
            Typing::Reason => {
                let known = REASONS.iter().zip(1..).map(|(reason, digit)| format!("{digit} {reason}"));
                format!(" not ready: {text}_   ({}; Enter tells, Esc forgets)", known.collect::<Vec<_>>().join(", "))
            }
        };
        return frame.render_widget(Paragraph::new(line).style(Modifier::BOLD), area);
    }
    for (row, line) in area.rows().zip(keys) {
        let mut column = row.x;
        for (key, word) in line {
            let code = KeyCode::Char(key);
            let useful = view.meaning(code) != Wish::Nothing;
            // `0` stands for all keys of a telephone, which its word shows.
            let shown = if key == '0' { format!(" {word}  ") } else { format!(" {key} {word}  ") };
            let place = Rect { x: column, width: shown.chars().count() as u16, ..row }.intersection(area);
            column = column.saturating_add(place.width);
            let style = if useful { paint.bold(BLUE) } else { Style::new().add_modifier(Modifier::DIM) };
            frame.render_widget(Paragraph::new(shown).style(style), place);
            if useful && key != '0' {
                spots.keys.push((place, code));
            }
        }
    }
}
