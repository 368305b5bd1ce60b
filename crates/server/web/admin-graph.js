// Where callers come from and go to, drawn from the tables of a draft: numbers, their hours, menus, queues, and where else they end.
import { t } from "./words.js";

const COLUMNS = ["number", "calendar", "flow", "queue", "end"];
const [WIDE, HIGH, GAP_X, GAP_Y, EDGE] = [168, 46, 96, 18, 14];

// Nodes and edges, with what is wrong: a target that is not there, or what no number leads to.
export function graphOf(tables) {
  const nodes = new Map();
  const edges = [];
  const list = (kind) => tables?.[kind] ?? [];
  const node = (kind, name, more = {}) => {
    const id = `${kind} ${name}`;
    if (!nodes.has(id)) nodes.set(id, { id, kind, name, missing: false, reached: false, at: null, note: "", ...more });
    return id;
  };
  const join = (from, to, label) => {
    const known = edges.find((edge) => edge.from === from && edge.to === to);
    if (known) known.label += `, ${label}`;
    else edges.push({ from, to, label });
  };
  const served = new Map();
  for (const agent of list("agent")) for (const each of agent.queues ?? []) {
    const queue = each.queue ?? each;
    served.set(queue, (served.get(queue) ?? 0) + (agent.to ? agent.to - (agent.from ?? 1) + 1 : 1));
  }
  for (const [at, number] of list("number").entries()) node("number", String(number.number), { at, reached: true });
  for (const [at, flow] of list("flow").entries()) node("flow", flow.name, { at });
  for (const [at, queue] of list("queue").entries()) {
    const agents = served.get(queue.name) ?? 0;
    node("queue", queue.name, { at, note: t("admin.way.agents", { n: agents }), unserved: agents === 0 });
  }
  const known = (kind, name) => nodes.get(`${kind} ${name}`) ? `${kind} ${name}` : node(kind, name, { missing: true });
  const calendar = (name) => {
    const at = list("calendar").findIndex((each) => each.name === name);
    return { at: at < 0 ? null : at, missing: at < 0 };
  };
  const place = (from, to, label) => {
    if (!to || typeof to !== "object") return;
    if (to.queue) join(from, known("queue", to.queue), label);
    else if (to.flow) join(from, known("flow", to.flow), label);
    else if (to.number !== undefined) {
      const own = nodes.get(`number ${to.number}`);
      join(from, own ? own.id : node("end", `${to.number}`, { note: t("admin.way.dialled") }), label);
    } else if (to.say) join(from, node("end", [].concat(to.say).join(", "), { note: t("admin.way.last-words") }), label);
    else if (to.callback) join(from, node("end", t("admin.way.callback"), { note: t("admin.way.callback-note") }), label);
  };
  for (const number of list("number")) {
    const id = `number ${number.number}`;
    let from = id;
    let label = "";
    if (number.open) {
      // Each number passes its own gate: what is closed leads elsewhere for each of them.
      from = node("calendar", `${number.open} · ${number.number}`, { ...calendar(number.open), shown: number.open, note: t("admin.way.hours") });
      join(id, from, "");
      place(from, number.closed, t("admin.way.closed"));
      label = t("admin.way.open");
    }
    if (number.flow) join(from, known("flow", number.flow), label);
    else if (number.queue) join(from, known("queue", number.queue), label);
    else if (number.dial) join(from, node("end", number.dial, { note: t("admin.way.phone") }), label);
    else if (number.echo) join(from, node("end", "echo", { note: t("admin.way.back") }), label);
  }
  for (const flow of list("flow")) {
    const from = `flow ${flow.name}`;
    for (const [key, queue] of Object.entries(flow.choices ?? {})) join(from, known("queue", queue), t("admin.way.key", { key }));
    if (flow.default) join(from, known("queue", flow.default), t("admin.way.no-key"));
  }
  for (const queue of list("queue")) {
    const from = `queue ${queue.name}`;
    place(from, queue.closed, t("admin.way.closed"));
    for (const [key, label] of [["full", t("admin.way.full")], ["nobody_here", t("admin.way.nobody")], ["waited", t("admin.way.waited")]]) place(from, queue.overflow?.[key], label);
    for (const [key, to] of Object.entries(queue.keys ?? {})) place(from, to, t("admin.way.key", { key }));
  }
  // What callers reach, from the numbers on.
  const way = [...nodes.values()].filter(({ reached }) => reached);
  while (way.length > 0) {
    const { id } = way.pop();
    for (const { to } of edges.filter((edge) => edge.from === id)) {
      const next = nodes.get(to);
      if (!next.reached) {
        next.reached = true;
        way.push(next);
      }
    }
  }
  const all = [...nodes.values()];
  const kindOf = (kind) => t(`admin.way.kind.${kind}`);
  const faults = [
    ...all.filter(({ missing }) => missing).map(({ kind, name, shown }) => t("admin.way.missing", { kind: kindOf(kind), name: shown ?? name })),
    ...all.filter(({ reached, missing }) => !reached && !missing).map(({ kind, name }) => t("admin.way.unreached", { kind: kindOf(kind), name })),
    ...all.filter(({ unserved, reached }) => unserved && reached).map(({ name }) => t("admin.way.unserved", { name })),
  ];
  return { nodes: all, edges, faults };
}

const svg = (name, attributes, ...children) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};
const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

const LANE = 12;

// Where everything lies: columns by kind, each node beside what leads to it. A way that passes columns has a lane in each of them.
function laidOut({ nodes, edges }) {
  const columns = COLUMNS.map((kind) => nodes.filter((node) => node.kind === kind)).filter((column) => column.length > 0)
    .map((column) => column.map(({ id }) => ({ id, high: HIGH, from: [] })));
  const columnOf = new Map(columns.flatMap((column, x) => column.map((box) => [box.id, x])));
  const boxOf = new Map(columns.flat().map((box) => [box.id, box]));
  const ways = edges.map((edge, at) => {
    const [a, b] = [columnOf.get(edge.from), columnOf.get(edge.to)];
    const through = [];
    for (let x = a + 1; x < b; x += 1) {
      const lane = { id: `lane ${at} ${x}`, high: LANE, from: [] };
      columns[x].push(lane);
      through.push(lane);
    }
    const trail = [boxOf.get(edge.from), ...through, boxOf.get(edge.to)];
    if (b > a) for (let step = 1; step < trail.length; step += 1) trail[step].from.push(trail[step - 1]);
    return { ...edge, trail, back: b <= a };
  });
  let height = 0;
  for (const [x, column] of columns.entries()) {
    const middle = ({ from }) => (from.length > 0 ? from.reduce((sum, { y, high }) => sum + y + high / 2, 0) / from.length : Infinity);
    const sorted = x === 0 ? column : column.map((box) => [middle(box), box]).sort(([a], [b]) => (a === b ? 0 : a - b)).map(([, box]) => box);
    let y = EDGE;
    for (const box of sorted) {
      Object.assign(box, { x: EDGE + x * (WIDE + GAP_X), y });
      y += box.high + GAP_Y;
    }
    height = Math.max(height, y - GAP_Y + EDGE);
  }
  // Ways that end at the same box end beside each other.
  for (const box of boxOf.values()) {
    const ending = ways.filter(({ trail }) => trail.at(-1) === box).sort((a, b) => a.trail.at(-2).y - b.trail.at(-2).y);
    for (const [at, way] of ending.entries()) way.end = box.y + (HIGH * (at + 1)) / (ending.length + 1);
  }
  return { place: boxOf, ways, width: 2 * EDGE + columns.length * (WIDE + GAP_X) - GAP_X, height: Math.max(height, HIGH) };
}

function pathOf({ trail, back, end }) {
  const [first, last] = [trail[0], trail.at(-1)];
  const start = first.y + HIGH / 2;
  if (back) {
    const [from, to] = [first.x + WIDE, last.x + WIDE];
    return `M${from} ${start} C${from + GAP_X * 0.8} ${start} ${to + GAP_X * 0.8} ${end} ${to} ${end}`;
  }
  let path = `M${first.x + WIDE} ${start}`;
  let [x, y] = [first.x + WIDE, start];
  for (const box of trail.slice(1)) {
    const next = box === last ? end : box.y + box.high / 2;
    path += ` C${x + GAP_X / 2} ${y} ${box.x - GAP_X / 2} ${next} ${box.x} ${next}`;
    if (box !== last) path += ` H${box.x + WIDE}`;
    [x, y] = [box.x + WIDE, next];
  }
  return path;
}

// Draws it; `open` is called with a node that somebody chose.
export function draw(root, { nodes, edges, faults }, open) {
  const { place, ways, width, height } = laidOut({ nodes, edges });
  const lines = ways.map((way) => {
    const last = way.trail.at(-1);
    const words = svg("text", { x: way.back ? last.x + WIDE + 8 : last.x - 9, y: way.end - 4, "text-anchor": way.back ? "start" : "end" });
    words.textContent = cut(way.label, 26);
    return svg("g", { class: "edge" }, svg("path", { d: pathOf(way), "marker-end": "url(#tip)" }), words);
  });
  const boxes = nodes.map((node) => {
    const { x, y } = place.get(node.id);
    const state = node.missing ? "missing" : !node.reached ? "unreached" : node.unserved ? "unserved" : "";
    const [name, note] = [svg("text", { x: x + 10, y: y + 20, class: "name" }), svg("text", { x: x + 10, y: y + 37, class: "note" })];
    name.textContent = cut(String(node.shown ?? node.name), 20);
    note.textContent = node.missing ? t("admin.way.not-there") : !node.reached ? t("admin.way.no-number") : node.note || (["number", "flow"].includes(node.kind) ? t(`admin.way.kind.${node.kind}`) : "");
    const title = svg("title", {});
    title.textContent = `${node.shown ?? node.name}: ${note.textContent}`;
    const group = svg("g", { class: `node ${node.kind} ${state}` }, title, svg("rect", { x, y, width: WIDE, height: HIGH, rx: 8 }), name, note);
    if (node.at !== null) {
      group.setAttribute("tabindex", "0");
      group.setAttribute("role", "button");
      group.addEventListener("click", () => open(node));
      group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(node); } });
    }
    return group;
  });
  root.setAttribute("viewBox", `0 0 ${width} ${height}`);
  root.setAttribute("width", width);
  root.setAttribute("height", height);
  root.setAttribute("aria-label", `${t("admin.way.label", { ways: edges.length, places: nodes.length })} ${faults.join(" ")}`);
  root.replaceChildren(svg("defs", {}, svg("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, svg("path", { d: "M0 0 L8 4 L0 8 z" }))), ...lines, ...boxes);
}
