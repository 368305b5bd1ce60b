// What forms the tables of the configuration have. A field is its key (with dots into a table within), label, kind, and what the kind needs:
// "text", "number", "flag", "list" (words with commas between them), a list of choices, "boxes" (several of the names of another table),
// "name" (one of them), "pairs" (keys with what belongs to each), "place" (where callers are sent), "made" (a secret made by the exchange).

const STRATEGIES = ["", "longest-idle", "round-robin", "linear", "top-down", "ring-all", "fewest-calls", "least-talk", "least-occupied", "random", "weighted-random", "ring-progressively", "skills-best"];
const RECORD = "true, false, \"on-demand\", or a share such as 25%";
export const ROLES = ["agent", "supervisor", "quality", "auditor", "operator", "administrator"];

export const KINDS = {
  agent: {
    title: "Agents", one: "agent",
    fields: [
      ["name", "Name", "text", "{n} where there are several, numbered from .. to"],
      ["account", "Account of the phone", "name", "account"],
      ["contact", "Address of the phone", "text", "instead of an account: sip:alice@192.0.2.20:5060"],
      ["login", "Logged in", ["", "when-registered", "at-start", "by-command"]],
      ["queues", "Queues", "boxes", "queue"],
      ["supervises", "Supervises", "list", "queues, or * for every call"],
    ],
    columns: [["Agent", "name"], ["Queues", "queues"], ["Phone", "account", "contact"], ["Logged in", "login"]],
  },
  queue: {
    title: "Queues", one: "queue",
    fields: [
      ["name", "Name", "text", "another name is another queue: it begins with figures of its own"],
      ["strategy", "Whom it asks first", STRATEGIES],
      ["max_waiting", "Callers at most", "number"],
      ["max_wait", "Longest wait", "text", "such as 10m"],
      ["ring_for", "A phone rings for", "text", "such as 20s"],
      ["wrap_up", "Wrap-up", "text", "such as 15s, or until-done"],
      ["music", "Music", "list", "names of prompts"],
      ["announce_position_every", "Tells the place every", "text", "such as 30s"],
      ["open", "Open by", "name", "calendar"],
      ["closed", "While it is closed, callers go", "place"],
      ["overflow.full", "When it is full", "place"],
      ["overflow.nobody_here", "When nobody serves it", "place"],
      ["overflow.waited", "After the longest wait", "place"],
      ["service_level.within", "Service level: answered within", "text", "such as 20s"],
      ["record", "Is recorded", "text", `${RECORD}, or "with-consent"`],
      ["keep_recordings", "Recordings are kept for", "text", "such as 90d, or forever"],
    ],
    columns: [["Queue", "name"], ["Asks first", "strategy"], ["At most", "max_waiting"], ["Rings for", "ring_for"], ["Open by", "open"], ["Keeps recordings", "keep_recordings"]],
  },
  number: {
    title: "Numbers", one: "number", label: "number",
    fields: [
      ["number", "Number", "text", "as the trunk sends it, such as 4930555700"],
      ["flow", "Leads to the menu", "name", "flow"],
      ["queue", "or to the queue", "name", "queue"],
      ["dial", "or to the phone at", "text", "192.0.2.20:5060"],
      ["echo", "or back to the caller, to try a line by", "flag"],
      ["answer", "Is answered", ["", "at-start", "at-queue", "at-agent"]],
      ["open", "Open by", "name", "calendar"],
      ["closed", "While it is closed, callers go", "place"],
      ["record", "Is recorded", "text", RECORD],
    ],
    columns: [["Number", "number"], ["Leads to", "flow", "queue", "dial"], ["Open by", "open"], ["Answered", "answer"]],
  },
  flow: {
    title: "Menus", one: "menu", drawn: true,
    fields: [
      ["name", "Name", "text"],
      ["greeting", "Says", "list", "names of prompts"],
      ["choices", "Keys", "pairs", { key: "key", value: "queue", names: "queue", example: "1" }],
      ["default", "Without a key, to the queue", "name", "queue"],
      ["invalid", "Says after a wrong key", "list", "names of prompts"],
      ["wait_for_digit", "Waits for a key", "text", "such as 5s"],
      ["rounds", "Says it so many times", "number"],
    ],
    columns: [["Menu", "name"], ["Says", "greeting"], ["Keys", "choices"], ["Without a key", "default"]],
  },
  calendar: {
    title: "Opening hours", one: "calendar", weeks: true,
    fields: [
      ["name", "Name", "text"],
      ["zone", "Time zone", "text", "such as Europe/Berlin or Asia/Shanghai"],
      ["hours", "Hours", "pairs", { key: "days", value: "hours", lists: true, example: "mon-fri", hint: "08:00-12:00, 13:00-18:00" }],
      ["days", "Holidays and exceptions", "pairs", { key: "day", value: "hours, or closed", lists: true, example: "12-25", hint: "closed" }],
    ],
    columns: [["Calendar", "name"], ["Time zone", "zone"], ["Holidays", "days"]],
  },
  trunk: {
    title: "Trunks", one: "trunk", live: true,
    fields: [
      ["name", "Name", "text"],
      ["peers", "Calls come from", "list", "addresses, or networks such as 192.0.2.0/24"],
      ["proxy", "Calls go to", "list", "udp:192.0.2.1:5060, or a name: tls:carrier.example"],
      ["prefixes", "It takes numbers that begin with", "list", "+, 0"],
      ["caller_id", "Shows the number", "text"],
      ["user", "User name at the carrier", "text"],
      ["password", "Password at the carrier", "text", "(kept ..) stays what it is"],
      ["register", "Registers with the carrier", "flag"],
      ["health_every", "Is asked by OPTIONS every", "text", "such as 30s"],
      ["calls", "Calls at most", "number"],
      ["codecs", "Codecs", "list", "pcma, pcmu, g722, opus"],
    ],
    columns: [["Trunk", "name"], ["From", "peers"], ["To", "proxy"]],
  },
  account: {
    title: "Phones", one: "account of a phone",
    fields: [
      ["name", "Name", "text", "the phone's user name"],
      ["password", "Password", "made", "phone"],
      ["outside", "May call outside, numbers that begin with", "list", "+49, 0"],
      ["caller_id", "Shows the number", "text"],
      ["hide_number", "Hides its number", "flag"],
    ],
    columns: [["Account", "name"], ["Calls outside", "outside"], ["Shows", "caller_id"]],
  },
  user: {
    title: "Users", one: "user",
    fields: [
      ["name", "Name", "text", "to sign in with"],
      ["roles", "Roles", "boxes", ROLES],
      ["agent", "Is the agent", "name", "agent"],
      ["disabled", "May not sign in", "flag"],
      ["password", "Password", "made", "password"],
      ["totp", "Second factor", "made", "authenticator"],
    ],
    columns: [["User", "name"], ["Roles", "roles"], ["Agent", "agent"], ["Second factor", "totp"], ["May not sign in", "disabled"]],
  },
  token: {
    title: "Tokens", one: "token",
    fields: [
      ["name", "Name", "text", "of the program, for the audit log"],
      ["roles", "Roles", "boxes", ROLES],
      ["sha256", "Token", "made", "token"],
    ],
    columns: [["Token", "name"], ["Roles", "roles"]],
  },
  recording: {
    title: "Recording", one: "retention", single: true,
    fields: [
      ["keep", "Recordings are kept for", "text", "such as 90d, or forever; queues may say otherwise"],
      ["erase_at", "Older ones are erased at", "text", "such as 03:00"],
      ["zone", "by the clocks of", "text", "such as Europe/Berlin"],
      ["outgoing", "Calls outside are recorded", "text", RECORD],
      ["pause_code", "Agents pause it by", "text", "*3, or none"],
      ["pause_max", "A pause lasts at most", "text", "such as 5m"],
    ],
    columns: [["Kept for", "keep"], ["Erased at", "erase_at"], ["By the clocks of", "zone"], ["Calls outside", "outgoing"]],
  },
};

// The names of the tables of a kind.
export const namesOf = (tables) => tables.map((table) => String(table.name ?? table.number ?? "")).filter(Boolean);

export const at = (table, key) => key.split(".").reduce((value, part) => value?.[part], table);

// What a place says: { queue: "sales" } and its kin.
export const PLACES = { queue: "to the queue", flow: "to the menu", number: "to the number", say: "away, with the words", callback: "away, to be called back" };

export function plain(value) {
  if (value === undefined || value === null) return "";
  if (value === true) return "yes";
  if (value === false) return "no";
  if (Array.isArray(value)) return value.map((each) => (typeof each === "object" ? each.queue ?? JSON.stringify(each) : each)).join(", ");
  if (typeof value === "object") return Object.entries(value).map(([key, of]) => `${key}: ${plain(of)}`).join("; ");
  return String(value);
}
