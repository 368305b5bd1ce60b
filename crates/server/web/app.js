import { startAgents } from "./agents.js";
import { startAudit, startDesk } from "./desk.js";
import { startMoving } from "./moving.js";
import { startRecordings } from "./recordings.js";
import { startReports } from "./reports.js";
import { SignInWanted, ask, may, send, session, startSession } from "./session.js";
import { clock, errorText, language, moment, number, offerLanguages, t, word } from "./words.js";

// The page: fetches what it shows, listens to the live events, fetches again what they touch. Nothing comes from elsewhere.

const ROWS_MAX = 200;
const REFRESH_MS = 250;
const REFRESH_AGAIN_MS = 2000;
// A large exchange is asked less often: the pause is at least so many times what the last answers took.
const REFRESH_REST = 6;
const byId = (id) => document.getElementById(id);

const state = { queues: [], agents: [], calls: [], records: [], skew: 0, lastEvent: null, stale: new Set(), timer: null, took: 0 };

const CALL_TAGS = { greeting: "", announcing: "", echo: "", waiting: "warn", ringing: "warn", talking: "good", held: "busy", "calling-back": "warn", recording: "", ending: "" };
const AGENT_TAGS = { available: "good", offered: "warn", busy: "busy", "wrap-up": "busy", "not-ready": "bad", "logged-out": "" };
// What a supervisor may do, by what it is called in the API.
const SUPERVISE = ["listen", "whisper", "barge", "take-over", "leave"];
// Which list an event makes stale.
const TOUCHES = {
  queue: ["queues"], agent: ["agents", "queues"], call: ["calls", "queues"], "call-ended": ["calls", "queues", "agents"],
  record: ["records", "queues"], alarm: ["alarms"], reset: ["queues", "agents", "calls", "records", "alarms"],
};

// --- Words and figures ---------------------------------------------------------------------------------------------

const two = (n) => String(n).padStart(2, "0");

function length(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const [h, m] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}

const exchangeNow = () => Date.now() + state.skew;
const sinceMs = (text) => exchangeNow() - Date.parse(text);

// --- Elements ------------------------------------------------------------------------------------------------------

function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "data") Object.assign(node.dataset, value);
    else node[key] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const tag = (textContent, kind) => element("span", { className: `tag ${kind ?? ""}`, textContent });
const agentTag = (state) => tag(word("agent", state), AGENT_TAGS[state]);
const cell = (column, content, className = "") => element("td", { className, data: { column } }, content || content === 0 ? content : "–");
// A length that grows by itself: see `tickClocks`.
const growing = (since) => element("span", { data: { since }, textContent: length(sinceMs(since)) });

function figure(name, value, className = "") {
  return element("div", {}, element("dt", { textContent: name }), element("dd", { className, textContent: value }));
}

function rows(name, items, make) {
  byId(`${name}-empty`).hidden = items.length > 0;
  byId(`${name}-table`).hidden = items.length === 0;
  byId(name).replaceChildren(...items.slice(0, ROWS_MAX).map(make));
  const more = byId(`${name}-more`);
  if (more) {
    more.hidden = items.length <= ROWS_MAX;
    more.textContent = t("floor.more", { n: items.length - ROWS_MAX });
  }
}

// --- Drawing -------------------------------------------------------------------------------------------------------

function drawTotals() {
  const count = (of) => state.agents.filter((agent) => of.includes(agent.state)).length;
  const totals = [
    [state.calls.length, t("total.calls")],
    [state.calls.filter((call) => call.state === "waiting" || call.state === "ringing").length, t("total.waiting")],
    [state.calls.filter((call) => call.state === "talking" || call.state === "held").length, t("total.talking")],
    [count(["available"]), t("total.available")],
    [count(["busy", "offered", "wrap-up"]), t("total.busy")],
  ];
  byId("totals").replaceChildren(
    ...totals.map(([n, name]) => element("li", {}, element("span", { textContent: name }), element("b", { textContent: n }))),
  );
}

function hoursOf({ calendar, open, until }) {
  const key = `hours.${open ? "open" : "closed"}`;
  return until ? t(`${key}-until`, { calendar, time: moment(until) }) : t(key, { calendar });
}

function drawQueues() {
  byId("queues-empty").hidden = state.queues.length > 0;
  byId("queues").replaceChildren(...state.queues.map((queue) => {
    const { today } = queue;
    const level = today.service_level_percent === null ? t("queue.no-calls") : number(today.service_level_percent / 100, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
    const asa = today.average_speed_of_answer_ms === null ? "–" : length(today.average_speed_of_answer_ms);
    const unserved = queue.waiting > 0 && queue.agents_logged_in === 0;
    return element("article", { className: "card" },
      element("h3", { textContent: queue.name }),
      element("dl", {},
        figure(t("queue.waiting"), queue.waiting, unserved ? "alarm" : ""),
        figure(t("queue.longest"), queue.waiting ? length(queue.longest_wait_ms) : "–"),
        ...(queue.expected_wait ? [figure(t("queue.expected"), `${length(queue.expected_wait.p50_ms)}–${length(queue.expected_wait.p80_ms)}`)] : []),
        figure(t("queue.talking"), queue.talking),
        ...(queue.callbacks ? [figure(t("queue.callbacks"), queue.callbacks)] : []),
        figure(t("queue.available"), t("queue.of", { free: queue.agents_available, all: queue.agents_logged_in })),
        figure(t("queue.level"), level),
        figure(t("queue.asa"), asa)),
      unserved ? element("p", { className: "alarm", textContent: t("queue.unserved") }) : null,
      queue.hours ? element("p", { className: "today", textContent: hoursOf(queue.hours) }) : null,
      element("p", {
        className: "today",
        title: t("queue.formula", { formula: today.service_level_formula }),
        textContent: t("queue.today", {
          offered: today.offered, answered: today.answered, abandoned: today.abandoned, away: today.flowed_out, formula: today.service_level_formula,
        }),
      }));
  }));
}

// --- Supervising ---------------------------------------------------------------------------------------------------

const supervisors = () => state.agents.filter((agent) => agent.supervises.length > 0);
const supervisor = () => supervisors().find((agent) => agent.id === (session.agent?.id ?? byId("supervisor").value));
const allowed = (agent, call) => agent.supervises.includes("*") || agent.supervises.includes(call.queue);

function drawSupervisors() {
  const chosen = sessionStorage.getItem("supervisor") ?? "";
  const known = supervisors();
  byId("supervising").hidden = known.length === 0 || !may("supervise") || session.agent !== null;
  // A list that is open stays open: it is made anew only where somebody is in it who was not.
  const key = known.map((agent) => agent.id).join();
  if (byId("supervisor").dataset.key === key) return;
  byId("supervisor").dataset.key = key;
  const option = (value, textContent) => element("option", { value, textContent, selected: value === chosen });
  byId("supervisor").replaceChildren(option("", t("supervise.nobody")), ...known.map((agent) => option(agent.id, agent.name)));
}

const guestsOf = (call) => call.guests.map((guest) =>
  tag(t(`part.${guest.joined ? guest.part : "rung"}`, { name: guest.name }), "busy"));

// One click each: the phone rings once, answers by itself, and the part changes from then on.
function supervising(call) {
  const by = supervisor();
  if (!by || (call.state !== "talking" && call.state !== "held") || !allowed(by, call) || !may("supervise")) return null;
  const present = call.guests.find((guest) => guest.name === by.name);
  const buttons = SUPERVISE.filter((how) => how !== "leave" || present).map((how) =>
    element("button", {
      type: "button", className: "small", textContent: t(`supervise.${how}`), ariaPressed: String(present?.part === how),
      onclick: () => supervise(call.id, by, how),
    }));
  return element("div", { className: "parts", role: "group", ariaLabel: t("supervise.of", { who: call.caller || t("call.withheld") }) }, ...buttons);
}

// A command about calls; what the exchange says against it stands above them.
async function order(path, body) {
  try {
    await send(path, body);
    byId("calls-note").textContent = "";
    touch(["calls"]);
  } catch (error) {
    if (!refused(error)) byId("calls-note").textContent = errorText(error);
  }
}

const supervise = (call, by, how) => order(`/api/v1/calls/${call}/supervise`, { by: by.id, how });

// Which way speech sounds worse than it should, at the time.
const soundsOf = (call) => [["caller", call.caller_sounds], ["agent", call.agent_sounds]].flatMap(([who, sounds]) =>
  [[`sounds.${who}-heard`, sounds?.heard], [`sounds.${who}-sent`, sounds?.sent]]
    .filter(([, grade]) => grade === "fair" || grade === "poor")
    .map(([what, grade]) => tag(t(what, { grade: word("grade", grade) }), grade === "poor" ? "bad" : "warn")));

// --- Recording -----------------------------------------------------------------------------------------------------

const RECORD = { "on-demand": "record.begin", recording: "record.pause", pausing: "record.resume", paused: "record.resume" };

// What becomes of a call's speech, with the button that changes it. A pause is shown when it is in force, not before.
function recordedOf(call) {
  const { state: now, paused } = call.recorded;
  if (now === "off") return null;
  const by = paused && { who: word("paused-by", paused.by.who), since: clock(paused.since) };
  const title = !paused ? "" : paused.until ? t("recorded.by-until", { ...by, until: clock(paused.until) }) : t("recorded.by", by);
  const shown = now === "on-demand" ? "" : t(`recorded.${now}`);
  const quiet = now === "recording" || now === "on-demand";
  const button = may("pause-recording") && element("button", {
    type: "button", className: "small", textContent: t(RECORD[now]),
    ariaLabel: t("recorded.of", { what: t(RECORD[now]), who: call.caller || t("call.withheld") }),
    onclick: () => setRecording(call.id, now === "recording" ? "paused" : "recording"),
  });
  return element("span", {}, element("span", { className: quiet ? "quiet" : "tag warn", title, textContent: quiet ? ` ${shown}` : shown }), " ", button);
}

const setRecording = (call, wanted) => order(`/api/v1/calls/${call}/recording`, { state: wanted });

function drawCalls() {
  byId("calls-count").textContent = state.calls.length || "";
  const order = ["waiting", "ringing"];
  const calls = [...state.calls].sort((a, b) =>
    (order.includes(b.state) - order.includes(a.state)) || a.started.localeCompare(b.started));
  rows("calls", calls, (call) => {
    const place = call.state === "waiting" && call.position ? element("span", { className: "quiet", textContent: ` ${t("call.place", { n: call.position })}` }) : null;
    const unheard = call.unheard ? tag(t(`unheard.${call.unheard}`), "bad") : null;
    const quiet = call.quiet ? tag(t(`quiet.${call.quiet}`), "warn") : null;
    return element("tr", {},
      cell(t("col.caller"), call.caller || t("call.withheld"), "name"),
      cell(t("col.state"), element("span", {}, tag(word("call", call.state), CALL_TAGS[call.state]), unheard, quiet, ...soundsOf(call), place, recordedOf(call))),
      cell(t("col.for"), growing(call.since)),
      cell(t("col.queue"), call.queue),
      cell(t("col.agent"), element("span", {}, element("span", { textContent: call.agent ?? "–" }), ...guestsOf(call), supervising(call), " ", moving(call))),
      cell(t("col.dialled"), call.number, "wrap"),
      cell(t("col.up-since"), clock(call.started)),
      cell(t("col.sip"), messagesOf(call.id)));
  });
}

function drawAgents() {
  drawSupervisors();
  desk.draw();
  byId("agents-count").textContent = state.agents.length || "";
  const rank = ["offered", "busy", "wrap-up", "available", "not-ready", "logged-out"];
  const agents = [...state.agents].sort((a, b) =>
    (rank.indexOf(a.state) - rank.indexOf(b.state)) || a.name.localeCompare(b.name));
  rows("agents", agents, (agent) => {
    const reason = agent.reason ? element("span", { className: "quiet", textContent: ` ${word("reason", agent.reason)}` }) : null;
    return element("tr", {},
      cell(t("col.agent"), agent.name, "name"),
      cell(t("col.state"), element("span", {}, agentTag(agent.state), reason, " ", changing(agent))),
      cell(t("col.for"), growing(agent.since)),
      cell(t("col.queues"), agent.queues.join(", ") || null),
      cell(t("col.phone"), agent.unreachable ? element("span", {}, agent.contact, element("span", { className: "quiet", textContent: ` ${t("phone.silent")}` })) : agent.contact ?? element("span", { className: "quiet", textContent: t("phone.none") }), "wrap"));
  });
}

function drawRecords() {
  rows("records", state.records, (record) => {
    const from = record.queued && Date.parse(record.queued);
    const answered = record.connected && Date.parse(record.connected);
    const ended = Date.parse(record.ended);
    const recording = record.recording ? t("recording.closing") : null;
    return element("tr", {},
      cell(t("col.began"), clock(record.started), "name"),
      cell(t("col.caller"), record.caller.text ?? t("call.forgotten")),
      cell(t("col.queue"), record.queue?.name ?? record.queue?.id), cell(t("col.agent"), record.agent?.name ?? record.agent?.id),
      cell(t("col.waited"), from ? length((answered ?? ended) - from) : null),
      cell(t("col.talked"), answered ? length(ended - answered) : null),
      cell(t("col.end"), element("span", {}, word("end", record.end), ...record.wrap_ups.map(({ code }) => code && tag(code, "busy")))),
      cell(t("col.recording"), record.recording?.path && may("recordings") ? recordings.listening(record.recording.id, t("recording.listen")) : recording),
      cell(t("col.sip"), messagesOf(record.id)));
  });
}

// --- The ladder of a call's SIP messages ---------------------------------------------------------------------------

const LADDER = { top: 52, row: 30, time: 64, lane: 190, end: 14 };
const open = { call: null, ladder: null, chosen: 0 };

const messagesOf = (call) => may("signalling") &&
  element("button", { type: "button", className: "small", textContent: t("ladder.open"), title: t("ladder.of", { call }), onclick: () => showLadder(call) });

async function showLadder(call) {
  Object.assign(open, { call, ladder: null, chosen: 0 });
  byId("ladder-title").textContent = t("ladder.of", { call });
  if (!byId("ladder").open) byId("ladder").showModal();
  await refreshLadder();
}

async function refreshLadder() {
  const call = open.call;
  try {
    const answer = await (await ask(`/api/v1/calls/${call}/ladder`)).json();
    if (open.call !== call) return;
    open.ladder = answer;
    byId("ladder-note").textContent = `${t("ladder.count", { n: answer.messages.length })}${answer.cut ? ` ${t("ladder.cut")}` : ""}`;
  } catch (error) {
    if (refused(error)) return;
    open.ladder = null;
    byId("ladder-note").textContent = t("ladder.none");
  }
  drawLadder();
}

function shape(name, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// The first leg stands left of the exchange, all others right of it.
const laneOf = (leg) => (leg === 0 ? 0 : leg + 1);
const laneX = (lane) => LADDER.time + LADDER.lane / 2 + lane * LADDER.lane;

function what(line) {
  return line.startsWith("SIP/2.0 ") ? line.slice(8) : line.split(" ")[0];
}

function drawLadder() {
  const { ladder } = open;
  byId("ladder-pcap").hidden = !ladder;
  byId("ladder-text").textContent = ladder?.messages[open.chosen]?.text ?? "";
  if (!ladder) return byId("ladder-drawing").replaceChildren();
  const peers = ladder.legs.map((name, leg) => {
    const message = ladder.messages.find((one) => one.leg === leg);
    return [laneOf(leg), name, message ? (message.direction === "in" ? message.from : message.to) : ""];
  });
  const own = ladder.messages[0];
  const lanes = [...peers, [1, "Offhook", own ? (own.direction === "in" ? own.to : own.from) : ""]];
  const width = laneX(Math.max(...lanes.map(([lane]) => lane))) + LADDER.lane / 2;
  const bottom = LADDER.top + ladder.messages.length * LADDER.row + LADDER.end;
  const drawing = shape("svg", { width, height: bottom, viewBox: `0 0 ${width} ${bottom}`, role: "group", "aria-label": t("ladder.open") });
  for (const [lane, name, address] of lanes) {
    drawing.append(
      shape("text", { class: "who", x: laneX(lane), y: 18 }, name),
      shape("text", { class: "where", x: laneX(lane), y: 34 }, address),
      shape("line", { class: "lane", x1: laneX(lane), x2: laneX(lane), y1: 42, y2: bottom }));
  }
  ladder.messages.forEach((message, at) => drawing.append(rung(message, at)));
  byId("ladder-drawing").replaceChildren(drawing);
}

function rung(message, at) {
  const y = LADDER.top + (at + 0.7) * LADDER.row;
  const [far, here] = [laneX(laneOf(message.leg)), laneX(1)];
  const [from, to] = message.direction === "in" ? [far, here] : [here, far];
  const tip = to > from ? -7 : 7;
  const bad = /^SIP\/2\.0 [3-6]/.test(message.first_line);
  const choose = () => {
    open.chosen = at;
    byId("ladder-text").textContent = message.text;
    for (const one of byId("ladder-drawing").querySelectorAll(".rung")) one.classList.toggle("chosen", one === group);
  };
  const words = t("ladder.said", { s: (message.after_us / 1e6).toFixed(3), from: message.from, to: message.to, line: message.first_line });
  const group = shape("g", { class: `rung ${bad ? "bad" : ""} ${at === open.chosen ? "chosen" : ""}`, tabindex: 0, role: "button", "aria-label": words },
    shape("rect", { class: "hit", x: 0, y: y - LADDER.row * 0.7, width: Math.max(from, to) + 20, height: LADDER.row }),
    shape("text", { class: "time", x: LADDER.time - 8, y }, (message.after_us / 1e6).toFixed(3)),
    shape("text", { class: "said", x: (from + to) / 2, y: y - 5 }, `${what(message.first_line)}${message.transport === "UDP" ? "" : ` · ${message.transport}`}`),
    shape("line", { class: "arrow", x1: from, x2: to + tip, y1: y, y2: y }),
    shape("path", { class: "tip", d: `M ${to} ${y} l ${tip} -4 v 8 z` }));
  group.addEventListener("click", choose);
  group.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose();
    }
  });
  return group;
}

// A link could not carry the token.
async function saveCapture() {
  const call = open.call;
  const file = URL.createObjectURL(await (await ask(`/api/v1/calls/${call}/pcap`)).blob());
  element("a", { href: file, download: `${call}.pcap` }).click();
  setTimeout(() => URL.revokeObjectURL(file), 10000);
}

// What is wrong, above everything else: an alarm, of what, the figure and its threshold.
function drawAlarms() {
  byId("alarms").hidden = state.alarms.length === 0;
  byId("alarms-list").replaceChildren(...state.alarms.map(({ name, subject, measure, value, limit, since }) =>
    element("li", {}, element("b", { textContent: name }), ` ${subject}: ${t(`alarms.${measure}`, { value, limit })} `, growing(since))));
}

const DRAW = { queues: drawQueues, agents: drawAgents, calls: drawCalls, records: drawRecords, alarms: drawAlarms };

function tickClocks() {
  for (const node of document.querySelectorAll("[data-since]")) node.textContent = length(sinceMs(node.dataset.since));
}

// --- Fetching ------------------------------------------------------------------------------------------------------

// Whether an error is that nobody is signed in; then the page asks.
function refused(error) {
  if (error instanceof SignInWanted) door.want();
  return error instanceof SignInWanted;
}

async function refresh(name) {
  const answer = await (await ask(`/api/v1/${name}${name === "records" ? "?limit=20" : ""}`)).json();
  state.skew = Date.parse(answer.at) - Date.now();
  state[name] = answer[name];
  DRAW[name]();
  drawTotals();
  if (name === "records" && may("recordings") && !byId("board").hidden) await recordings.refresh();
}

// Events come in bursts: what they touch is fetched once for all of them.
function touch(names) {
  names.filter(shown).forEach((name) => state.stale.add(name));
  state.timer ??= setTimeout(async () => {
    const names = [...state.stale];
    const began = performance.now();
    state.stale.clear();
    let pause = 0;
    try {
      await Promise.all(names.map(refresh));
      if (byId("ladder").open && names.includes("calls")) await refreshLadder();
    } catch (error) {
      names.forEach((name) => state.stale.add(name));
      pause = REFRESH_AGAIN_MS;
      refused(error);
    }
    state.took = performance.now() - began;
    state.timer = null;
    // What came meanwhile is fetched next.
    if (state.stale.size > 0 && !door.wanted()) setTimeout(() => touch([]), pause);
  }, Math.max(REFRESH_MS, state.took * REFRESH_REST));
}

// --- Live events ---------------------------------------------------------------------------------------------------

function link(name, text) {
  byId("link").dataset.state = name;
  byId("link-text").textContent = text;
}

// Reads a server-sent event stream by fetch, which unlike EventSource can carry the token.
async function listen() {
  const resume = state.lastEvent ? { "last-event-id": state.lastEvent } : {};
  const response = await ask("/api/v1/events", { headers: resume });
  link("live", t("link.live"));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    blocks.forEach(take);
  }
}

function take(block) {
  const fields = Object.fromEntries(block.split("\n").map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trimStart()];
  }));
  if (fields.id) state.lastEvent = fields.id;
  if (TOUCHES[fields.event]) touch(TOUCHES[fields.event]);
}

// What is seen goes when whoever saw it does.
function putAway() {
  byId("ladder").close();
  byId("player").close();
  byId("board").hidden = true;
  link("down", t("link.out"));
}

const shown = (name) => may(name === "records" ? "records" : "watch");

async function run() {
  for (let pause = 500; ; pause = Math.min(pause * 2, 10000)) {
    try {
      if (!(await door.load())) return door.want();
      await Promise.all(Object.keys(DRAW).filter(shown).map(refresh));
      byId("board").hidden = false;
      if (may("recordings")) await recordings.search();
      await audit.show();
      pause = 500;
      if (!may("watch")) return link("live", t("link.in"));
      await listen();
    } catch (error) {
      if (refused(error)) return;
    }
    link("down", t("link.down"));
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

offerLanguages(byId("language"));
byId("supervisor").addEventListener("change", () => {
  sessionStorage.setItem("supervisor", byId("supervisor").value);
  drawCalls();
});
byId("ladder-close").addEventListener("click", () => byId("ladder").close());
byId("ladder-pcap").addEventListener("click", saveCapture);

const door = startSession({ byId, run, stop: putAway });
const desk = startDesk({ byId, element, agentTag, growing, state, refused });
const changing = startAgents({ byId, element, agentTag, refused });
const moving = startMoving({ byId, element, state, refused, moved: () => touch(["calls", "queues"]) });
const audit = startAudit({ byId, element, cell, ask, refused });
startReports({ byId, element, shape, cell, length, rows, refused });
const recordings = startRecordings({ byId, element, shape, cell, tag, length, rows, ask, refused, state });

setInterval(tickClocks, 1000);
run();
