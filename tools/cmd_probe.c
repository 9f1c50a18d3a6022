/* rouse probe: what this host can do, what each lack costs, and what mends it. */
#include "tools/cli.h"

#include "core/base/units.h"
#include "core/probe.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

static const struct option options[] = {{"json", no_argument, NULL, 'j'}, CLI_LAST_OPTIONS};

struct fact {
        const char *key;
        char        value[96];
        bool        ok;
        const char *cost; /* said when it is not ok */
        const char *mend; /* or NULL: nothing short of another kernel or host */
};

#define FACTS_MAX 40
struct facts {
        size_t      nr;
        struct fact v[FACTS_MAX];
};

static void add(struct facts *f, const char *key, bool ok, const char *cost, const char *mend, const char *fmt, ...)
        __attribute__((format(printf, 6, 7)));
static void add(struct facts *f, const char *key, bool ok, const char *cost, const char *mend, const char *fmt, ...)
{
        struct fact *x = &f->v[f->nr];
        va_list ap;

        if (f->nr == FACTS_MAX)
                return;
        f->nr++;
        *x = (struct fact){.key = key, .ok = ok, .cost = cost, .mend = mend};
        va_start(ap, fmt);
        vsnprintf(x->value, sizeof(x->value), fmt, ap);
        va_end(ap);
}

static const char *yes(bool b)
{
        return b ? "yes" : "no";
}

static void add_kvm(struct facts *f, const struct host_caps *c)
{
        bool kvm = c->kvm_errno == 0;

        add(f, "kvm", kvm, "rouse cannot run or restore anything", "modprobe kvm_intel or kvm_amd; usermod -aG kvm $USER", "%s",
            kvm ? "API 12" : strerror(c->kvm_errno));
        if (!kvm)
                return;
        add(f, "kvm.hardware", !c->nested_or_software, "no VMX or SVM is visible: every guest fault and exit costs several times more",
            "enable virtualization in the firmware, or nested virtualization in the host above", "%s", c->nested_or_software ? "no VMX or SVM visible" : "VMX or SVM");
        add(f, "kvm.xsave_bytes", true, "", NULL, "%" PRIu32, c->kvm_xsave_bytes);
        add(f, "kvm.max_vcpus", c->kvm_max_vcpus >= 1, "", NULL, "%" PRIu32, c->kvm_max_vcpus);
        add(f, "kvm.tsc_control", c->kvm_tsc_control, "a snapshot from a host with another TSC frequency keeps this host's", NULL, "%s", yes(c->kvm_tsc_control));
        add(f, "kvm.nested_state", c->kvm_nested_state, "a snapshot of a guest that runs guests is refused", "modprobe kvm_intel nested=1 (or kvm_amd)", "%s",
            yes(c->kvm_nested_state));
        add(f, "kvm.hlt_in_guest", c->kvm_hlt_in_guest, "--record cannot tell every read from a write: KVM's workers take faults for the guest", NULL, "%s",
            yes(c->kvm_hlt_in_guest));
        add(f, "kvm.pre_fault", c->kvm_pre_fault, "guest page tables are built fault by fault (Linux 6.11 with two-dimensional paging can do it ahead)", NULL, "%s",
            yes(c->kvm_pre_fault));
}

static void add_uffd(struct facts *f, const struct host_caps *c)
{
        bool uffd = c->uffd_way != UFFD_WAY_NONE;

        add(f, "userfaultfd", uffd, "no lazy restore; --mode mmap and eager work",
            "setfacl -m u:$USER:rw /dev/userfaultfd, or sysctl -w vm.unprivileged_userfaultfd=1", "%s",
            c->uffd_way == UFFD_WAY_DEVICE ? "/dev/userfaultfd" : c->uffd_way == UFFD_WAY_SYSCALL ? "userfaultfd(2)" : strerror(c->uffd_errno));
        if (!uffd)
                return;
        add(f, "userfaultfd.poison", c->uffd_poison, "a lost page stops the VM before its fault is answered (Linux 6.6 can poison it)", NULL, "%s",
            yes(c->uffd_poison));
        add(f, "userfaultfd.minor_shmem", c->uffd_minor_shmem, "--mode shared is refused (Linux 5.14 has minor faults of shared memory)", NULL, "%s",
            yes(c->uffd_minor_shmem));
        add(f, "userfaultfd.minor_hugetlb", c->uffd_minor_hugetlbfs, "--mode shared is refused with --memory-backing hugetlb (Linux 5.13 has its minor faults)", NULL,
            "%s", yes(c->uffd_minor_hugetlbfs));
        add(f, "userfaultfd.move", c->uffd_move, "pages are copied (Linux 6.8 can move them)", NULL, "%s", yes(c->uffd_move));
        add(f, "io_uring", c->io_uring, "cold pages are read one after another by the pager: a cold restore takes several times longer",
            "sysctl -w kernel.io_uring_disabled=0", "%s", c->io_uring ? "yes" : strerror(c->io_uring_errno));
}

static void add_host(struct facts *f, const struct host_caps *c)
{
        add(f, "kernel", true, "", NULL, "%s", c->kernel);
        add(f, "cpu", true, "", NULL, "%s", c->cpu);
        add(f, "cpu.microcode", true, "", NULL, "%s", c->microcode[0] ? c->microcode : "not told");
        add(f, "cpus", c->nr_cpus > 1, "the pager and the guest share one CPU", NULL, "%" PRIu32, c->nr_cpus);
        add(f, "memory", true, "", NULL, "%" PRIu64 " MiB", c->ram_bytes / MIB);
        add(f, "max_map_count", c->max_map_count >= 65530, "a fragmented snapshot may not fit --mode mmap", "sysctl -w vm.max_map_count=262144",
            "%" PRIu64, c->max_map_count);
        add(f, "thp", strcmp(c->thp, "never") != 0, "eager restores run on 4 KiB pages: half as fast", "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
            "%s", c->thp);
        add(f, "huge_pages_2m", true, "", NULL, "%" PRIu64 " free", c->huge_2m_free);
        add(f, "cgroup", c->cgroup_version != 1, "under cgroup v1 KVM_CREATE_VM can take 27 ms instead of 0.4", "boot with systemd.unified_cgroup_hierarchy=1",
            "v%d", c->cgroup_version);
}

static void print_text(const struct facts *f)
{
        for (size_t i = 0; i < f->nr; i++) {
                const struct fact *x = &f->v[i];

                printf("%-4s %-25s %s\n", x->ok ? "ok" : "lack", x->key, x->value);
                if (!x->ok)
                        printf("     %-25s costs: %s\n", "", x->cost);
                if (!x->ok && x->mend)
                        printf("     %-25s mend:  %s\n", "", x->mend);
        }
}

static void print_json(const struct facts *f)
{
        struct json_object *doc = json_object_new_object(), *o;

        for (size_t i = 0; i < f->nr; i++) {
                o = json_object_new_object();
                json_object_object_add(o, "value", json_object_new_string(f->v[i].value));
                json_object_object_add(o, "ok", json_object_new_boolean(f->v[i].ok));
                if (!f->v[i].ok)
                        json_object_object_add(o, "cost", json_object_new_string(f->v[i].cost));
                if (!f->v[i].ok && f->v[i].mend)
                        json_object_object_add(o, "mend", json_object_new_string(f->v[i].mend));
                json_object_object_add(doc, f->v[i].key, o);
        }
        printf("%s\n", json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PRETTY));
        json_object_put(doc);
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        struct facts facts = {0};
        struct host_caps caps;
        bool json = false;
        int c;
        (void)t0_ns;

        while ((c = cli_getopt(&verb_probe, argc, argv, options)) != -1) {
                if (c == '?')
                        return EXIT_USAGE;
                json = true;
        }
        if (optind < argc)
                return cli_usage("probe", "unexpected word '%s'", argv[optind]);
        host_probe_all(&caps);
        add_kvm(&facts, &caps);
        add_uffd(&facts, &caps);
        add_host(&facts, &caps);
        if (json)
                print_json(&facts);
        else
                print_text(&facts);
        return caps.kvm_errno || caps.uffd_way == UFFD_WAY_NONE ? EXIT_FAILED : EXIT_OK;
}

const struct verb verb_probe = {
        .name = "probe",
        .summary = "what this host can do, what each lack costs, what mends it",
        .help = "usage: rouse probe [--json]\n\n"
                "Exit 0: this host can restore lazily. Exit 1: KVM or userfaultfd is missing, and it is said how to get it.\n\n"
                "example: rouse probe\n",
        .run = run,
};
