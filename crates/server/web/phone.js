// A phone in a page: SIP over WebSocket (RFC 7118) by JsSIP, sound by the browser's own WebRTC.

import { UA, WebSocketInterface } from "/web/jssip.js";
import { linkPhone } from "/web/phone-link.js";
import { number, offerLanguages, t, word } from "/web/words.js";

const QUALITY_MS = 2000;
const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];
const byId = (id) => document.getElementById(id);

const phone = { ua: null, call: null, aside: null, stream: null, context: null, meters: {}, last: null, timer: null, muted: false, holds: false, relay: null, soundCheck: null, checking: null, checked: null };

// --- What is shown -------------------------------------------------------------------------------------------------

function fault(text) {
  byId("fault").textContent = text ?? "";
  byId("fault").hidden = !text;
}

function link(state, text) {
  byId("link").dataset.state = state;
  byId("link-text").textContent = text;
}

function show(state, who = "", more = "") {
  const call = phone.call;
  const rings = call !== null && call.direction === "incoming" && !call.isEstablished();
  byId("call-state").textContent = state;
  byId("call-who").textContent = who;
  byId("call-more").textContent = more;
  byId("dial").hidden = call !== null;
  byId("incoming").hidden = !rings;
  byId("talking").hidden = call === null || rings;
  byId("transfer").hidden = phone.aside !== null;
  byId("asking").hidden = phone.aside === null;
  byId("waiting").textContent = phone.aside ? t("phone.waits", { who: nameOf(phone.aside) }) : "";
  byId("put-through").disabled = !(phone.aside && call?.isEstablished());
  document.title = rings ? `☎ ${who}` : t("phone.page");
  told();
}

const nameOf = (session) => session.remote_identity.display_name || session.remote_identity.uri.user || t("phone.unknown");

const numberOf = (session) => {
  const { display_name: name, uri } = session.remote_identity;
  return name && uri.user && name !== uri.user ? uri.user : "";
};

// --- Sound ---------------------------------------------------------------------------------------------------------

const MICROPHONE_WORDS = {
  NotAllowedError: t("sound.not-allowed"),
  NotFoundError: t("sound.not-found"),
  NotReadableError: t("sound.not-readable"),
  OverconstrainedError: t("sound.gone"),
};

async function openMicrophone() {
  if (!navigator.mediaDevices) {
    throw new Error(t("sound.insecure"));
  }
  const chosen = byId("microphone").value;
  const process = byId("process").checked;
  const audio = { echoCancellation: process, noiseSuppression: process, autoGainControl: process };
  if (chosen) audio.deviceId = { exact: chosen };
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio, video: false });
  } catch (error) {
    throw new Error(MICROPHONE_WORDS[error.name] ?? t("sound.unusable", { why: error.message }));
  }
  phone.stream?.getTracks().forEach((track) => track.stop());
  phone.stream = stream;
  meter("microphone", stream);
  byId("listen").hidden = true;
  await listDevices();
  return stream;
}

async function listDevices() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  for (const [id, kind] of [["microphone", "audioinput"], ["speaker", "audiooutput"]]) {
    const select = byId(id);
    const before = select.value;
    const found = devices.filter((device) => device.kind === kind && device.deviceId !== "");
    const options = found.map((device, n) => new Option(device.label || `${t(`sound.${id}`)} ${n + 1}`, device.deviceId));
    select.replaceChildren(...(options.length > 0 ? options : [new Option(t("sound.default"), "")]));
    if (found.some((device) => device.deviceId === before)) select.value = before;
  }
}

function meter(name, stream) {
  phone.context ??= new AudioContext();
  phone.context.resume();
  phone.meters[name]?.source.disconnect();
  const source = phone.context.createMediaStreamSource(stream);
  const analyser = phone.context.createAnalyser();
  analyser.fftSize = 1024;
  source.connect(analyser);
  phone.meters[name] = { source, analyser, samples: new Float32Array(analyser.fftSize) };
}

function tickMeters() {
  for (const [name, { analyser, samples }] of Object.entries(phone.meters)) {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    // -60 dBFS is empty, 0 dBFS is full.
    byId(`${name}-level`).value = Math.max(0, 1 + (10 * Math.log10(power + 1e-9)) / 60);
  }
}

async function chooseSpeaker() {
  const ear = byId("ear");
  if (ear.setSinkId) await ear.setSinkId(byId("speaker").value).catch((error) => fault(error.message));
}

async function changeMicrophone() {
  try {
    const stream = await openMicrophone();
    const sender = phone.call?.connection?.getSenders().find((sender) => sender.track?.kind === "audio");
    stream.getAudioTracks()[0].enabled = !phone.muted;
    await sender?.replaceTrack(stream.getAudioTracks()[0]);
  } catch (error) {
    fault(error.message);
  }
}

// --- The line ------------------------------------------------------------------------------------------------------

const percentOf = (part) => `${number(part * 100, { minimumFractionDigits: 1, maximumFractionDigits: 1 })} %`;

function words({ lost, jitter, delay }) {
  if (lost >= 0.05 || jitter >= 0.1 || delay >= 0.5) return t("line.poor");
  if (lost >= 0.02 || jitter >= 0.04 || delay >= 0.3) return t("line.fair");
  return t("line.good");
}

async function lookAtLine() {
  const connection = phone.call?.connection;
  if (!connection || !phone.call.isEstablished()) return;
  const now = { received: 0, lost: 0, jitter: 0, delay: null };
  for (const report of (await connection.getStats()).values()) {
    if (report.type === "inbound-rtp" && report.kind === "audio") {
      [now.received, now.lost, now.jitter] = [report.packetsReceived, report.packetsLost, report.jitter];
    } else if (report.type === "remote-inbound-rtp" && report.kind === "audio") {
      now.delay = report.roundTripTime ?? null;
    } else if (report.type === "candidate-pair" && report.nominated && now.delay === null) {
      now.delay = report.currentRoundTripTime ?? null;
    }
  }
  const before = phone.last ?? now;
  phone.last = now;
  const [received, missing] = [now.received - before.received, Math.max(0, now.lost - before.lost)];
  const lost = received + missing > 0 ? missing / (received + missing) : 0;
  const silent = phone.call.isOnHold().remote || phone.call.isOnHold().local;
  const dead = before !== now && received === 0 && !silent;
  byId("quality").textContent = dead ? t("line.dead") : words({ lost, jitter: now.jitter, delay: now.delay ?? 0 });
  byId("lost").textContent = percentOf(lost);
  byId("delay").textContent = now.delay === null ? "–" : `${Math.round(now.delay * 1000)} ms`;
}

function forgetLine() {
  phone.last = null;
  for (const id of ["quality", "lost", "delay"]) byId(id).textContent = "–";
}

// --- Calls ---------------------------------------------------------------------------------------------------------

// The exchange answers checks from wherever they come: no candidate of ours has to be waited for. Its relay is told to whoever has
// registered; /phone?relay goes by it alone, to try it.
const connection = () => ({
  iceServers: phone.relay ? [phone.relay] : [],
  iceTransportPolicy: new URLSearchParams(location.search).has("relay") ? "relay" : "all",
  rtcpMuxPolicy: "require", bundlePolicy: "max-bundle",
});

// Why a call has ended, in the reader's language where JsSIP's own word for it is known.
function endOf(cause = "Terminated") {
  const name = cause.toLowerCase().replaceAll(" ", "-");
  const said = word("line-end", name);
  return said === name ? cause : said;
}

function take(session) {
  if (phone.call !== null || (phone.aside !== null && session.direction === "incoming")) {
    session.terminate({ status_code: 486 });
    return;
  }
  phone.call = session;
  [phone.muted, phone.holds] = [false, false];
  press("mute", false);
  press("hold", false);
  const [who, number] = [nameOf(session), numberOf(session)];
  const queue = session.direction === "incoming" ? session.requestHeader : "";
  const talking = () => phone.call === session && show(session.isOnHold().local ? t("phone.on-hold") : session.isOnHold().remote ? t("phone.held") : t("phone.talking"), who, number);
  session.on("icecandidate", (event) => event.ready());
  session.on("peerconnection", ({ peerconnection }) => hear(peerconnection));
  if (session.connection) hear(session.connection);
  session.on("progress", () => show(session.direction === "incoming" ? t("phone.incoming") : t("phone.ringing"), who, queue || number));
  session.on("confirmed", talking);
  session.on("hold", talking);
  session.on("unhold", talking);
  for (const event of ["ended", "failed"]) {
    session.on(event, ({ cause }) => {
      // A track made for this call alone is not needed any more.
      for (const { track } of session.connection?.getSenders() ?? []) if (track && !phone.stream?.getTracks().includes(track)) track.stop();
      if (phone.aside === session) phone.aside = null;
      if (phone.call !== session) return;
      phone.call = null;
      if (phone.aside) return takeBack(`${who}: ${endOf(cause)}`);
      byId("ear").srcObject = null;
      forgetLine();
      press("mute", false);
      press("hold", false);
      show(endOf(cause), who);
    });
  }
  show(session.direction === "incoming" ? t("phone.incoming") : t("phone.calling"), who, queue || number);
}

// The way to the exchange broke, or there may be a better one: it is looked for anew, and the call goes on meanwhile.
function findWayAnew() {
  const call = phone.call;
  if (!call?.isEstablished() || !phone.ua.isConnected()) return;
  if (!call.renegotiate({ rtcOfferConstraints: { iceRestart: true } })) setTimeout(findWayAnew, 500);
}

function hear(connection) {
  connection.addEventListener("iceconnectionstatechange", () => {
    const broken = () => ["disconnected", "failed"].includes(connection.iceConnectionState);
    if (broken()) setTimeout(() => broken() && findWayAnew(), 1000);
  });
  connection.addEventListener("track", ({ track }) => {
    const stream = new MediaStream([track]);
    byId("ear").srcObject = stream;
    meter("speaker", stream);
    chooseSpeaker();
  });
}

function press(id, on) {
  byId(id).setAttribute("aria-pressed", String(on));
}

async function answer() {
  try {
    fault(null);
    const mediaStream = await openMicrophone();
    phone.call?.answer({ mediaStream, pcConfig: connection() });
  } catch (error) {
    fault(error.message);
  }
}

async function dial(target) {
  try {
    fault(null);
    const mediaStream = await openMicrophone();
    phone.ua.call(target, { mediaStream, pcConfig: connection() });
  } catch (error) {
    fault(error.message);
  }
}

function mute() {
  phone.muted = !phone.muted;
  const tracks = (phone.call?.connection?.getSenders() ?? []).map((sender) => sender.track);
  for (const track of [...tracks, ...(phone.stream?.getAudioTracks() ?? [])]) if (track) track.enabled = !phone.muted;
  press("mute", phone.muted);
}

function hold() {
  const call = phone.call;
  if (!call?.isEstablished()) return;
  phone.holds = !phone.holds;
  press("hold", phone.holds);
  const tell = () => {
    if (phone.call !== call || call.isOnHold().local === phone.holds) return;
    // While the last change is not answered the next one has to wait.
    if (!(phone.holds ? call.hold() : call.unhold())) setTimeout(tell, 200);
  };
  tell();
}

function transfer(target) {
  const call = phone.call;
  if (!call?.isEstablished()) return;
  byId("call-more").textContent = t("phone.transferring", { target });
  call.refer(target, {
    eventHandlers: {
      requestFailed: ({ cause }) => { byId("call-more").textContent = t("phone.transfer-refused", { why: cause }); },
      failed: () => { byId("call-more").textContent = t("phone.unreached", { target }); },
      accepted: () => call.terminate(),
    },
  });
}

// Whoever is to get the call is asked first: the caller waits on hold, and is put through or taken back.
function consult(target) {
  const call = phone.call;
  if (!target || !call?.isEstablished() || phone.aside) return;
  const ask = () => {
    if (phone.call !== call || !call.isEstablished()) return;
    [phone.aside, phone.call] = [call, null];
    // A track of its own: holding the one call silences no other.
    const mediaStream = phone.stream.clone();
    mediaStream.getAudioTracks().forEach((track) => { track.enabled = true; });
    meter("microphone", mediaStream);
    phone.ua.call(target, { mediaStream, pcConfig: connection() });
  };
  const hold = () => {
    if (phone.call !== call) return;
    if (call.isOnHold().local) return ask();
    if (!call.hold({}, ask)) setTimeout(hold, 200);
  };
  hold();
}

function putThrough() {
  const [call, asked] = [phone.aside, phone.call];
  if (!call || !asked?.isEstablished()) return;
  byId("call-more").textContent = t("phone.putting");
  const refused = (words) => { byId("call-more").textContent = words; };
  call.refer(asked.remote_identity.uri, {
    replaces: asked,
    eventHandlers: {
      requestFailed: ({ cause }) => refused(t("phone.put-refused", { why: cause })),
      failed: () => refused(t("phone.put-failed")),
      accepted: () => { call.terminate(); if (!asked.isEnded()) asked.terminate(); },
    },
  });
}

// The caller on hold is talked to again.
function takeBack(more = "") {
  const call = phone.aside;
  [phone.aside, phone.call] = [null, call];
  if (!call) return;
  if (phone.stream) meter("microphone", phone.stream);
  const stream = new MediaStream(call.connection.getReceivers().map((receiver) => receiver.track));
  byId("ear").srcObject = stream;
  meter("speaker", stream);
  [phone.muted, phone.holds] = [false, false];
  press("mute", false);
  press("hold", false);
  const tell = () => {
    if (phone.call !== call || !call.isOnHold().local) return;
    if (!call.unhold({}, () => { byId("call-more").textContent = more; })) setTimeout(tell, 200);
  };
  show(t("phone.on-hold"), nameOf(call), more);
  tell();
}

function back() {
  const asked = phone.call;
  if (asked) asked.terminate();
  else takeBack();
}

// --- The sound check -----------------------------------------------------------------------------------------------

// A call to an echo of the exchange: what leaves here comes back. Clicks of our own tell the way there and back, the microphone its level.
async function checkSound(ua) {
  byId("check").hidden = false;
  byId("check-again").hidden = true;
  for (const id of ["level", "lost", "delay"]) byId(`check-${id}`).textContent = "–";
  byId("check-text").textContent = t("check.say");
  fault(null);
  let probe = null;
  try {
    const stream = await openMicrophone();
    probe = probeOf(stream, phone.context);
    const found = await measure(ua, probe);
    byId("check-level").textContent = `${Math.round(found.level)} dB`;
    byId("check-lost").textContent = percentOf(found.lost);
    byId("check-delay").textContent = found.delay === null ? "–" : `${Math.round(found.delay * 1000)} ms`;
    const wrong = soundFaults(found);
    byId("check-text").textContent = wrong ?? t("check.good");
    return wrong === null;
  } catch (error) {
    byId("check-text").textContent = error.message;
    return false;
  } finally {
    probe?.close();
  }
}

// The numbers up to which a talk is one.
const CHECK = { levelMin: -50, lostMax: 0.05, delayMax: 0.8, clicks: 8, clicksMin: 4, gapMs: 600, clickS: 0.06, hertz: 1700, within: 20000 };

function soundFaults({ level, lost, delay, clicks }) {
  if (clicks < CHECK.clicksMin) return t("check.nothing-back");
  if (level < CHECK.levelMin) return t("check.silent");
  if (lost > CHECK.lostMax) return t("check.lossy");
  if (delay > CHECK.delayMax) return t("check.slow");
  return null;
}

// What is sent: the microphone and clicks of one frequency.
function probeOf(stream, context) {
  const [out, analyser, source] = [context.createMediaStreamDestination(), context.createAnalyser(), context.createMediaStreamSource(stream)];
  analyser.fftSize = 2048;
  source.connect(analyser);
  source.connect(out);
  const [tone, gain] = [context.createOscillator(), context.createGain()];
  tone.frequency.value = CHECK.hertz;
  gain.gain.value = 0;
  tone.connect(gain).connect(out);
  tone.start();
  return {
    stream: out.stream, context, analyser,
    click: () => {
      gain.gain.setValueAtTime(0.3, context.currentTime);
      gain.gain.setValueAtTime(0, context.currentTime + CHECK.clickS);
      return performance.now();
    },
    close: () => { tone.stop(); source.disconnect(); },
  };
}

// How much stronger a frequency is in samples than all others together.
function share(samples, hertz, rate) {
  const w = 2 * Math.cos((2 * Math.PI * hertz) / rate);
  let [a, b, all] = [0, 0, 0];
  for (const sample of samples) {
    [a, b] = [w * a - b + sample, a];
    all += sample * sample;
  }
  return all < 1e-5 * samples.length ? 0 : (2 * (a * a + b * b - w * a * b)) / (samples.length * all);
}

function measure(ua, probe) {
  return new Promise((resolve, reject) => {
    const session = ua.call(phone.soundCheck, { mediaStream: probe.stream, pcConfig: connection() });
    const found = { level: -100, lost: 0, delay: null, clicks: 0 };
    const [delays, timers] = [[], []];
    let over = false;
    const end = (act) => {
      // Hanging up is an end, too.
      if (over) return;
      over = true;
      timers.forEach(clearInterval);
      clearTimeout(late);
      phone.checking = null;
      if (!session.isEnded()) session.terminate();
      act();
    };
    const late = setTimeout(() => end(() => reject(new Error(t("check.endless")))), CHECK.within);
    session.on("icecandidate", (event) => event.ready());
    session.on("failed", ({ cause, message }) => {
      const password = [401, 403, 404, 407].includes(message?.status_code);
      end(() => reject(new Error(password ? t("phone.wrong") : t("check.uncalled", { why: endOf(cause) }))));
    });
    session.on("ended", () => end(() => reject(new Error(t("check.ended")))));
    session.on("confirmed", async () => {
      const track = session.connection.getReceivers()[0]?.track;
      if (!track) return;
      const stream = new MediaStream([track]);
      // A stream that no element has is not decoded; nobody shall hear it.
      const mute = Object.assign(new Audio(), { srcObject: stream, muted: true });
      mute.play().catch(() => {});
      const heard = probe.context.createAnalyser();
      heard.fftSize = 1024;
      probe.context.createMediaStreamSource(stream).connect(heard);
      const [mine, theirs] = [new Float32Array(probe.analyser.fftSize), new Float32Array(heard.fftSize)];
      let [clicked, waits, sent] = [0, false, 0];
      timers.push(setInterval(() => {
        probe.analyser.getFloatTimeDomainData(mine);
        const power = mine.reduce((sum, sample) => sum + sample * sample, 0) / mine.length;
        found.level = Math.max(found.level, 10 * Math.log10(power + 1e-10));
        heard.getFloatTimeDomainData(theirs);
        if (waits && share(theirs, CHECK.hertz, probe.context.sampleRate) > 0.5) {
          waits = false;
          delays.push((performance.now() - clicked) / 1000);
        }
      }, 10));
      timers.push(setInterval(async () => {
        if (sent < CHECK.clicks) {
          [clicked, waits] = [probe.click(), true];
          sent += 1;
          return;
        }
        for (const report of (await session.connection.getStats()).values()) {
          if (report.type !== "inbound-rtp" || report.kind !== "audio") continue;
          const all = report.packetsReceived + Math.max(0, report.packetsLost);
          found.lost = all > 0 ? Math.max(0, report.packetsLost) / all : 1;
        }
        delays.sort((a, b) => a - b);
        found.clicks = delays.length;
        found.delay = delays.length > 0 ? delays[Math.floor(delays.length / 2)] : null;
        end(() => resolve(found));
      }, CHECK.gapMs));
    });
  });
}

// --- Signing in ----------------------------------------------------------------------------------------------------

async function settings() {
  const { realm, websockets, sound_check: soundCheck } = await (await fetch("/phone/settings")).json();
  const secure = location.protocol === "https:";
  const found = websockets.find((at) => at.secure === secure) ?? websockets.find((at) => at.secure);
  [phone.realm, phone.soundCheck] = [realm, soundCheck];
  if (found) {
    byId("server").value = `${found.secure ? "wss" : "ws"}://${found.host ?? location.hostname}:${found.port}`;
  } else {
    fault(t("phone.no-websocket"));
  }
}

function signIn() {
  const [account, password, server] = ["account", "password", "server"].map((id) => byId(id).value.trim());
  fault(null);
  try {
    phone.ua?.stop();
    [phone.checked, phone.checking] = [null, null];
    phone.ua = new UA({
      sockets: [new WebSocketInterface(server)], uri: `sip:${account}@${phone.realm}`, password,
      user_agent: "Offhook phone page", session_timers: false, register_expires: 120, register: !phone.soundCheck,
    });
  } catch (error) {
    fault(t("phone.unusable", { why: error.message }));
    return;
  }
  const ua = phone.ua;
  link("wait", t("link.wait"));
  // Who has not heard itself is not called: it registers behind the sound check, if there is one.
  const check = async () => {
    byId("check-again").onclick = check;
    byId("sign-in").hidden = true;
    link("wait", t("phone.checking"));
    phone.checking = ua;
    const good = await checkSound(ua);
    if (phone.ua !== ua) return;
    phone.checked = good;
    byId("check-again").hidden = good;
    if (good) ua.register();
    else link("down", t("phone.unchecked"));
    byId("sign-in").hidden = good;
  };
  ua.on("connected", () => {
    link("wait", t("phone.signing"));
    if (!phone.soundCheck || phone.checked === true) { if (phone.soundCheck) ua.register(); } else if (!phone.checking) check();
  });
  let refused = false;
  ua.on("disconnected", () => link("down", refused ? t("phone.signed-out") : t("phone.no-way", { server })));
  ua.on("registered", ({ response }) => {
    const relay = response?.getHeader("X-Offhook-Turn");
    phone.relay = relay ? JSON.parse(relay) : null;
    link("live", t("phone.signed", { account }));
    byId("password").value = "";
    byId("sign-in").hidden = true;
    byId("check").hidden = true;
    byId("call").hidden = false;
    if (phone.call === null) show(t("phone.ready"));
    // Back after the connection broke: the way of the speech did most likely, too.
    else if (["disconnected", "failed"].includes(phone.call.connection?.iceConnectionState)) findWayAnew();
  });
  ua.on("registrationFailed", ({ cause, response }) => {
    // A connection that broke is made anew by itself.
    if (!response && cause?.startsWith("Connection")) return;
    refused = true;
    fault(response && [401, 403, 404].includes(response.status_code) ? t("phone.wrong") : t("phone.refused", { why: cause }));
    ua.stop();
    byId("sign-in").hidden = false;
  });
  ua.on("newRTCSession", ({ session, request }) => {
    if (phone.checking === ua) return;
    session.requestHeader = request.getHeader?.("X-Offhook-Queue") ?? "";
    take(session);
  });
  ua.start();
}

// --- Begin ---------------------------------------------------------------------------------------------------------

const on = (id, event, act) => byId(id).addEventListener(event, act);
const onSubmit = (id, act) => on(id, "submit", (event) => { event.preventDefault(); act(); });

for (const key of KEYS) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = key;
  button.addEventListener("click", () => phone.call?.sendDTMF(key, { transportType: "RFC2833" }));
  byId("keypad").append(button);
}
onSubmit("sign-in", signIn);
onSubmit("dial", () => dial(byId("number").value.trim()));
onSubmit("transfer", () => transfer(byId("target").value.trim()));
on("consult", "click", () => consult(byId("target").value.trim()));
on("put-through", "click", putThrough);
on("back", "click", back);
on("answer", "click", answer);
on("decline", "click", () => phone.call?.terminate({ status_code: 603 }));
on("hang-up", "click", () => phone.call?.terminate());
on("mute", "click", mute);
on("hold", "click", hold);
on("listen", "click", () => openMicrophone().catch((error) => fault(error.message)));
on("microphone", "change", changeMicrophone);
on("process", "change", changeMicrophone);
on("speaker", "change", chooseSpeaker);
navigator.mediaDevices?.addEventListener("devicechange", listDevices);
window.addEventListener("online", findWayAnew);
document.addEventListener("keydown", ({ key, target }) => {
  if (KEYS.includes(key) && phone.call?.isEstablished() && target.tagName !== "INPUT") phone.call.sendDTMF(key, { transportType: "RFC2833" });
});
window.addEventListener("beforeunload", () => { phone.call?.terminate(); phone.aside?.terminate(); phone.ua?.stop(); });
// What the desk of the same browser is told, and may have done.
const told = linkPhone(
  () => ({ state: phone.ua?.isRegistered() ? (phone.call === null ? "ready" : phone.call.isEstablished() ? "talking" : phone.call.direction === "incoming" ? "ringing" : "calling") : "signed-out" }),
  {
    answer: () => phone.call?.direction === "incoming" && !phone.call.isEstablished() && answer(),
    dial: (target) => phone.ua?.isRegistered() && phone.call === null && dial(target),
    key: (key) => KEYS.includes(key) && phone.call?.isEstablished() && phone.call.sendDTMF(key, { transportType: "RFC2833" }),
  },
);
offerLanguages(byId("language"));
setInterval(tickMeters, 100);
setInterval(lookAtLine, QUALITY_MS);
settings().catch((error) => fault(t("phone.unread", { why: error.message })));
