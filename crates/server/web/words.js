// What the pages say: catalogues of messages, one a language. Texts of a document are marked by `data-t` and its kin, those that are
// made on the way come from `t`. Numbers, dates and plurals are the browser's own (Intl).

const LANGUAGES = { en: "English", "zh-Hans": "简体中文", "zh-Hant": "繁體中文" };
const KEPT = "language";

const words = { language: "en", messages: {}, plural: new Intl.PluralRules("en") };

export const language = () => words.language;

// The first of the reader's languages that there is a catalogue of. Chinese without a script is what its region writes.
function wanted() {
  const kept = localStorage.getItem(KEPT);
  if (kept in LANGUAGES) return kept;
  for (const tag of navigator.languages ?? []) {
    const { language: of, script } = new Intl.Locale(tag).maximize();
    if (of === "zh" || of === "yue") return script === "Hant" ? "zh-Hant" : "zh-Hans";
    if (of in LANGUAGES) return of;
  }
  return "en";
}

async function load() {
  const language = wanted();
  const messages = await (await fetch(`/web/words-${language}.json`)).json();
  Object.assign(words, { language, messages, plural: new Intl.PluralRules(language) });
  document.documentElement.lang = language;
  fill(document);
}

// Keeps the choice for this browser and shows the page in it.
function chooseLanguage(language) {
  localStorage.setItem(KEPT, language);
  location.reload();
}

// The message of a key, with its values in the place of `{names}`. A message that counts has one form for each plural of `n`.
export function t(key, values = {}) {
  const found = words.messages[key];
  const message = typeof found === "object" ? found[words.plural.select(values.n)] ?? found.other : found;
  if (message === undefined) throw new Error(`no catalogue has the message "${key}"`);
  return message.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? show(values[name]) : whole));
}

// A word of the exchange, such as a state, in the reader's language; one that nobody has translated as it is.
export const word = (group, name) => words.messages[`${group}.${name}`] ?? name;

const show = (value) => (typeof value === "number" ? new Intl.NumberFormat(words.language).format(value) : value);

// What an error of the API says, by its type; where that has no message of its own, in the words that came with it.
export function errorText(error) {
  const own = error.type && words.messages[`error.${error.type.replace(/^urn:offhook:/, "")}`];
  return own ?? (words.language === "en" ? error.detail : undefined) ?? words.messages[`error.${error.status}`] ?? error.detail ?? words.messages["error.other"];
}

export function fill(root) {
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const [data, attribute] of [["tLabel", "aria-label"], ["tTitle", "title"], ["tPlaceholder", "placeholder"]]) {
    const mark = data.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    for (const node of root.querySelectorAll(`[data-${mark}]`)) node.setAttribute(attribute, t(node.dataset[data]));
  }
}

// The list from which a reader chooses the language.
export function offerLanguages(select) {
  select.replaceChildren(...Object.entries(LANGUAGES).map(([value, textContent]) => Object.assign(document.createElement("option"), { value, textContent, lang: value, selected: value === language() })));
  select.addEventListener("change", () => chooseLanguage(select.value));
}

export const number = (value, options) => new Intl.NumberFormat(words.language, options).format(value);
export const percent = (part) => number(part, { style: "percent", maximumFractionDigits: 1 });
export const clock = (text) => new Intl.DateTimeFormat(words.language, { timeStyle: "medium", hourCycle: "h23" }).format(new Date(text));
export const moment = (text) => new Intl.DateTimeFormat(words.language, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" }).format(new Date(text));

await load();
