// What makes Setup pleasant. Every page works without it.

const said = document.createElement("p");
said.className = "vh";
said.setAttribute("role", "status");
document.body.append(said);

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const label = button.querySelector("[data-says]");
  const before = label.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    said.textContent = label.textContent = label.dataset.says;
  } catch {
    said.textContent = label.textContent = "Not copied: select it by hand";
  }
  setTimeout(() => { label.textContent = before; said.textContent = ""; }, 2000);
});

// The account menu closes when one goes elsewhere.
const account = document.querySelector(".account");
document.addEventListener("click", (event) => { if (!account?.contains(event.target)) account?.removeAttribute("open"); });
account?.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  account.removeAttribute("open");
  account.querySelector("summary").focus();
});

// The colour scheme changes without a reload, so that a half-filled form stays as it is.
const theme = document.getElementById("theme");
theme?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = theme.querySelector("button");
  const chosen = button.value;
  const body = new URLSearchParams(new FormData(theme, button));
  const answer = await fetch(theme.action, { method: "POST", body });
  if (!answer.ok || new URL(answer.url).pathname.endsWith("/login")) return theme.submit();
  if (chosen) document.documentElement.dataset.theme = chosen;
  else delete document.documentElement.dataset.theme;
  button.value = { "": "dark", dark: "light", light: "" }[chosen];
  const label = `Colour scheme: ${chosen || "same as system"}; switch to ${button.value || "same as system"}`;
  button.setAttribute("aria-label", label);
  said.textContent = label;
});

// Quick Find: the tree narrows while one types.
const find = document.getElementById("find");
find?.addEventListener("input", () => {
  const wanted = find.value.trim().toLowerCase().replace(/\s+/g, " ");
  let count = 0;
  for (const leaf of document.querySelectorAll("#tree [data-words]")) {
    const link = leaf.querySelector("a > span");
    const text = link.textContent;
    const at = wanted ? text.toLowerCase().indexOf(wanted) : -1;
    const isMatch = !wanted || at >= 0 || leaf.dataset.words.includes(wanted);
    leaf.hidden = !isMatch;
    count += isMatch ? 1 : 0;
    const mark = document.createElement("mark");
    mark.textContent = at >= 0 ? text.slice(at, at + wanted.length) : "";
    link.replaceChildren(...(at >= 0 ? [text.slice(0, at), mark, text.slice(at + wanted.length)] : [text]));
  }
  for (const group of document.querySelectorAll("#tree > li")) {
    group.hidden = !group.querySelector("[data-words]:not([hidden])");
  }
  document.getElementById("find-count").textContent = wanted ? `${count} ${count === 1 ? "match" : "matches"}` : "";
});

// The arrow keys lead from Quick Find to what it found.
document.querySelector(".nav")?.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const stops = [find, ...document.querySelectorAll("#tree [data-words]:not([hidden]) a")];
  const next = stops[stops.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
});

// A tile that is pointed at fills the form as the button does. The arrow keys only choose, since they pass over others.
const tiles = document.querySelector("fieldset.presets");
let isPointing = false;
tiles?.addEventListener("pointerdown", () => { isPointing = true; });
tiles?.addEventListener("keydown", () => { isPointing = false; });
tiles?.addEventListener("change", () => { if (isPointing) document.getElementById("use-preset").click(); });

// The API Name follows the name until it is typed by hand.
const label = document.getElementById("label");
const apiName = document.getElementById("api_name");
if (label && apiName && !apiName.readOnly && !apiName.value) {
  let isTyped = false;
  apiName.addEventListener("input", () => { isTyped = apiName.value !== ""; });
  label.addEventListener("input", () => {
    if (isTyped) return;
    apiName.value = label.value.replace(/[^A-Za-z0-9]+/g, "_").replace(/^[_0-9]+|_+$/g, "").slice(0, 80);
  });
}

// The dual list moves scopes without a round trip.
const duo = document.querySelector(".duo");
duo?.addEventListener("click", (event) => {
  const button = event.target.closest("button[name=move]");
  if (!button) return;
  event.preventDefault();
  const [from, to] = ["available", "selected"].map((id) => document.getElementById(id));
  const [source, target] = button.value === "add" ? [from, to] : [to, from];
  for (const option of [...source.selectedOptions]) {
    option.selected = false;
    target.append(option);
  }
  const kept = document.getElementById("kept-scopes");
  kept.replaceChildren(...[...to.options].map((option) => {
    const input = document.createElement("input");
    Object.assign(input, { type: "hidden", name: "scopes", value: option.value });
    return input;
  }));
});

// ---------- options, policies, secrets ----------

// The readiness list follows the form. The server says what is ready, as it does for the button beside the list.
const recheck = document.getElementById("recheck");
if (recheck) {
  let waits = 0;
  let asked = 0;
  recheck.hidden = true;
  const check = async () => {
    const now = ++asked;
    const body = new URLSearchParams(new FormData(recheck.form, recheck));
    const answer = await fetch(recheck.formAction, { method: "POST", body }).catch(() => null);
    const page = answer?.ok && new DOMParser().parseFromString(await answer.text(), "text/html");
    const panel = page && page.getElementById("ready-panel");
    if (panel && now === asked) document.getElementById("ready-panel").replaceWith(panel);
  };
  recheck.form.addEventListener("input", () => { clearTimeout(waits); waits = setTimeout(check, 250); });
  recheck.form.addEventListener("click", (event) => {
    if (event.target.closest("button[name=move]")) { clearTimeout(waits); waits = setTimeout(check, 250); }
  });
}
