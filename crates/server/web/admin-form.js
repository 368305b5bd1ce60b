// Fields of forms: made from a table of the configuration, and read back as what has changed in it.
import { KINDS, PLACES, at, namesOf, plain } from "./admin-kinds.js";
import { send } from "./session.js";
import { t } from "./words.js";

export const element = (name, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};

const input = (properties) => element("input", { type: "text", autocomplete: "off", spellcheck: false, ...properties });
const options = (names, value, first) => {
  const all = names.includes(value) || value === undefined || value === "" ? names : [...names, value];
  return [element("option", { value: "", textContent: first }), ...all.map((name) => element("option", { value: name, textContent: name }))];
};
const chosenOf = (value) => new Map((value ?? []).map((each) => [typeof each === "object" ? each.queue : each, each]));
const words = (text) => text.split(",").map((word) => word.trim()).filter(Boolean);
const lined = (value) => (Array.isArray(value) ? value.join(", ") : String(value ?? ""));

// `tablesOf` gives the tables of a kind; `tell` shows what went wrong.
export function startFields({ tablesOf, tell }) {
  const form = document.getElementById("form-form");
  const names = (kind) => namesOf(tablesOf(kind));

  function pairs(key, how, value) {
    const rows = element("div", { className: "pairs" });
    const add = (name = "", of = "") => {
      const left = input({ name: `${key}/key`, value: name, ariaLabel: how.key, "placeholder": how.example ?? "" });
      const right = how.names
        ? element("select", { name: `${key}/value`, ariaLabel: how.value }, ...options(names(how.names), of, t("admin.nowhere")))
        : input({ name: `${key}/value`, ariaLabel: how.value, "placeholder": how.hint ?? "" });
      right.value = lined(of);
      const gone = element("button", { type: "button", className: "small", textContent: "×", ariaLabel: t("admin.form.take-out", { what: name || t("admin.form.this") }), onclick: () => { row.remove(); rows.dispatchEvent(new Event("input", { bubbles: true })); } });
      const row = element("div", { className: "pair" }, left, right, gone);
      rows.append(row);
    };
    for (const [name, of] of Object.entries(value ?? {})) add(name, of);
    const more = element("button", { type: "button", className: "small", textContent: t("admin.form.more"), onclick: () => { add(); rows.lastChild.firstChild.focus(); } });
    return [rows, more];
  }

  function place(key, value, title) {
    const kind = Object.keys(PLACES).find((name) => value?.[name] !== undefined) ?? "";
    const what = element("select", { name: `${key}/kind`, ariaLabel: title }, element("option", { value: "", textContent: t("admin.usual") }), ...Object.entries(PLACES).map(([name, label]) => element("option", { value: name, textContent: label })));
    what.value = kind;
    const where = element("span", { className: "where" });
    const fill = () => {
      const of = value?.[what.value];
      const label = { ariaLabel: PLACES[what.value] ?? "", name: `${key}/value` };
      if (what.value === "queue" || what.value === "flow") {
        const select = element("select", label, ...options(names(what.value), of, t("admin.choose")));
        select.value = of ?? "";
        where.replaceChildren(select);
      } else if (what.value === "number" || what.value === "say") where.replaceChildren(input({ ...label, value: lined(of), "placeholder": what.value === "say" ? t("admin.field.prompt-names") : "4930555700" }));
      else where.replaceChildren();
    };
    what.onchange = fill;
    fill();
    return element("div", { className: "place" }, what, where);
  }

  // A secret that the exchange makes. It is seen once, here.
  function made(key, how, value) {
    const field = input({ name: key, value: value ?? "", hidden: true });
    const state = element("span", { textContent: value ? t("admin.made.set") : t("admin.made.unset") });
    const shown = element("output", { className: "secret", hidden: true });
    const make = element("button", { type: "button", className: "small", textContent: value ? t("admin.made.another") : t("admin.made.one"), onclick: async () => {
      const name = form.elements.name?.value.trim();
      if (!name) return tell(t("admin.made.name-first"));
      try {
        const credential = await (await send("/api/v1/config/credentials", { kind: how, name })).json();
        field.value = credential.value;
        state.textContent = t("admin.made.is-new");
        shown.replaceChildren(element("code", { textContent: credential.secret }), ` ${t("admin.made.note")}`);
        shown.hidden = false;
        field.dispatchEvent(new Event("input", { bubbles: true }));
      } catch (error) {
        tell(error.detail ?? t("admin.made.refused"));
      }
      return undefined;
    } });
    const reset = how === "authenticator" && value
      ? element("button", { type: "button", className: "small", textContent: t("admin.made.reset"), onclick: () => { field.value = ""; state.textContent = t("admin.made.will-reset"); shown.hidden = true; field.dispatchEvent(new Event("input", { bubbles: true })); } })
      : "";
    return element("div", { className: "made" }, field, state, make, reset, shown);
  }

  function field([key, label, kind, advice], table) {
    const wrong = element("span", { className: "wrong" });
    wrong.id = `wrong-${key}`;
    wrong.dataset.key = key.split(".")[0];
    wrong.setAttribute("role", "alert");
    const value = at(table, key);
    const group = (...children) => element("fieldset", {}, element("legend", { textContent: label }), ...children, wrong);
    if (kind === "boxes") {
      const chosen = chosenOf(value);
      const all = Array.isArray(advice) ? advice : names(advice);
      const boxes = all.map((name) => element("label", {}, element("input", { type: "checkbox", name: key, value: name, checked: chosen.has(name) }), name));
      return group(element("div", { className: "boxes" }, ...boxes));
    }
    if (kind === "pairs") return group(...pairs(key, advice, value));
    if (kind === "place") return group(place(key, value, label));
    if (kind === "made") return group(made(key, advice, value));
    let control;
    if (kind === "flag") {
      control = element("select", { name: key }, ...[["", t("admin.usual")], ["true", t("admin.yes")], ["false", t("admin.no")]].map(([of, textContent]) => element("option", { value: of, textContent })));
      control.value = value === undefined ? "" : String(value);
    } else if (kind === "name") {
      control = element("select", { name: key }, ...options(names(advice), value, t("admin.none")));
      control.value = value ?? "";
    } else if (Array.isArray(kind)) {
      control = element("select", { name: key }, ...kind.map((name) => element("option", { value: name, textContent: name || t("admin.usual") })));
      if (value !== undefined && !kind.includes(String(value))) control.append(element("option", { value, textContent: value }));
      control.value = value ?? "";
    } else {
      control = input({ name: key, type: kind === "number" ? "number" : "text" });
      control.value = kind === "list" ? lined(value) : value === undefined ? "" : typeof value === "object" ? plain(value) : String(value);
    }
    control.setAttribute("aria-describedby", wrong.id);
    return element("label", {}, label, control, advice && kind !== "name" ? element("small", { textContent: advice }) : "", wrong);
  }

  // What one field says; undefined where it says nothing, and the value that it had where nothing changed.
  function read([key, , kind, advice], before) {
    const controls = (part) => [...form.querySelectorAll(`[name="${key}${part}"]`)];
    if (kind === "boxes") {
      const known = chosenOf(before);
      const chosen = controls("").filter(({ checked }) => checked).map(({ value }) => known.get(value) ?? value);
      return chosen.length === 0 && before === undefined ? undefined : chosen;
    }
    if (kind === "pairs") {
      const [keys, values] = [controls("/key"), controls("/value")];
      const entries = keys.map(({ value }, row) => [value.trim(), values[row].value.trim()]).filter(([name, of]) => name || of);
      if (entries.length === 0) return before === undefined ? undefined : null;
      return Object.fromEntries(entries.map(([name, text]) => [name, lined(before?.[name]) === text && before?.[name] !== undefined ? before[name] : advice.lists && text.includes(",") ? words(text) : text]));
    }
    if (kind === "place") {
      const [what, of] = [controls("/kind")[0].value, controls("/value")[0]?.value.trim() ?? ""];
      if (!what) return before === undefined ? undefined : null;
      if (before?.[what] !== undefined && lined(before[what]) === of) return before;
      return { [what]: what === "say" ? words(of) : what === "callback" ? true : of };
    }
    const text = controls("")[0].value.trim();
    if (text === "") return before === undefined ? undefined : null;
    if (kind === "flag") return text === "true";
    if (kind === "number") return Number(text);
    if (kind === "list") return lined(before) === text ? before : words(text);
    if (text === String(before)) return before;
    // What may be yes, no or a word.
    if (text === "true" || text === "false") return text === "true";
    return text;
  }

  // What changes: the keys of the table with what they are from now on.
  function said(kind, table) {
    const values = {};
    for (const each of KINDS[kind].fields) {
      const [key] = each;
      const before = at(table, key);
      const now = read(each, before);
      if (now === undefined || JSON.stringify(now) === JSON.stringify(before)) continue;
      const [first, second] = key.split(".");
      if (second === undefined) values[first] = now;
      else {
        const within = { ...(values[first] ?? table[first] ?? {}) };
        if (now === null) delete within[second];
        else within[second] = now;
        values[first] = Object.keys(within).length > 0 ? within : null;
      }
    }
    return values;
  }

  return { field, said };
}
