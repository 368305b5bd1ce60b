// Every control of the desk by a key, and the list of keys. Whoever speaks to the machine, or types by accident, can turn them off.

import { byId, element } from "./parts.js";
import { t } from "./words.js";

const OFF = "keys-off";
// Key, message, and what it presses or where it goes.
const KEYS = [
  ["a", "offer.answer", "offer-answer"], ["d", "offer.decline", "offer-decline"],
  ["h", "talk.hold", "talk-hold"], ["m", "talk.mute", "talk-mute"], ["v", "keys.record", "talk-record"], ["X", "talk.hang-up", "talk-end"],
  ["t", "keys.transfer", "target"], ["c", "transfer.ask", "consult"], ["p", "asked.put-through", "asked-through"], ["j", "asked.conference", "asked-all"], ["b", "asked.back", "asked-back"],
  ["s", "noting.find", "codes-find"], ["o", "noting.note", "noted"], ["k", "noting.keep", "noting-keep"],
  ["w", "wrap.done", "wrap-done"], ["e", "keys.extend", "wrap-more"],
];
const TYPES = new Set(["INPUT", "SELECT", "TEXTAREA"]);

const usable = (node) => node && !node.disabled && node.checkVisibility();

export function startKeys({ change, pick }) {
  const acts = new Map(KEYS.map(([key, , id]) => [key, () => {
    const node = byId(id);
    if (!usable(node)) return;
    if (TYPES.has(node.tagName)) node.focus();
    else node.click();
  }]));
  acts.set("r", () => change("available"));
  acts.set("n", () => change("not-ready"));
  const help = byId("help");
  const open = () => help.showModal();
  acts.set("?", open);
  const names = [["r", "state.available"], ["n", "state.not-ready"], ...KEYS.map(([key, name]) => [key, name]), ["1–9", "noting.by-key"], ["?", "keys.title"]];
  byId("help-keys").append(...names.flatMap(([key, name]) => [element("dt", { textContent: key === "X" ? "Shift X" : key }), element("dd", { textContent: t(name) })]));
  byId("help-open").addEventListener("click", open);
  byId("help-close").addEventListener("click", () => help.close());
  byId("keys-on").checked = localStorage.getItem(OFF) === null;
  byId("keys-on").addEventListener("change", () => (byId("keys-on").checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "1")));
  document.addEventListener("keydown", (event) => {
    const { key, target, ctrlKey, altKey, metaKey, repeat } = event;
    if (ctrlKey || altKey || metaKey || repeat || event.isComposing || help.open || TYPES.has(target.tagName) || byId("desk").hidden || byId("own").hidden) return;
    if (localStorage.getItem(OFF) !== null && key !== "?") return;
    const act = acts.get(key) ?? (/^[1-9]$/.test(key) ? () => pick(Number(key)) : null);
    if (!act) return;
    event.preventDefault();
    act();
  });
}
