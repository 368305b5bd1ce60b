// A call from a page, without an account: a ticket for one call, then SIP over WebSocket (RFC 7118) by JsSIP.

import { UA, WebSocketInterface } from "/web/jssip.js";
import { t } from "/web/words.js";

const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];
const ENDS = { Busy: t("visit.all-busy"), Terminated: t("visit.over"), Unavailable: t("visit.nobody"), Canceled: t("visit.over") };
const FAULTS = {
  NotAllowedError: t("visit.not-allowed"),
  NotFoundError: t("visit.not-found"),
  NotReadableError: t("sound.not-readable"),
};
const byId = (id) => document.getElementById(id);
const entrance = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const line = { ua: null, call: null, stream: null, meter: null, began: null };

function fault(text) {
  byId("fault").textContent = text ?? "";
  byId("fault").hidden = !text;
}

function show(state, inside) {
  byId("state").textContent = state;
  byId("enter").hidden = inside;
  byId("inside").hidden = !inside;
}

async function microphone() {
  if (!navigator.mediaDevices) throw new Error(t("sound.insecure"));
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: true, video: false });
  } catch (error) {
    throw new Error(FAULTS[error.name] ?? t("sound.unusable", { why: error.message }));
  }
}

function measure(stream) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    // -60 dBFS is empty, 0 dBFS is full.
    byId("level").value = Math.max(0, 1 + (10 * Math.log10(power + 1e-9)) / 60);
    if (line.began) byId("state").textContent = t("visit.connected-for", { time: `${Math.floor((Date.now() - line.began) / 60000)}:${String(Math.floor((Date.now() - line.began) / 1000) % 60).padStart(2, "0")}` });
  }, 250);
  return () => { clearInterval(timer); context.close(); };
}

async function serverOf() {
  const { websockets } = await (await fetch("/phone/settings")).json();
  const secure = location.protocol === "https:";
  const found = websockets.find((at) => at.secure === secure) ?? websockets.find((at) => at.secure);
  if (!found) throw new Error(t("visit.closed"));
  return `${found.secure ? "wss" : "ws"}://${found.host ?? location.hostname}:${found.port}`;
}

async function ticketFor(name) {
  const response = await fetch(`/api/v1/visitors/${encodeURIComponent(entrance)}`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(name ? { name } : {}),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  return answer;
}

function end(state) {
  line.meter?.();
  line.stream?.getTracks().forEach((track) => track.stop());
  line.ua?.stop();
  Object.assign(line, { ua: null, call: null, stream: null, meter: null, began: null });
  byId("ear").srcObject = null;
  byId("mute").ariaPressed = "false";
  show(state, false);
}

async function enter() {
  fault(null);
  show(t("link.wait"), true);
  try {
    line.stream = await microphone();
    line.meter = measure(line.stream);
    const [server, ticket] = await Promise.all([serverOf(), ticketFor(byId("name").value.trim())]);
    const { user, password, realm, number, relay } = ticket;
    const ua = new UA({ sockets: [new WebSocketInterface(server)], uri: `sip:${user}@${realm}`, password, register: false, user_agent: "Offhook call page", session_timers: false });
    line.ua = ua;
    ua.on("disconnected", () => { if (line.ua === ua && !line.call) { end(t("visit.not-connected")); fault(t("visit.unreachable")); } });
    ua.on("connected", () => { if (line.ua === ua && !line.call) call(ua, `sip:${number}@${realm}`, relay); });
    ua.start();
  } catch (error) {
    end(t("visit.not-connected"));
    fault(error.message);
  }
}

function call(ua, target, relay) {
  // The exchange answers checks from wherever they come: no candidate of ours has to be waited for.
  const pcConfig = { iceServers: relay ? [relay] : [], rtcpMuxPolicy: "require", bundlePolicy: "max-bundle" };
  line.call = ua.call(target, { mediaStream: line.stream, pcConfig, eventHandlers: {
    icecandidate: (event) => event.ready(),
    progress: () => show(t("phone.ringing"), true),
    confirmed: () => { line.began = Date.now(); show(t("visit.connected"), true); },
    ended: ({ cause }) => end(ENDS[cause] ?? t("visit.over")),
    failed: ({ cause, message }) => {
      const full = message?.status_code === 503;
      end(t("visit.not-connected"));
      fault(full ? t("visit.full") : ENDS[cause] ?? t("visit.failed", { why: cause }));
    },
  } });
  line.call.connection.addEventListener("track", ({ streams: [stream], track }) => {
    byId("ear").srcObject = stream ?? new MediaStream([track]);
  });
}

for (const key of KEYS) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", textContent: key, onclick: () => line.call?.sendDTMF(key, { transportType: "RFC2833" }) });
  byId("keypad").append(button);
}
byId("enter").addEventListener("submit", (event) => { event.preventDefault(); enter(); });
byId("hang-up").addEventListener("click", () => (line.call ? line.call.terminate() : end(t("visit.over"))));
byId("mute").addEventListener("click", () => {
  const muted = byId("mute").ariaPressed !== "true";
  line.stream?.getAudioTracks().forEach((track) => { track.enabled = !muted; });
  byId("mute").ariaPressed = String(muted);
});
window.addEventListener("beforeunload", () => { line.call?.terminate(); line.ua?.stop(); });

const settings = await fetch(`/api/v1/visitors/${encodeURIComponent(entrance)}`);
if (settings.ok) {
  const { title } = await settings.json();
  byId("title").textContent = title;
  document.title = title;
}
