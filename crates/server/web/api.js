// Shows the description of the API, and sends requests by it.

const METHODS = ["get", "post", "put", "delete"];
const $ = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

let api = { components: {} };

function resolved(thing) {
  if (!thing || !thing.$ref) return thing;
  return thing.$ref.slice(2).split("/").reduce((at, part) => at?.[part], api);
}

/** What a value looks like, in words: `string or null`, `integer, 1 to 500`. */
function kindOf(schema) {
  if (schema === true || !schema) return "anything";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((word) => JSON.stringify(word)).join(" | ");
  if (schema.anyOf && !schema.properties) return schema.anyOf.map((one) => kindOf({ ...one, type: one.type ?? schema.type })).join(" or ");
  const types = [schema.type ?? "object"].flat().map((type) => {
    if (type !== "array") return type;
    return `list of ${kindOf(schema.items)}`;
  });
  const limits = [];
  if (schema.minimum !== undefined && schema.maximum !== undefined) limits.push(`${schema.minimum} to ${schema.maximum}`);
  if (schema.maxLength !== undefined) limits.push(`at most ${schema.maxLength} characters`);
  if (schema.pattern) limits.push(schema.pattern);
  if (schema.format && !schema.format.startsWith("uint")) limits.push(schema.format);
  return [types.join(" or "), ...limits].join(", ");
}

/** The types that are named in a schema, to be opened where somebody wants to see them. */
function named(schema) {
  if (!schema || typeof schema !== "object") return [];
  if (schema.$ref) return [schema];
  return [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.items ? [schema.items] : [])].flatMap(named);
}

function shape(schema) {
  const type = resolved(schema);
  const required = new Set(type?.required ?? []);
  const list = make("ul", { class: "shape" });
  for (const [name, field] of Object.entries(type?.properties ?? {})) {
    const item = make("li", {}, make("code", {}, name), required.has(name) ? " " : "? ", make("span", { class: "kind" }, kindOf(field)));
    if (field.description) item.append(` - ${field.description}`);
    for (const inner of named(field)) item.append(lazy(inner.$ref.split("/").pop(), () => shape(inner)));
    list.append(item);
  }
  return list;
}

function lazy(title, content) {
  const details = make("details", {}, make("summary", {}, title));
  details.addEventListener("toggle", () => { if (details.childElementCount === 1) details.append(content()); }, { once: true });
  return details;
}

function answers(responses) {
  const list = make("ul", { class: "shape" });
  for (const [status, given] of Object.entries(responses)) {
    const response = resolved(given);
    const [kind, content] = Object.entries(response.content ?? {})[0] ?? [];
    const item = make("li", {}, make("code", {}, status), ` ${response.description} `, kind ? make("span", { class: "kind" }, kind) : null);
    for (const [name, header] of Object.entries(response.headers ?? {})) {
      item.append(make("div", {}, make("code", {}, name), ` ${header.description ?? ""}`));
    }
    if (status < 400) for (const inner of named(content?.schema)) item.append(lazy(inner.$ref.split("/").pop(), () => shape(inner)));
    list.append(item);
  }
  return list;
}

function example(schema) {
  const type = resolved(schema) ?? {};
  const fields = Object.entries(type.properties ?? {}).map(([name, field]) => [name, (field.enum ?? [null])[0] ?? (required(type, name) ? "" : null)]);
  return JSON.stringify(Object.fromEntries(fields), null, 2);
}

function required(type, name) {
  return (type.required ?? []).includes(name);
}

function sender(path, method, operation) {
  const parameters = operation.parameters ?? [];
  const fields = parameters.map((parameter) => make("input", { name: parameter.name, title: kindOf(parameter.schema), autocomplete: "off" }));
  const body = operation.requestBody?.content["application/json"]?.schema;
  const text = body ? make("textarea", { "aria-label": "Body", spellcheck: "false" }, example(body)) : null;
  const output = make("pre", { role: "status" });
  const form = make("form", { class: "try" }, ...parameters.map((parameter, at) => make("label", {}, `${parameter.name} (${parameter.in}) `, fields[at])), text, make("div", {}, make("button", {}, "Send")), output);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let target = path;
    const query = new URLSearchParams();
    const headers = {};
    parameters.forEach((parameter, at) => {
      const value = fields[at].value;
      if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
      else if (value === "") return;
      else if (parameter.in === "query") query.set(parameter.name, value);
      else headers[parameter.name] = value;
    });
    if ($("token").value) headers.Authorization = `Bearer ${$("token").value}`;
    if (text) headers["Content-Type"] = "application/json";
    output.textContent = "...";
    try {
      const asked = query.size ? `${target}?${query}` : target;
      const answer = await fetch(asked, { method: method.toUpperCase(), headers, body: text?.value });
      output.textContent = `${answer.status} ${answer.statusText}\n${await readable(answer, output)}`;
    } catch (error) {
      output.textContent = String(error);
    }
  });
  return form;
}

async function readable(answer, output) {
  const kind = answer.headers.get("content-type") ?? "";
  if (kind.includes("event-stream")) return firstEvents(answer, output);
  if (kind.includes("json")) return JSON.stringify(await answer.json(), null, 2);
  if (kind.startsWith("text/") || kind.includes("openmetrics")) return answer.text();
  return `${(await answer.arrayBuffer()).byteLength} bytes of ${kind}`;
}

/** The events of five seconds. */
async function firstEvents(answer, output) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const end = setTimeout(() => reader.cancel(), 5000);
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    text += part.value;
    output.textContent = text;
  }
  clearTimeout(end);
  return text;
}

function shown(path, method, operation) {
  const summary = make("summary", {}, make("span", { class: "method", "data-method": method }, method.toUpperCase()), make("code", {}, path), ` ${operation.summary}`);
  const details = make("details", { id: operation.operationId }, summary);
  details.addEventListener("toggle", () => {
    if (details.childElementCount > 1) return;
    const body = operation.requestBody?.content["application/json"]?.schema;
    details.append(make("p", {}, operation.description ?? ""));
    if (operation.parameters) {
      const list = make("ul", { class: "shape" });
      for (const one of operation.parameters) {
        list.append(make("li", {}, make("code", {}, one.name), ` ${one.in}${one.required ? "" : ", may be left out"}, `, make("span", { class: "kind" }, kindOf(one.schema)), ` - ${one.description ?? ""}`));
      }
      details.append(make("h3", {}, "Parameters"), list);
    }
    if (body) details.append(make("h3", {}, "Body"), shape(body));
    details.append(make("h3", {}, "Answers"), answers(operation.responses), sender(path, method, operation));
  });
  details.dataset.text = JSON.stringify([path, method, operation]).toLowerCase();
  return details;
}

function hook([name, { post }]) {
  const list = make("ul", { class: "shape" });
  for (const one of post.parameters) list.append(make("li", {}, make("code", {}, one.name), ` header - ${one.description}`));
  const message = post.requestBody.content["application/json"].schema;
  const details = make("details", {}, make("summary", {}, make("span", { class: "method", "data-method": "post" }, "POST"), make("code", {}, name)), list, shape(message));
  details.dataset.text = JSON.stringify([name, post]).toLowerCase();
  return details;
}

function find() {
  const wanted = $("find").value.trim().toLowerCase();
  for (const details of document.querySelectorAll("#operations section > details")) details.hidden = !details.dataset.text.includes(wanted);
}

async function start() {
  const answer = await fetch("/api/v1/openapi.json");
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  api = await answer.json();
  $("about").textContent = api.info.description;
  const operations = Object.entries(api.paths).flatMap(([path, of]) => METHODS.filter((method) => of[method]).map((method) => [path, method, of[method]]));
  for (const tag of api.tags) {
    const of = operations.filter(([, , operation]) => operation.tags.includes(tag.name));
    $("operations").append(make("section", {}, make("h2", {}, tag.name), make("p", { class: "quiet" }, tag.description), ...of.map((one) => shown(...one))));
  }
  const hooks = Object.entries(api.webhooks ?? {});
  if (hooks.length) {
    const text = "What a [[webhook]] of the configuration is sent, signed as standardwebhooks.com says.";
    $("operations").append(make("section", {}, make("h2", {}, "Webhooks"), make("p", { class: "quiet" }, text), ...hooks.map(hook)));
  }
  $("find").addEventListener("input", find);
  const wanted = location.hash.slice(1) && $(location.hash.slice(1));
  if (wanted) { wanted.open = true; wanted.scrollIntoView(); }
}

start().catch((error) => { $("about").textContent = `The description cannot be shown: ${error.message}`; });
