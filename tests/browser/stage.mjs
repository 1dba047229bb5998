// What the checks play on: the demo's server and bookshop, and a browser that tells everything it complains of.

import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 390, height: 844 };

/** Starts `greenroom demo` and resolves once its stack serves, with where everything is. */
export async function openDemo(binary) {
  const demo = spawn(binary, ["--json", "demo"], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => demo.once("exit", (code) => resolve(code)));
  const line = await new Promise((resolve, reject) => {
    const lines = [];
    createInterface({ input: demo.stdout }).on("line", (text) => { lines.push(text); if (lines.length === 1 && text.length > 1) resolve(text); });
    ended.then((code) => setTimeout(() => reject(new Error(`the demo ended with ${code}: ${lines.join("\n")}`)), 100));
    demo.once("error", reject);
  });
  // What it says at the end: that nothing is left, by its exit code.
  const close = async () => { demo.kill("SIGTERM"); return ended; };
  return { ...JSON.parse(line), close };
}

/** A headless Chromium with a profile of its own, thrown away afterwards. */
export function openBrowser() {
  const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server"];
  return chromium.launch({ executablePath: process.env.GREENROOM_CHROMIUM ?? "/usr/bin/chromium", args: flags });
}

/** Collects what the browser complains of: errors in the console (a violated policy is one), failed requests, broken scripts. */
export class Complaints {
  list = [];
  #expected = [];

  /** The answer of this address is meant to be an error. */
  expect(path) { this.#expected.push(path); }

  hear(context) {
    context.on("page", (page) => {
      const at = () => { try { return new URL(page.url()).pathname; } catch { return page.url(); } };
      page.on("pageerror", (error) => this.list.push(`${at()}: ${error.message}`));
      page.on("console", (message) => {
        if (!["error", "warning"].includes(message.type())) return;
        const of = message.location().url;
        if (message.text().startsWith("Failed to load resource") && this.#expected.some((path) => of.endsWith(path))) return;
        this.list.push(`${at()}: ${message.text()} (${of})`);
      });
      page.on("response", (answer) => { if (answer.status() >= 500) this.list.push(`${at()}: ${answer.status()} from ${answer.url()}`); });
    });
  }
}

/** Asks until the answer is truthy, and gives it. */
export async function until(what, ask, seconds = 60) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** What sticks out of the page to the right, where people would have to scroll sideways. */
export function sticksOut(page) {
  return page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const held = (node) => { for (let up = node.parentElement; up; up = up.parentElement) if (getComputedStyle(up).overflowX !== "visible") return true; return false; };
    const wide = [...document.body.querySelectorAll("*")].filter((node) => node.getBoundingClientRect().right > width + 1 && !held(node) && !node.matches(".unseen, .skip"));
    const names = wide.slice(0, 4).map((node) => `${node.localName}.${node.getAttribute("class") ?? ""}`);
    return document.documentElement.scrollWidth > width ? [`${document.documentElement.scrollWidth} of ${width} pixels`, ...names] : names;
  });
}

/** Pictures of a page for people to look at: wide and narrow, light and dark. Without a folder, none. */
export async function photograph(page, folder, name) {
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  for (const colorScheme of ["light", "dark"]) {
    for (const [width, size] of Object.entries({ wide: WIDE, narrow: NARROW })) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize(size);
      await settled(page);
      await page.screenshot({ path: `${folder}/${name}-${width}-${colorScheme}.png`, fullPage: true, animations: "disabled" });
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize(WIDE);
  await settled(page);
}

// Colours glide from light to dark; a picture taken meanwhile shows neither.
const settled = (page) => page.evaluate(() => { for (const glide of document.getAnimations()) if (glide instanceof CSSTransition) glide.finish(); });

export { NARROW, WIDE };
