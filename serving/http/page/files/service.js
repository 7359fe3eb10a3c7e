// Requests to the service: the key, errors as sentences, and whether it is there.

import { Refused } from "./requests.js";

export { query, Refused } from "./requests.js";

const KEPT = "emotions.key";
const PAUSE_MS = 2000;

/** Tells "gone" when the service does not answer. */
export const events = new EventTarget();
export const key = () => sessionStorage.getItem(KEPT) ?? "";
export const keepKey = (value) => sessionStorage.setItem(KEPT, value);

/** The JSON of an answer. Throws Refused for an error, TypeError where the service is gone. */
export async function ask(path, options = {}) {
  const headers = key() ? { authorization: `Bearer ${key()}` } : {};
  const answer = await fetch(path, { ...options, headers }).catch((error) => {
    events.dispatchEvent(new Event("gone"));
    throw error;
  });
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  const { code, message } = body.error ?? {};
  throw new Refused(answer.status, code ?? "", message ?? answer.statusText);
}

/** Ask until the service answers. */
export async function askUntilThere(path) {
  for (;;) {
    try {
      return await ask(path);
    } catch (error) {
      if (error instanceof Refused && error.status !== 503) throw error;
      events.dispatchEvent(new Event("gone"));
      await new Promise((resume) => setTimeout(resume, PAUSE_MS));
    }
  }
}

/** A WebSocket for live audio; the key is a subprotocol, as pages cannot send headers with it. */
export function openStream() {
  const protocols = key() ? ["emotions.v1", `emotions.key.${key()}`] : ["emotions.v1"];
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return new WebSocket(`${scheme}://${location.host}/v1/stream`, protocols);
}
