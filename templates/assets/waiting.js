// Follows a stack that does not serve yet: shows the page anew when something changed, and gives way once an app answers.
const LOOK_EVERY = 5000;
let asked = false;

async function look() {
  if (asked) return;
  asked = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store", redirect: "manual" });
    if (!answer.headers.has("x-greenroom-waiting")) return location.reload();
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.getElementById("main");
    const main = document.getElementById("main");
    if (next && main && next.innerHTML !== main.innerHTML) {
      main.replaceChildren(...next.childNodes);
      document.title = page.title;
    }
  } catch {
    // The server is away: the next look tells.
  } finally {
    asked = false;
  }
}

const changes = new EventSource("/.greenroom/changes");
changes.addEventListener("changed", look);
setInterval(look, LOOK_EVERY);
