// Forms that a passkey fills in: data-passkey has what the browser is to be asked, data-does whether it makes one.
"use strict";

function toBytes(text) {
  const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
}
function toText(buffer) {
  const plain = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(plain).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function optionsOf(form) {
  const options = JSON.parse(form.dataset.passkey);
  options.challenge = toBytes(options.challenge);
  if (options.user) options.user.id = toBytes(options.user.id);
  for (const name of ["allowCredentials", "excludeCredentials"]) {
    (options[name] || []).forEach((one) => { one.id = toBytes(one.id); });
  }
  return options;
}

function written(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = toText(credential.response[name]);
  }
  return JSON.stringify({
    id: credential.id, rawId: toText(credential.rawId), type: credential.type, response,
    clientExtensionResults: {}, authenticatorAttachment: credential.authenticatorAttachment || undefined,
  });
}

function say(form, text) {
  const line = form.querySelector("[role=alert]");
  line.textContent = text;
  line.hidden = false;
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("form[data-passkey]")) return;
  event.preventDefault();
  if (!window.PublicKeyCredential) { say(form, form.dataset.unable); return; }
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const publicKey = optionsOf(form);
    const credential = form.dataset.does === "create"
      ? await navigator.credentials.create({ publicKey })
      : await navigator.credentials.get({ publicKey });
    form.elements.answer.value = written(credential);
    form.submit();
  } catch (error) {
    // Turned away, too late, or none there: the browser says no more than that. An authenticator that is to make a
    // passkey, and has one of this account, says so.
    say(form, error.name === "InvalidStateError" ? form.dataset.known : form.dataset.refused);
    button.disabled = false;
    button.focus();
  }
});
