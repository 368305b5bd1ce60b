// Live events of the exchange, over a stream that unlike EventSource can carry a token.
import { ask } from "./session.js";

let last = null;

// Calls `take(name, data)` for each event until the stream ends; `began` once it is there. Begun anew, it goes on where it was.
export async function listen(took, began) {
  const response = await ask("/api/v1/events", { headers: last ? { "last-event-id": last } : {} });
  began();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon), line.slice(colon + 1).trimStart()];
      }));
      if (fields.id) last = fields.id;
      if (fields.event) took(fields.event, JSON.parse(fields.data || "{}"));
    }
  }
}
