// What a page is like for people who use no mouse, colours of their own, or wider text. Each function lists faults.
window.seeing = (() => {
  const named = (el) => `${el.tagName.toLowerCase()}${el.id && `#${el.id}`}.${[...el.classList].join(".")} "${(el.getAttribute("aria-label") || el.value || el.textContent || "").trim().slice(0, 40)}"`;
  const isShown = (el) => el.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && el.getBoundingClientRect().width > 1;
  const brush = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const rgb = (...colours) => {
    brush.clearRect(0, 0, 1, 1);
    for (const colour of colours) { brush.fillStyle = colour; brush.fillRect(0, 0, 1, 1); }
    return brush.getImageData(0, 0, 1, 1).data;
  };
  const luminance = (data) => [...data].slice(0, 3).map((n) => (n / 255 <= 0.04045 ? n / 255 / 12.92 : ((n / 255 + 0.055) / 1.055) ** 2.4)).reduce((sum, n, i) => sum + n * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (a, b) => { const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y); return (high + 0.05) / (low + 0.05); };
  const ground = (el) => {
    const layers = [];
    for (let at = el; at; at = at.parentElement) layers.unshift(getComputedStyle(at).backgroundColor);
    return rgb("white", ...layers);
  };

  // The bars that stay: the box of what has the focus must not lie under one of them (WCAG 2.2, 2.4.11).
  const bars = () => [...document.querySelectorAll("body *")].filter((el) => ["sticky", "fixed"].includes(getComputedStyle(el).position) && !el.matches(".side, .nav, .rowmenu") && isShown(el));
  const outlined = (el) => {
    for (let at = el, up = 0; at && up < 3; at = at.parentElement, up++) {
      const { outlineStyle, outlineWidth } = getComputedStyle(at);
      if (outlineStyle !== "none" && parseFloat(outlineWidth) >= 2) return at;
    }
    return null;
  };
  const focusFaults = (el) => {
    const [found, box, outline] = [[], el.getBoundingClientRect(), outlined(el)];
    if (!outline) found.push("has no outline");
    else if (contrast(rgb(getComputedStyle(outline).outlineColor), ground(outline.parentElement)) < 3) found.push("has a faint outline");
    if (box.bottom <= 0 || box.top >= innerHeight || box.right <= 0 || box.left >= innerWidth) found.push("is out of the window");
    for (const bar of bars()) {
      const over = bar.getBoundingClientRect();
      if (bar.contains(el) || over.height > innerHeight / 2) continue;
      const hidden = Math.min(box.bottom, over.bottom) - Math.max(box.top, over.top);
      const room = innerHeight - bars().reduce((sum, each) => sum + each.getBoundingClientRect().height, 0);
      const between = document.elementFromPoint((Math.max(box.left, 0) + Math.min(box.right, innerWidth)) / 2, (Math.max(box.top, over.top) + Math.min(box.bottom, over.bottom)) / 2);
      if (hidden > 1 && !el.contains(between) && (box.height < room || hidden >= box.height)) found.push(`lies ${Math.round(hidden)} pixels under ${named(bar).split(" ")[0]}`);
    }
    return found.map((fault) => `${named(el)} ${fault}`);
  };
  const walk = { stops: [], faults: [], within: document.body };
  const look = () => {
    const el = document.activeElement;
    if (!el || el === document.body || walk.stops.includes(el) || !walk.within.contains(el)) return;
    walk.stops.push(el);
    walk.faults.push(...focusFaults(el));
  };
  const begin = (within) => { walk.within = document.querySelector(within); walk.stops = []; walk.faults = []; document.addEventListener("keydown", look, true); };
  const missed = () => [...walk.within.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")].filter((el) => isShown(el) && !el.disabled && el.tabIndex >= 0 && !(el.type === "radio" && !el.checked) && !walk.stops.includes(el) && el !== document.activeElement);
  const end = () => {
    look();
    document.removeEventListener("keydown", look, true);
    return [...walk.faults, ...missed().map((el) => `${named(el)} is not reached`)];
  };

  // In forced colours only borders, outlines, lines under text and shapes tell a state.
  const told = (el) => { const s = getComputedStyle(el); return [s.borderTopWidth, s.borderTopStyle, s.borderLeftWidth, s.borderBottomWidth, s.borderBottomColor, s.outlineStyle, s.outlineWidth, s.textDecorationLine, s.opacity, getComputedStyle(el, "::before").content, [...el.querySelectorAll("svg")].filter(isShown).length].join("|"); };
  const forced = () => {
    document.activeElement?.blur();
    const found = [];
    for (const el of document.querySelectorAll("[aria-current]:not([aria-current=false]), [aria-pressed=true], .preset:has(:checked)")) {
      const others = [...(el.closest("nav, form, ul, fieldset") ?? document).querySelectorAll(el.tagName)].filter((each) => each !== el && each.className === el.className && !each.matches("[aria-current], [aria-pressed=true], :has(:checked)"));
      if (isShown(el) && others.length && told(others[0]) === told(el)) found.push(`${named(el)} looks like the others`);
    }
    for (const el of document.querySelectorAll(".st, .btn, .chip, .mark, .env, input:not([type=hidden], [type=checkbox], [type=radio]), select, textarea, .card, .sec, .panel, .notice, .tile, .menu, .dock")) {
      const { borderTopWidth, borderTopStyle } = getComputedStyle(el);
      if (isShown(el) && (borderTopStyle === "none" || parseFloat(borderTopWidth) === 0) && !el.closest(".lb")) found.push(`${named(el)} has no edge`);
    }
    for (const el of document.querySelectorAll("svg path, svg rect, svg polyline, svg circle, svg line, svg.i")) {
      const { stroke, fill } = getComputedStyle(el);
      const drawn = [stroke, fill].filter((colour) => colour !== "none");
      if (isShown(el) && drawn.length && !el.closest(".qrbox, .brand, .grid, [aria-disabled], :disabled") && !el.matches(".grid") && drawn.every((colour) => contrast(rgb("white", getComputedStyle(document.body).backgroundColor, colour), ground(el)) < 3)) found.push(`${named(el)} can't be seen`);
    }
    return [...new Set(found)];
  };

  // WCAG 2.2, 1.4.12: the wider text still fits, and nothing that was cut off before is the measure.
  const cut = () => [...document.querySelectorAll("main *, header *, nav *")].filter((el) => {
    const { overflowX, overflowY, display, textOverflow } = getComputedStyle(el);
    return el.childNodes.length && display !== "inline" && textOverflow !== "ellipsis" && isShown(el) && !el.closest(".vh, svg, select, textarea, .qrbox") && ((overflowX === "hidden" && el.scrollWidth > el.clientWidth + 1) || (["hidden", "clip"].includes(overflowY) && el.scrollHeight > el.clientHeight + 1));
  }).map(named);
  const widen = () => {
    const before = new Set(cut());
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important } p { margin-bottom: 2em !important }");
    document.adoptedStyleSheets = [sheet];
    const wider = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    const found = cut().filter((each) => !before.has(each)).map((each) => `${each} is cut off`);
    const over = [...document.querySelectorAll(".btn, .iconbtn, .top > *, .apptabs a, .tabs a, .st, .chip")].filter((el) => isShown(el) && el.scrollHeight > el.clientHeight + 2).map((el) => `${named(el)} is too small for its text`);
    document.adoptedStyleSheets = [];
    return [...found, ...over, ...(wider > 0 ? [`the page is ${wider} pixels wider than its window`] : [])];
  };

  const moving = () => [...document.querySelectorAll("*")].filter((el) => { const s = getComputedStyle(el); return s.animationName !== "none" || s.transitionDuration.split(", ").some((each) => parseFloat(each) > 0.01) && s.transitionProperty !== "none"; }).map((el) => `${named(el)} moves`);
  return { begin, end, left: () => missed().length, forced, widen, moving };
})();
