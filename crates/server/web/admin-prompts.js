// Prompts: heard, sent, recorded here, or spoken by the machine's engine. Whatever sound comes is made 16 kHz, 16 bit, one channel, before it is sent.
import { element } from "./admin-form.js";
import { ask, send } from "./session.js";

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
    byId("prompts-count").textContent = found.length > SHOWN_MAX || all.cut ? `${found.length}, the first ${SHOWN_MAX} are shown` : found.length;
    byId("prompt-speak-part").hidden = !all.engine;
    byId("prompt-engine").textContent = all.engine ? "" : "No engine that speaks is installed on this machine (espeak-ng).";
    byId("prompt-form").hidden = !all.writable;
    byId("prompts-closed").hidden = all.writable;
    byId("prompts-rows").replaceChildren(...found.slice(0, SHOWN_MAX).map(({ name, seconds, rate_hz: rate, own }) => {
      const hear = element("button", { className: "small", type: "button", textContent: "Play", ariaLabel: `Play ${name}`, disabled: seconds === null, onclick: () => trying(async () => play(await (await ask(path(name))).arrayBuffer())) });
      const again = own && all.writable ? element("button", { className: "small", type: "button", textContent: "Replace", ariaLabel: `Replace ${name}`, onclick: () => { fields.name.value = name; fields.name.focus(); } }) : "";
      const gone = own && all.writable ? element("button", { className: "small", type: "button", textContent: "Take away", ariaLabel: `Take ${name} away`, onclick: () => remove(name) }) : "";
      const cells = [["Prompt", name, "name"], ["Lasts", seconds === null ? "cannot be played" : `${seconds} s`], ["Samples", rate ? `${rate / 1000} kHz` : "–"], ["Lies", own ? "in the own folder" : "with the machine"], ["Change", ""]];
      return element("tr", {}, ...cells.map(([column, textContent, className = ""]) => {
        const cell = element("td", { textContent, className });
        cell.dataset.column = column;
        if (column === "Change") cell.append(hear, again, gone);
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
    if (!name) { note("Give it a name first, such as office-closed."); fields.name.focus(); return; }
    try {
      const prompt = await (await send(path(name), body, "PUT")).json();
      ready(null, `${prompt.name} is kept, ${prompt.seconds} s. It is heard from the next time that the configuration is taken in.`);
      byId("prompt-take").hidden = false;
      await load();
    } catch (error) {
      note(error.detail ?? "The exchange did not keep it.");
    }
  }

  // What the configuration plays stays: the exchange says on which lines.
  async function remove(name) {
    if (!confirm(`Take the prompt ${name} away? Its sound is gone then.`)) return;
    try {
      await ask(path(name), { method: "DELETE" });
      note(`${name} is gone.`);
      await load();
    } catch (error) {
      note(error.detail ?? "The exchange did not take it away.");
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
        byId("prompt-record").textContent = "Record";
        try {
          const bytes = await toWav(await new Blob(parts).arrayBuffer());
          ready(bytes, `${((bytes.length - 44) / RATE / 2).toFixed(1)} s are recorded: hear them, then keep them.`);
        } catch {
          note("What was recorded cannot be read.");
        }
      };
      tape.start();
      setTimeout(() => tape?.stop(), RECORDS_AT_MOST_S * 1000);
      byId("prompt-record").textContent = "Stop";
      note("Speak now.");
    } catch {
      note("This page may not use the microphone: browsers allow it over HTTPS, or on this machine.");
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
      ready(bytes, `${file.name}, ${((bytes.length - 44) / RATE / 2).toFixed(1)} s: hear it, then keep it.`);
    } catch {
      note("This browser cannot read that file. Choose WAV, MP3, Ogg or FLAC.");
    }
  };
  byId("prompt-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (wav) keep({ wav: base64(wav) });
    else note("Choose a file or record something first.");
  });
  byId("prompt-speak").onclick = () => {
    const [text, voice] = [fields.text.value.trim(), fields.voice.value.trim()];
    if (text) keep(voice ? { text, voice } : { text });
    else note("Write what is to be said first.");
  };
  byId("prompt-take").onclick = () => trying(async () => {
    const { version } = await (await send("/api/v1/config/reload", {})).json();
    byId("prompt-take").hidden = true;
    await taken();
    tell(`Version ${version} is in force, with the new prompts.`, "good");
  });
  return load;
}
