/* What of the machine decides how restores go, beside what every bench says of it (bench/describe.h): the file system, the
 * governor, who else is at work. */
#include "bench/run/bench.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The line of a small file without its newline; "" where there is none. */
static const char *read_line(const char *path, char *buf, size_t size)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");

        buf[0] = 0;
        if (f && fgets(buf, (int)size, f))
                buf[strcspn(buf, "\n")] = 0;
        return buf;
}

/* Is path the mount point, or below it? */
static bool is_below(const char *path, const char *mount)
{
        size_t len = strlen(mount);

        return strncmp(path, mount, len) == 0 && (path[len] == 0 || path[len] == '/' || (len == 1 && mount[0] == '/'));
}

/* "ext4 on /dev/vda": of the longest mount point that path is below; of two alike, the later one, which hides the other. */
static void find_mount(const char *path, char *ret, size_t size)
{
        _cleanup_fclose_ FILE *f = fopen("/proc/self/mounts", "re");
        char line[1024], dev[300], at[512], type[64];
        size_t best = 0;

        snprintf(ret, size, "unknown");
        while (f && fgets(line, sizeof(line), f))
                if (sscanf(line, "%299s %511s %63s", dev, at, type) == 3 && is_below(path, at) && strlen(at) >= best) {
                        best = strlen(at);
                        snprintf(ret, size, "%s on %s", type, dev);
                }
}

void bench_describe_machine(struct bench *b)
{
        char text[512], name[300];

        for (size_t i = 0; i < b->nr_subjects; i++) {
                snprintf(name, sizeof(name), "file system of %.250s", b->subjects[i].name);
                find_mount(b->subjects[i].dir, text, sizeof(text));
                bench_fact_add(&b->result, name, text);
        }
        read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", text, sizeof(text));
        bench_fact_add(&b->result, "frequency governor", text[0] ? text : "none (a VM, or no cpufreq)");
        bench_fact_add(&b->result, "load at the start", read_line("/proc/loadavg", text, sizeof(text)));
        bench_fact_add(&b->result, "rouse that was measured", b->rouse);
}
