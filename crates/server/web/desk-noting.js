// What a call was about: a code of its queue, chosen by key, mouse or search, and a note in words.

import { byId, element, say } from "./parts.js";
import { t } from "./words.js";

const KEYS_MAX = 9;

export function startNoting({ keep }) {
  const shown = { call: null, choices: [], given: null, chosen: null, offered: [] };

  function choose(code) {
    shown.chosen = shown.chosen === code ? null : code;
    drawChoices();
    submit();
  }

  // One group for each part above the last "/"; the first nine have keys.
  function drawChoices() {
    const wanted = byId("codes-find").value.trim().toLowerCase();
    const found = shown.choices.filter((code) => code.toLowerCase().includes(wanted));
    shown.offered = found;
    let above = null;
    const nodes = found.flatMap((code, at) => {
      const cut = code.lastIndexOf("/");
      const [group, name] = cut < 0 ? ["", code] : [code.slice(0, cut), code.slice(cut + 1)];
      const button = element("button", { type: "button", role: "radio", ariaChecked: String(code === shown.chosen), onclick: () => choose(code) },
        at < KEYS_MAX ? element("kbd", { textContent: at + 1, ariaHidden: "true" }) : null, name);
      button.setAttribute("aria-label", code);
      const head = group !== above && (group || above !== null) ? [element("h3", { textContent: group || t("noting.others"), ariaHidden: "true" })] : [];
      above = group;
      return [...head, button];
    });
    const held = document.activeElement?.closest("#codes") ? document.activeElement.getAttribute("aria-label") : null;
    byId("codes").replaceChildren(...nodes);
    if (held) [...byId("codes").querySelectorAll("button")].find((button) => button.getAttribute("aria-label") === held)?.focus();
    const many = shown.choices.length > KEYS_MAX;
    byId("codes-find").hidden = !many;
    byId("codes-find-label").hidden = !many;
    byId("codes").hidden = shown.choices.length === 0;
  }

  function draw({ codes }) {
    byId("noting").hidden = !codes;
    if (!codes) return Object.assign(shown, { call: null });
    if (codes.call !== shown.call) {
      Object.assign(shown, { call: codes.call, chosen: codes.given });
      byId("noted").value = "";
      byId("codes-find").value = "";
      say(byId("noting-kept"), "");
    }
    const same = shown.choices.join("\n") === codes.choices.join("\n") && shown.given === codes.given;
    Object.assign(shown, { choices: codes.choices, given: codes.given });
    byId("noting-wanted").hidden = !codes.required || codes.given !== null;
    if (!same || byId("codes").children.length === 0) drawChoices();
  }

  async function submit() {
    if (!shown.call) return;
    const body = { call: shown.call, note: byId("noted").value };
    if (shown.chosen) body.code = shown.chosen;
    if (await keep(body)) say(byId("noting-kept"), t("noting.kept"));
  }

  byId("noting-form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  byId("noted").addEventListener("input", () => say(byId("noting-kept"), ""));
  // Ctrl and Enter keep what is being written.
  byId("noted").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
  });
  byId("codes-find").addEventListener("input", drawChoices);
  byId("codes-find").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    if (shown.offered.length > 0) choose(shown.offered[0]);
  });

  return { draw, pick: (n) => { if (shown.call && shown.offered[n - 1]) choose(shown.offered[n - 1]); } };
}
