// Passkeys: the one thing of signing in that a page can't do without a script. Its forms are hidden without it.

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
const text = (buffer) => {
  const letters = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
  return btoa(letters).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
};

const known = (list) => (list ?? []).map((each) => ({ ...each, id: bytes(each.id) }));

function question(kind, options) {
  const asked = { ...options, challenge: bytes(options.challenge) };
  if (kind === "get") return { publicKey: { ...asked, allowCredentials: known(options.allowCredentials) } };
  const user = { ...options.user, id: bytes(options.user.id) };
  return { publicKey: { ...asked, user, excludeCredentials: known(options.excludeCredentials) } };
}

function answer(credential) {
  const response = { clientDataJSON: text(credential.response.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  return JSON.stringify({
    id: credential.id, rawId: text(credential.rawId), type: credential.type, response,
    clientExtensionResults: credential.getClientExtensionResults(),
  });
}

const reasons = {
  NotAllowedError: "Nothing was chosen, or it took too long. Try again, or use another way.",
  InvalidStateError: "This device holds a passkey for you already.",
};

// Two questions at once are not allowed: the waiting one of the username field gives way to a button.
let waiting = null;

async function ask(form, how = {}) {
  const kind = form.dataset.passkey;
  const credential = await navigator.credentials[kind]({ ...question(kind, JSON.parse(form.dataset.options)), ...how });
  form.elements.namedItem("passkey").value = answer(credential);
  form.submit();
}

async function offer(form) {
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const says = form.querySelector("[data-says]");
    says.hidden = true;
    waiting?.abort();
    try {
      await ask(form);
    } catch (error) {
      says.textContent = reasons[error.name] ?? `The browser says: ${error.message}`;
      says.hidden = false;
    }
  });
  const field = document.querySelector("[autocomplete~=webauthn]");
  if (!field || !(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  field.addEventListener("focus", () => {
    if (waiting) return;
    waiting = new AbortController();
    ask(form, { mediation: "conditional", signal: waiting.signal }).catch(() => {});
  });
}

if (window.PublicKeyCredential) document.querySelectorAll("form[data-passkey]").forEach(offer);
