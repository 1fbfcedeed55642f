"use strict";
// Keeps static files, which never change under their names, and a page that says that there is no connection.
// It keeps no page of a console and answers no other request: what shows money comes from the server alone.
// A form that is sent without a connection stays where it is, with all that was written into it, files and key included:
// nothing is answered (204 leaves a browser on its page), and the page is told, which says so (console.js).
const KEPT = "console-{{ release }}";
const OFFLINE = "/offline";
const FILES = [{% for file in files %}"{{ file|escapejs }}"{% if not forloop.last %}, {% endif %}{% endfor %}];
const NAMED_BY_CONTENT = /^\/static\/.+\.[0-9a-f]{12}\.[A-Za-z0-9]+$/;

self.addEventListener("install", (event) => event.waitUntil((async () => {
  const kept = await caches.open(KEPT);
  await kept.addAll(FILES);
  await kept.add(new Request(OFFLINE, { credentials: "omit", cache: "no-store" }));
  await self.skipWaiting();
})()));

self.addEventListener("activate", (event) => event.waitUntil((async () => {
  for (const name of await caches.keys()) if (name !== KEPT) await caches.delete(name);
  await self.clients.claim();
})()));

self.addEventListener("fetch", (event) => {
  const request = event.request, address = new URL(request.url);
  if (address.origin !== self.location.origin) return;
  // Only our own pages' forms: what another site sends goes on as what it is, and a worker would send it as its own.
  if (request.method === "POST" && request.mode === "navigate" && request.referrer.startsWith(`${self.location.origin}/`)) {
    event.respondWith(fetch(request).catch(formIsLost));
  }
  if (request.method !== "GET") return;
  if (NAMED_BY_CONTENT.test(address.pathname)) event.respondWith(fileFor(request));
  else if (request.mode === "navigate") event.respondWith(fetch(request).catch(() => caches.match(OFFLINE)));
});

async function formIsLost() {
  for (const window of await self.clients.matchAll({ type: "window" })) window.postMessage("form-is-lost");
  return new Response(null, { status: 204 });
}

async function fileFor(request) {
  const kept = await caches.open(KEPT), found = await kept.match(request);
  if (found) return found;
  const answer = await fetch(request);
  if (answer.ok && (answer.headers.get("Cache-Control") || "").includes("immutable")) await kept.put(request, answer.clone());
  return answer;
}
