/* The page of a bench in a real browser: it renders, asks nobody for anything, and can be read by everybody. ROUSE_SHOTS=DIR
 * keeps pictures of it. */
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "tests/support/browser.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each gives "" or the first thing that is not as it must be. */
static const struct {
        const char *what, *expression;
} rules[] = {
        {"nothing is wider than the screen", "document.documentElement.scrollWidth > innerWidth ? `${document.documentElement.scrollWidth} wide` : ''"},
        {"every drawing has a name or is hidden from those who cannot see it",
         "[...document.querySelectorAll('svg')].filter(s => !s.closest('[aria-hidden=true]') && !(s.getAttribute('role') == 'img' && s.getAttribute('aria-label')))"
         ".map(s => s.outerHTML.slice(0, 200))[0] || ''"},
        {"no text is smaller than 12 pixels",
         "(() => { const w = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); while (w.nextNode()) { const e = w.currentNode.parentElement;"
         " if (e.closest('svg, title') || !w.currentNode.data.trim()) continue; const s = parseFloat(getComputedStyle(e).fontSize);"
         " if (s < 12) return `${s}: ${w.currentNode.data.slice(0, 60)}` } return '' })()"},
        /* WCAG 2.1, 1.4.3: the text's colour on the nearest ground that is painted */
        {"text stands out from its ground with a contrast of 4.5 or more",
         "(() => { const lum = c => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255).map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);"
         " return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2] };"
         " const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!/, 0\\)$|transparent/.test(c)) return c } return 'rgb(255, 255, 255)' };"
         " const w = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); while (w.nextNode()) { const e = w.currentNode.parentElement;"
         " if (e.closest('svg') || !w.currentNode.data.trim()) continue; const a = lum(getComputedStyle(e).color), b = lum(ground(e)),"
         " r = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); if (r < 4.5) return `${r.toFixed(2)}: ${w.currentNode.data.slice(0, 60)}` } return '' })()"},
        {"lines and dots stand out with a contrast of 3 or more",
         "(() => { const lum = c => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255).map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);"
         " return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2] };"
         " const ground = lum(getComputedStyle(document.documentElement).backgroundColor);"
         " for (const e of document.querySelectorAll('.mark, .line, .median, .ci, .dots path')) { const a = lum(getComputedStyle(e).stroke),"
         " r = (Math.max(a, ground) + 0.05) / (Math.min(a, ground) + 0.05); if (r < 3) return `${r.toFixed(2)}: ${e.getAttribute('class')}` } return '' })()"},
        {"there is one main heading, and no level of headings is left out",
         "(() => { const h = [...document.querySelectorAll('h1,h2,h3,h4')].map(e => +e.tagName[1]); if (h.filter(x => x == 1).length != 1) return 'h1';"
         " for (let i = 1; i < h.length; i++) if (h[i] > h[i - 1] + 1) return `h${h[i]} after h${h[i - 1]}`; return '' })()"},
        {"it has a main part, a header and a footer, a title and a language",
         "['main', 'header', 'footer', 'head > title', 'html[lang]'].filter(s => document.querySelectorAll(s).length != 1)[0] || ''"},
        {"every table has a caption and headings with a scope",
         "[...document.querySelectorAll('table')].filter(t => !t.caption || [...t.querySelectorAll('th')].some(h => !h.scope)).map(t => t.innerHTML.slice(0, 100))[0] || ''"},
        {"what scrolls can be reached by keyboard and has a name",
         "[...document.querySelectorAll('.scroll')].filter(e => e.tabIndex != 0 || !document.getElementById(e.getAttribute('aria-labelledby'))).map(e => e.id)[0] || ''"},
        {"every id is there once", "(() => { const seen = new Set(); for (const e of document.querySelectorAll('[id]')) { if (seen.has(e.id)) return e.id; seen.add(e.id) } return '' })()"},
        {"every link leads to something on the page", "[...document.querySelectorAll('a')].map(a => a.getAttribute('href')).filter(h => !document.querySelector(h))[0] || ''"},
        {"every arm's runs are drawn", "document.querySelectorAll('.dots path').length < 2 ? 'no dots' : ''"},
        {"no script is on the page", "document.scripts.length ? 'script' : ''"},
        {"what a result calls things is text", "document.querySelector('b > script, td b b, co') ? 'markup' : ''"},
};

static const struct {
        const char         *name;
        struct browser_view view;
} views[] = {
        {"light", {1100, 900, false, false}}, {"dark", {1100, 900, false, true}}, {"phone", {390, 844, true, false}}, {"phone-dark", {390, 844, true, true}},
};

static void look(struct browser *b, const char *page, size_t view)
{
        const char *shots = getenv("ROUSE_SHOTS");
        char        path[4200];

        snprintf(path, sizeof(path), "tests/data/bench/%s.html", page);
        browser_open(b, path, &views[view].view);
        for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
                _cleanup_free_ char *found = browser_evaluate(b, rules[i].expression);

                cr_expect_str_empty(found, "%s, %s: expected: %s; found: %s", page, views[view].name, rules[i].what, found);
        }
        cr_expect_null(browser_complaint(b), "%s, %s: %s", page, views[view].name, browser_complaint(b));
        if (!shots)
                return;
        snprintf(path, sizeof(path), "%s/%s-%s.png", shots, page, views[view].name);
        browser_screenshot(b, path);
}

Test(bench_page, renders_without_a_complaint_in_light_and_dark_and_on_a_phone)
{
        _cleanup_browser_ struct browser *b = browser_start();

        for (size_t v = 0; v < ARRAY_LEN(views); v++)
                look(b, "restore", v);
        look(b, "faults", 2);
        look(b, "populate", 2);
        look(b, "fanout", 2);
}

/* The checks above would be worth nothing if the browser did not see. */
Test(bench_page, a_page_that_asks_for_something_or_throws_is_complained_of)
{
        _cleanup_browser_ struct browser *b = browser_start();
        static const char *const          pages[] = {"<img src='http://127.0.0.1:9/x.png'>", "<script>throw new Error('no')</script>", "<script>console.error('no')</script>"};

        for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
                char  path[] = "/tmp/rouse-page-XXXXXX.html";
                int   fd = mkstemps(path, 5);
                FILE *f = fdopen(fd, "w");

                cr_assert_not_null(f);
                fputs(pages[i], f);
                fclose(f);
                browser_open(b, path, &views[0].view);
                unlink(path);
                cr_expect_not_null(browser_complaint(b), "%s", pages[i]);
        }
}
