// The portal's script. Pages work without it; with it they are live. No dependencies.
//
// [data-live]   topics; the region is fetched again when one of them changes, and only what differs is put in place
// [data-tail]   a log inside a page; [data-tail-more] a log page that goes on
// [data-lazy]   a <details> whose content is fetched when it is opened
// [data-check]  a form that is checked while it is filled in
// [data-search] a search whose answer, in the region of that id, follows what is typed

const html = document.documentElement;
const $ = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
html.classList.add("js");

async function page(url, options = {}) {
  const headers = { Accept: "text/html", "X-Greenroom-Fragment": "1", ...options.headers };
  const answer = await fetch(url, { ...options, headers, credentials: "same-origin" });
  if (answer.redirected && new URL(answer.url).pathname === "/sign-in") location.reload();
  const doc = new DOMParser().parseFromString(await answer.text(), "text/html");
  return { ok: answer.ok, doc };
}

// ---- putting what differs in place, without losing focus, typed text, open folds or scroll

const keyOf = (node) => node.nodeType === 1 ? node.dataset.key || node.id || "" : "";
const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

function morph(from, to) {
  if (from.nodeType !== 1) { if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue; return; }
  if ("keep" in from.dataset) return;
  for (const { name } of [...from.attributes]) if (name !== "open" && !to.hasAttribute(name)) from.removeAttribute(name);
  for (const { name, value } of to.attributes) if (name !== "open" && from.getAttribute(name) !== value) from.setAttribute(name, value);
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    let found = at;
    while (found && !alike(found, wanted)) found = found.nextSibling;
    if (found && (found === at || keyOf(wanted))) {
      if (found !== at) from.insertBefore(found, at);
      else at = at.nextSibling;
      morph(found, wanted);
    } else {
      from.insertBefore(document.importNode(wanted, true), at);
    }
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
}

// ---- live regions

let stream, listening = "", lost;
const topicsOf = (element) => (element.dataset.live ?? element.dataset.topic ?? "").split(",").filter(Boolean);

function listen() {
  const wanted = all("[data-live], [data-tail-more], details[open] [data-tail]").flatMap(topicsOf);
  const topics = [...new Set(wanted)].slice(0, 60).join(",");
  if (topics === listening && stream) return;
  stream?.close();
  stream = undefined;
  listening = topics;
  if (!topics || document.hidden) return;
  let first = true;
  stream = new EventSource(`/api/v1/events?topics=${encodeURIComponent(topics)}`);
  stream.addEventListener("ready", () => {
    clearTimeout(lost);
    lost = undefined;
    $("[data-link]").hidden = true;
    if (!first || stale) refresh();
    first = stale = false;
  });
  stream.addEventListener("changed", (event) => {
    const { topics } = JSON.parse(event.data);
    const heard = (element) => topicsOf(element).some((want) => topics.some((topic) => topic.startsWith(want) || topic === "*"));
    all("[data-tail], [data-tail-more]").filter(heard).forEach(tail);
    if (all("[data-live]").some(heard)) refresh();
  });
  stream.onerror = () => { lost ??= setTimeout(() => { $("[data-link]").hidden = false; }, 4000); };
}

// A browser opens few connections to a server; pages that nobody looks at give theirs back.
let stale = false;
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { stream?.close(); stream = undefined; stale = true; } else listen();
});

let refreshing = false, again = false;
async function refresh() {
  if (refreshing) { again = true; return; }
  refreshing = true;
  try {
    const url = new URL(location.href);
    url.searchParams.delete("said");
    const { ok, doc } = await page(url);
    if (ok) {
      for (const region of all("[data-live]")) {
        const fresh = doc.getElementById(region.id);
        if (fresh) morph(region, fresh);
      }
      document.title = doc.title;
      if (!$(".hero.busy")) $("[data-said=begun]")?.remove();
      dress();
    }
  } catch { /* the stream says when the server is back */ }
  await new Promise((resolve) => setTimeout(resolve, 150));
  refreshing = false;
  if (again) { again = false; refresh(); }
}

// ---- logs

const tails = new WeakMap();
async function tail(box) {
  const state = tails.get(box) ?? { after: 0, line: 1, busy: false, open: true };
  tails.set(box, state);
  const more = "tailMore" in box.dataset;
  if (more && state.after === 0) { state.after = Number(box.dataset.next); state.line = Number(box.dataset.line); }
  if (state.busy || !state.open || (!more && !box.closest("details")?.open)) return;
  state.busy = true;
  try {
    const { ok, doc } = await page(`${box.dataset.tail ?? box.dataset.tailMore}?after=${state.after}&line=${state.line}`);
    const part = ok && $("[data-fragment]", doc);
    if (!part) return;
    const nothing = state.line === 1;
    Object.assign(state, { after: Number(part.dataset.next), line: Number(part.dataset.line), open: part.dataset.open === "1" });
    const log = more ? box : $(".log", box) ?? box.appendChild(Object.assign(document.createElement("pre"), { className: "log", tabIndex: 0 }));
    const pane = more ? document.scrollingElement : log;
    const atEnd = pane.scrollTop + pane.clientHeight >= pane.scrollHeight - 40;
    if (!part.children.length) { if (nothing && !more) log.textContent = state.open ? "Nothing yet" : "It said nothing"; }
    else if (more) log.append(...part.children);
    else log.textContent = (nothing ? "" : log.textContent) + all("li span", part).map((line) => `${line.textContent}\n`).join("");
    (more ? state.line > 1 && $(".none-yet") : $("p", box))?.remove();
    if (atEnd && part.children.length) pane.scrollTop = pane.scrollHeight;
  } catch { /* tried again at the next change */ } finally { state.busy = false; }
}
setInterval(() => { if (!document.hidden) all("details[open] [data-tail], [data-tail-more]").forEach(tail); }, 2000);

// ---- folds that are filled when they are opened

document.addEventListener("toggle", async (event) => {
  const fold = event.target;
  if (!fold.open) return;
  all("[data-tail]", fold).forEach(tail);
  listen();
  if (!fold.dataset.lazy || fold.dataset.filled) return;
  fold.dataset.filled = "1";
  const slot = $("[data-slot]", fold);
  slot.textContent = "Asking the repository…";
  try {
    const { doc } = await page(fold.dataset.lazy);
    slot.replaceChildren(...($("[data-fragment]", doc) ?? doc.body).childNodes);
  } catch {
    slot.textContent = "The server did not answer; close and open to try again.";
    delete fold.dataset.filled;
  }
}, true);

// ---- searches that answer while one types

const searches = new WeakMap();
function searchSoon(form, wait = 180) {
  clearTimeout(searches.get(form)?.timer);
  searches.set(form, { timer: setTimeout(() => search(form), wait) });
}
async function search(form) {
  const turn = {};
  searches.set(form, turn);
  const asked = new URLSearchParams([...new FormData(form)].filter(([, value]) => value.trim()));
  const url = new URL(form.action);
  url.search = asked.toString();
  history.replaceState(null, "", url);
  const region = document.getElementById(form.dataset.search);
  region.dataset.busy = "";
  try {
    const { ok, doc } = await page(url);
    // An answer that comes after a later question is not wanted any more.
    if (searches.get(form) !== turn) return;
    const fresh = doc.getElementById(region.id);
    if (ok && fresh) { morph(region, fresh); document.title = doc.title; dress(); }
  } catch { /* the button asks again */ }
  delete region.dataset.busy;
}

// ---- forms

const timers = new WeakMap();
function checkSoon(form) {
  clearTimeout(timers.get(form));
  timers.set(form, setTimeout(() => check(form), 350));
}
async function check(form) {
  const into = document.getElementById(form.dataset.checkInto);
  const body = new URLSearchParams(new FormData(form));
  const text = body.toString();
  into.setAttribute("aria-busy", "true");
  try {
    const { doc } = await page(form.dataset.check, { method: "POST", body });
    if (new URLSearchParams(new FormData(form)).toString() !== text) return;
    const part = $("[data-fragment]", doc);
    if (!part) return;
    into.replaceChildren(...part.childNodes);
    const errors = new Map(all("[data-error]", into).map((e) => [e.dataset.error, e.textContent]));
    for (const slot of all("[data-error-for]", form)) slot.textContent = errors.get(slot.dataset.errorFor) ?? "";
    tell();
  } catch { /* the server checks again when the form is sent */ } finally { into.removeAttribute("aria-busy"); }
}

// What the chosen apps need is marked as coming along.
function markNeeds() {
  const rows = all("[data-app]");
  const chosen = rows.filter((row) => $("input[name=app]", row).checked);
  for (const row of rows) {
    const by = chosen.includes(row) ? [] : chosen.filter((other) => other.dataset.needs.split(" ").includes(row.dataset.app));
    row.classList.toggle("brought", by.length > 0);
    $("[data-brought]", row).textContent = by.length ? `comes along with ${by.map((other) => $("b", other).textContent).join(", ")}` : "";
  }
}

document.addEventListener("input", (event) => {
  const input = event.target;
  if (input.dataset.filter) {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const items = all("[data-text]", document.getElementById(input.dataset.filter) ?? document);
    for (const item of items) item.hidden = !words.every((word) => item.dataset.text.includes(word)) && !$("input:checked[name=app]", item);
    const none = $("[data-none]");
    if (none) none.hidden = items.some((item) => !item.hidden);
  }
  if (input.name?.startsWith("rev.")) all(`input[name="pick.${input.name.slice(4)}"]`).forEach((radio) => { radio.checked = radio.value === input.value; });
  if (input.name?.startsWith("pick.")) { const field = document.getElementById(`rev-${input.name.slice(5)}`); if (field) field.value = input.value; }
  if (input.name === "lease") { const other = $("[name=lease_other]", input.form); if (other) other.value = ""; }
  if (input.name === "app") markNeeds();
  if ("editor" in input.dataset) number(input);
  if (input.form?.dataset.check) checkSoon(input.form);
  if (input.form?.dataset.search) searchSoon(input.form);
});
document.addEventListener("change", (event) => { if ("submit" in event.target.dataset) event.target.form.requestSubmit(); });

function number(area) {
  const gutter = $(`[data-gutter="${area.id}"]`);
  const lines = area.value.split("\n").length;
  if (gutter.dataset.lines !== String(lines)) gutter.textContent = Array.from({ length: lines }, (_, i) => i + 1).join("\n");
  gutter.dataset.lines = lines;
  gutter.scrollTop = area.scrollTop;
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.search) { event.preventDefault(); searchSoon(form, 0); return; }
  if ("themeSwitch" in form.dataset) {
    event.preventDefault();
    const dark = html.dataset.theme ? html.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    html.dataset.theme = $("button", form).value = dark ? "light" : "dark";
    document.cookie = `greenroom-theme=${html.dataset.theme};path=/;max-age=31536000;samesite=lax`;
    return;
  }
  // A second click on a button that has begun something is no second wish.
  if (form.method === "post") {
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    event.submitter?.setAttribute("aria-disabled", "true");
    setTimeout(() => { delete form.dataset.sent; event.submitter?.removeAttribute("aria-disabled"); }, 8000);
  }
});

document.addEventListener("click", async (event) => {
  const target = event.target.closest("[data-copy], [data-fill], [data-goto]");
  for (const menu of all("[data-menu][open]")) if (!menu.contains(event.target)) menu.open = false;
  if (!target) return;
  if (target.dataset.copy) {
    await navigator.clipboard?.writeText(target.dataset.copy);
    target.ariaLabel = "Copied";
    target.replaceChildren("✓");
  }
  if (target.dataset.fill) {
    const input = document.getElementById(target.dataset.fill);
    input.value = target.dataset.value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
  if (target.dataset.goto) {
    event.preventDefault();
    const [line, column] = target.dataset.goto.split(":").map(Number);
    const area = $("[data-editor]");
    const start = area.value.split("\n").slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0) + Math.max(column - 1, 0);
    area.focus();
    area.setSelectionRange(start, start);
    area.scrollIntoView({ block: "nearest" });
    area.scrollTop = (line - 6) * parseFloat(getComputedStyle(area).lineHeight);
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") all("[data-menu][open]").forEach((menu) => { menu.open = false; $("summary", menu).focus(); });
  if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && $("#find")) { event.preventDefault(); $("#find").focus(); }
  if (event.key === "n" && $(".new")) location.href = "/stacks/new";
});

// ---- time goes on

const units = [[31536000, "years", 2], [2592000, "months", 2], [86400, "d", 2], [86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
function rough(seconds) {
  const at = units.findIndex(([size, , least = 1]) => seconds >= size * least);
  if (at < 0) return "0 s";
  const [size, name, alone] = units[at], rest = units[at + 1];
  const second = !alone && size >= 3600 ? Math.floor((seconds % size) / rest[0]) : 0;
  return `${Math.floor(seconds / size)} ${name}${second ? ` ${second} ${rest[1]}` : ""}`;
}
function precise(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60), rest = Math.floor(seconds % 60);
  return minutes < 60 ? `${minutes} min${rest ? ` ${rest} s` : ""}` : rough(seconds);
}
// The server's clock counts, not this machine's.
const drift = Date.now() - Date.parse($('meta[name="now"]')?.content ?? new Date());
function tick() {
  const now = Date.now() - drift;
  for (const time of all("time[data-time]")) {
    const seconds = Math.round(Math.abs(now - Date.parse(time.dateTime)) / 1000);
    const text = { ago: seconds < 10 ? "just now" : `${rough(seconds)} ago`, left: Date.parse(time.dateTime) < now ? "time is up" : `${rough(seconds)} left` }[time.dataset.time];
    if (text && time.textContent !== text) time.textContent = text;
  }
  for (const span of all("[data-since]")) span.textContent = precise(Math.max(now - Date.parse(span.dataset.since), 0) / 1000);
  for (const bar of all("progress[data-from]")) bar.value = now - Date.parse(bar.dataset.from);
}

// Times as they are here.
function tell() {
  for (const time of all("time[data-time]")) {
    const at = new Date(time.dateTime);
    time.title = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    if (time.dataset.time === "day") time.textContent = at.toLocaleString(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  }
}

// What has to be done to new content as well.
function dress() {
  tell();
  all("[data-tail-more]").forEach(tail);
  all("details[open] [data-tail]").forEach(tail);
  listen();
  tick();
}

if ($("[data-app]")) { markNeeds(); const form = $("[data-check]"); if ($("[data-app] input:checked")) check(form); }
for (const area of all("[data-editor]")) {
  area.addEventListener("scroll", () => { $(`[data-gutter="${area.id}"]`).scrollTop = area.scrollTop; });
  number(area);
  if (!$(".findings")) check(area.form);
}
if ($("[data-said]")) { const url = new URL(location.href); url.searchParams.delete("said"); history.replaceState(null, "", url); }
$("[data-focus]")?.focus();
setInterval(tick, 500);
dress();
