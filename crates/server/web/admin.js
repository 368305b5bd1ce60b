// The administration: the configuration as lists, forms and text. Every change is made in a draft, which the exchange checks as it checks the
// file; nothing is in force before it is taken in.
import { element, startFields } from "./admin-form.js";
import { draw, graphOf } from "./admin-graph.js";
import { KINDS, at as valueAt, plain } from "./admin-kinds.js";
import { startAudit, trunkNow, watchTrunks, weekOf } from "./admin-live.js";
import { startPrompts } from "./admin-prompts.js";
import { SignInWanted, ask, may, send, startSession } from "./session.js";
import { moment, offerLanguages, t } from "./words.js";

const byId = (id) => document.getElementById(id);
const VIEWS = [...Object.keys(KINDS), "prompts", "text", "history", "audit"];

const state = { version: 0, text: "", tables: {}, weeks: [], draft: null, view: "number", trunks: new Map() };
const all = () => state.draft?.tables ?? state.tables ?? {};
// The tables of a kind; one that is there once at most is a list of one.
const tablesOf = (kind) => (KINDS[kind]?.single ? [all()[kind] ?? {}] : all()[kind] ?? []);
const nameOf = (table) => table.name ?? table.number ?? "";
const weekNamed = (name) => (state.draft?.weeks?.length ? state.draft.weeks : state.weeks).find((week) => week.calendar === name);

function tell(text, kind = "") {
  byId("note").textContent = text;
  byId("note").className = `notice ${kind}`;
  byId("note").hidden = !text;
}

async function trying(work, failed = t("admin.odd")) {
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
  let within = null;
  for (const [at, row] of text.split("\n").slice(0, line).entries()) {
    const head = /^\s*\[\[\s*([\w.-]+)\s*\]\]/.exec(row) ?? /^\s*\[\s*([\w.-]+)\s*\]/.exec(row);
    // A table within: its lines belong to a key of the table around it.
    if (head && head[1].includes(".") && head[1].split(".")[0] === table?.name) {
      within = head[1].split(".")[1];
    } else if (head) {
      within = null;
      counts[head[1]] = (counts[head[1]] ?? -1) + 1;
      table = { name: head[1], at: counts[head[1]] };
    }
    if (at === line - 1) return { ...table, key: within ?? /^\s*"?([\w-]+)"?\s*=/.exec(row)?.[1] ?? null };
  }
  return { ...table, key: null };
}

// --- Lists and forms --------------------------------------------------------------------------------------------------

function list() {
  const kind = KINDS[state.view];
  const tables = tablesOf(state.view);
  byId("tables-name").textContent = kind.title;
  byId("tables-count").textContent = kind.single ? "" : tables.length;
  byId("tables-add").hidden = Boolean(kind.single);
  if (!kind.single) byId("tables-add").textContent = t(`admin.add.${state.view}`);
  byId("tables-empty").hidden = tables.length > 0;
  byId("tables-empty").textContent = t("admin.empty");
  byId("tables-table").hidden = tables.length === 0;
  const heads = [...kind.columns.map(([head]) => head), ...(kind.live ? [t("admin.now")] : []), ...(kind.weeks ? [t("admin.week")] : []), t("admin.change")];
  byId("tables-head").replaceChildren(...heads.map((textContent) => element("th", { scope: "col", textContent })));
  byId("tables-rows").replaceChildren(...tables.map((table, at) => {
    const shown = (key) => (["totp", "password", "sha256"].includes(key) && table[key] ? t("admin.yes") : plain(valueAt(table, key)));
    const cells = kind.columns.map(([, ...keys]) => element("td", { textContent: keys.map(shown).find(Boolean) ?? "–" }));
    if (!kind.single) cells[0].className = "name";
    if (kind.live) cells.push(element("td", { className: "now" }, ...trunkNow(state.trunks.get(table.name))));
    if (kind.weeks) cells.push(element("td", {}, weekOf(weekNamed(table.name))));
    const change = element("button", { className: "small", type: "button", textContent: t("admin.change"), ariaLabel: t("admin.change-it", { name: nameOf(table) || kind.title }), onclick: () => open(at) });
    const remove = element("button", { className: "small", type: "button", textContent: state.view === "token" ? t("admin.revoke") : t("admin.remove"), ariaLabel: t("admin.remove-it", { name: nameOf(table) }), onclick: () => trying(async () => take(await redraft(current(), { table: state.view, at }))) });
    cells.push(element("td", {}, change, kind.single ? "" : remove));
    for (const [column, cell] of cells.entries()) cell.dataset.column = heads[column];
    return element("tr", {}, ...cells);
  }));
  byId("way").hidden = !["number", "flow", "queue"].includes(state.view);
  if (byId("way").hidden) return;
  const graph = graphOf(all());
  draw(byId("way-drawing"), graph, ({ kind: of, at }) => {
    choose(of);
    open(at);
  });
  byId("way-faults").replaceChildren(...graph.faults.map((textContent) => element("li", { className: "warning", textContent })));
}

const current = () => state.draft?.text ?? state.text;

let opened = null;

function open(at) {
  const kind = state.view;
  const table = at === null ? {} : tablesOf(kind)[at];
  const { title, single, fields } = KINDS[kind];
  opened = { kind, at, table };
  byId("form-title").textContent = single ? title : at === null ? t(`admin.new.${kind}`) : t(`admin.of.${kind}`, { name: nameOf(table) });
  byId("form-fields").replaceChildren(...fields.map((each) => forms.field(each, table)));
  const known = new Set(fields.map(([key]) => key.split(".")[0]));
  const others = Object.keys(table).filter((key) => !known.has(key));
  byId("form-more").textContent = others.length > 0 ? t("admin.stays", { keys: others.join(", ") }) : "";
  byId("form-note").textContent = "";
  beside();
  byId("form").showModal();
}

// What is so now, in the form.
function beside(weeks) {
  const { kind, table } = opened ?? {};
  const shown = [];
  if (kind === "trunk" && table.name) shown.push(...trunkNow(state.trunks.get(table.name)));
  if (kind === "calendar") {
    const name = byId("form-form").elements.name.value;
    const week = weeks ? weeks.find((each) => each.calendar === name) : weekNamed(table.name);
    if (week) shown.push(weekOf(week));
  }
  byId("form-live").replaceChildren(...shown);
}

// The draft with what the form says, its faults shown at their fields; whether they are the form's own, and the draft.
async function check() {
  const { kind, at, table } = opened;
  const values = forms.said(kind, table);
  const single = KINDS[kind].single;
  const before = new Set((state.draft?.faults ?? []).map(({ message }) => message));
  const drafted = await redraft(current(), at === null ? { table: kind, values } : single ? { table: kind, values } : { table: kind, at, values });
  const place = single ? 0 : at ?? drafted.tables[kind].length - 1;
  const errors = drafted.faults.filter(({ severity, message }) => severity === "error" && !before.has(message));
  for (const node of byId("form-fields").querySelectorAll(".wrong")) node.textContent = "";
  for (const node of byId("form-fields").querySelectorAll("[aria-invalid]")) node.removeAttribute("aria-invalid");
  const others = [];
  let own = false;
  for (const { line, message, advice } of errors) {
    const { name, at: of, key } = placeOf(drafted.text, line);
    const here = name === kind && of === place;
    own ||= here;
    const wrong = here && key && [...byId("form-fields").querySelectorAll(".wrong")].find((node) => node.dataset.key === key);
    if (!wrong) others.push(`${message}: ${advice}`);
    else {
      wrong.textContent = `${message}: ${advice}`;
      byId("form-form").elements[key]?.setAttribute?.("aria-invalid", "true");
    }
  }
  // A fault elsewhere, such as an agent of a queue that has another name now, does not keep the change: it is told beside the draft.
  byId("form-note").textContent = own ? others.join(" ") : "";
  if (drafted.weeks.length > 0) beside(drafted.weeks);
  return { own, drafted };
}

async function done(event) {
  event.preventDefault();
  clearTimeout(looking);
  const { kind, at, table } = opened;
  if (at !== null && Object.keys(forms.said(kind, table)).length === 0) return byId("form").close();
  await trying(async () => {
    const { own, drafted } = await check();
    if (own) return;
    byId("form").close();
    take(drafted);
  });
  return undefined;
}

// Faults are shown while somebody still writes.
let looking = null;
function changed() {
  clearTimeout(looking);
  looking = setTimeout(() => { if (byId("form").open) check().catch(() => null); }, 600);
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
  element("button", { type: "button", textContent: t("admin.line", { n: line }), onclick: () => { byId("review").close(); goTo(line); } }), `: ${message}. ${advice}`));

// --- History, and what changes ----------------------------------------------------------------------------------------

async function history() {
  const { versions } = await (await ask("/api/v1/config/versions")).json();
  byId("versions").replaceChildren(...versions.map(({ version, at, who, added, removed }) => {
    const now = version === state.version;
    const back = now ? t("admin.in-force") : element("button", { className: "small", type: "button", textContent: t("admin.put-back"), ariaLabel: t("admin.put-back-it", { version }), onclick: () => trying(async () => {
      const { text } = await (await ask(`/api/v1/config/versions/${version}`)).json();
      take(await redraft(text));
      review();
    }) });
    const cells = [[t("admin.version"), version, "name"], [t("admin.since"), moment(at)], [t("admin.by"), who], [t("admin.lines"), `+${added} −${removed}`], [t("admin.back"), back]];
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
  const wait = waits.length > 0 ? ` ${t("admin.restart", { what: waits.join(", ") })}` : "";
  byId("review-note").textContent = errors > 0 ? t("admin.mend") : `${t("admin.no-call")}${wait}`;
  byId("review-faults").replaceChildren(...faults(found));
  const sign = { same: " ", added: "+", removed: "−", gap: "…" };
  byId("review-lines").replaceChildren(...changes.map(({ kind, text }) => element("span", { className: kind, textContent: `${sign[kind]} ${text}` })));
  if (changes.length === 0) byId("review-lines").textContent = t("admin.only-secrets");
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
    tell(`${t("admin.taken", { version: taken.version })}${taken.waits.length > 0 ? ` ${t("admin.restart", { what: taken.waits.join(", ") })}` : ""}`, "good");
  } catch (error) {
    if (error instanceof SignInWanted) { byId("review").close(); session.want(); return; }
    byId("review-note").textContent = error.detail ?? t("admin.odd");
    byId("review-take").disabled = false;
  }
}

// --- The page ---------------------------------------------------------------------------------------------------------

function choose(view) {
  state.view = view;
  show();
  if (view === "history") trying(history);
  if (view === "audit") audit();
  if (view === "prompts") prompts();
  if (view === "trunk") watch();
}

function show() {
  for (const view of VIEWS) byId(`tab-${view}`).setAttribute("aria-selected", String(view === state.view));
  byId("tables").hidden = !(state.view in KINDS);
  byId("whole").hidden = state.view !== "text";
  byId("history").hidden = state.view !== "history";
  byId("audit").hidden = state.view !== "audit";
  byId("prompts").hidden = state.view !== "prompts";
  if (state.view in KINDS) list();
  if (byId("text").value !== current() && document.activeElement !== byId("text")) byId("text").value = current();
  numbers();
  byId("text-faults").replaceChildren(...faults(state.draft?.faults ?? []));
  const changed = (state.draft?.changes ?? []).filter(({ kind }) => kind === "added" || kind === "removed").length;
  const errors = (state.draft?.faults ?? []).filter(({ severity }) => severity === "error").length;
  const lines = t("admin.changed", { n: changed });
  byId("draft-text").textContent = !state.draft ? t("admin.unchanged", { version: state.version }) : errors > 0 ? t("admin.draft-faults", { lines, faults: t("admin.faults", { n: errors }) }) : t("admin.draft", { lines });
  byId("draft-drop").hidden = !state.draft;
  byId("draft-review").disabled = !state.draft;
}

async function load() {
  const configuration = await (await ask("/api/v1/config")).json();
  Object.assign(state, { version: configuration.version, text: configuration.text, tables: configuration.tables });
  state.weeks = (await redraft(configuration.text)).weeks;
  byId("edited").hidden = !configuration.edited;
  byId("text").value = current();
  show();
  if (state.view === "history") await history();
}

async function enter() {
  try {
    if (!await session.load()) return session.want();
  } catch {
    return tell(t("sign.unreachable"), "bad");
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

const forms = startFields({ tablesOf, tell: (text) => { byId("form-note").textContent = text; } });
const audit = startAudit({ byId, trying });
const prompts = startPrompts({ byId, trying, tell, taken: load });
const watch = watchTrunks({
  wanted: () => state.view === "trunk" && !byId("board").hidden,
  show: (trunks) => { state.trunks = trunks; list(); if (byId("form").open) beside(); },
  failed: (error) => { if (error instanceof SignInWanted) session.want(); },
});

offerLanguages(byId("language"));
for (const view of VIEWS) byId(`tab-${view}`).onclick = () => choose(view);
byId("tables-add").onclick = () => open(null);
byId("form-form").addEventListener("submit", done);
byId("form-form").addEventListener("input", changed);
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
  tell(t("admin.taken", { version: taken.version }), "good");
});
enter();
