// What makes Setup pleasant. Every page works without it.

const said = document.createElement("p");
said.className = "vh";
said.setAttribute("role", "status");
document.body.append(said);

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const label = button.querySelector("[data-says]");
  const before = label.dataset.before ??= label.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    said.textContent = label.textContent = label.dataset.says;
  } catch {
    said.textContent = label.textContent = label.dataset.fails;
  }
  setTimeout(() => { label.textContent = before; said.textContent = ""; }, 2000);
});

// A menu closes when one goes elsewhere, and by Escape, which gives the focus back.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll(".menu-of[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && document.activeElement.closest(".menu-of[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// A text area that gets the focus is scrolled to by its caret alone: bring all of it out from under the docked footer.
document.addEventListener("focusin", (event) => {
  if (event.target.matches("textarea:focus-visible")) event.target.scrollIntoView({ block: "nearest" });
});

// The colours change without a reload, so that a half-filled form stays as it is.
const theme = document.querySelector("#theme form");
theme?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const chosen = event.submitter;
  const body = new URLSearchParams(new FormData(theme, chosen));
  const answer = await fetch(theme.action, { method: "POST", body }).catch(() => null);
  if (!answer?.ok || new URL(answer.url).pathname.endsWith("/login")) return theme.submit();
  if (chosen.value) document.documentElement.dataset.theme = chosen.value;
  else delete document.documentElement.dataset.theme;
  for (const button of theme.querySelectorAll("button")) button.setAttribute("aria-pressed", button === chosen);
  said.textContent = `${document.getElementById("theme-says").textContent}: ${chosen.textContent.trim()}`;
});

// The search: "/" and Ctrl+K lead to it, what it found opens below it (htmx brings it), the arrow keys lead through.
const search = document.getElementById("search");
const isTyping = (at) => at.matches("input, textarea, select, [contenteditable]");
document.addEventListener("keydown", (event) => {
  const isSlash = event.key === "/" && "shortcuts" in document.body.dataset && !isTyping(event.target);
  const isControlK = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey);
  if (!search || event.altKey || !(isSlash || isControlK)) return;
  event.preventDefault();
  if (search.offsetParent) search.focus();
  else document.querySelector(".to-search").click();
});
const hits = () => [...document.querySelectorAll("#search-found a")];
search?.form.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const found = document.getElementById("search-found");
  if (event.key === "Escape" && found.childElementCount) {
    event.preventDefault();
    found.replaceChildren();
    search.focus();
  }
  if (!step) return;
  const stops = [search, ...hits()];
  const next = stops[stops.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
});
search?.form.addEventListener("focusout", (event) => {
  if (event.relatedTarget && !search.form.contains(event.relatedTarget)) document.getElementById("search-found").replaceChildren();
});
search?.addEventListener("input", () => { if (!search.value.trim()) document.getElementById("search-found").replaceChildren(); });

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
  const says = document.getElementById("find-count");
  says.textContent = wanted ? (count === 1 ? says.dataset.one : says.dataset.several).replace("{n}", count) : "";
});

// The arrow keys lead from Quick Find to what it found, and Escape empties it.
document.querySelector(".nav")?.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && find.value) {
    event.preventDefault();
    find.value = "";
    find.dispatchEvent(new Event("input"));
    find.focus();
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const stops = [find, ...document.querySelectorAll("#tree [data-words]:not([hidden]) a")];
  const next = stops[stops.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
});

// What is destructive waits for the name.
for (const typed of document.querySelectorAll("[data-confirms]")) {
  const button = typed.closest(".confirming").querySelector("button");
  const follow = () => { button.disabled = typed.value !== typed.dataset.confirms; };
  typed.addEventListener("input", follow);
  follow();
}

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

// Callback URLs are added and removed without a round trip. Several lines that are pasted become several URLs.
const uris = document.getElementById("callbacks");
const numbered = () => [...uris.children].forEach((row, i) => {
  const [field, button, n] = [row.querySelector("input"), row.querySelector("button"), i + 1];
  const id = i ? `callback_urls-${n}` : "callback_urls";
  row.querySelector("label").textContent = row.querySelector("label").textContent.replace(/\d+/, n);
  row.querySelector("label").htmlFor = field.id = id;
  button.value = n;
  button.setAttribute("aria-label", button.getAttribute("aria-label").replace(/\d+/, n));
});
const another = (value = "") => {
  const row = uris.lastElementChild.cloneNode(true);
  row.querySelector(".doubt")?.remove();
  row.querySelector(".st")?.replaceWith(document.createElement("span"));
  row.querySelector("input").value = value;
  uris.append(row);
  numbered();
  return row.querySelector("input");
};
document.getElementById("add-callback")?.addEventListener("click", (event) => { event.preventDefault(); another().focus(); });
uris?.addEventListener("click", (event) => {
  const button = event.target.closest("button[name=remove_callback]");
  if (!button) return;
  event.preventDefault();
  const row = button.closest(".uri");
  const next = row.nextElementSibling ?? row.previousElementSibling;
  if (next) row.remove();
  else row.querySelector("input").value = "";
  numbered();
  (next ?? row).querySelector("input").focus();
  uris.dispatchEvent(new Event("input", { bubbles: true }));
});
uris?.addEventListener("paste", (event) => {
  const lines = event.clipboardData.getData("text").split(/\s+/).filter(Boolean);
  if (lines.length < 2) return;
  event.preventDefault();
  event.target.value = lines.shift();
  for (const line of lines) another(line);
  uris.dispatchEvent(new Event("input", { bubbles: true }));
});

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
    if (!page || now !== asked) return;
    for (const id of ["ready-panel", "same-app"]) {
      const [drawn, shown] = [page.getElementById(id), document.getElementById(id)];
      const open = [...shown.querySelectorAll("details")].map((each) => each.open);
      drawn.querySelectorAll("details").forEach((each, n) => { each.open = open[n] ?? false; });
      shown.replaceWith(drawn);
    }
  };
  recheck.form.addEventListener("input", () => { clearTimeout(waits); waits = setTimeout(check, 250); });
  recheck.form.addEventListener("click", (event) => {
    if (event.target.closest("button[name=move]")) { clearTimeout(waits); waits = setTimeout(check, 250); }
  });
}
