// Recordings: searched, listed, drawn and heard. The sound comes in ranges, so that the player goes where it is told to at once.

import { moment, t, word } from "./words.js";

const POINTS = 800;
const PAGE = 25;
const HALF = 100;
// Keys that move the place, in seconds; Infinity goes to an end.
const MOVES = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageUp: 30, PageDown: -30, Home: -Infinity, End: Infinity };

export function startRecordings({ byId, element, shape, cell, tag, length, rows, ask, refused, state }) {
  const list = { found: [], next: null, query: "" };
  const open = { id: null, seconds: 0 };
  const audio = byId("player-audio");
  const form = byId("recordings-search");

  // --- The list ----------------------------------------------------------------------------------------------------

  const listening = (id, textContent) =>
    element("button", { type: "button", className: "small", textContent, title: t("recordings.listen-to", { id }), onclick: () => show(id) });

  function kept(found) {
    const facts = [];
    if (found.erased) facts.push(tag(t("recordings.erased"), "bad"));
    if (found.held) facts.push(tag(t("recordings.held"), "warn"));
    if (found.sealed) facts.push(tag(t("recordings.sealed"), "good"));
    return facts.length ? element("span", { title: found.erased?.why ?? found.held ?? "" }, ...facts) : null;
  }

  function draw() {
    rows("recordings", list.found, (found) => element("tr", {},
      cell(t("col.began"), moment(found.started), "name"),
      cell(t("col.caller"), found.caller),
      cell(t("col.dialled"), found.number),
      cell(t("col.queue"), found.queue?.name ?? found.queue?.id),
      cell(t("col.agent"), found.agent?.name ?? found.agent?.id),
      cell(t("col.lasts"), length(found.duration_ms)),
      cell(t("col.kept"), kept(found)),
      cell(t("col.listen"), found.erased ? null : listening(found.id, t("col.listen")))));
    byId("recordings-older").hidden = !list.next;
  }

  // Local days, both of them included.
  function query() {
    const fields = new FormData(form);
    const asked = new URLSearchParams({ limit: PAGE });
    const [from, until] = ["from", "until"].map((name) => fields.get(name) && new Date(`${fields.get(name)}T00:00:00`));
    if (from) asked.set("from", from.toISOString());
    if (until) {
      until.setDate(until.getDate() + 1);
      asked.set("until", until.toISOString());
    }
    for (const name of ["number", "queue", "agent"]) if (fields.get(name)) asked.set(name, fields.get(name).trim());
    return asked;
  }

  function choices(name, items) {
    const select = form.elements[name];
    const key = items.map((item) => item.id).join();
    if (select.dataset.key === key) return;
    const chosen = select.value;
    select.dataset.key = key;
    const option = (value, textContent) => element("option", { value, textContent, selected: value === chosen });
    select.replaceChildren(option("", t("recordings.any")), ...items.map((item) => option(item.id, item.name)));
  }

  async function fetchPage(asked, keep) {
    try {
      const answer = await (await ask(`/api/v1/recordings?${asked}`)).json();
      list.found = [...keep, ...answer.recordings];
      list.next = answer.next;
      byId("recordings-note").textContent = "";
      draw();
    } catch (error) {
      if (!refused(error)) byId("recordings-note").textContent = t("recordings.unlisted");
    }
  }

  async function search() {
    choices("queue", state.queues);
    choices("agent", state.agents);
    list.query = query();
    await fetchPage(list.query, []);
  }

  // After a call, unless somebody looks at older ones.
  async function refresh() {
    if (list.found.length <= PAGE) await fetchPage(list.query || query(), []);
  }

  async function older() {
    const asked = new URLSearchParams(list.query);
    asked.set("before", list.next);
    await fetchPage(asked, list.found);
  }

  // --- The player --------------------------------------------------------------------------------------------------

  async function show(id) {
    Object.assign(open, { id, seconds: 0 });
    audio.removeAttribute("src");
    audio.load();
    byId("wave").replaceChildren();
    byId("player-segments").replaceChildren();
    byId("player-facts").replaceChildren();
    byId("player-title").textContent = t("player.of", { id });
    byId("player-note").textContent = t("player.opening");
    if (!byId("player").open) byId("player").showModal();
    byId("wave").focus();
    const path = `/api/v1/recordings/${id}`;
    try {
      const [one, peaks, ticket] = await Promise.all(
        [ask(path), ask(`${path}/peaks?points=${POINTS}`), ask(`${path}/ticket`, { method: "POST" })].map(async (one) => (await one).json()));
      if (open.id !== id) return;
      open.seconds = one.duration_ms / 1000;
      // The token goes into no address; a ticket for this recording does.
      audio.src = ticket.audio;
      drawWave(one, peaks);
      describe(one);
      tell();
    } catch (error) {
      if (!refused(error) && open.id === id) byId("player-note").textContent = t("player.unopened");
    }
  }

  // A square root, so that whoever speaks softly is seen.
  const height = (peak) => Math.sqrt(peak / 255) * (HALF - 4);

  function outline(peaks, middle) {
    const up = peaks.map((peak, x) => `${x} ${(middle - height(peak) / 2).toFixed(1)}`);
    const down = peaks.map((peak, x) => `${x} ${(middle + Math.max(height(peak) / 2, 0.5)).toFixed(1)}`).reverse();
    return `M ${up.join(" L ")} L ${down.join(" L ")} Z`;
  }

  function drawWave(one, { left, right }) {
    const drawing = shape("svg", { viewBox: `0 0 ${POINTS} ${2 * HALF}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    for (const gap of one.file?.gaps ?? []) {
      const x = (ms) => (ms / Math.max(one.duration_ms, 1)) * POINTS;
      const y = gap.side === "left" ? 0 : HALF;
      drawing.append(shape("rect", { class: "gap", x: x(gap.from_ms), y, width: x(gap.to_ms) - x(gap.from_ms), height: HALF }));
    }
    drawing.append(
      shape("path", { class: "caller", d: outline(left, HALF / 2) }),
      shape("path", { class: "heard", d: outline(right, 1.5 * HALF) }),
      shape("line", { class: "middle", x1: 0, x2: POINTS, y1: HALF, y2: HALF }));
    byId("wave").replaceChildren(drawing, element("div", { className: "now" }));
    byId("wave").setAttribute("aria-valuemax", Math.round(open.seconds));
  }

  function describe(one) {
    const parts = [one.caller, one.number && t("player.dialled", { number: one.number }), one.queue?.name, one.agent?.name].filter(Boolean);
    const held = one.held ? ` ${t("player.is-held", { why: one.held })}` : "";
    byId("player-note").textContent = `${moment(one.started)}, ${length(one.duration_ms)}${parts.length ? `: ${parts.join(", ")}` : ""}. ` +
      `${one.sealed ? t("player.is-sealed") : t("player.not-sealed")}${held}`;
    const gaps = one.file?.gaps ?? [];
    const row = (gap) => element("tr", {},
      cell(t("col.side"), gap.side === "left" ? t("player.caller") : t("player.heard"), "name"), cell(t("col.from"), seconds(gap.from_ms)), cell(t("col.to"), seconds(gap.to_ms)), cell(t("col.why"), gap.why));
    const head = element("thead", {}, element("tr", {}, ...["side", "from", "to", "why"].map((name) => element("th", { scope: "col", textContent: t(`col.${name}`) }))));
    byId("player-segments").replaceChildren(...one.segments.map(stretch),
      ...(one.goes_on_in ? [element("span", { className: "quiet", textContent: t("player.goes-on", { call: one.goes_on_in }) })] : []));
    byId("player-facts").replaceChildren(
      element("p", { className: "quiet", textContent: one.file ? `${one.file.path}, ${one.file.codec}${one.file.mended ? `, ${t("player.mended")}` : ""}, SHA-256 ${one.file.sha256}` : t("player.no-line") }),
      gaps.length ? element("table", {}, head, element("tbody", {}, ...gaps.map(row))) : element("p", { className: "quiet", textContent: t("player.no-gaps") }));
  }

  // Who was in it and when: each leads to its place.
  function stretch({ from_ms, part, agent, queue }) {
    const waiting = () => (queue ? t("player.waiting-in", { queue: queue.name ?? queue.id }) : t("player.waiting"));
    const who = part === "wait" ? waiting() : agent ? (agent.name ?? agent.id) : t("player.outside");
    const what = part === "wait" || part === "talk" ? who : `${who} (${word("part", part)})`;
    return element("button", { type: "button", className: "small", textContent: `${length(from_ms)} ${what}`, onclick: () => go(from_ms / 1000) });
  }

  const seconds = (ms) => `${(ms / 1000).toFixed(3)} s`;

  // Where the sound stands, to eye and ear.
  function tell() {
    const at = audio.currentTime || 0;
    const mark = byId("wave").querySelector(".now");
    if (mark) mark.style.left = `${open.seconds ? (at / open.seconds) * 100 : 0}%`;
    byId("wave").setAttribute("aria-valuenow", Math.round(at));
    byId("wave").setAttribute("aria-valuetext", t("player.at", { now: length(at * 1000), all: length(open.seconds * 1000) }));
  }

  function go(to) {
    if (!audio.src) return;
    audio.currentTime = Math.min(Math.max(to, 0), open.seconds);
    tell();
  }

  function play() {
    if (!audio.src) return;
    if (audio.paused) audio.play().catch(() => { byId("player-note").textContent = t("player.unplayed"); });
    else audio.pause();
  }

  byId("wave").addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (event.key === " " || event.key === "Enter") play();
    else if (move !== undefined) go(audio.currentTime + move);
    else return;
    event.preventDefault();
  });
  byId("wave").addEventListener("pointerdown", (event) => {
    const box = byId("wave").getBoundingClientRect();
    go(((event.clientX - box.left) / box.width) * open.seconds);
  });
  for (const name of ["timeupdate", "seeked", "loadedmetadata"]) audio.addEventListener(name, tell);
  byId("player").addEventListener("close", () => {
    open.id = null;
    audio.pause();
    audio.removeAttribute("src");
    audio.load();
  });
  byId("player-close").addEventListener("click", () => byId("player").close());
  byId("player-export").addEventListener("click", async () => {
    const id = open.id, format = byId("player-format").value;
    try {
      const file = URL.createObjectURL(await (await ask(`/api/v1/recordings/${id}/export?as=${format}`)).blob());
      element("a", { href: file, download: `${id}.${format}` }).click();
      setTimeout(() => URL.revokeObjectURL(file), 10000);
    } catch (error) {
      if (!refused(error)) byId("player-note").textContent = t("player.unsaved");
    }
  });
  byId("recordings-older").addEventListener("click", older);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });

  return { search, refresh, listening };
}
