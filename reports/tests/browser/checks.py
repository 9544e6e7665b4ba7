"""Checks of pages in a real Chromium: checks.py GROUP PAGES SHOTS. Prints `ok WHAT` for each, fails at the first that does not hold."""

import faulthandler
import os
import pathlib
import shutil
import sys
import time

from playwright.sync_api import sync_playwright

faulthandler.dump_traceback_later(900, exit=True)
GROUP, PAGES, SHOTS = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
AXE = pathlib.Path(sys.executable).parent.parent.parent / "axe.min.js"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def check(what, holds, seen=""):
    if not holds:
        sys.exit(f"FAILED {what}: {seen}")
    print("ok", what)


def open_page(browser, name, **options):
    """A page that remembers everything it must not do."""
    context = browser.new_context(offline=True, **options)
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.sins = []
    page.on("console", lambda message: page.sins.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: page.sins.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (page.sins.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: page.sins.append(f"request: {request.url[:200]}") if not request.is_navigation_request() else None)
    page.add_init_script("window.violations = []; addEventListener('securitypolicyviolation', (e) => violations.push(e.violatedDirective + ' ' + e.blockedURI));")
    page.goto((PAGES / name).as_uri())
    return page


def innocent(page, what):
    violations = page.evaluate("window.violations") if page.evaluate("typeof window.violations") == "object" else []
    check(f"{what}: no request, no error, no violation of its policy", not page.sins and not violations, page.sins + violations)


def until(page, expression):
    """Waits until it is true. Not by wait_for_function, which needs the eval that the page's policy forbids."""
    deadline = time.monotonic() + 120
    while not page.evaluate(expression):
        if time.monotonic() > deadline:
            sys.exit(f"FAILED to see {expression}")
        page.wait_for_timeout(20)


def shown(page):
    return page.locator("#list tbody tr:visible").count()


def use(browser):
    page = open_page(browser, "full.html", viewport={"width": 1280, "height": 900})
    every = shown(page)
    check("every resource is shown", every > 50, every)
    page.fill("#q", "mariadb us-east-1")
    until(page, "document.querySelectorAll('#list tbody tr:not([hidden])').length < %d" % every)
    few = page.locator("#list tbody tr:not([hidden])").all_inner_texts()
    check("a search leaves what has every word", few and all("mariadb" in row and "us-east-1" in row for row in few), few[:3])
    check("the number is said", page.inner_text("#count") == f"{len(few)} of {every}", page.inner_text("#count"))
    page.fill("#q", "no such thing anywhere")
    page.wait_for_selector("#none:visible")
    page.click("button[type=reset]")
    until(page, "document.querySelectorAll('#list tbody tr:not([hidden])').length == %d" % every)
    check("nothing found is said, and clearing shows all again", shown(page) == every)
    page.uncheck("[name=v][value=good]")
    until(page, "document.querySelectorAll('#list tbody tr.good:not([hidden])').length == 0")
    check("a verdict can be left out", 0 < shown(page) < every)
    page.click("button[type=reset]")
    until(page, "document.querySelectorAll('#list tbody tr:not([hidden])').length == %d" % every)

    names = lambda: page.locator("#list tbody th").all_inner_texts()
    head = page.locator("#list thead th[data-sort=n]")
    head.locator("button").click()
    up = names()
    check("sorting says so", head.get_attribute("aria-sort") == "ascending")
    head.locator("button").press("Enter")
    down = names()
    check("sorting by keyboard turns the order", head.get_attribute("aria-sort") == "descending" and up != down and sorted(up) == sorted(down))
    check("one column is sorted by", page.locator("#list [aria-sort]").count() == 1)

    page.locator("#list summary").first.focus()
    page.keyboard.press("Enter")
    check("a row opens by keyboard", page.locator("#list details[open]").count() == 1)
    cell = page.locator(".heat td[title] button").nth(1)
    wanted = cell.inner_text().split("/")[1].strip()
    cell.click()
    until(page, "document.activeElement.id === 'q'")
    check("a cell of the map leads to its resources", str(shown(page)) == wanted, (shown(page), wanted))

    pair = page.locator("details.pair:not([open])").first
    pair.locator("> summary").press("Enter")
    check("a diff opens by keyboard and stands side by side", page.locator("details.pair[open] td.old").count() > 7)
    page.locator(".drift-only").first.check()
    check("drift alone can be shown", page.locator("tbody.explained:visible").count() == 0 and page.locator("tbody.drift:visible").count() > 0)
    page.goto((PAGES / "full.html").as_uri())
    page.keyboard.press("Tab")
    check("the first key leads past the head", page.evaluate("document.activeElement.className") == "skip")
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    check("focus is seen", outline != "none", outline)
    innocent(page, "used")

    page = open_page(browser, "full.html", java_script_enabled=False)
    check("without scripts every resource is there", shown(page) == every)
    check("and no control that does nothing", page.locator("#filter:visible").count() == 0 and page.locator("#list thead button").count() == 0)
    page.locator("#list summary").first.click()
    check("and rows open", page.locator("#list details[open] .copy:visible").count() == 1)

    page = open_page(browser, "full.html", viewport={"width": 800, "height": 900})
    page.emulate_media(media="print")
    check("print leaves controls away", page.locator("#filter:visible, .contents:visible, .skip:visible").count() == 0)
    check("print shows what is closed", page.locator("details:not([open]) .copy").first.is_visible())
    check("print makes pages", len(page.pdf()) > 20_000)


def look(browser):
    script = AXE.read_text()
    for file in sorted(PAGES.glob("*.html")):
        for width in (1280, 400):
            for scheme in ("light", "dark"):
                page = open_page(browser, file.name, viewport={"width": width, "height": 900}, color_scheme=scheme)
                page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
                page.evaluate(script)
                result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
                bad = [(v["id"], len(v["nodes"]), v["nodes"][0]["html"][:160], v["nodes"][0].get("failureSummary", "")[:300]) for v in result["violations"]]
                check(f"{file.stem} {width} {scheme}: axe has nothing to say", not bad, bad)
                wide = page.evaluate("document.documentElement.scrollWidth")
                check(f"{file.stem} {width} {scheme}: nothing is wider than the window", wide <= width, wide)
                page.reload()
                page.screenshot(path=SHOTS / f"{file.stem}-{width}-{scheme}.png", full_page=True)
                innocent(page, f"{file.stem} {width} {scheme}")
                page.context.close()


def hostile(browser):
    page = open_page(browser, "hostile.html", viewport={"width": 1280, "height": 900})
    check("its names are read", "<script>alert(1)</script>" in page.inner_text("#list"))
    check("no element came of them", page.locator("main script, main img, main a[href*=evil]").count() == 0)
    text = page.evaluate("document.documentElement.textContent")
    hidden = [hex(ord(c)) for c in text if (ord(c) < 32 and c not in "\n\t") or c in "\u202e\u2066\ufeff\x7f"]
    check("no control or bidirectional character is left", not hidden, hidden[:5])
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    page.fill("#q", "<script>")
    until(page, "document.getElementById('count').textContent.includes(' of ')")
    check("it can be searched for", shown(page) > 0)
    wide = page.evaluate("document.documentElement.scrollWidth")
    check("a value of 4 KB makes the page no wider", wide <= 1280, wide)
    page.screenshot(path=SHOTS / "hostile-1280-light.png")
    innocent(page, "hostile")


def large(browser):
    page = open_page(browser, "large.html", viewport={"width": 1280, "height": 900})
    visible = "document.querySelectorAll('#list tbody tr:not([hidden])').length"
    every = page.evaluate(visible)
    check("20,000 rows are there", every >= 20_000, every)
    page.fill("#q", "prod-12345")
    until(page, visible + " == 1")
    check("one of them is found", page.inner_text("#count") == f"1 of {every:,}", page.inner_text("#count"))
    took = page.evaluate("""() => { const q = document.getElementById('q'), times = [];
      for (const text of ['prod-1', 'prod-15', '', 'mariadb']) { q.value = text; const t = performance.now(); q.form.dispatchEvent(new Event('input'));
        times.push(new Promise((done) => requestAnimationFrame(() => { document.body.offsetHeight; done(Math.round(performance.now() - t)); }))); }
      return Promise.all(times); }""")
    print("took", took, "ms")
    page.fill("#q", "")
    until(page, visible + f" == {every}")
    page.locator("#list thead th[data-sort=n] button").click()
    names = page.evaluate("Array.from(document.querySelectorAll('#list tbody th'), (th) => th.textContent).filter((name) => name.startsWith('prod-0')).slice(0, 50)")
    check("they can be sorted", names == sorted(names) and len(names) == 50, names[:3])
    innocent(page, "large")


with sync_playwright() as driver:
    if not CHROMIUM:
        sys.exit("chromium is not installed: apt-get install chromium")
    # As root Chromium has no sandbox of its own; the pages are ours.
    arguments = ["--disable-dev-shm-usage"] + (["--no-sandbox"] if os.geteuid() == 0 else [])
    chromium = driver.chromium.launch(executable_path=CHROMIUM, args=arguments, timeout=120_000)
    {"use": use, "look": look, "hostile": hostile, "large": large}[GROUP](chromium)
    chromium.close()
