// What an agent has in hand: an offer, a talk, a wrap-up.

import { byId, element, length, say } from "./parts.js";
import { may } from "./session.js";
import { t, word } from "./words.js";

const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];
const EXTEND_S = 30;
const RECORD = { "on-demand": "record.begin", recording: "record.pause", pausing: "record.resume", paused: "record.resume" };
const TALKS = ["talking", "held"];

const who = (call, outgoing) => (outgoing ? call.number : call.caller) || t("call.withheld");
const entered = (keys) => keys.map(({ menu, key }) => `${menu}: ${key}`).join(", ") || "–";

export function startCall({ now, command, record, tell, phone }) {
  const shown = { offer: null, talk: null, wrap: null, places: new Map() };
  const rings = () => phone()?.state === "ringing";

  function drawOffer(offer) {
    byId("offer").hidden = !offer;
    if (!offer) return;
    say(byId("offer-title"), t(offer.callback ? "offer.callback" : "offer.title", { queue: offer.queue }));
    say(byId("offer-who"), who(offer.call));
    say(byId("offer-queue"), offer.queue);
    say(byId("offer-entered"), entered(offer.entered));
    say(byId("offer-dialled"), offer.call.number || "–");
    byId("offer-answer").hidden = !rings();
    say(byId("offer-how"), t(rings() ? "offer.by-browser" : "offer.by-phone"));
  }

  function drawTalk(talk) {
    byId("talk").hidden = !talk;
    if (!talk) return;
    const { call, held, muted, outgoing } = talk;
    const talks = TALKS.includes(call.state);
    say(byId("talk-title"), held ? t("talk.held") : word("call", call.state));
    say(byId("talk-who"), who(call, outgoing));
    say(byId("talk-queue"), call.queue ?? "–");
    say(byId("talk-entered"), entered(talk.entered));
    say(byId("talk-dialled"), call.number || "–");
    for (const [id, on] of [["talk-hold", held], ["talk-mute", muted]]) byId(id).setAttribute("aria-pressed", String(on));
    const asked = call.guests.find(({ part }) => part === "party");
    byId("talk-hold").disabled = !talks;
    byId("talk-mute").disabled = !talks;
    byId("transfer").hidden = !talks || Boolean(asked);
    byId("asked").hidden = !asked;
    if (asked) say(byId("asked-who"), t(asked.joined ? (held ? "asked.talks" : "asked.all") : "asked.rings", { name: asked.name }));
    byId("asked-through").disabled = !asked?.joined;
    byId("asked-all").disabled = !asked?.joined || !held;
    const recorded = RECORD[call.recorded.state];
    byId("talk-record").hidden = !recorded || !may("pause-recording");
    if (recorded) say(byId("talk-record"), t(recorded));
    byId("keypad").hidden = phone()?.state !== "talking";
    byId("keypad-how").hidden = phone()?.state === "talking";
  }

  function drawWrap(wrap) {
    byId("wrap").hidden = !wrap;
    if (wrap) say(byId("wrap-queue"), wrap.queue);
  }

  function draw(answer) {
    const { agent, offer, calls, wrap_up: wrap } = answer;
    Object.assign(shown, { offer, talk: calls[0] ?? null, wrap });
    drawOffer(offer);
    drawTalk(shown.talk);
    drawWrap(wrap);
    byId("idle").hidden = Boolean(offer || shown.talk || wrap);
    say(byId("idle-text"), t(agent.state === "available" ? "idle.waiting" : "idle.away"));
    document.title = offer ? `☎ ${who(offer.call)}` : t("desk.title");
  }

  // How much of the time from `from` until `until` is left, as a bar and in words.
  function countdown(name, from, until, key) {
    const left = Date.parse(until) - now();
    byId(`${name}-bar`).value = Math.max(0, Math.min(1, left / Math.max(1, Date.parse(until) - Date.parse(from))));
    say(byId(`${name}-left`), t(key, { n: Math.max(0, Math.ceil(left / 1000)) }));
  }

  function tick() {
    const { offer, talk, wrap } = shown;
    if (offer) {
      countdown("offer", offer.call.since, offer.deadline, "offer.left");
      say(byId("offer-waited"), offer.waits_since ? length(now() - Date.parse(offer.waits_since)) : "–");
    }
    if (talk) say(byId("talk-since"), length(now() - Date.parse(talk.call.since)));
    if (wrap) {
      byId("wrap-bar").hidden = !wrap.until;
      byId("wrap-more").hidden = !wrap.until;
      if (wrap.until) countdown("wrap", wrap.since, wrap.until, "wrap.left");
      else say(byId("wrap-left"), t("wrap.open", { time: length(now() - Date.parse(wrap.since)) }));
    }
  }

  // Whom calls can be led to: colleagues, queues; a number needs no list.
  function targets(agents, queues) {
    shown.places = new Map(queues.map((queue) => [t("transfer.queue", { name: queue.name }), queue.id]));
    const option = (value, label) => element("option", { value, label });
    byId("targets").replaceChildren(
      ...agents.filter(({ state }) => state !== "logged-out").map((agent) => option(agent.name, `${agent.name} · ${word("agent", agent.state)}`)),
      ...queues.map((queue) => option(t("transfer.queue", { name: queue.name }), t("transfer.waiting", { n: queue.waiting }))));
  }

  const inCall = (wanted, more) => shown.talk && command(wanted, { call: shown.talk.call.id, ...more });

  function transfer(event) {
    event.preventDefault();
    const target = byId("target").value.trim();
    if (!target) return;
    const queue = shown.places.get(target);
    inCall("transfer", queue ? { queue } : { number: target });
    byId("target").value = "";
  }

  function consult() {
    const target = byId("target").value.trim();
    if (!target || shown.places.has(target)) return byId("target").focus();
    inCall("consult", { number: target });
    byId("target").value = "";
  }

  const on = (id, act) => byId(id).addEventListener("click", act);
  on("offer-answer", () => tell("answer"));
  on("offer-decline", () => shown.offer && command("decline", { call: shown.offer.call.id }));
  on("talk-hold", () => inCall(shown.talk?.held ? "retrieve" : "hold"));
  on("talk-mute", () => inCall(shown.talk?.muted ? "unmute" : "mute"));
  on("talk-record", () => shown.talk && record(shown.talk.call.id, shown.talk.call.recorded.state === "recording" ? "paused" : "recording"));
  on("talk-end", () => inCall("hang-up"));
  on("asked-through", () => inCall("put-through"));
  on("asked-all", () => inCall("retrieve"));
  on("asked-back", () => inCall("take-back"));
  on("consult", consult);
  on("wrap-done", () => command("wrap-up-done"));
  on("wrap-more", () => command("extend-wrap-up", { seconds: EXTEND_S }));
  byId("transfer").addEventListener("submit", transfer);
  say(byId("wrap-more"), t("wrap.more", { n: EXTEND_S }));
  byId("keypad").append(...KEYS.map((key) => element("button", { type: "button", textContent: key, onclick: () => tell("key", key) })));

  return { draw, tick, targets };
}
