// What was before and what is to come: earlier calls of the caller, callbacks of the own queues, the own figures.

import { byId, element, length, say } from "./parts.js";
import { ask } from "./session.js";
import { clock, moment, number, percent, t, word } from "./words.js";

const FIGURES = [
  ["offers", ({ offers }) => number(offers)], ["accepted", ({ accepted }) => number(accepted)],
  ["answer-rate", ({ answer_rate_percent: rate }) => (rate === null ? "–" : percent(rate / 100))],
  ["talk", ({ talk_ms: ms }) => length(ms)], ["hold", ({ hold_ms: ms }) => length(ms)], ["wrap-up", ({ wrap_up_ms: ms }) => length(ms)],
  ["handling", ({ average_handling_time_ms: ms }) => (ms === null ? "–" : length(ms))],
  ["occupancy", ({ occupancy_percent: part }) => (part === null ? "–" : percent(part / 100))],
];

export function startPast() {
  const shown = { call: null };

  const noted = ({ agent, code, note }) => [
    code ? element("span", { className: "tag busy", textContent: code }) : null,
    note ? element("span", { className: "note", textContent: `${agent.name ?? agent.id}: ${note}` }) : null,
  ];

  function pastCall({ started, queue, agent, talked_ms: talked, end, wrap_ups: notes }) {
    const facts = [queue?.name, agent?.name, talked === null ? word("end", end) : length(talked)].filter(Boolean).join(" · ");
    return element("li", {}, element("b", { textContent: moment(started) }), element("span", { className: "quiet", textContent: facts }), ...notes.flatMap(noted));
  }

  async function drawHistory(call) {
    const { calls } = await (await ask(`/api/v1/desk/history?call=${call}`)).json();
    if (shown.call !== call) return;
    byId("history-empty").hidden = calls.length > 0;
    byId("past").replaceChildren(...calls.map(pastCall));
  }

  async function drawCallbacks() {
    const { callbacks, open } = await (await ask("/api/v1/desk/callbacks")).json();
    say(byId("callbacks-count"), t("callbacks.open", { n: open }));
    byId("callbacks").replaceChildren(...callbacks.map(({ number: of, queue, asked, until, tried, rests_until: rests }) => {
      const when = rests ? t("callbacks.rests", { time: clock(rests) }) : t("callbacks.until", { time: moment(until) });
      const words = [queue, t("callbacks.asked", { time: moment(asked) }), tried ? t("callbacks.tried", { n: tried }) : null, when];
      return element("li", {}, element("b", { textContent: of ?? t("callbacks.forgotten") }), element("span", { className: "quiet", textContent: words.filter(Boolean).join(" · ") }));
    }));
  }

  async function drawFigures() {
    const figures = await (await ask("/api/v1/desk/figures")).json();
    say(byId("figures-since"), figures.since ? t("figures.since", { time: moment(figures.since) }) : t("figures.none"));
    byId("figures").replaceChildren(...FIGURES.map(([name, value]) =>
      element("div", {}, element("dt", { textContent: t(`figures.${name}`) }), element("dd", { textContent: value(figures) }))));
  }

  // The caller in hand: offered, talked to, or just talked to.
  function draw({ offer, calls, codes }) {
    const call = offer?.call.id ?? codes?.call ?? calls[0]?.call.id ?? null;
    byId("history").hidden = call === null;
    if (call === shown.call) return;
    shown.call = call;
    byId("past").replaceChildren();
    byId("history-empty").hidden = false;
    if (call) drawHistory(call).catch(() => null);
  }

  const refresh = () => Promise.all([drawCallbacks(), drawFigures()]);
  return { draw, refresh };
}
