// The agent's desk: fetches it, listens to the live events, fetches it again when something of it changes. What is in hand is shown by
// `desk-call.js`, keys are bound by `desk-keys.js`.

import { REASONS, STATES, stateWanted } from "./agents.js";
import { startCall } from "./desk-call.js";
import { startNoting } from "./desk-noting.js";
import { startPast } from "./desk-past.js";
import { startKeys } from "./desk-keys.js";
import { listen } from "./live.js";
import { byId, element, length, say } from "./parts.js";
import { linkDesk } from "./phone-link.js";
import { SignInWanted, ask, may, send, session, startSession } from "./session.js";
import { errorText, language, offerLanguages, t, word } from "./words.js";

const KINDS = { available: "good", offered: "warn", busy: "busy", "wrap-up": "busy", "not-ready": "bad", "logged-out": "" };
const REFRESH_MS = 150;

const desk = { skew: 0, shown: null, queues: [], agents: [], phone: null, timer: null, stale: new Set() };
const now = () => Date.now() + desk.skew;

function link(state, key) {
  byId("link").dataset.state = state;
  say(byId("link-text"), t(key));
}

function refused(error) {
  if (error instanceof SignInWanted) door.want();
  return error instanceof SignInWanted;
}

const note = (text) => say(byId("note"), text);

// Does something; what is said against it stands above everything.
async function attempt(act) {
  try {
    await act();
    note("");
    return true;
  } catch (error) {
    if (!refused(error)) note(errorText(error));
    return false;
  }
}

const command = (wanted, more = {}) => attempt(async () => show(await (await send("/api/v1/desk/commands", { do: wanted, ...more })).json()));
const record = (call, state) => attempt(async () => { await send(`/api/v1/calls/${call}/recording`, { state }); touch(["desk"]); });
const change = (wanted) => attempt(async () => {
  await send(`/api/v1/agents/${session.agent.id}/state`, stateWanted(wanted, byId("reason").value));
  touch(["desk"]);
});

function drawState({ agent }) {
  const big = byId("state-big");
  say(big, word("agent", agent.state));
  big.className = `big ${KINDS[agent.state] ?? ""}`;
  say(byId("state-reason"), agent.state === "not-ready" && agent.reason ? word("reason", agent.reason) : "");
  byId("state-since").dataset.since = agent.since;
  const phone = byId("state-phone");
  phone.hidden = Boolean(agent.contact) && !agent.unreachable;
  say(phone, phone.hidden ? "" : t(agent.unreachable ? "state.phone-silent" : "state.no-phone"));
  for (const button of byId("states").children) button.setAttribute("aria-pressed", String(button.dataset.state === agent.state));
}

function show(answer) {
  desk.skew = Date.parse(answer.at) - Date.now();
  desk.shown = answer;
  drawState(answer);
  call.draw(answer);
  noting.draw(answer);
  past.draw(answer);
  tick();
}

function tick() {
  if (!desk.shown) return;
  const since = byId("state-since");
  say(since, t("for", { time: length(now() - Date.parse(since.dataset.since)) }));
  call.tick();
}

const FETCH = {
  desk: async () => show(await (await ask("/api/v1/desk")).json()),
  past: () => past.refresh(),
  targets: async () => {
    const [agents, queues] = await Promise.all(["agents", "queues"].map(async (name) => (await (await ask(`/api/v1/${name}`)).json())[name]));
    call.targets(agents.filter((agent) => agent.id !== session.agent?.id), queues);
  },
};

// Events come in bursts: what they touch is fetched once for all of them.
function touch(names) {
  names.forEach((name) => desk.stale.add(name));
  desk.timer ??= setTimeout(async () => {
    const wanted = [...desk.stale];
    desk.stale.clear();
    try {
      await Promise.all(wanted.map((name) => FETCH[name]()));
    } catch (error) {
      wanted.forEach((name) => desk.stale.add(name));
      if (!refused(error)) setTimeout(() => touch([]), 2000);
    }
    desk.timer = null;
  }, REFRESH_MS);
}

const own = (data) => data.id === session.agent?.id || data.agent === session.agent?.name || data.id === desk.shown?.offer?.call.id || desk.shown?.calls.some(({ call: { id } }) => id === data.id);

function took(name, data) {
  if (name === "reset") touch(["desk", "targets", "past"]);
  else if (["agent", "call", "call-ended"].includes(name) && own(data)) touch(["desk", "past"]);
  if (name === "queue") touch(["past"]);
  if (name === "agent" && data.id !== session.agent?.id) touch(["targets"]);
}

function putAway() {
  byId("desk").hidden = true;
  byId("help").close();
  desk.shown = null;
  link("down", "link.out");
}

async function run() {
  for (let pause = 500; ; pause = Math.min(pause * 2, 10000)) {
    try {
      if (!(await door.load())) return door.want();
      const works = session.agent !== null && may("own-state");
      byId("no-agent").hidden = works;
      byId("own").hidden = !works;
      byId("desk").hidden = false;
      if (!works) return link("live", "link.in");
      await Promise.all([FETCH.desk(), FETCH.targets()]);
      await past.refresh();
      pause = 500;
      await listen(took, () => link("live", "link.live"));
    } catch (error) {
      if (refused(error)) return;
    }
    link("down", "link.down");
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

offerLanguages(byId("language"));
byId("reason").append(element("option", { value: "", textContent: t("reason.none") }), ...REASONS.map((reason) => element("option", { value: reason, textContent: word("reason", reason) })));
byId("states").append(...STATES.map((state) =>
  element("button", { type: "button", textContent: t(`state.${state}`), data: { state }, onclick: () => change(state) })));
document.title = t("desk.title");
link("wait", "link.wait");

const door = startSession({ byId, run, stop: putAway });
const tell = linkDesk((phone) => {
  desk.phone = phone;
  if (desk.shown) call.draw(desk.shown);
});
const call = startCall({ now, command, record, tell, phone: () => desk.phone });
const noting = startNoting({ keep: (body) => attempt(async () => show(await (await send("/api/v1/desk/wrap-up", body)).json())) });
const past = startPast();
startKeys({ change, pick: noting.pick });
setInterval(tick, 500);
run();
