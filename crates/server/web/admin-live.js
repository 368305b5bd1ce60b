// What is so now, beside what is configured: the state of trunks, the coming week of calendars, and the audit log.
import { element } from "./admin-form.js";
import { ask, may } from "./session.js";
import { clock, language, moment, t, word } from "./words.js";

const EVERY_MS = 3000;
const tag = (kind, textContent) => element("span", { className: `tag ${kind}`, textContent });

// A trunk as it is: registered, answering, how many calls, what failed.
export function trunkNow(trunk) {
  if (!trunk) return [tag("rest", t("admin.trunk.waits"))];
  const parts = [];
  const { registration, targets, calls, calls_max: most, since_start: counts } = trunk;
  if (registration) parts.push(tag(registration.state === "registered" ? "good" : registration.state === "trying" ? "warn" : "bad", registration.status ? `${word("admin.trunk.state", registration.state)}, ${registration.status}` : word("admin.trunk.state", registration.state)));
  for (const { address, up, answered, status } of targets) {
    const when = answered ? `, ${t("admin.trunk.options", { status: status ?? "", time: clock(answered) })}` : "";
    parts.push(tag(up ? "good" : "bad", `${up ? t("admin.trunk.up", { address }) : t("admin.trunk.down", { address })}${when}`));
  }
  if (parts.length === 0) parts.push(tag("rest", t("admin.trunk.takes")));
  const failed = counts.outgoing_failed > 0 ? `, ${t("admin.trunk.failed", { n: counts.outgoing_failed, all: counts.outgoing })}` : "";
  const refused = counts.incoming_refused > 0 ? `, ${t("admin.trunk.refused", { n: counts.incoming_refused })}` : "";
  parts.push(element("span", { className: "quiet", textContent: `${most ? t("admin.trunk.calls-of", { n: calls, most }) : t("admin.trunk.calls", { n: calls })}${failed}${refused}` }));
  return parts;
}

// Calls `show` with trunks by name for as long as `wanted` says so.
export function watchTrunks({ wanted, show, failed }) {
  let timer = null;
  async function turn() {
    timer = null;
    if (!wanted() || !may("signalling")) return;
    try {
      const { trunks } = await (await ask("/api/v1/trunks")).json();
      show(new Map(trunks.map((trunk) => [trunk.name, trunk])));
    } catch (error) {
      failed(error);
      return;
    }
    timer = setTimeout(turn, EVERY_MS);
  }
  return () => { if (timer === null) turn(); };
}

const DAY = 1440;
const minutes = (text, first) => (Date.parse(`${text}Z`) - first) / 60_000;

// Seven days, midnight to midnight, with what is open.
export function weekOf(week) {
  if (!week) return element("span", { className: "quiet", textContent: "–" });
  const first = Date.parse(`${week.now.slice(0, 10)}T00:00Z`);
  const spans = week.hours.map(({ from, until }) => [minutes(from, first), minutes(until, first)]);
  const days = Array.from({ length: 7 }, (_, day) => {
    const bar = element("span", { className: "bar-day" });
    for (const [from, until] of spans) {
      const [a, b] = [Math.max(from, day * DAY), Math.min(until, (day + 1) * DAY)];
      if (a >= b) continue;
      const piece = element("i");
      piece.style.left = `${((a - day * DAY) / DAY) * 100}%`;
      piece.style.width = `${((b - a) / DAY) * 100}%`;
      bar.append(piece);
    }
    const name = new Date(first + day * DAY * 60_000).toLocaleDateString(language(), { weekday: "short", day: "numeric", timeZone: "UTC" });
    const hours = spans.filter(([from]) => Math.floor(from / DAY) === day).map((_, at) => at);
    const text = week.hours.filter(({ from }) => Math.floor(minutes(from, first) / DAY) === day).map(({ from, until }) => `${from.slice(11)}–${until.slice(11)}`).join(", ") || t("admin.week.closed");
    return element("span", { className: "day", title: `${name}: ${text}`, ariaLabel: `${name}: ${text}` }, element("small", { textContent: name }), bar, element("small", { className: hours.length > 0 ? "" : "quiet", textContent: text }));
  });
  return element("div", { className: "week" }, tag(week.open ? "good" : "rest", week.open ? t("admin.week.open-now") : t("admin.week.closed-now")), element("span", { className: "days" }, ...days));
}

// The audit log, the newest entries first, filtered where it is shown.
export function startAudit({ byId, trying }) {
  let entries = [];
  let next = null;
  const fields = byId("audit-form").elements;

  function show() {
    const [who, action, text] = ["who", "action", "text"].map((name) => fields[name].value.trim().toLowerCase());
    const [from, until] = ["from", "until"].map((name) => (fields[name].value ? new Date(fields[name].value) : null));
    const fits = (entry) => (!who || entry.who.toLowerCase().includes(who)) && (!action || entry.action === action)
      && (!text || `${entry.subject} ${entry.detail}`.toLowerCase().includes(text))
      && (!from || new Date(entry.at) >= from) && (!until || new Date(entry.at) <= until);
    const shown = entries.filter(fits);
    byId("audit-rows").replaceChildren(...shown.map((entry) => element("tr", {}, ...[[t("col.when"), moment(entry.at), "name"], [t("col.who"), entry.who], [t("col.what"), entry.action], [t("col.of-what"), entry.subject], [t("col.detail"), entry.detail]].map(([column, textContent, className = ""]) => {
      const cell = element("td", { textContent: textContent || "–", className });
      cell.dataset.column = column;
      return cell;
    }))));
    const since = entries.length > 0 ? ` ${t("admin.audit.since", { time: moment(entries.at(-1).at) })}` : "";
    byId("audit-count").textContent = `${t("admin.audit.count", { n: shown.length, all: entries.length })}${since}`;
    byId("audit-more").hidden = next === null;
    const actions = [...new Set(entries.map((entry) => entry.action))].sort();
    const chosen = fields.action.value;
    fields.action.replaceChildren(element("option", { value: "", textContent: t("admin.audit.everything") }), ...actions.map((name) => element("option", { value: name.toLowerCase(), textContent: name })));
    fields.action.value = chosen;
  }

  const load = (before) => trying(async () => {
    const page = await (await ask(`/api/v1/audit?limit=500${before ? `&before=${before}` : ""}`)).json();
    entries = [...(before ? entries : []), ...page.entries.reverse()];
    next = page.next;
    show();
  });
  byId("audit-form").addEventListener("input", show);
  byId("audit-form").addEventListener("submit", (event) => event.preventDefault());
  byId("audit-more").onclick = () => load(next);
  return () => load(null);
}
