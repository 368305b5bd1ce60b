// What forms the tables of the configuration have. A field is its key (with dots into a table within), label, kind, and what the kind needs:
// "text", "number", "flag", "list" (words with commas between them), a list of choices, "boxes" (several of the names of another table),
// "name" (one of them), "pairs" (keys with what belongs to each), "place" (where callers are sent), "made" (a secret made by the exchange).

import { t } from "./words.js";

const STRATEGIES = ["", "longest-idle", "round-robin", "linear", "top-down", "ring-all", "fewest-calls", "least-talk", "least-occupied", "random", "weighted-random", "ring-progressively", "skills-best"];
const RECORD = t("admin.record-hint");
export const ROLES = ["agent", "supervisor", "quality", "auditor", "operator", "administrator"];

export const KINDS = {
  agent: {
    title: t("admin.kind.agent"),
    fields: [
      ["name", t("admin.field.name"), "text", t("admin.field.several")],
      ["account", t("admin.field.account"), "name", "account"],
      ["contact", t("admin.field.contact"), "text", t("admin.field.contact-hint")],
      ["login", t("admin.field.login"), ["", "when-registered", "at-start", "by-command"]],
      ["queues", t("admin.field.queues"), "boxes", "queue"],
      ["supervises", t("admin.field.supervises"), "list", t("admin.field.supervises-hint")],
    ],
    columns: [[t("admin.field.agent"), "name"], [t("admin.field.queues"), "queues"], [t("admin.field.phone"), "account", "contact"], [t("admin.field.login"), "login"]],
  },
  queue: {
    title: t("admin.kind.queue"),
    fields: [
      ["name", t("admin.field.name"), "text", t("admin.field.queue-name-hint")],
      ["strategy", t("admin.field.strategy"), STRATEGIES],
      ["max_waiting", t("admin.field.max-waiting"), "number"],
      ["max_wait", t("admin.field.max-wait"), "text", t("admin.field.such-10m")],
      ["ring_for", t("admin.field.ring-for"), "text", t("admin.field.such-20s")],
      ["wrap_up", t("admin.field.wrap-up"), "text", t("admin.field.wrap-up-hint")],
      ["music", t("admin.field.music"), "list", t("admin.field.prompt-names")],
      ["announce_position_every", t("admin.field.place-every"), "text", t("admin.field.such-30s")],
      ["open", t("admin.field.open-by"), "name", "calendar"],
      ["closed", t("admin.field.while-closed"), "place"],
      ["overflow.full", t("admin.field.when-full"), "place"],
      ["overflow.nobody_here", t("admin.field.when-nobody"), "place"],
      ["overflow.waited", t("admin.field.when-waited"), "place"],
      ["service_level.within", t("admin.field.level-within"), "text", t("admin.field.such-20s")],
      ["record", t("admin.field.recorded"), "text", t("admin.record-queue-hint")],
      ["keep_recordings", t("admin.field.kept-for"), "text", t("admin.field.such-90d")],
    ],
    columns: [[t("admin.field.queue"), "name"], [t("admin.field.asks-first"), "strategy"], [t("admin.field.at-most"), "max_waiting"], [t("admin.field.rings-for"), "ring_for"], [t("admin.field.open-by"), "open"], [t("admin.field.keeps"), "keep_recordings"]],
  },
  number: {
    title: t("admin.kind.number"), label: "number",
    fields: [
      ["number", t("admin.field.number"), "text", t("admin.field.number-hint")],
      ["flow", t("admin.field.to-menu"), "name", "flow"],
      ["queue", t("admin.field.to-queue"), "name", "queue"],
      ["dial", t("admin.field.to-phone"), "text", "192.0.2.20:5060"],
      ["echo", t("admin.field.to-echo"), "flag"],
      ["answer", t("admin.field.answered-how"), ["", "at-start", "at-queue", "at-agent"]],
      ["open", t("admin.field.open-by"), "name", "calendar"],
      ["closed", t("admin.field.while-closed"), "place"],
      ["record", t("admin.field.recorded"), "text", RECORD],
    ],
    columns: [[t("admin.field.number"), "number"], [t("admin.field.leads-to"), "flow", "queue", "dial"], [t("admin.field.open-by"), "open"], [t("admin.field.answered"), "answer"]],
  },
  flow: {
    title: t("admin.kind.flow"), drawn: true,
    fields: [
      ["name", t("admin.field.name"), "text"],
      ["greeting", t("admin.field.says"), "list", t("admin.field.prompt-names")],
      ["choices", t("admin.field.keys"), "pairs", { key: t("admin.pair.key"), value: t("admin.pair.queue"), names: "queue", example: "1" }],
      ["default", t("admin.field.no-key"), "name", "queue"],
      ["invalid", t("admin.field.wrong-key"), "list", t("admin.field.prompt-names")],
      ["wait_for_digit", t("admin.field.waits-key"), "text", t("admin.field.such-5s")],
      ["rounds", t("admin.field.rounds"), "number"],
    ],
    columns: [[t("admin.field.menu"), "name"], [t("admin.field.says"), "greeting"], [t("admin.field.keys"), "choices"], [t("admin.field.without-key"), "default"]],
  },
  calendar: {
    title: t("admin.kind.calendar"), weeks: true,
    fields: [
      ["name", t("admin.field.name"), "text"],
      ["zone", t("admin.field.zone"), "text", t("admin.field.zone-hint")],
      ["hours", t("admin.field.hours"), "pairs", { key: t("admin.pair.days"), value: t("admin.pair.hours"), lists: true, example: "mon-fri", hint: "08:00-12:00, 13:00-18:00" }],
      ["days", t("admin.field.exceptions"), "pairs", { key: t("admin.pair.day"), value: t("admin.pair.hours-closed"), lists: true, example: "12-25", hint: "closed" }],
    ],
    columns: [[t("admin.field.calendar"), "name"], [t("admin.field.zone"), "zone"], [t("admin.field.holidays"), "days"]],
  },
  trunk: {
    title: t("admin.kind.trunk"), live: true,
    fields: [
      ["name", t("admin.field.name"), "text"],
      ["peers", t("admin.field.from-peers"), "list", t("admin.field.peers-hint")],
      ["proxy", t("admin.field.to-proxy"), "list", t("admin.field.proxy-hint")],
      ["prefixes", t("admin.field.prefixes"), "list", "+, 0"],
      ["caller_id", t("admin.field.shows-number"), "text"],
      ["user", t("admin.field.carrier-user"), "text"],
      ["password", t("admin.field.carrier-password"), "text", t("admin.field.kept-hint")],
      ["register", t("admin.field.registers"), "flag"],
      ["health_every", t("admin.field.options-every"), "text", t("admin.field.such-30s")],
      ["calls", t("admin.field.calls-most"), "number"],
      ["codecs", t("admin.field.codecs"), "list", "pcma, pcmu, g722, opus"],
    ],
    columns: [[t("admin.field.trunk"), "name"], [t("admin.field.from"), "peers"], [t("admin.field.to"), "proxy"]],
  },
  account: {
    title: t("admin.kind.account"),
    fields: [
      ["name", t("admin.field.name"), "text", t("admin.field.phone-user-hint")],
      ["password", t("admin.field.password"), "made", "phone"],
      ["outside", t("admin.field.outside"), "list", "+49, 0"],
      ["caller_id", t("admin.field.shows-number"), "text"],
      ["hide_number", t("admin.field.hides-number"), "flag"],
    ],
    columns: [[t("admin.field.account-col"), "name"], [t("admin.field.calls-outside"), "outside"], [t("admin.field.shows"), "caller_id"]],
  },
  user: {
    title: t("admin.kind.user"),
    fields: [
      ["name", t("admin.field.name"), "text", t("admin.field.sign-in-hint")],
      ["roles", t("admin.field.roles"), "boxes", ROLES],
      ["agent", t("admin.field.is-agent"), "name", "agent"],
      ["disabled", t("admin.field.disabled"), "flag"],
      ["password", t("admin.field.password"), "made", "password"],
      ["totp", t("admin.field.second"), "made", "authenticator"],
    ],
    columns: [[t("admin.field.user"), "name"], [t("admin.field.roles"), "roles"], [t("admin.field.agent"), "agent"], [t("admin.field.second"), "totp"], [t("admin.field.disabled"), "disabled"]],
  },
  token: {
    title: t("admin.kind.token"),
    fields: [
      ["name", t("admin.field.name"), "text", t("admin.field.program-hint")],
      ["roles", t("admin.field.roles"), "boxes", ROLES],
      ["sha256", t("admin.field.token"), "made", "token"],
    ],
    columns: [[t("admin.field.token"), "name"], [t("admin.field.roles"), "roles"]],
  },
  recording: {
    title: t("admin.kind.recording"), single: true,
    fields: [
      ["keep", t("admin.field.kept-for"), "text", t("admin.field.keep-hint")],
      ["erase_at", t("admin.field.erased-at"), "text", t("admin.field.such-0300")],
      ["zone", t("admin.field.by-clocks"), "text", t("admin.field.such-berlin")],
      ["outgoing", t("admin.field.outgoing-recorded"), "text", RECORD],
      ["pause_code", t("admin.field.pause-code"), "text", t("admin.field.pause-hint")],
      ["pause_max", t("admin.field.pause-max"), "text", t("admin.field.such-5m")],
    ],
    columns: [[t("admin.field.kept-col"), "keep"], [t("admin.field.erased-col"), "erase_at"], [t("admin.field.clocks-col"), "zone"], [t("admin.field.calls-outside"), "outgoing"]],
  },
};

// The names of the tables of a kind.
export const namesOf = (tables) => tables.map((table) => String(table.name ?? table.number ?? "")).filter(Boolean);

export const at = (table, key) => key.split(".").reduce((value, part) => value?.[part], table);

// What a place says: { queue: "sales" } and its kin.
export const PLACES = { queue: t("admin.place.queue"), flow: t("admin.place.flow"), number: t("admin.place.number"), say: t("admin.place.say"), callback: t("admin.place.callback") };

export function plain(value) {
  if (value === undefined || value === null) return "";
  if (value === true) return t("admin.yes");
  if (value === false) return t("admin.no");
  if (Array.isArray(value)) return value.map((each) => (typeof each === "object" ? each.queue ?? JSON.stringify(each) : each)).join(", ");
  if (typeof value === "object") return Object.entries(value).map(([key, of]) => `${key}: ${plain(of)}`).join("; ");
  return String(value);
}
