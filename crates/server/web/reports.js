// Reports: queues and agents by interval, day or month, recomputed from the event log; as a table, as bars, and to save.
import { ask } from "./session.js";
import { errorText, number, t } from "./words.js";

const percent = (value) => (value === null ? null : number(value / 100, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 }));
// What stands in the table: heading, figure, how it is written.
const COLUMNS = {
  queues: [
    ["figure.offered", "offered"], ["figure.answered", "answered"], ["figure.abandoned", "abandoned"], ["figure.away", "flowed_out"],
    ["figure.level", "service_level_percent", percent], ["figure.asa", "average_speed_of_answer_ms", "length"],
    ["figure.longest", "longest_wait_ms", "length"], ["figure.handled", "handled"], ["figure.aht", "average_handling_time_ms", "length"],
  ],
  agents: [
    ["figure.signed-in", "signed_in_ms", "length"], ["figure.available", "available_ms", "length"], ["figure.busy", "busy_ms", "length"],
    ["figure.wrap-up", "wrapping_up_ms", "length"], ["figure.not-ready", "not_ready_ms", "length"], ["figure.occupancy", "occupancy_percent", percent],
    ["figure.offers", "offers"], ["figure.accepted", "accepted"], ["figure.missed", "missed"], ["figure.handled", "handled"],
    ["figure.aht", "average_handling_time_ms", "length"],
  ],
  numbers: [
    ["figure.calls", "calls"], ["figure.answered", "answered"], ["figure.abandoned", "abandoned"], ["figure.unserved", "unserved"],
    ["figure.answered-share", "answered_percent", percent], ["figure.asa", "average_wait_ms", "length"],
    ["figure.longest", "longest_wait_ms", "length"], ["figure.talk", "average_talk_ms", "length"],
  ],
};
// What the bars are made of, from below.
const PARTS = {
  queues: [["answered", "figure.answered"], ["abandoned", "figure.abandoned"], ["flowed_out", "figure.away"]],
  agents: [["busy_ms", "figure.busy"], ["wrapping_up_ms", "figure.wrap-up"], ["available_ms", "figure.available"], ["not_ready_ms", "figure.not-ready"]],
  numbers: [["answered", "figure.answered"], ["abandoned", "figure.abandoned"], ["unserved", "figure.unserved"]],
};
const CHART = { width: 900, height: 150, foot: 20 };
const BARS_MAX = 400;
// About how long a bar lasts, in ms; days and months differ by little.
const STEPS = { "15m": 9e5, "30m": 18e5, hour: 36e5, day: 864e5, month: 2_629_746_000, total: 1 };

export function startReports({ byId, element, shape, cell, length, rows, refused }) {
  const form = byId("reports-form");
  const field = (name) => form.elements[name];
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const note = (text) => { byId("reports-note").textContent = text; };

  function question(format) {
    const wanted = { from: field("from").value, until: field("until").value, per: field("per").value, zone, format };
    return `/api/v1/reports/${field("what").value}?${new URLSearchParams(wanted)}`;
  }

  function bars(what, report) {
    const at = new Map();
    for (const row of report.rows) {
      const sums = at.get(row.began) ?? PARTS[what].map(() => 0);
      at.set(row.began, sums.map((sum, part) => sum + row[PARTS[what][part][0]]));
    }
    const chart = byId("reports-chart");
    byId("reports-key").replaceChildren();
    const times = [...at.keys()].map((began) => Date.parse(began));
    const first = Math.min(...times);
    const placeOf = (time) => Math.round((time - first) / STEPS[field("per").value]);
    const bars = placeOf(Math.max(...times)) + 1;
    if (at.size < 2 || bars > BARS_MAX) return chart.replaceChildren();
    const most = Math.max(1, ...[...at.values()].map((sums) => sums.reduce((sum, part) => sum + part, 0)));
    const wide = CHART.width / bars;
    const every = Math.ceil(bars / 8);
    const drawn = [...at].flatMap(([began, sums]) => {
      const place = placeOf(Date.parse(began));
      let foot = CHART.height - CHART.foot;
      const words = sums.map((sum, part) => `${t(PARTS[what][part][1])} ${what === "agents" ? length(sum) : sum}`).join(", ");
      const parts = sums.map((sum, part) => {
        const high = (sum / most) * (CHART.height - CHART.foot - 4);
        foot -= high;
        return shape("rect", { x: place * wide + wide * 0.1, y: foot, width: wide * 0.8, height: high, class: `part-${part}` });
      });
      const label = place % every === 0 ? shape("text", { x: place * wide + wide * 0.1, y: CHART.height - 5 }, shown(began)) : null;
      return [shape("g", {}, shape("title", {}, `${shown(began)}: ${words}`), ...parts), label];
    });
    byId("reports-key").replaceChildren(...PARTS[what].map(([, name], part) => element("span", { className: `key part-${part}`, textContent: t(name) })));
    return chart.replaceChildren(shape("svg", { viewBox: `0 0 ${CHART.width} ${CHART.height}`, role: "img", "aria-label": t("reports.bars", { of: PARTS[what].map(([, name]) => t(name)).join(", ") }) }, ...drawn.filter(Boolean)));
  }

  // The clock of the report's zone, as it was written there.
  const shown = (began) => (["day", "month", "total"].includes(field("per").value) ? began.slice(0, 10) : began.slice(5, 16).replace("T", " "));

  function table(what, report) {
    const written = (row, figure, how) => (row[figure] === null ? null : how === "length" ? length(row[figure]) : how ? how(row[figure]) : row[figure]);
    const who = { queues: [t("col.queue"), "queue"], agents: [t("col.agent"), "agent"], numbers: [t("col.number"), "number"] }[what];
    const heads = [t("reports.from"), who[0], ...COLUMNS[what].map(([head]) => t(head))];
    const titles = [null, null, ...COLUMNS[what].map(([, figure]) => report.formulas[figure])];
    byId("reports-head").replaceChildren(...heads.map((textContent, at) => element("th", { scope: "col", textContent, title: titles[at] ?? "" })));
    rows("reports", report.rows, (row) => element("tr", {},
      cell(t("reports.from"), shown(row.began)), cell(who[0], row[who[1]] || t("reports.gone"), "name"),
      ...COLUMNS[what].map(([head, figure, how]) => {
        const drawn = cell(t(head), written(row, figure, how));
        if (figure === "service_level_percent") drawn.title = row.service_level_formula;
        return drawn;
      })));
  }

  async function show(event) {
    event?.preventDefault();
    note(t("reports.reading"));
    const what = field("what").value;
    try {
      const report = await (await ask(question("json"))).json();
      note("");
      bars(what, report);
      table(what, report);
    } catch (error) {
      if (!refused(error)) note(errorText(error));
    }
  }

  async function save() {
    try {
      const url = URL.createObjectURL(await (await ask(question("csv"))).blob());
      element("a", { href: url, download: `${field("what").value}-${field("from").value}.csv` }).click();
      URL.revokeObjectURL(url);
      note("");
    } catch (error) {
      if (!refused(error)) note(errorText(error));
    }
  }

  const today = new Date(Date.now() - new Date().getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
  for (const name of ["from", "until"]) field(name).value ||= today;
  byId("reports-zone").textContent = zone;
  form.addEventListener("submit", show);
  byId("reports-save").onclick = save;
}
