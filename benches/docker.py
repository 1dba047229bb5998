#!/usr/bin/env python3
"""How long a stack of four apps with PostgreSQL takes in a Docker container, beside a bare `docker run` of the same image.

    benches/docker.py GREENROOM [--rounds 20] [--image debian:bookworm-slim]

The demo's server is used with its bookshop: storefront (behind nginx, with Redis), catalogue (PostgreSQL), reviews and covers. The first
launch installs packages and builds; then an image is baked, and each round launches from it and destroys:

    launch    from the submit until every check has passed and the shop's page answers
    dead      from the destroy until nothing answers there
    gone      from the destroy until the server has proved by the engine that nothing is left
    bare      `docker run` of the baked image with a web server of Python until its port answers, in the same round
"""
import argparse, json, os, signal, statistics, subprocess, sys, time, urllib.error, urllib.request

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
APPS = ("storefront", "catalogue", "reviews", "covers")
PORT = 20099


def ask(server, token, method, path, body=None):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(server + path, data, method=method)
    request.add_header("authorization", f"Bearer {token}")
    request.add_header("content-type", "application/json")
    try:
        with OPENER.open(request, timeout=30) as answer:
            text = answer.read()
            return json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        sys.exit(f"{method} {path}: {error.code} {error.read().decode()[:600]}")


def answers(url, text=None):
    try:
        with OPENER.open(url, timeout=0.5) as answer:
            page = answer.read().decode(errors="replace")
            return answer.status == 200 and (text is None or text in page)
    except (OSError, ValueError):
        return False


def until(condition, what, pause=0.01, patience=600):
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > patience:
            sys.exit(f"{what} never happened")
        time.sleep(pause)
    return time.monotonic() - began


def launch(server, token, name):
    began = time.monotonic()
    accepted = ask(server, token, "POST", "/api/v1/stacks", {
        "name": name, "provider": "docker", "size": "medium",
        "apps": [{"app": app, "revision": "v1.0"} for app in APPS], "data": {"catalogue/db": "fixture"}})
    stack, seen = accepted["stack"]["id"], {}

    def ready():
        nonlocal seen
        seen = ask(server, token, "GET", f"/api/v1/stacks/{stack}")
        if seen["state"] == "failed":
            sys.exit(f"the launch failed: {seen.get('fault')}")
        return seen["state"] == "ready"

    until(ready, "the launch")
    front = next(l for l in seen["links"] if l["app"] == "storefront" and l["public"])
    url = front.get("direct") or front["url"]
    if not answers(url, "Lantern"):
        sys.exit(f"{url} does not answer")
    return stack, url, time.monotonic() - began


def docker(*arguments):
    return subprocess.run(["docker", *arguments], capture_output=True, text=True).stdout.strip()


def destroy(server, token, stack, url):
    began = time.monotonic()
    ask(server, token, "DELETE", f"/api/v1/stacks/{stack}")
    until(lambda: not answers(url), "the end of the page", 0.005)
    dead = time.monotonic() - began
    until(lambda: ask(server, token, "GET", f"/api/v1/stacks/{stack}")["state"] == "destroyed", "the destroy")
    gone = time.monotonic() - began
    for kind in (("ps", "-a"), ("network", "ls"), ("volume", "ls")):
        left = docker(*kind, "--filter", f"label=greenroom.stack={stack}", "-q")
        if left:
            sys.exit(f"something is left: {left}")
    return dead, gone


def bare(image):
    began = time.monotonic()
    name = docker("run", "-d", "--entrypoint", "python3", image, "-m", "http.server", str(PORT))
    place = docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", name)
    until(lambda: answers(f"http://{place}:{PORT}/"), "the bare container", 0.01, 30)
    took = time.monotonic() - began
    docker("rm", "-f", name)
    return took


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("greenroom")
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument("--image", default="debian:bookworm-slim")
    given = arguments.parse_args()
    environment = dict(os.environ, GREENROOM_DOCKER_IMAGE=given.image)
    began = time.monotonic()
    demo = subprocess.Popen([given.greenroom, "demo", "--provider", "docker", "--json"], stdout=subprocess.PIPE, env=environment)
    try:
        told = json.loads(demo.stdout.readline())
        print(f"unbaked, with packages from Debian's mirror and all five apps: {time.monotonic() - began:.1f} s")
        server, token = told["server"].rstrip("/"), told["token"]
        began = time.monotonic()
        baking = ask(server, token, "POST", "/api/v1/images", {
            "provider": "docker", "size": "medium", "apps": [{"app": app, "revision": "v1.0"} for app in APPS]})
        if baking.get("run"):
            def baked():
                run = ask(server, token, "GET", f"/api/v1/runs/{baking['run']}")
                if run["state"] in ("failed", "cancelled"):
                    sys.exit(f"the image cannot be baked: {run.get('fault')}")
                return run["state"] == "succeeded"
            until(baked, "the image", 0.1, 1200)
        print(f"bake: {time.monotonic() - began:.1f} s")
        images = docker("images", "--filter", "reference=greenroom/baked", "--format", "{{.Repository}}:{{.Tag}}").split()
        image = images[0]
        figures = {"launch": [], "dead": [], "gone": [], "bare": []}
        for index in range(given.rounds):
            stack, url, shown = launch(server, token, f"bench-{index}")
            dead, gone = destroy(server, token, stack, url)
            for name, took in (("launch", shown), ("dead", dead), ("gone", gone), ("bare", bare(image))):
                figures[name].append(took)
        for name, all_ in figures.items():
            all_.sort()
            print(f"{name:8} p50 {statistics.median(all_):6.2f} s   p95 {all_[int(len(all_) * 0.95) - 1]:6.2f} s   of {len(all_)}")
        print(f"launch is {statistics.median(figures['launch']) / statistics.median(figures['bare']):.1f}x the bare container")
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(120)


main()
