/* tests/support/browser.h: headless Chromium, driven over a pair of pipes (DevTools protocol, --remote-debugging-pipe): a page as
 * a browser really shows it.
 *
 *     _cleanup_browser_ struct browser *b = browser_start();
 *     browser_open(b, "/tmp/page.html", &(struct browser_view){.width = 390, .height = 844, .phone = true, .dark = true});
 *     cr_assert_null(browser_complaint(b), "%s", browser_complaint(b));
 *
 * Owns:    the process and all its children, its profile in a directory of its own; browser_free ends and removes them.
 * Threads: one.
 * Blocks:  up to a minute for each call; what takes longer fails the test. */
#pragma once

#include <stdbool.h>

struct browser;

/* Skips the test (fails it under CI=true) where there is no chromium. */
struct browser *browser_start(void);
void            browser_free(struct browser **p);
#define _cleanup_browser_ __attribute__((cleanup(browser_free)))

struct browser_view {
        int  width, height;
        bool phone, dark;
};

/* Loads the file and waits until it is there. What an earlier page complained of is forgotten. */
void browser_open(struct browser *b, const char *path, const struct browser_view *view);

/* The first of what went wrong since browser_open: a message of the console above "info", an exception, a request to anywhere.
 * NULL: nothing. */
const char *browser_complaint(const struct browser *b);

/* The value of a JavaScript expression, which must be a string or a number; the caller frees it. An exception fails the test. */
char *browser_evaluate(struct browser *b, const char *expression);

/* The whole page, as far down as it goes. */
void browser_screenshot(struct browser *b, const char *png_path);
