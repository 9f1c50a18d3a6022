/* The part of Criterion that a test calls, without Criterion's sandbox: each test in a plain fork, results as TAP. Linked in its
 * place under ThreadSanitizer only: Criterion's allocator asks for addresses that ThreadSanitizer forbids and aborts before the
 * first test (github.com/Snaipe/Criterion issue 274, still so in 2.4.1). Same tests, same options as tests/run gives. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a test says to its parent. */
struct verdict {
        bool failed, skipped;
        char reason[512];
};

struct worker {
        struct verdict *verdict; /* shared with the parent */
        void           *param;   /* of a parameterized test, else NULL */
        void (*fini)(void);
};

/* Criterion's own functions take no context, so this one has to be a variable; it is set before the fork. */
static struct worker worker;

/* The linker makes these: the ends of the section into which Test() and TestSuite() put their pointers. */
extern struct criterion_test *const  __start_cr_tst[], *const __stop_cr_tst[];
extern struct criterion_suite *const __start_cr_sts[] __attribute__((weak)), *const __stop_cr_sts[] __attribute__((weak));

struct criterion_options criterion_options;

/* --- what the assertions call --- */

int cr_asprintf(char **strp, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        int n = vasprintf(strp, fmt, ap);
        va_end(ap);
        return n;
}

void cr_asprintf_free(char *buf)
{
        free(buf);
}

char *cr_translate_assert_msg(int msg_index, ...)
{
        va_list ap;

        va_start(ap, msg_index);
        const char *what = msg_index == CRITERION_ASSERT_MSG_FAIL ? NULL : va_arg(ap, const char *);
        va_end(ap);
        return strdup(what ? what : "fail");
}

void cri_asserts_passed_incr(void)
{
}

void criterion_send_assert(struct criterion_assert_stats *stats)
{
        if (stats->passed)
                return;
        worker.verdict->failed = true;
        fprintf(stderr, "%s:%u: assertion failed: %s\n", stats->file, stats->line, stats->message);
}

void cr_log(enum criterion_severity severity, const char *msg, ...)
{
        va_list ap;

        (void)severity;
        va_start(ap, msg);
        vfprintf(stderr, msg, ap);
        va_end(ap);
        fputc('\n', stderr);
}

void *cr_malloc(size_t size)
{
        return malloc(size);
}

void *cr_calloc(size_t nmemb, size_t size)
{
        return calloc(nmemb, size);
}

void *cr_realloc(void *ptr, size_t size)
{
        return realloc(ptr, size);
}

void cr_free(void *ptr)
{
        free(ptr);
}

/* --- how a test ends; _exit is where ThreadSanitizer reports and sets its own status --- */

static _Noreturn void leave(int status)
{
        if (worker.fini)
                worker.fini();
        fflush(NULL);
        _exit(status);
}

/* cr_expect: criterion_send_assert has noted it */
void criterion_continue_test(void)
{
}

void criterion_abort_test(void)
{
        worker.verdict->failed = true;
        leave(0);
}

void criterion_skip_test(const char *format, ...)
{
        va_list ap;

        worker.verdict->skipped = true;
        va_start(ap, format);
        vsnprintf(worker.verdict->reason, sizeof(worker.verdict->reason), format, ap);
        va_end(ap);
        leave(0);
}

void criterion_internal_test_setup(void)
{
}

void criterion_internal_test_main(void (*fn)(void))
{
        if (worker.param)
                ((void (*)(void *))(void *)fn)(worker.param);
        else
                fn();
}

void criterion_internal_test_teardown(void)
{
}

/* --- the runner --- */

static const struct criterion_test_extra_data *suite_data(const char *name)
{
        for (struct criterion_suite *const *s = __start_cr_sts; s != __stop_cr_sts; s++)
                if (*s && strcmp((*s)->name, name) == 0)
                        return (*s)->data;
        return NULL;
}

static _Noreturn void run_test(const struct criterion_test *t, const struct criterion_test_extra_data *suite)
{
        if (t->data->timeout > 0)
                alarm((unsigned)t->data->timeout + 1);
        if (suite && suite->init)
                suite->init();
        if (t->data->init)
                t->data->init();
        worker.fini = t->data->fini ? t->data->fini : suite ? suite->fini : NULL;
        t->test();
        leave(0);
}

static bool ended_as_expected(const struct criterion_test *t, const struct criterion_test_extra_data *suite, int status)
{
        int signal = t->data->signal ? t->data->signal : suite ? suite->signal : 0;
        int code = t->data->exit_code ? t->data->exit_code : suite ? suite->exit_code : 0;

        if (signal)
                return WIFSIGNALED(status) && WTERMSIG(status) == signal;
        return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

/* Runs one test (or one parameter of it) and writes its line of TAP: 0 passed or skipped, 1 failed. */
static int run_one(const struct criterion_test *t, void *param, FILE *tap)
{
        const struct criterion_test_extra_data *suite = suite_data(t->category);
        int status = 0;

        memset(worker.verdict, 0, sizeof(*worker.verdict));
        worker.param = param;
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0)
                run_test(t, suite);
        if (pid < 0)
                return 1;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        bool good = ended_as_expected(t, suite, status) && !worker.verdict->failed;
        if (!good)
                fprintf(stderr, "%s::%s: failed, wait status 0x%x\n", t->category, t->name, (unsigned)status);
        fprintf(tap, "%sok - %s::%s%s%s\n", good ? "" : "not ", t->category, t->name, good &&
                worker.verdict->skipped ? "  # SKIP " : "", good ? worker.verdict->reason : "");
        return good ? 0 : 1;
}

static int run_all_parameters(const struct criterion_test *t, FILE *tap)
{
        struct criterion_test_params p = t->data->param_();
        int failed = 0;

        for (size_t i = 0; i < p.length; i++)
                failed |= run_one(t, (char *)p.params + i * p.size, tap);
        if (p.cleanup)
                p.cleanup(&p);
        return failed;
}

int main(int argc, char **argv)
{
        FILE *tap = NULL;
        int failed = 0;

        for (int i = 1; i < argc; i++)
                if (strncmp(argv[i], "--tap=", 6) == 0)
                        tap = fopen(argv[i] + 6, "we");
        if (!tap)
                tap = stdout;
        worker.verdict = mmap(NULL, sizeof(*worker.verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (worker.verdict == MAP_FAILED)
                return 2;
        for (struct criterion_test *const *t = __start_cr_tst; t != __stop_cr_tst; t++) {
                if (!*t || (*t)->data->disabled)
                        continue;
                failed |= (*t)->data->param_ ? run_all_parameters(*t, tap) : run_one(*t, NULL, tap);
        }
        fclose(tap);
        return failed;
}
