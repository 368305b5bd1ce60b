// Calls that wait: why nobody takes one yet, and where it is to go: to an agent, who is rung as soon as free, or to another queue.
import { ask, may, send } from "./session.js";

// Who could not take the call even when free: nothing is gained by asking.
const NEVER = new Set(["logged-out", "not-ready", "not-this-channel", "lacks-skill", "not-lent"]);
const WHY = {
  "logged-out": () => "logged out",
  "not-ready": ({ about }) => `not ready${about ? `: ${about}` : ""}`,
  "has-offer": () => "is rung",
  busy: () => "busy",
  "wrap-up": () => "in wrap-up",
  resting: () => "rests after an offer that was not taken",
  "not-this-channel": () => "takes no calls",
  "tier-closed": ({ until }, clock) => `tier opens at ${clock(until)}`,
  "call-rings": () => "free, and the call rings elsewhere",
  asking: ({ until }, clock) => `free; a program is asked until ${clock(until)}`,
  "another-preferred": ({ about, until }, clock) => `free; the call waits for ${about ?? "another one"} until ${clock(until)}`,
  "not-lent": ({ about }) => `kept by ${about ?? "its own queue"}`,
  "lacks-skill": ({ about }) => `lacks a skill${about ? `: ${about}` : ""}`,
};

export function startMoving({ byId, element, state, clock, refused, moved }) {
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
      else note(error.detail ?? "The exchange did not take that.");
    }
  }

  const quiet = (textContent) => element("span", { className: "quiet", textContent });
  const choice = (textContent, body, more, disabled = false) =>
    element("button", { type: "button", disabled, onclick: () => move(body) }, element("span", { textContent }), " ", more);

  function drawAgents(candidates) {
    byId("moving-agents").replaceChildren(...candidates.map((candidate) => {
      const words = candidate.standing === "chosen" ? "next to be asked" : candidate.standing === "eligible" ? "free" : WHY[candidate.why]?.(candidate, clock) ?? candidate.why;
      return choice(candidate.agent, { agent: candidate.agent_id }, quiet(words), NEVER.has(candidate.why));
    }));
    byId("moving-nobody").hidden = candidates.length > 0;
  }

  async function show(chosen) {
    call = chosen;
    note("");
    drawAgents([]);
    byId("moving-nobody").hidden = true;
    byId("moving-who").textContent = `${call.caller || "A withheld number"} waits in ${call.queue}.`;
    const queues = state.queues.filter((queue) => queue.name !== call.queue);
    byId("moving-queues").replaceChildren(...queues.map((queue) => choice(queue.name, { queue: queue.id }, quiet(`${queue.waiting} waiting`))));
    byId("moving-nowhere").hidden = queues.length > 0;
    dialog.showModal();
    try {
      const { ahead, strategy, candidates } = await (await ask(`/api/v1/calls/${call.id}/explanation`)).json();
      byId("moving-who").textContent += ` ${ahead === 0 ? "It is the next one" : `${ahead} ${ahead === 1 ? "goes" : "go"} before it`}; the queue asks by ${strategy}.`;
      drawAgents(candidates);
    } catch (error) {
      if (refused(error)) dialog.close();
      else note(error.detail ?? "The exchange did not say why it waits.");
    }
  }

  // The button of a call that waits, for whom it is.
  return (waiting) => may("supervise") && ["waiting", "ringing"].includes(waiting.state) && waiting.queue
    ? element("button", {
        type: "button", className: "small", textContent: "Move",
        ariaLabel: `Move the call of ${waiting.caller || "a withheld number"}`, onclick: () => show(waiting),
      })
    : null;
}
