// Moves calls that wait: to an agent, who is rung as soon as free, or to another queue.
import { may, send } from "./session.js";

export function startMoving({ byId, element, tag, tags, state, refused, moved }) {
  const dialog = byId("moving");
  let call = null;
  byId("moving-close").onclick = () => dialog.close();

  async function move(body) {
    try {
      await send(`/api/v1/calls/${call.id}/placement`, body);
      dialog.close();
      moved();
    } catch (error) {
      if (refused(error)) dialog.close();
      else byId("moving-note").textContent = error.detail ?? "The exchange did not take that.";
    }
  }

  const choice = (textContent, body, ...more) =>
    element("button", { type: "button", onclick: () => move(body) }, element("span", { textContent }), ...more);

  function show(chosen) {
    call = chosen;
    const there = (agent) => agent.state !== "logged-out" && agent.state !== "not-ready";
    const free = (agent) => Number(agent.state !== "available");
    const agents = state.agents.filter((agent) => there(agent) && agent.queues.includes(call.queue))
      .sort((a, b) => free(a) - free(b) || a.name.localeCompare(b.name));
    const queues = state.queues.filter((queue) => queue.name !== call.queue);
    byId("moving-who").textContent = `${call.caller || "A withheld number"} waits in ${call.queue}.`;
    byId("moving-note").textContent = "";
    byId("moving-agents").replaceChildren(...agents.map((agent) => choice(agent.name, { agent: agent.id }, " ", tag(agent.state, tags[agent.state]))));
    byId("moving-queues").replaceChildren(...queues.map((queue) => choice(queue.name, { queue: queue.id }, element("span", { className: "quiet", textContent: ` ${queue.waiting} waiting` }))));
    byId("moving-nobody").hidden = agents.length > 0;
    byId("moving-nowhere").hidden = queues.length > 0;
    dialog.showModal();
  }

  // The button of a call that waits, for whom it is.
  return (waiting) => may("supervise") && ["waiting", "ringing"].includes(waiting.state) && waiting.queue
    ? element("button", {
        type: "button", className: "small", textContent: "Move",
        ariaLabel: `Move the call of ${waiting.caller || "a withheld number"}`, onclick: () => show(waiting),
      })
    : null;
}
