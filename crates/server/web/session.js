// Who looks at the page: signing in and out, and what they may do. A session is a cookie that no script sees; a token, which
// programs have, is kept for this tab alone.

import { errorText, t, word } from "./words.js";

export class SignInWanted extends Error {}

export const session = { signedIn: false, who: null, roles: [], rights: new Set(), agent: null, own: false, ways: [], provider: null };

export const may = (right) => session.rights.has(right);

function headers() {
  const token = sessionStorage.getItem("token");
  return token ? { authorization: `Bearer ${token}` } : {};
}

export async function ask(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { ...headers(), ...options.headers } });
  if (response.status === 401) throw new SignInWanted();
  if (!response.ok) throw Object.assign(new Error(`${path}: ${response.status}`), { status: response.status, ...(({ type, detail }) => ({ type, detail }))(await response.json().catch(() => ({}))) });
  return response;
}

export const send = (path, body, method = "POST") =>
  ask(path, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

// `run` shows the exchange once somebody is known; `stop` puts away what it shows.
export function startSession({ byId, run, stop }) {
  const door = byId("door");
  const note = byId("sign-in-note");
  const fields = byId("sign-in").elements;
  const token = byId("token-form").elements.token;

  function take(answer) {
    const { signed_in: signedIn, who, roles, rights, agent, session: own, ways, provider } = answer;
    Object.assign(session, { signedIn, who, roles, rights: new Set(rights), agent, own, ways, provider });
    for (const node of document.querySelectorAll("[data-right]")) node.hidden = !may(node.dataset.right);
    byId("me").hidden = !signedIn || !who || !(own || sessionStorage.getItem("token"));
    byId("me-who").textContent = who ? `${who.replace(/^user /, "")} (${roles.map((role) => word("role", role)).join(", ")})` : "";
  }

  // Whether somebody is known.
  async function load() {
    const response = await fetch("/api/v1/session", { headers: headers() });
    if (!response.ok) throw new Error(`session: ${response.status}`);
    take(await response.json());
    return session.signedIn;
  }

  // What became of signing in elsewhere, where that is where one comes from.
  function returned() {
    const [, how] = /^#sign-in-(stale|denied|refused|failed)$/.exec(location.hash) ?? [];
    if (how) history.replaceState(null, "", location.pathname);
    return how ? t(`sign.at-${how}`) : "";
  }

  function want(why = "") {
    const given = sessionStorage.getItem("token");
    sessionStorage.removeItem("token");
    stop();
    byId("me").hidden = true;
    const password = session.ways.includes("password");
    byId("sign-in").hidden = !password;
    byId("sign-in-token").hidden = !session.ways.includes("token");
    byId("sign-in-token").open = !password && !session.provider;
    const elsewhere = byId("sign-in-openid");
    elsewhere.hidden = !session.provider;
    if (session.provider) {
      const { title, path } = session.provider;
      elsewhere.firstElementChild.href = `${path}?to=${encodeURIComponent(location.pathname)}`;
      elsewhere.firstElementChild.textContent = t("sign.at", { title });
    }
    const shown = !door.hidden;
    door.hidden = false;
    if (!shown || why) note.textContent = why || returned() || (given ? t("sign.no-token") : "");
    if (!shown) (password ? fields.name : session.provider ? elsewhere.firstElementChild : token).focus();
  }

  async function signIn() {
    const body = { name: fields.name.value.trim(), password: fields.password.value };
    if (!byId("sign-in-code").hidden && fields.code.value.trim()) body.code = fields.code.value.trim();
    const response = await fetch("/api/v1/session", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    const answer = await response.json().catch(() => ({}));
    if (response.ok) {
      fields.password.value = "";
      fields.code.value = "";
      byId("sign-in-code").hidden = true;
      return true;
    }
    if (answer.type === "urn:offhook:code-wanted") {
      byId("sign-in-code").hidden = false;
      fields.code.focus();
    }
    note.textContent = answer.status === 401 && !answer.type?.startsWith("urn:") ? t("sign.wrong") : answer.status === 429 ? t("sign.wait") : answer.status ? errorText(answer) : t("sign.odd");
    return false;
  }

  function enter() {
    door.hidden = true;
    run();
  }

  byId("sign-in").addEventListener("submit", async (event) => {
    event.preventDefault();
    note.textContent = "";
    try {
      if (await signIn()) enter();
    } catch {
      note.textContent = t("sign.unreachable");
    }
  });

  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem("token", token.value.trim());
    token.value = "";
    enter();
  });

  byId("sign-out").addEventListener("click", async () => {
    sessionStorage.removeItem("token");
    const response = await fetch("/api/v1/session", { method: "DELETE" }).catch(() => null);
    // Whoever signed in elsewhere signs out there, too, and is sent back.
    const elsewhere = response?.status === 200 ? (await response.json().catch(() => ({}))).provider : null;
    if (elsewhere) return location.assign(elsewhere);
    await load().catch(() => null);
    want(t("sign.gone"));
  });

  return { load, want, wanted: () => !door.hidden };
}
