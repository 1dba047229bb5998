// The portal in a real browser, as people use it: with script and without, wide and narrow, light and dark.
//
//   node portal.mjs GREENROOM-BINARY [FOLDER-FOR-PICTURES]
//
// The last line is "N passed, N failed"; the exit code is 0 where none failed.

import assert from "node:assert/strict";
import { Complaints, NARROW, WIDE, openBrowser, openDemo, photograph, sticksOut, until } from "./stage.mjs";

const [binary, pictures] = process.argv.slice(2);
if (!binary) { console.error("usage: node portal.mjs GREENROOM-BINARY [FOLDER-FOR-PICTURES]"); process.exit(2); }

let passed = 0, failed = 0;
async function check(name, play) {
  const began = Date.now();
  try {
    await play();
    passed += 1;
    console.log(`ok      ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n        ${String(error.stack ?? error).replaceAll("\n", "\n        ")}`);
  }
}

const demo = await openDemo(binary);
const browser = await openBrowser();
const complaints = new Complaints();
// The bookshop has no icon; the portal names its own.
complaints.expect("/favicon.ico");
const at = (path) => new URL(path, demo.server).href;
const visit = (page, path) => page.goto(at(path), { waitUntil: "load" });
const word = (page) => page.locator(".hero-word").textContent({ timeout: 5000 });
const open = async (options = {}) => {
  const context = await browser.newContext({ viewport: WIDE, locale: "en-GB", timezoneId: "UTC", ...options });
  context.setDefaultTimeout(15_000);
  complaints.hear(context);
  return context;
};
// Chooses an app and its revision, goes by the plan, launches; the page is then the stack's own.
async function launch(page, revision) {
  await page.getByRole("button", { name: "Review the plan" }).click();
  await page.getByRole("heading", { name: "Review the plan" }).waitFor();
  assert.match(await page.locator("table").first().innerText(), new RegExp(`Storefront\\s+${revision}`));
  await photograph(page, pictures, "review");
  await page.getByRole("button", { name: "Launch" }).click();
  await page.waitForURL(/\/stacks\/stk_/);
  return new URL(page.url()).pathname;
}

const context = await open();
const page = await context.newPage();
let signedIn, home, quick, plain, broken;

try {
  await check("the one-time link signs in, by a button, once", async () => {
    await page.goto(demo.sign_in);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL(/\/stacks/);
    await page.locator(".row", { hasText: demo.stack }).waitFor();
    signedIn = await context.storageState();
    const other = await open();
    const again = await other.newPage();
    complaints.expect(new URL(demo.sign_in).pathname);
    await again.goto(demo.sign_in);
    await again.getByRole("button", { name: "Sign in" }).click();
    await again.getByRole("alert").waitFor();
    await other.close();
    await photograph(page, pictures, "home");
  });

  await check("the stack's page leads to the shop, whose books have covers", async () => {
    await page.getByRole("link", { name: demo.stack, exact: true }).click();
    assert.equal(await word(page), "Ready");
    home = new URL(page.url()).pathname;
    const [shop] = await Promise.all([context.waitForEvent("page"), page.locator(".hero .button.primary").click()]);
    await shop.waitForLoadState("load");
    const covers = shop.locator("main img[src^='/covers/']");
    assert.ok(await covers.count() >= 8, "books with covers");
    await covers.first().scrollIntoViewIfNeeded();
    await until("the first cover is drawn", () => covers.first().evaluate((image) => image.complete && image.naturalWidth > 0), 10);
    await shop.close();
    await photograph(page, pictures, "stack-ready");
    if (pictures) await page.screenshot({ path: `${pictures}/stack.png` });
  });

  await check("a staging server by the form, whose steps go live to ready", async () => {
    await visit(page, "/stacks/new");
    await page.locator("input[name=app][value=storefront]").check();
    for (const app of ["catalogue", "reviews", "covers"]) await page.locator(`#app-${app}.brought`, { hasText: "comes along with Storefront" }).waitFor();
    await page.locator("#check .bill-apps li", { hasText: "Catalogue" }).waitFor();
    assert.ok(!(await page.locator("#app-mailer.brought").count()), "what is optional does not come along");
    await page.locator("#app-storefront summary", { hasText: "Choose from the repository" }).click();
    await page.locator("#app-storefront .revision", { hasText: "v1.0" }).first().click();
    assert.equal(await page.locator("#rev-storefront").inputValue(), "v1.0");
    await page.locator("#check .bill-apps li", { hasText: "v1.0" }).waitFor();
    await photograph(page, pictures, "new");
    quick = await launch(page, "v1.0");
    await page.evaluate(() => { window.sameDocument = true; });
    const seen = new Set();
    let photographed = false;
    await until(`${quick} is ready`, async () => {
      const done = await page.locator(".steps .step.succeeded").count();
      seen.add(done);
      if (done > 3 && !photographed) { photographed = true; await photograph(page, pictures, "stack-live"); }
      const now = await word(page);
      assert.notEqual(now, "Launch failed");
      return now === "Ready";
    });
    assert.ok(seen.size >= 3, `steps were seen one after another: ${[...seen]}`);
    assert.ok(await page.evaluate(() => window.sameDocument), "the page was never loaded again");
    assert.match(await page.title(), /Ready/);
  });

  await check("the same form without script, to ready", async () => {
    const still = await open({ javaScriptEnabled: false, storageState: signedIn });
    const page = await still.newPage();
    await visit(page, "/stacks/new");
    await page.locator("input[name=app][value=storefront]").check();
    await page.locator("#app-storefront summary", { hasText: "Choose from the repository" }).click();
    await page.locator("#app-storefront button", { hasText: "Show branches" }).click();
    await page.locator("#app-storefront .revision", { hasText: "v1.1" }).first().click();
    plain = await launch(page, "v1.1");
    await until(`${plain} is ready`, async () => {
      await page.reload();
      const now = await word(page);
      assert.notEqual(now, "Launch failed");
      return now === "Ready";
    });
    await still.close();
  });

  await check("another revision changes the shop", async () => {
    await visit(page, quick);
    const shop = await context.newPage();
    const link = await page.locator(".hero .button.primary").getAttribute("href");
    await shop.goto(link);
    assert.match(await shop.locator("footer").innerText(), /storefront 1\.0/);
    await page.getByRole("link", { name: "Other revisions" }).click();
    await page.locator("#rev-storefront").fill("v1.1");
    await page.getByRole("button", { name: /^Update / }).click();
    await until("the update ends", async () => (await word(page)) === "Ready" && (await page.locator(".apps-table tr", { hasText: "Storefront" }).innerText()).includes("v1.1"));
    await until("the shop shows 1.1", async () => { await shop.reload(); return /storefront 1\.1/.test(await shop.locator("footer").innerText()); }, 10);
    assert.ok(await shop.locator(".hero").isVisible(), "the new shop has another front");
    await shop.close();
  });

  await check("the lease is extended", async () => {
    await visit(page, quick);
    const before = await page.locator(".lease-left").innerText();
    await page.getByRole("button", { name: "1 d", exact: true }).click();
    await page.locator("[data-said]").waitFor();
    const after = await page.locator(".lease-left").innerText();
    assert.notEqual(after, before);
    assert.match(after, /^(1 d|23 h)/);
  });

  await check("apps are found while one types, and by the same address without script", async () => {
    await visit(page, "/apps");
    const cards = page.locator("#apps .card h2");
    const all = await cards.count();
    await page.locator("#q").fill("readers");
    await until("only the reviews are left", async () => (await cards.count()) === 1, 10);
    assert.match(page.url(), /\/apps\?q=readers$/);
    await page.locator("#q").fill("dependsOn:");
    await page.getByText("The query cannot be read").waitFor();
    await page.locator("#q").fill("dependsOn:catalogue AND type:website");
    await until("the storefront alone", async () => (await cards.allInnerTexts()).join() === "Storefront", 10);
    await photograph(page, pictures, "apps-found");
    await page.locator("#q").fill("");
    await until("all are back", async () => (await cards.count()) === all, 10);
    const still = await open({ javaScriptEnabled: false, storageState: signedIn });
    const plainly = await still.newPage();
    await visit(plainly, "/apps");
    await plainly.locator("#q").fill("readers");
    await plainly.locator(".filter").getByRole("button", { name: "Search" }).click();
    assert.deepEqual(await plainly.locator("#apps .card h2").allInnerTexts(), ["Reviews"]);
    await still.close();
  });

  await check("an app is edited with findings while one types, compared, and restored with one click", async () => {
    await visit(page, "/apps/mailer/edit");
    const text = await page.locator("#text").inputValue();
    await page.locator("#text").fill(text.replace('"name": "mailer"', '"name": "post"'));
    await page.locator("#findings .finding", { hasText: "cannot be renamed" }).waitFor();
    await page.locator("#text").fill(`${text.slice(0, 40)} rubbish`);
    await page.locator("#findings .finding.bad", { hasText: "line 3" }).first().waitFor();
    await photograph(page, pictures, "editor-rubbish");
    await page.locator("#text").fill(text.replace(/"title": "[^"]*"/, '"title": "Post office"'));
    await page.getByText("It would be accepted").waitFor();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("heading", { name: "Post office" }).waitFor();
    await page.getByRole("link", { name: /All 2 versions/ }).click();
    await page.locator("#v2", { hasText: "metadata.title" }).waitFor();
    await photograph(page, pictures, "versions");
    await page.getByRole("link", { name: "Compare with the present" }).click();
    await page.locator(".diff .added", { hasText: "Post office" }).waitFor();
    await photograph(page, pictures, "diff");
    await page.goBack();
    await page.getByRole("button", { name: "Restore version 1" }).click();
    await page.locator("[data-said]", { hasText: "restored" }).waitFor();
    assert.ok(!(await page.locator("h1").innerText()).includes("Post office"));
    await page.getByText("restored from version 1").first().waitFor();
  });

  await check("nodes are found while one types, and a role is added, edited and brought back", async () => {
    await visit(page, "/inventory/new/datacenters");
    const write = (body) => page.locator("#text").fill(JSON.stringify(body, null, 2));
    const thing = (kind, name, spec, title) => ({ apiVersion: "greenroom/v1", kind, metadata: { name, title }, spec });
    await write(thing("Datacenter", "attic", { valuse: {} }));
    await page.locator("#findings .finding.bad").first().waitFor();
    for (const [noun, body] of [["datacenters", thing("Datacenter", "attic", {})], ["environments", thing("Environment", "rehearsal", {})], ["roles", thing("Role", "lamp", { values: { hours: 8 } }, "A lamp")],
      ["nodes", thing("Node", "lamp1", { datacenter: "attic", environment: "rehearsal", roles: ["lamp"] })], ["nodes", thing("Node", "lamp2", { datacenter: "attic", environment: "rehearsal", roles: ["lamp"] })]]) {
      await visit(page, `/inventory/new/${noun}`);
      await write(body);
      await page.getByRole("button", { name: "Save" }).click();
      await page.waitForURL(new RegExp(`/inventory/${noun}/${body.metadata.name}(\\?|$)`));
    }
    await visit(page, "/inventory/nodes");
    await page.locator("#q").pressSequentially("role:lamp AND name:*2");
    await page.locator("#objects-found", { hasText: "1 node found" }).waitFor();
    assert.match(page.url(), /q=role/);
    assert.equal(await page.locator("#objects-live tbody tr").count(), 1);
    await page.locator("#q").fill("role:(lamp");
    await page.locator("#objects-live .snippet").waitFor();
    await visit(page, "/inventory/roles/lamp/edit");
    await write(thing("Role", "lamp", { values: { hours: 9 } }, "A lamp"));
    await page.getByRole("button", { name: "Save" }).click();
    await page.waitForURL(/roles\/lamp(\?|$)/);
    await visit(page, "/inventory/roles/lamp/versions");
    await page.getByRole("button", { name: "Restore version 1" }).click();
    await page.waitForURL(/roles\/lamp(\?|$)/);
    assert.match(await page.locator("pre.code").innerText(), /"hours": 8/);
    await visit(page, "/inventory/nodes/lamp1");
    await page.locator("#key").fill("hours");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByRole("heading", { name: "It is 8" }).waitFor();
  });

  await check("a launch that cannot build ends with the compiler's words and another try", async () => {
    await visit(page, "/stacks/new?app=reviews@broken-build&name=broken-reviews");
    await page.getByRole("button", { name: "Review the plan" }).click();
    await page.getByRole("button", { name: "Launch" }).click();
    await page.waitForURL(/\/stacks\/stk_/);
    broken = new URL(page.url()).pathname;
    await until("the launch fails", async () => (await word(page)) === "Launch failed");
    assert.match(await page.locator(".alert .tail .log").first().innerText(), /could not compile `reviews`/);
    assert.ok(await page.getByRole("button", { name: "Launch again" }).first().isVisible());
    await photograph(page, pictures, "stack-failed");
  });

  await check("a launch that crashes at its start tells why", async () => {
    await visit(page, "/stacks/new?app=catalogue@crashes-at-start");
    await page.getByRole("button", { name: "Review the plan" }).click();
    await page.getByRole("button", { name: "Launch" }).click();
    await page.waitForURL(/\/stacks\/stk_/);
    await until("the launch fails", async () => (await word(page)) === "Launch failed");
    assert.match(await page.locator(".alert .tail .log").first().innerText(), /KeyError: 'SHOP_CURRENCY'/);
  });

  await check("no page scrolls sideways on a phone, and light and dark differ", async () => {
    const run = new URL(await page.locator(".panel-head a", { hasText: "This run’s page" }).evaluate((link) => link.href)).pathname;
    const step = await page.locator(".log-box a").first().evaluate((link) => new URL(link.href).pathname);
    const service = `${home}/services/storefront-web`;
    complaints.expect("/stacks/not-there");
    const places = {
      stacks: "/stacks?tab=all&ended=1", form: "/stacks/new?app=storefront", ready: home, failed: broken, update: `${home}/update`, destroy: `${home}/destroy`,
      apps: "/apps", app: "/apps/storefront", editor: "/apps/storefront/edit", add: "/apps/new", versions: "/apps/mailer/versions", diff: "/apps/mailer/diff?from=1&to=2", revisions: "/apps/storefront/revisions",
      nodes: "/inventory/nodes", node: "/inventory/nodes/lamp1", role: "/inventory/roles/lamp", datacenter: "/inventory/datacenters/attic", environment: "/inventory/environments/rehearsal",
      object: "/inventory/nodes/lamp1/edit", explain: "/inventory/nodes/lamp1/explain?key=hours", bundles: "/inventory/bundles", plan: "/inventory/plan", search: "/inventory/search?kind=node&q=role:lamp",
      runs: "/runs", run, step, service, activity: "/activity", account: "/account", people: "/users", help: "/help", codes: "/errors", code: "/errors/not-found", missing: "/stacks/not-there",
    };
    const wrong = [];
    for (const [name, path] of Object.entries(places)) {
      await page.setViewportSize(NARROW);
      const answer = await visit(page, path);
      if (answer.status() !== (name === "missing" ? 404 : 200)) wrong.push(`${path} answers ${answer.status()}`);
      const out = await sticksOut(page);
      if (out.length) wrong.push(`${path} is too wide: ${out.join(", ")}`);
      const shades = [];
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        shades.push(await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor));
      }
      if (shades[0] === shades[1]) wrong.push(`${path} is as light in the dark`);
      await page.emulateMedia({ colorScheme: "light" });
      await page.setViewportSize(WIDE);
      if (["app", "editor", "account", "update", "apps", "runs", "run", "help", "people", "activity", "destroy", "step", "missing", "nodes", "node", "role", "environment", "explain", "bundles", "plan", "search"].includes(name)) await photograph(page, pictures, name);
    }
    assert.deepEqual(wrong, []);
  });

  await check("what is not there says so, and its code is explained", async () => {
    await visit(page, "/stacks/not-there");
    assert.equal(await page.locator(".code-big").innerText(), "404");
    await page.getByRole("link", { name: "What this means" }).click();
    await page.waitForURL(/\/errors\/not-found$/);
  });

  await check("the switch makes a page dark and stays so", async () => {
    const shade = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    await visit(page, "/stacks");
    const light = await shade();
    await page.getByRole("button", { name: "Change between light and dark" }).click();
    assert.notEqual(await shade(), light);
    await page.reload();
    assert.notEqual(await shade(), light);
    await page.getByRole("button", { name: "Change between light and dark" }).click();
    assert.equal(await shade(), light);
  });

  await check("a stack is destroyed once that is confirmed, and is then gone", async () => {
    await visit(page, plain);
    const link = await page.locator(".hero .button.primary").getAttribute("href");
    await page.getByRole("link", { name: "Destroy", exact: true }).click();
    await page.getByRole("heading", { name: /^Destroy .*\?$/ }).waitFor();
    await page.getByRole("button", { name: "Destroy it" }).click();
    await page.waitForURL(at(plain));
    await until("the stack is gone", async () => (await word(page)) === "Gone");
    await assert.rejects(fetch(link, { signal: AbortSignal.timeout(2000) }), "nothing answers at its address");
  });

  await check("the browser never complained: no console error, no violated policy", async () => {
    assert.deepEqual(complaints.list, []);
  });
} finally {
  await browser.close();
  await check("the demo leaves nothing, though a stack of the form was still running", async () => {
    assert.equal(await demo.close(), 0);
  });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
