// Of whoever is an agent: the own state, and the buttons that change it. And of whoever may read it, the audit log.

import { REASONS, STATES, stateWanted } from "./agents.js";
import { may, send, session } from "./session.js";
import { errorText, moment, t, word } from "./words.js";

export function startDesk({ byId, element, agentTag, growing, state, refused }) {
  byId("me-reason").append(element("option", { value: "", textContent: t("reason.none") }), ...REASONS.map((reason) => element("option", { value: reason, textContent: word("reason", reason) })));

  async function change(wanted) {
    try {
      await send(`/api/v1/agents/${session.agent.id}/state`, stateWanted(wanted, byId("me-reason").value));
      byId("me-note").textContent = "";
    } catch (error) {
      if (!refused(error)) byId("me-note").textContent = errorText(error);
    }
  }

  function draw() {
    const own = session.agent && state.agents.find((agent) => agent.id === session.agent.id);
    byId("me-agent").hidden = !own;
    if (!own) return;
    const reason = own.reason ? ` ${word("reason", own.reason)}` : "";
    byId("me-state").replaceChildren(agentTag(own.state), `${reason} `, growing(own.since));
    byId("me-states").replaceChildren(...STATES.map((wanted) =>
      element("button", { type: "button", className: "small", textContent: t(`state.${wanted}`), ariaPressed: String(own.state === wanted), onclick: () => change(wanted) })));
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
        cell(t("col.when"), moment(entry.at), "name"), cell(t("col.who"), entry.who), cell(t("col.what"), entry.action), cell(t("col.of-what"), entry.subject), cell(t("col.detail"), entry.detail || null))));
    } catch (error) {
      refused(error);
    }
  }
  byId("audit-refresh").addEventListener("click", show);
  return { show };
}
