// What waits for somebody: the badges of the menu, and the part of the page Today that follows them. It asks while the
// page is looked at, and not in a tab that nobody sees; less and less often while nothing changes or nobody is there.
"use strict";

{
  const { live: address, who, version: shown, seconds } = document.currentScript.dataset;
  const FASTEST = seconds * 1000, SLOWEST = 30000, key = `live ${who}`;
  let version = "", onPage = shown, wait = FASTEST, timer = 0, isAsking = false, failures = 0;

  function show(badges) {
    badges.forEach(({ address: page, count, label }) => {
      document.querySelectorAll(`.menu a[href="${page}"]`).forEach((link) => {
        let badge = link.querySelector(".menu-badge");
        if (!count) { if (badge) badge.remove(); return; }
        if (!badge) {
          badge = document.createElement("span");
          badge.className = "menu-badge";
          link.append(" ", badge);
        }
        if (badge.dataset.count === count) return;
        badge.dataset.count = count;
        const said = document.createElement("span");
        said.className = "visually-hidden";
        said.textContent = ` (${label})`;
        const written = document.createElement("span");
        written.setAttribute("aria-hidden", "true");
        written.textContent = count;
        badge.replaceChildren(written, said);
      });
    });
  }

  function later() {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(ask, wait);
  }

  async function ask() {
    if (isAsking || document.hidden) return;
    isAsking = true;
    try {
      const headers = { Polls: "yes", Accept: "application/json" };
      const answer = await fetch(`${address}?seen=${version}`, { headers, signal: AbortSignal.timeout(20000) });
      if (answer.status === 401) { // signed out: it goes on when somebody comes back to this page
        alertWith(document.body.dataset.noAccess);
        failures = 3;
        return;
      }
      if (!answer.ok) throw new Error(answer.status);
      if (failures >= 3) document.getElementById("alerts").replaceChildren();
      failures = 0;
      if (answer.status === 204) wait = Math.min(wait * 1.25, SLOWEST);
      else {
        const state = await answer.json();
        version = state.version;
        wait = FASTEST;
        show(state.badges);
        try { sessionStorage.setItem(key, JSON.stringify(state)); } catch { /* it is asked again on the next page */ }
      }
      const part = document.querySelector("[data-live-part]");
      if (part && version !== onPage) htmx.trigger(part, "live-changed");
      onPage = version;
      later();
    } catch {
      // A page that is being left ends its requests.
      if (++failures === 3) alertWith(document.body.dataset.outOfDate);
      wait = Math.min(wait * 2, SLOWEST);
      later();
    } finally {
      isAsking = false;
    }
  }

  function comeBack() {
    if (document.hidden) { clearTimeout(timer); return; }
    wait = FASTEST;
    ask();
  }
  document.addEventListener("visibilitychange", comeBack);
  window.addEventListener("focus", comeBack);
  // What was decided here is seen at once.
  document.addEventListener("htmx:afterSettle", (event) => { if (event.detail.target.id === "decided") comeBack(); });

  try { // as on the page before, until there is an answer
    const state = JSON.parse(sessionStorage.getItem(key));
    if (state) {
      version = state.version;
      show(state.badges);
    }
  } catch { /* where nothing may be stored, there is none */ }
  ask();
}
