// Prompts: heard, sent, recorded here, or spoken by the machine's engine. Whatever sound comes is made 16 kHz, 16 bit, one channel, before it is sent.
import { element } from "./admin-form.js";
import { ask, send } from "./session.js";
import { t } from "./words.js";

const RATE = 16_000;
const RECORDS_AT_MOST_S = 120;
const SHOWN_MAX = 200;
const path = (name) => `/api/v1/prompts/${encodeURIComponent(name)}`;

// A sound file of whatever kind the browser reads, as WAV.
export async function toWav(bytes) {
  const context = new OfflineAudioContext(1, 1, RATE);
  const sound = await context.decodeAudioData(bytes);
  const made = new OfflineAudioContext(1, Math.max(1, Math.ceil(sound.duration * RATE)), RATE);
  const source = new AudioBufferSourceNode(made, { buffer: sound });
  source.connect(made.destination);
  source.start();
  const samples = (await made.startRendering()).getChannelData(0);
  const view = new DataView(new ArrayBuffer(44 + samples.length * 2));
  const text = (at, word) => [...word].forEach((letter, n) => view.setUint8(at + n, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + samples.length * 2, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, RATE * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, samples.length * 2, true);
  samples.forEach((sample, n) => view.setInt16(44 + n * 2, Math.max(-1, Math.min(1, sample)) * 32_767, true));
  return new Uint8Array(view.buffer);
}

const secondsOf = (wav) => Number(((wav.length - 44) / RATE / 2).toFixed(1));

function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

export function startPrompts({ byId, trying, tell, taken }) {
  const fields = byId("prompt-form").elements;
  let all = { prompts: [], writable: false, engine: null, cut: false };
  let playing = null;
  let tape = null;
  let wav = null;

  async function play(bytes) {
    playing?.close();
    playing = new AudioContext();
    const source = new AudioBufferSourceNode(playing, { buffer: await playing.decodeAudioData(bytes) });
    source.connect(playing.destination);
    source.start();
  }

  function show() {
    const wanted = byId("prompts-search").value.trim().toLowerCase();
    const found = all.prompts.filter(({ name }) => name.toLowerCase().includes(wanted));
    byId("prompts-count").textContent = found.length > SHOWN_MAX || all.cut ? t("admin.prompts.count", { n: found.length, shown: SHOWN_MAX }) : found.length;
    byId("prompt-speak-part").hidden = !all.engine;
    byId("prompt-engine").textContent = all.engine ? "" : t("admin.prompts.no-engine");
    byId("prompt-form").hidden = !all.writable;
    byId("prompts-closed").hidden = all.writable;
    byId("prompts-rows").replaceChildren(...found.slice(0, SHOWN_MAX).map(({ name, seconds, rate_hz: rate, own }) => {
      const hear = element("button", { className: "small", type: "button", textContent: t("admin.prompts.play"), ariaLabel: t("admin.prompts.play-it", { name }), disabled: seconds === null, onclick: () => trying(async () => play(await (await ask(path(name))).arrayBuffer())) });
      const again = own && all.writable ? element("button", { className: "small", type: "button", textContent: t("admin.prompts.replace"), ariaLabel: t("admin.prompts.replace-it", { name }), onclick: () => { fields.name.value = name; fields.name.focus(); } }) : "";
      const gone = own && all.writable ? element("button", { className: "small", type: "button", textContent: t("admin.prompts.remove"), ariaLabel: t("admin.prompts.remove-it", { name }), onclick: () => remove(name) }) : "";
      const cells = [[t("admin.prompts.prompt"), name, "name"], [t("col.lasts"), seconds === null ? t("admin.prompts.unplayable") : `${seconds} s`], [t("admin.prompts.samples"), rate ? `${rate / 1000} kHz` : "–"], [t("admin.prompts.lies"), own ? t("admin.prompts.own") : t("admin.prompts.foreign")], [t("admin.prompts.change"), hear, again, gone]];
      return element("tr", {}, ...cells.map(([column, content, ...more]) => {
        const cell = typeof content === "string" ? element("td", { textContent: content, className: more[0] ?? "" }) : element("td", {}, content, ...more);
        cell.dataset.column = column;
        return cell;
      }));
    }));
  }

  const load = () => trying(async () => {
    all = await (await ask("/api/v1/prompts")).json();
    show();
  });

  const note = (text) => { byId("prompt-note").textContent = text; };
  function ready(bytes, words) {
    wav = bytes;
    byId("prompt-hear").hidden = !wav;
    note(words);
  }

  // Keeps what was recorded, chosen or written.
  async function keep(body) {
    const name = fields.name.value.trim();
    if (!name) { note(t("admin.prompts.name-first")); fields.name.focus(); return; }
    try {
      const prompt = await (await send(path(name), body, "PUT")).json();
      ready(null, t("admin.prompts.kept", { name: prompt.name, seconds: prompt.seconds }));
      byId("prompt-take").hidden = false;
      await load();
    } catch (error) {
      note(error.detail ?? t("admin.prompts.not-kept"));
    }
  }

  // What the configuration plays stays: the exchange says on which lines.
  async function remove(name) {
    if (!confirm(t("admin.prompts.sure", { name }))) return;
    try {
      await ask(path(name), { method: "DELETE" });
      note(t("admin.prompts.gone", { name }));
      await load();
    } catch (error) {
      note(error.detail ?? t("admin.prompts.not-gone"));
    }
  }

  async function record() {
    if (tape) { tape.stop(); return; }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
      const parts = [];
      tape = new MediaRecorder(stream);
      tape.ondataavailable = ({ data }) => parts.push(data);
      tape.onstop = async () => {
        tape = null;
        for (const track of stream.getTracks()) track.stop();
        byId("prompt-record").textContent = t("admin.prompts.record");
        try {
          const bytes = await toWav(await new Blob(parts).arrayBuffer());
          ready(bytes, t("admin.prompts.recorded", { seconds: secondsOf(bytes) }));
        } catch {
          note(t("admin.prompts.unreadable"));
        }
      };
      tape.start();
      setTimeout(() => tape?.stop(), RECORDS_AT_MOST_S * 1000);
      byId("prompt-record").textContent = t("admin.prompts.stop");
      note(t("admin.prompts.speak-now"));
    } catch {
      note(t("admin.prompts.no-microphone"));
    }
  }

  byId("prompts-search").oninput = show;
  byId("prompt-record").onclick = record;
  byId("prompt-hear").onclick = () => trying(() => play(wav.slice().buffer));
  fields.file.onchange = async () => {
    const [file] = fields.file.files;
    if (!file) return;
    if (!fields.name.value) fields.name.value = file.name.replace(/\.[^.]*$/, "").replace(/[^A-Za-z0-9_-]+/g, "-");
    try {
      const bytes = await toWav(await file.arrayBuffer());
      ready(bytes, t("admin.prompts.chosen", { name: file.name, seconds: secondsOf(bytes) }));
    } catch {
      note(t("admin.prompts.other-file"));
    }
  };
  byId("prompt-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (wav) keep({ wav: base64(wav) });
    else note(t("admin.prompts.choose-first"));
  });
  byId("prompt-speak").onclick = () => {
    const [text, voice] = [fields.text.value.trim(), fields.voice.value.trim()];
    if (text) keep(voice ? { text, voice } : { text });
    else note(t("admin.prompts.write-first"));
  };
  byId("prompt-take").onclick = () => trying(async () => {
    const { version } = await (await send("/api/v1/config/reload", {})).json();
    byId("prompt-take").hidden = true;
    await taken();
    tell(t("admin.prompts.in-force", { version }), "good");
  });
  return load;
}
