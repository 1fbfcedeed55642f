// A receipt is shared where the browser can; everywhere else it is copied as text.
"use strict";

document.querySelectorAll("[data-shares]").forEach((button) => {
  const text = document.querySelector(button.dataset.shares).textContent.trim();
  if (!navigator.share || (navigator.canShare && !navigator.canShare({ text }))) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try { await navigator.share({ text }); } catch { /* whoever closes the list of receivers has changed their mind */ }
  });
});

// The paper is kept as it is chosen; without script, by the button beside it.
document.querySelectorAll("select[data-sends]").forEach((select) => {
  select.addEventListener("change", () => select.form.requestSubmit());
});
