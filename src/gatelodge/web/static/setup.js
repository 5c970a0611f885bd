// What makes Setup pleasant. Every page works without it.

const said = document.createElement("p");
said.className = "vh";
said.setAttribute("role", "status");
document.body.append(said);

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  const label = button.querySelector("[data-says]");
  const before = label.textContent;
  label.textContent = label.dataset.says;
  said.textContent = label.dataset.says;
  setTimeout(() => { label.textContent = before; said.textContent = ""; }, 2000);
});

// Quick Find: the tree narrows while one types.
const find = document.getElementById("find");
find?.addEventListener("input", () => {
  const wanted = find.value.trim().toLowerCase();
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

// A client's tile fills the form as its button does.
document.querySelector(".presets")?.addEventListener("change", () => {
  document.getElementById("use-preset").click();
});

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
