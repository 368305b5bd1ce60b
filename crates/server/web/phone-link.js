// A phone page and a desk page of one browser know each other: the phone says what it does, the desk says what to do.

const channel = "BroadcastChannel" in window ? new BroadcastChannel("offhook-phone") : null;

// On the side of the phone: `now` gives its state, `acts` what it can be told.
export function linkPhone(now, acts) {
  if (!channel) return () => {};
  const tell = () => channel.postMessage({ from: "phone", ...now() });
  channel.onmessage = ({ data }) => {
    if (data.from !== "desk") return;
    if (data.act) acts[data.act]?.(data.value);
    tell();
  };
  window.addEventListener("pagehide", () => channel.postMessage({ from: "phone", state: "gone" }));
  tell();
  return tell;
}

// On the side of the desk: `changed` is told the phone's state, `null` where there is none any more.
export function linkDesk(changed) {
  if (!channel) return () => {};
  channel.onmessage = ({ data }) => { if (data.from === "phone") changed(data.state === "gone" ? null : data); };
  channel.postMessage({ from: "desk" });
  return (act, value) => channel.postMessage({ from: "desk", act, value });
}
