/* A StratoVirt command line, and the rouse one that equals it: golden pairs, each of which rouse itself takes. */
#include "tests/support/child.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Through a shell, as people do it. */
static struct child ask_shell(const char *words)
{
        char script[4000];

        snprintf(script, sizeof(script), "exec '%s' stratovirt-args -- %s", rouse_program(), words);
        return RUN(10000, "/bin/sh", "-c", script);
}

#define DISK(id, file) "-drive file=" file ",id=" id " -device virtio-blk-device,drive=" id ",id=dev-" id " "
#define TAP(id, name)  "-netdev tap,id=" id ",ifname=" name " -device virtio-net-device,netdev=" id ",id=dev-" id " "

static const struct {
        const char *stratovirt, *rouse;
        const char *note; /* on standard error; NULL: nothing there */
} pairs[] = {
        /* what the manual begins with */
        {"stratovirt -machine microvm -kernel /no/vmlinux.bin -append console=ttyS0 " DISK("rootfs", "/no/rootfs,readonly=off")
         "-qmp unix:/tmp/no.sock,server,nowait -serial stdio",
         "rouse run --kernel /no/vmlinux.bin --append console=ttyS0 --disk /no/rootfs,direct=on --serial stdio --qmp unix=/tmp/no.sock\n", NULL},
        {"/usr/bin/stratovirt -kernel /no/k", "rouse run --kernel /no/k --serial null\n", NULL},
        {"-kernel '/no/my kernel' -append \"root=/dev/vda it's\" -initrd /no/initrd", "rouse run --kernel '/no/my kernel' --initrd /no/initrd "
         "--append 'root=/dev/vda it'\\''s' --serial null\n", NULL},
        {"-kernel /no/k -m 512 -smp 4 -accel kvm -cpu host -machine type=microvm,dump-guest-core=off -disable-seccomp -D /tmp/log -name a.b-c -S",
         "rouse run --kernel /no/k --memory 512M --cpus 4 --serial null --name a.b-c --paused\n", NULL},
        {"-kernel /no/k -m size=2g -smp cpus=2 -D", "rouse run --kernel /no/k --memory 2G --cpus 2 --serial null\n", NULL},
        {"-kernel /no/k -smp 2,maxcpus=4", "rouse run --kernel /no/k --cpus 2 --serial null\n", "-smp"},
        {"-kernel /no/k -daemonize -pidfile /tmp/pid", "rouse run --kernel /no/k --serial null\n", "-daemonize"},
        {"-kernel /no/k -name 'no name'", "rouse run --kernel /no/k --serial null\n", "-name"},
        {"-kernel /no/k -serial file,path=/tmp/no.log", "rouse run --kernel /no/k --serial file=/tmp/no.log\n", NULL},
        {"-kernel /no/k -serial socket,path=/tmp/no.tty,server,nowait", "rouse run --kernel /no/k --serial unix=/tmp/no.tty\n", NULL},
        {"-kernel /no/k -chardev socket,id=m,path=/tmp/no.mon,server,nowait -mon chardev=m,id=mon,mode=control -chardev stdio,id=c -serial chardev:c",
         "rouse run --kernel /no/k --serial stdio --qmp unix=/tmp/no.mon\n", NULL},
        {"-kernel /no/k " DISK("a", "/no/a") DISK("b", "/no/b,readonly=on,direct=off") "-drive file=/no/c,id=c,discard=unmap -device virtio-blk-device,id=x,drive=c",
         "rouse run --kernel /no/k --disk /no/a,direct=on --disk /no/b,readonly,direct=off --disk /no/c,direct=on,discard=on --serial null\n", NULL},
        {"-kernel /no/k " DISK("a", "/no/a,throttling.iops-total=100"), "rouse run --kernel /no/k --disk /no/a,direct=on --serial null\n", "throttling"},
        {"-kernel /no/k " TAP("n", "tap7") "-netdev tap,id=m,ifname=tap8 -device virtio-net-device,id=m,netdev=m,mac=52:54:00:12:34:56",
         "rouse run --kernel /no/k --net tap=tap7 --net tap=tap8,mac=52:54:00:12:34:56 --serial null\n", NULL},
        {"-kernel /no/k -object rng-random,id=r,filename=/dev/urandom -device virtio-rng-device,rng=r,id=rng -device virtio-balloon-device,id=b",
         "rouse run --kernel /no/k --rng --balloon --serial null\n", NULL},
        {"-kernel /no/k -device vhost-vsock-device,id=v,guest-cid=3", "rouse run --kernel /no/k --vsock cid=3,path=./vsock.sock --serial null\n",
         "vsock.sock"},
        {"-kernel /no/k -device virtio-serial-device,id=s -chardev socket,path=/tmp/no.con,id=c,server,nowait -device virtconsole,id=p,chardev=c",
         "rouse run --kernel /no/k --console unix=/tmp/no.con --serial null\n", NULL},
        /* restores: kernel, memory and vCPUs are the snapshot's */
        {"stratovirt -machine microvm -kernel /no/k -m 1024 -smp 2 -append x -incoming file:/no/template", "rouse restore /no/template --mode auto --serial null\n",
         NULL},
        {"-kernel /no/k -incoming file:/no/t,mapped=true -qmp unix:/tmp/no.sock,server,nowait", "rouse restore /no/t --mode auto --serial null --qmp unix=/tmp/no.sock\n",
         NULL},
        {"-incoming file:/no/t,mapped=false -serial stdio", "rouse restore /no/t --mode eager --serial stdio\n", NULL},
        {"-incoming file:/no/t -S", "rouse restore /no/t --mode auto --serial null\n", "-S"},
        {"-incoming file:/no/t " TAP("n", "tap7") DISK("a", "/no/a") TAP("m", "tap8") DISK("b", "/no/b,readonly=on"),
         "rouse restore /no/t --mode auto --net 4=tap=tap7 --disk 0=/no/a,direct=on --net 5=tap=tap8 --disk 1=/no/b,readonly,direct=on --serial null\n", NULL},
        {"-incoming file:/no/t -device virtio-balloon-device,id=b -device virtio-serial-device,id=s -object rng-random,id=r,filename=/dev/random "
         "-device virtio-rng-device,rng=r,id=rng -chardev file,id=c,path=/tmp/no.con -device virtconsole,id=p,chardev=c",
         "rouse restore /no/t --mode auto --device 6=balloon --device 7=console,path=/tmp/no.con --device 8=rng --serial null\n", NULL},
        {"-incoming file:/no/t -device vhost-vsock-device,id=v,guest-cid=9",
         "rouse restore /no/t --mode auto --device 6=vsock,path=./vsock.sock,cid=9 --serial null\n", "vsock.sock"},
};

Test(stratovirt_args, every_line_becomes_the_one_that_equals_it, .timeout = 120)
{
        for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
                struct child c = ask_shell(pairs[i].stratovirt);

                cr_expect_eq(c.status, 0, "%s: exit %d: %s", pairs[i].stratovirt, c.status, c.err);
                cr_expect_str_eq(c.out, pairs[i].rouse, "%s: %s", pairs[i].stratovirt, c.out);
                if (pairs[i].note)
                        cr_expect(strstr(c.err, pairs[i].note), "%s: %s", pairs[i].stratovirt, c.err);
                else
                        cr_expect_str_eq(c.err, "", "%s: %s", pairs[i].stratovirt, c.err);
                child_free(&c);
        }
}

/* The files do not exist: that, and not a word, is what rouse complains of. */
Test(stratovirt_args, rouse_takes_every_line_that_it_prints, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
                char script[9000];
                struct child c;

                snprintf(script, sizeof(script), "r=$(realpath '%s'); cd '%s' && export XDG_RUNTIME_DIR=$PWD && rouse() { \"$r\" \"$@\"; } && "
                         "line=$(rouse stratovirt-args -- %s 2>/dev/null) && eval \"$line --timeout 5s\"",
                         rouse_program(), t.path, pairs[i].stratovirt);
                c = RUN(20000, "/bin/sh", "-c", script);
                cr_expect(c.status == 1 || c.status == 4, "%s: exit %d: %s", pairs[i].rouse, c.status, c.err);
                cr_expect(strstr(c.err, "/no/") || strstr(c.err, "tap7"), "%s: %s", pairs[i].rouse, c.err);
                child_free(&c);
        }
}

Test(stratovirt_args, what_has_no_equal_is_named, .timeout = 60)
{
        static const struct {
                const char *stratovirt, *named;
        } refused[] = {
                {"-kernel k -foo", "'-foo'"},
                {"--kernel k", "'--kernel'"},
                {"-kernel", "-kernel needs a value"},
                {"-kernel k stray", "'stray'"},
                {"stratovirt -m 1", "-kernel FILE is missing"},
                {"-machine q35 -kernel k", "expected microvm, found q35"},
                {"-machine virt -kernel k", "found virt"},
                {"-kernel k -m lots", "-m lots"},
                {"-kernel k -cpu max", "-cpu max"},
                {"-kernel k -serial pty", "pseudo terminals"},
                {"-kernel k -serial chardev:none", "id=none"},
                {"-kernel k -qmp tcp:127.0.0.1:4444,server,nowait", "-qmp tcp"},
                {"-kernel k -incoming tcp:1.2.3.4:5", "-incoming tcp"},
                {"-kernel k -incoming unix:/x", "-incoming unix"},
                {"-kernel k -device vfio-pci,id=x", "vfio-pci"},
                {"-kernel k -device virtio-blk-device,drive=none,id=x", "drive=none"},
                {"-kernel k -drive file=a,id=a,bps=1 -device virtio-blk-device,drive=a,id=x", "'bps=1'"},
                {"-kernel k -netdev user,id=n -device virtio-net-device,netdev=n,id=x", "netdev=n"},
                {"-kernel k -netdev tap,id=n,ifname=t,vhost=on -device virtio-net-device,netdev=n,id=x -incoming file:/t", "vhost"},
                {"-kernel k -object memory-backend-ram,id=m", "memory-backend-ram"},
                {"-kernel k " DISK("a", "a") DISK("b", "b") DISK("c", "c") DISK("d", "d") DISK("e", "e"), "4 disks"},
        };

        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
                struct child c = ask_shell(refused[i].stratovirt);

                cr_expect_eq(c.status, 2, "%s: exit %d", refused[i].stratovirt, c.status);
                cr_expect(strstr(c.err, refused[i].named), "%s: %s", refused[i].stratovirt, c.err);
                cr_expect_str_eq(c.out, "", "%s: %s", refused[i].stratovirt, c.out);
                child_free(&c);
        }
}

/* Cut, it would be another file. */
Test(stratovirt_args, a_path_that_is_too_long_is_refused, .timeout = 60)
{
        char line[800];
        struct child c;

        snprintf(line, sizeof(line), "-kernel k -drive file=/%0600d,id=a -device virtio-blk-device,drive=a,id=x", 0);
        c = ask_shell(line);
        cr_expect_eq(c.status, 2, "exit %d: %s", c.status, c.out);
        cr_expect(strstr(c.err, "-drive") && strstr(c.err, "fewer than 512"), "%s", c.err);
        child_free(&c);
}
