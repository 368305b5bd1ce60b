// Changes the state of somebody else: for supervisors, from the list of agents.
import { may, send, session } from "./session.js";
import { errorText, t, word } from "./words.js";

export const STATES = ["available", "not-ready", "logged-out"];
export const REASONS = ["break", "lunch", "meeting", "training", "follow-up"];

// What the API is told; only "not ready" has a reason.
export const stateWanted = (wanted, reason) => (wanted === "not-ready" && reason ? { state: wanted, reason } : { state: wanted });

export function startAgents({ byId, element, agentTag, refused }) {
  const dialog = byId("agent-state");
  byId("agent-state-reason").append(element("option", { value: "", textContent: t("reason.none") }), ...REASONS.map((reason) => element("option", { value: reason, textContent: word("reason", reason) })));
  byId("agent-state-close").onclick = () => dialog.close();

  async function change(agent, wanted) {
    try {
      await send(`/api/v1/agents/${agent.id}/state`, stateWanted(wanted, byId("agent-state-reason").value));
      dialog.close();
    } catch (error) {
      if (refused(error)) dialog.close();
      else byId("agent-state-note").textContent = errorText(error);
    }
  }

  function show(agent) {
    byId("agent-state-title").textContent = agent.name;
    byId("agent-state-now").replaceChildren(agentTag(agent.state), ` ${agent.queues.length ? agent.queues.join(", ") : t("agent.no-queue")}`);
    byId("agent-state-note").textContent = "";
    byId("agent-state-choices").replaceChildren(...STATES.filter((state) => state !== agent.state || state === "not-ready").map((state) =>
      element("button", { type: "button", textContent: t(`state.${state}`), onclick: () => change(agent, state) })));
    dialog.showModal();
  }

  // The button beside an agent; the own state has buttons of its own.
  return (agent) => may("agent-states") && agent.id !== session.agent?.id
    ? element("button", { type: "button", className: "small", textContent: t("agent.change"), ariaLabel: t("agent.change-of", { name: agent.name }), onclick: () => show(agent) })
    : null;
}
