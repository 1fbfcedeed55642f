"use strict";
// Keeps static files, which never change under their names, and a page that says that there is no connection.
// It keeps no page of a console and answers no other request: what shows money comes from the server alone.
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
  if (request.method !== "GET" || address.origin !== self.location.origin) return;
  if (NAMED_BY_CONTENT.test(address.pathname)) event.respondWith(fileFor(request));
  else if (request.mode === "navigate") event.respondWith(fetch(request).catch(() => caches.match(OFFLINE)));
});

async function fileFor(request) {
  const kept = await caches.open(KEPT), found = await kept.match(request);
  if (found) return found;
  const answer = await fetch(request);
  if (answer.ok && (answer.headers.get("Cache-Control") || "").includes("immutable")) await kept.put(request, answer.clone());
  return answer;
}
