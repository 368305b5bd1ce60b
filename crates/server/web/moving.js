// Calls that wait: why nobody takes one yet, and where it is to go: to an agent, who is rung as soon as free, or to another queue.
import { ask, may, send } from "./session.js";
import { clock, errorText, t } from "./words.js";

// Who could not take the call even when free: nothing is gained by asking.
const NEVER = new Set(["logged-out", "not-ready", "not-this-channel", "lacks-skill", "not-lent"]);
// Why not this one: the reason's message, and another one where it has an end or is about something.
const why = ({ why: name, about, until }) =>
  t(`why.${name}${about && ["not-ready", "lacks-skill"].includes(name) ? "-about" : ""}`, { about: about ?? t("why.another"), until: until ? clock(until) : "" });


export function startMoving({ byId, element, state, refused, moved }) {
  const dialog = byId("moving");
  const note = (text) => { byId("moving-note").textContent = text; };
  let call = null;
  byId("moving-close").onclick = () => dialog.close();

  async function move(body) {
    try {
      await send(`/api/v1/calls/${call.id}/placement`, body);
      dialog.close();
      moved();
    } catch (error) {
      if (refused(error)) dialog.close();
      else note(errorText(error));
    }
  }

  const quiet = (textContent) => element("span", { className: "quiet", textContent });
  const choice = (textContent, body, more, disabled = false) =>
    element("button", { type: "button", disabled, onclick: () => move(body) }, element("span", { textContent }), " ", more);

  function drawAgents(candidates) {
    byId("moving-agents").replaceChildren(...candidates.map((candidate) => {
      const words = candidate.standing === "chosen" || candidate.standing === "eligible" ? t(`why.${candidate.standing}`) : why(candidate);
      return choice(candidate.agent, { agent: candidate.agent_id }, quiet(words), NEVER.has(candidate.why));
    }));
    byId("moving-nobody").hidden = candidates.length > 0;
  }

  async function show(chosen) {
    call = chosen;
    note("");
    drawAgents([]);
    byId("moving-nobody").hidden = true;
    byId("moving-who").textContent = t("moving.waits", { who: call.caller || t("call.withheld"), queue: call.queue });
    const queues = state.queues.filter((queue) => queue.name !== call.queue);
    byId("moving-queues").replaceChildren(...queues.map((queue) => choice(queue.name, { queue: queue.id }, quiet(t("transfer.waiting", { n: queue.waiting })))));
    byId("moving-nowhere").hidden = queues.length > 0;
    dialog.showModal();
    try {
      const { ahead, strategy, candidates } = await (await ask(`/api/v1/calls/${call.id}/explanation`)).json();
      byId("moving-who").textContent += ` ${t(ahead === 0 ? "moving.next" : "moving.ahead", { n: ahead, strategy })}`;
      drawAgents(candidates);
    } catch (error) {
      if (refused(error)) dialog.close();
      else note(errorText(error));
    }
  }

  // The button of a call that waits, for whom it is.
  return (waiting) => may("supervise") && ["waiting", "ringing"].includes(waiting.state) && waiting.queue
    ? element("button", {
        type: "button", className: "small", textContent: t("moving.move"),
        ariaLabel: t("moving.of", { who: waiting.caller || t("call.withheld") }), onclick: () => show(waiting),
      })
    : null;
}
