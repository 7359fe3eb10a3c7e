// Keeps the site on this device after the first load, and lets nothing be asked elsewhere.

const FILES = "{{files}}"; // path -> bytes
const MINE = `emotions ${self.registration.scope} `; // other sites may lie on the same host
const CACHE = `${MINE}{{version}}`;
const POLICY = "{{policy}}";

self.addEventListener("install", (event) => event.waitUntil(keep()));
self.addEventListener("activate", (event) => event.waitUntil(forget().then(() => self.clients.claim())));
self.addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function keep() {
  const cache = await caches.open(CACHE);
  const megabytes = (bytes) => (bytes / 1e6).toFixed(0);
  const all = Object.values(FILES).reduce((sum, each) => sum + each, 0);
  let done = 0;
  for (const [path, bytes] of Object.entries(FILES)) {
    const answer = await fetch(path, { cache: "no-cache" });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    await cache.put(path, answer);
    done += bytes;
    for (const client of await self.clients.matchAll({ includeUncontrolled: true })) client.postMessage({ loading: { megabytes: megabytes(all), done: megabytes(done) } });
  }
}

async function forget() {
  const mine = (await caches.keys()).filter((name) => name.startsWith(MINE) && name !== CACHE);
  await Promise.all(mine.map((name) => caches.delete(name)));
}

async function answer(request) {
  const url = new URL(request.url);
  if (url.origin !== self.location.origin) return Response.error();
  const path = url.pathname.endsWith("/") ? `${url.pathname}index.html` : url.pathname;
  const found = (await (await caches.open(CACHE)).match(new URL(path, url))) ?? (await fetch(request));
  return isolated(found);
}

/** The response under the site's policy, and cut off from other pages, so that threads may share memory. */
function isolated(found) {
  if (found.type === "opaque" || found.type === "error") return found;
  const headers = new Headers(found.headers);
  headers.set("content-security-policy", POLICY);
  headers.set("cross-origin-opener-policy", "same-origin");
  headers.set("cross-origin-embedder-policy", "require-corp");
  headers.set("cross-origin-resource-policy", "same-origin");
  return new Response(found.body, { status: found.status, statusText: found.statusText, headers });
}
