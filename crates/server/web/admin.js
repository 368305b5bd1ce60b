// The administration: the configuration as lists, forms and text. Every change is made in a draft, which the exchange checks as it checks the
// file; nothing is in force before it is taken in.
import { SignInWanted, ask, may, send, startSession } from "./session.js";

const byId = (id) => document.getElementById(id);
const element = (name, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};

// Fields of forms: key, label, kind, advice. "list" is words with commas between them, "boxes" some of the names of another table.
const STRATEGIES = ["", "longest-idle", "round-robin", "linear", "top-down", "ring-all", "fewest-calls", "least-talk", "least-occupied", "random", "weighted-random", "ring-progressively", "skills-best"];
const KINDS = {
  agent: {
    title: "Agents", one: "agent",
    fields: [
      ["name", "Name", "text", "{n} where there are several, numbered from .. to"],
      ["account", "Account of the phone", "text", "for a phone that registers"],
      ["contact", "Address of the phone", "text", "instead of an account: sip:alice@192.0.2.20:5060"],
      ["login", "Logged in", ["", "when-registered", "at-start", "by-command"]],
      ["queues", "Queues", "boxes", "queue"],
      ["supervises", "Supervises", "list", "queues, or * for every call"],
    ],
    columns: [["Agent", "name"], ["Queues", "queues"], ["Phone", "account", "contact"], ["Logged in", "login"]],
  },
  queue: {
    title: "Queues", one: "queue",
    fields: [
      ["name", "Name", "text", "another name is another queue: it begins with figures of its own"],
      ["strategy", "Whom it asks first", STRATEGIES],
      ["max_waiting", "Callers at most", "number"],
      ["max_wait", "Longest wait", "text", "such as 10m"],
      ["ring_for", "A phone rings for", "text", "such as 20s"],
      ["wrap_up", "Wrap-up", "text", "such as 15s, or until-done"],
      ["music", "Music", "list", "names of prompts"],
      ["announce_position_every", "Tells the place every", "text", "such as 30s"],
    ],
    columns: [["Queue", "name"], ["Asks first", "strategy"], ["At most", "max_waiting"], ["Rings for", "ring_for"], ["Wrap-up", "wrap_up"]],
  },
};

const state = { version: 0, text: "", draft: null, view: "agent", faults: [] };
const plain = (value) => {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return value.map((each) => (typeof each === "object" ? each.queue ?? JSON.stringify(each) : each)).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
};
const tablesOf = (kind) => (state.draft?.tables ?? state.tables)?.[kind] ?? [];

function tell(text, kind = "") {
  byId("note").textContent = text;
  byId("note").className = `notice ${kind}`;
  byId("note").hidden = !text;
}

async function trying(work, failed = "The exchange does not answer as it should.") {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SignInWanted) session.want();
    else tell(error.detail ?? failed, "bad");
    return null;
  }
}

// The draft: another text, and what the exchange says of it.
async function redraft(text, edit) {
  const drafted = await (await send("/api/v1/config/draft", edit ? { text, edit } : { text })).json();
  return drafted;
}

function take(drafted) {
  state.draft = drafted.text === state.text ? null : drafted;
  show();
}

// Which table and key a line of the text belongs to.
function placeOf(text, line) {
  const counts = {};
  let table = null;
  for (const [at, row] of text.split("\n").slice(0, line).entries()) {
    const head = /^\s*\[\[\s*([\w.-]+)\s*\]\]/.exec(row) ?? /^\s*\[\s*([\w.-]+)\s*\]/.exec(row);
    if (head) {
      counts[head[1]] = (counts[head[1]] ?? -1) + 1;
      table = { name: head[1], at: counts[head[1]] };
    }
    if (at === line - 1) return { ...table, key: /^\s*"?([\w-]+)"?\s*=/.exec(row)?.[1] ?? null };
  }
  return { ...table, key: null };
}

// --- Lists and forms --------------------------------------------------------------------------------------------------

function list() {
  const kind = KINDS[state.view];
  const tables = tablesOf(state.view);
  byId("tables-name").textContent = kind.title;
  byId("tables-count").textContent = tables.length;
  byId("tables-add").textContent = `Add ${kind.one === "agent" ? "an agent" : "a queue"}`;
  byId("tables-empty").hidden = tables.length > 0;
  byId("tables-empty").textContent = `There are no ${kind.title.toLowerCase()} in the configuration.`;
  byId("tables-table").hidden = tables.length === 0;
  byId("tables-head").replaceChildren(...[...kind.columns.map(([head]) => head), "Change"].map((textContent) => element("th", { scope: "col", textContent })));
  byId("tables-rows").replaceChildren(...tables.map((table, at) => {
    const cells = kind.columns.map(([head, ...keys]) => {
      const cell = element("td", { textContent: plain(keys.map((key) => table[key]).find((value) => value !== undefined)) || "–", className: head === kind.columns[0][0] ? "name" : "" });
      cell.dataset.column = head;
      return cell;
    });
    const change = element("button", { className: "small", type: "button", textContent: "Change", ariaLabel: `Change ${table.name}`, onclick: () => open(at) });
    const remove = element("button", { className: "small", type: "button", textContent: "Remove", ariaLabel: `Remove ${table.name}`, onclick: () => trying(async () => take(await redraft(current(), { table: state.view, at }))) });
    const last = element("td", {}, change, remove);
    last.dataset.column = "Change";
    return element("tr", {}, ...cells, last);
  }));
}

const current = () => state.draft?.text ?? state.text;

function field([key, label, kind, advice], table) {
  const wrong = element("span", { className: "wrong", id: `wrong-${key}` });
  wrong.setAttribute("role", "alert");
  const value = table[key];
  if (kind === "boxes") {
    const chosen = new Map((value ?? []).map((each) => [typeof each === "object" ? each.queue : each, each]));
    const boxes = tablesOf(advice).map(({ name }) => element("label", {}, element("input", { type: "checkbox", name: key, value: name, checked: chosen.has(name) }), name));
    return element("fieldset", {}, element("legend", { textContent: label }), element("div", { className: "boxes" }, ...boxes), wrong);
  }
  const input = Array.isArray(kind)
    ? element("select", { name: key }, ...kind.map((name) => element("option", { value: name, textContent: name || "as usual" })))
    : element("input", { name: key, type: kind === "number" ? "number" : "text", autocomplete: "off", spellcheck: false });
  if (Array.isArray(kind) && value !== undefined && !kind.includes(String(value))) input.append(element("option", { value, textContent: value }));
  input.value = plain(value);
  input.setAttribute("aria-describedby", wrong.id);
  const words = advice ? element("small", { textContent: advice }) : "";
  return element("label", {}, label, input, words, wrong);
}

// What the form says, of what is otherwise there.
function said(kind, table) {
  const form = byId("form-form");
  const values = {};
  for (const [key, , how] of KINDS[kind].fields) {
    if (how === "boxes") {
      const before = new Map((table[key] ?? []).map((each) => [typeof each === "object" ? each.queue : each, each]));
      const chosen = [...form.querySelectorAll(`input[name=${key}]:checked`)].map(({ value }) => before.get(value) ?? value);
      if (JSON.stringify(chosen) !== JSON.stringify(table[key] ?? [])) values[key] = chosen;
      continue;
    }
    const text = form.elements[key].value.trim();
    if (text === plain(table[key])) continue;
    if (text === "") values[key] = null;
    else if (how === "number") values[key] = Number(text);
    else if (how === "list") values[key] = text.split(",").map((word) => word.trim()).filter(Boolean);
    else values[key] = text;
  }
  return values;
}

let opened = null;

function open(at) {
  const kind = state.view;
  const table = at === null ? {} : tablesOf(kind)[at];
  opened = { kind, at, table };
  byId("form-title").textContent = at === null ? `A new ${KINDS[kind].one}` : `${KINDS[kind].one[0].toUpperCase()}${KINDS[kind].one.slice(1)} ${table.name}`;
  byId("form-fields").replaceChildren(...KINDS[kind].fields.map((each) => field(each, table)));
  const known = new Set(KINDS[kind].fields.map(([key]) => key));
  const others = Object.keys(table).filter((key) => !known.has(key));
  byId("form-more").textContent = others.length > 0 ? `Stays as it is: ${others.join(", ")}. Change these under Everything.` : "";
  byId("form-note").textContent = "";
  byId("form").showModal();
}

async function done(event) {
  event.preventDefault();
  const { kind, at, table } = opened;
  const values = said(kind, table);
  if (at !== null && Object.keys(values).length === 0) return byId("form").close();
  const before = new Set((state.draft?.faults ?? []).map(({ message }) => message));
  await trying(async () => {
    const drafted = await redraft(current(), at === null ? { table: kind, values } : { table: kind, at, values });
    const place = at ?? drafted.tables[kind].length - 1;
    const errors = drafted.faults.filter(({ severity, message }) => severity === "error" && !before.has(message));
    for (const node of byId("form-fields").querySelectorAll(".wrong")) node.textContent = "";
    for (const node of byId("form-fields").querySelectorAll("[aria-invalid]")) node.removeAttribute("aria-invalid");
    const others = [];
    for (const { line, message, advice } of errors) {
      const { name, at: of, key } = placeOf(drafted.text, line);
      const wrong = name === kind && of === place && key && byId(`wrong-${key}`);
      if (!wrong) others.push(`${message}: ${advice}`);
      else {
        wrong.textContent = `${message}: ${advice}`;
        byId("form-form").elements[key]?.setAttribute?.("aria-invalid", "true");
      }
    }
    // A fault elsewhere, such as an agent of a queue that has another name now, does not keep the change: it is told beside the draft.
    const own = errors.length > others.length || errors.some(({ line }) => { const p = placeOf(drafted.text, line); return p.name === kind && p.at === place; });
    byId("form-note").textContent = own ? others.join(" ") : "";
    if (own) return;
    byId("form").close();
    take(drafted);
  });
  return undefined;
}

// --- The text ---------------------------------------------------------------------------------------------------------

let wait = null;

function typed() {
  clearTimeout(wait);
  const text = byId("text").value;
  wait = setTimeout(() => trying(async () => {
    const drafted = await redraft(text);
    if (byId("text").value === text) take(drafted);
  }), 400);
  numbers();
}

function numbers() {
  const marked = new Map();
  for (const { line, severity } of state.draft?.faults ?? []) if (marked.get(line) !== "error") marked.set(line, severity);
  const rows = byId("text").value.split("\n").length;
  byId("lines").replaceChildren(...Array.from({ length: rows }, (_, at) => {
    const severity = marked.get(at + 1);
    return element("span", { className: severity ?? "", textContent: at + 1 });
  }));
  byId("lines").scrollTop = byId("text").scrollTop;
}

function goTo(line) {
  choose("text");
  const area = byId("text");
  const rows = area.value.split("\n");
  const from = rows.slice(0, line - 1).reduce((sum, row) => sum + row.length + 1, 0);
  area.focus();
  area.setSelectionRange(from, from + (rows[line - 1] ?? "").length);
  area.scrollTop = Math.max(0, (line - 6) * parseFloat(getComputedStyle(area).lineHeight));
}

const faults = (list) => list.map(({ line, severity, message, advice }) => element("li", { className: severity },
  element("button", { type: "button", textContent: `Line ${line}`, onclick: () => { byId("review").close(); goTo(line); } }), `: ${message}. ${advice}`));

// --- History, and what changes ----------------------------------------------------------------------------------------

async function history() {
  const { versions } = await (await ask("/api/v1/config/versions")).json();
  byId("versions").replaceChildren(...versions.map(({ version, at, who, added, removed }) => {
    const now = version === state.version;
    const back = now ? "in force" : element("button", { className: "small", type: "button", textContent: "Look and put back", ariaLabel: `Look at version ${version} and put it back`, onclick: () => trying(async () => {
      const { text } = await (await ask(`/api/v1/config/versions/${version}`)).json();
      take(await redraft(text));
      review();
    }) });
    const cells = [["Version", version, "name"], ["Since", new Date(at).toLocaleString()], ["By", who], ["Lines", `+${added} −${removed}`], ["Put back", back]];
    return element("tr", {}, ...cells.map(([column, content, className = ""]) => {
      const cell = element("td", { className }, content);
      cell.dataset.column = column;
      return cell;
    }));
  }));
}

function review() {
  const { faults: found, waits, changes } = state.draft ?? { faults: [], waits: [], changes: [] };
  const errors = found.filter(({ severity }) => severity === "error").length;
  byId("review-take").disabled = !state.draft || errors > 0;
  const wait = waits.length > 0 ? ` In force only after a restart: ${waits.join(", ")}.` : "";
  byId("review-note").textContent = errors > 0 ? "Mend the faults first; nothing is in force before." : `No call ends for it.${wait}`;
  byId("review-faults").replaceChildren(...faults(found));
  const sign = { same: " ", added: "+", removed: "−", gap: "…" };
  byId("review-lines").replaceChildren(...changes.map(({ kind, text }) => element("span", { className: kind, textContent: `${sign[kind]} ${text}` })));
  if (changes.length === 0) byId("review-lines").textContent = "Nothing changes but for secrets.";
  if (!byId("review").open) byId("review").showModal();
}

async function putIn() {
  byId("review-take").disabled = true;
  try {
    const headers = { "content-type": "application/json", "if-match": `"${state.version}"` };
    const taken = await (await ask("/api/v1/config", { method: "PUT", headers, body: JSON.stringify({ text: state.draft.text }) })).json();
    byId("review").close();
    state.draft = null;
    await load();
    tell(`Version ${taken.version} is in force.${taken.waits.length > 0 ? ` In force only after a restart: ${taken.waits.join(", ")}.` : ""}`, "good");
  } catch (error) {
    if (error instanceof SignInWanted) { byId("review").close(); session.want(); return; }
    byId("review-note").textContent = error.detail ?? "The exchange does not answer as it should.";
    byId("review-take").disabled = false;
  }
}

// --- The page ---------------------------------------------------------------------------------------------------------

function choose(view) {
  state.view = view;
  show();
  if (view === "history") trying(history);
}

function show() {
  for (const view of ["agent", "queue", "text", "history"]) byId(`tab-${view}`).setAttribute("aria-selected", String(view === state.view));
  byId("tables").hidden = !(state.view in KINDS);
  byId("whole").hidden = state.view !== "text";
  byId("history").hidden = state.view !== "history";
  if (state.view in KINDS) list();
  if (byId("text").value !== current() && document.activeElement !== byId("text")) byId("text").value = current();
  numbers();
  byId("text-faults").replaceChildren(...faults(state.draft?.faults ?? []));
  const changed = (state.draft?.changes ?? []).filter(({ kind }) => kind === "added" || kind === "removed").length;
  const errors = (state.draft?.faults ?? []).filter(({ severity }) => severity === "error").length;
  const lines = changed === 1 ? "1 line is changed" : `${changed} lines are changed`;
  byId("draft-text").textContent = state.draft ? `${lines}${errors > 0 ? `, ${errors} ${errors === 1 ? "fault" : "faults"}` : ""}; nothing is in force yet.` : `Version ${state.version} is in force; nothing is changed.`;
  byId("draft-drop").hidden = !state.draft;
  byId("draft-review").disabled = !state.draft;
}

async function load() {
  const configuration = await (await ask("/api/v1/config")).json();
  Object.assign(state, { version: configuration.version, text: configuration.text, tables: configuration.tables });
  byId("edited").hidden = !configuration.edited;
  byId("text").value = current();
  show();
  if (state.view === "history") await history();
}

async function enter() {
  try {
    if (!await session.load()) return session.want();
  } catch {
    return tell("The exchange cannot be reached.", "bad");
  }
  byId("board").hidden = false;
  byId("barred").hidden = may("configuration");
  return may("configuration") ? trying(load) : null;
}

const session = startSession({
  byId,
  run: enter,
  stop: () => { byId("board").hidden = true; },
});

for (const view of ["agent", "queue", "text", "history"]) byId(`tab-${view}`).onclick = () => choose(view);
byId("tables-add").onclick = () => open(null);
byId("form-form").addEventListener("submit", done);
byId("form-cancel").onclick = () => byId("form").close();
byId("text").addEventListener("input", typed);
byId("text").addEventListener("scroll", () => { byId("lines").scrollTop = byId("text").scrollTop; });
byId("draft-drop").onclick = () => { state.draft = null; byId("text").value = state.text; tell(""); show(); };
byId("draft-review").onclick = review;
byId("review-close").onclick = () => byId("review").close();
byId("review-take").onclick = putIn;
byId("edited-take").onclick = () => trying(async () => {
  const taken = await (await send("/api/v1/config/reload", {})).json();
  await load();
  tell(`Version ${taken.version} is in force.`, "good");
});
enter();
