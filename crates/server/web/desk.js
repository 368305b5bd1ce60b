// Of whoever is an agent: the own state, and the buttons that change it. And of whoever may read it, the audit log.

import { STATES, stateWanted } from "./agents.js";
import { may, send, session } from "./session.js";

export function startDesk({ byId, element, tag, growing, tags, state, refused }) {
  async function change(wanted) {
    try {
      await send(`/api/v1/agents/${session.agent.id}/state`, stateWanted(wanted, byId("me-reason").value));
      byId("me-note").textContent = "";
    } catch (error) {
      if (!refused(error)) byId("me-note").textContent = error.detail ?? "The exchange did not take that.";
    }
  }

  function draw() {
    const own = session.agent && state.agents.find((agent) => agent.id === session.agent.id);
    byId("me-agent").hidden = !own;
    if (!own) return;
    const reason = own.reason ? ` ${own.reason}` : "";
    byId("me-state").replaceChildren(tag(own.state, tags[own.state]), `${reason} for `, growing(own.since));
    byId("me-states").replaceChildren(...STATES.map(([wanted, textContent]) =>
      element("button", { type: "button", className: "small", textContent, ariaPressed: String(own.state === wanted), onclick: () => change(wanted) })));
  }

  return { draw };
}

export function startAudit({ byId, element, cell, ask, refused }) {
  async function show() {
    if (!may("audit")) return;
    try {
      const { entries } = await (await ask("/api/v1/audit?limit=100")).json();
      byId("audit-empty").hidden = entries.length > 0;
      byId("audit-table").hidden = entries.length === 0;
      byId("audit").replaceChildren(...entries.reverse().map((entry) => element("tr", {},
        cell("When", new Date(entry.at).toLocaleString(), "name"), cell("Who", entry.who), cell("What", entry.action), cell("Of what", entry.subject), cell("Detail", entry.detail || null))));
    } catch (error) {
      refused(error);
    }
  }
  byId("audit-refresh").addEventListener("click", show);
  return { show };
}
