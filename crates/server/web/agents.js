// Changes the state of somebody else: for supervisors, from the list of agents.
import { may, send, session } from "./session.js";

export const STATES = [["available", "Available"], ["not-ready", "Not ready"], ["logged-out", "Log out of queues"]];

// What the API is told; only "not ready" has a reason.
export const stateWanted = (wanted, reason) => (wanted === "not-ready" && reason ? { state: wanted, reason } : { state: wanted });

export function startAgents({ byId, element, tag, tags, refused }) {
  const dialog = byId("agent-state");
  byId("agent-state-close").onclick = () => dialog.close();

  async function change(agent, wanted) {
    try {
      await send(`/api/v1/agents/${agent.id}/state`, stateWanted(wanted, byId("agent-state-reason").value));
      dialog.close();
    } catch (error) {
      if (refused(error)) dialog.close();
      else byId("agent-state-note").textContent = error.detail ?? "The exchange did not take that.";
    }
  }

  function show(agent) {
    byId("agent-state-title").textContent = agent.name;
    byId("agent-state-now").replaceChildren(tag(agent.state, tags[agent.state]), agent.queues.length ? ` ${agent.queues.join(", ")}` : " in no queue");
    byId("agent-state-note").textContent = "";
    byId("agent-state-choices").replaceChildren(...STATES.filter(([state]) => state !== agent.state || state === "not-ready").map(([state, textContent]) =>
      element("button", { type: "button", textContent, onclick: () => change(agent, state) })));
    dialog.showModal();
  }

  // The button beside an agent; the own state has buttons of its own.
  return (agent) => may("agent-states") && agent.id !== session.agent?.id
    ? element("button", { type: "button", className: "small", textContent: "Change", ariaLabel: `Change the state of ${agent.name}`, onclick: () => show(agent) })
    : null;
}
