/* kvm/device/tap.c: /dev/net/tun by its ioctls (kernel: Documentation/networking/tuntap.rst), and what its errors mean. */
#include "kvm/device/tap.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "kvm/device/net_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

/* Also without MRG_RXBUF: VERSION_1 has num_buffers always (virtio 1.2, section 5.1.6.1). */
#define HEADER_BYTES ((int)sizeof(struct net_header))
/* More than any txqueuelen that people set: a flood must not hold us here. */
#define DISCARD_MAX 65536

static int check_name(const char *name, struct err *e)
{
        size_t len = strlen(name);

        if (!len || len >= IFNAMSIZ)
                return err_usage(e, "tap %s: expected an interface name of 1 to %d characters, found %zu", name, IFNAMSIZ - 1,
                                 len);
        /* the kernel would number a name with %d by itself, and then nobody knows which one it is */
        if (strpbrk(name, "/%: \t\n"))
                return err_usage(e, "tap %s: expected an interface name, found a character that none may have", name);
        return 0;
}

static int open_tun(const char *name, int *ret_fd, struct err *e)
{
        int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

        if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
                return err_host(e, -errno, "tap %s: /dev/net/tun is not there; load its module: modprobe tun", name);
        if (fd < 0)
                return err_host(e, -errno, "tap %s: /dev/net/tun: %s; make it readable and writable for this user", name,
                                strerror(errno));
        *ret_fd = fd;
        return 0;
}

static int attach_failed(const char *name, int error, struct err *e)
{
        switch (error) {
        case EBUSY:
                return err_host(e, -error, "tap %s is in use by another process; give each machine a tap of its own: "
                                "ip tuntap add dev NAME mode tap user $USER", name);
        case EPERM:
                return err_host(e, -error, "tap %s: not allowed: it does not exist or belongs to another user; create it: "
                                "ip tuntap add dev %s mode tap user $USER", name, name);
        case EINVAL:
                return err_host(e, -error, "tap %s: the interface of that name is not a tap with one queue; create one under "
                                "another name: ip tuntap add dev NAME mode tap user $USER", name);
        default:
                return err_host(e, -error, "tap %s: TUNSETIFF: %s; create it: ip tuntap add dev %s mode tap user $USER", name,
                                strerror(error), name);
        }
}

static bool exists(const char *name)
{
        struct ifreq        r = { 0 };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* any socket asks the namespace's table */

        memcpy(r.ifr_name, name, strlen(name));
        return fd >= 0 && ioctl(fd, SIOCGIFINDEX, &r) == 0;
}

int tap_open(const char *name, int *ret_fd, bool *ret_made, struct err *e)
{
        _cleanup_close_ int fd = -1;
        struct ifreq        r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
        int                 header_bytes = HEADER_BYTES;
        bool                there;
        int                 err = check_name(name, e);

        if (err < 0 || (err = open_tun(name, &fd, e)) < 0)
                return err;
        there = exists(name);
        memcpy(r.ifr_name, name, strlen(name));
        if (ioctl(fd, TUNSETIFF, &r) < 0)
                return attach_failed(name, errno, e);
        if (ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) < 0)
                return err_host(e, -errno, "tap %s: headers of %d bytes (TUNSETVNETHDRSZ): %s", name, header_bytes,
                                strerror(errno));
        /* a tap that persists has those of its last user */
        if ((err = tap_set_offloads(fd, 0)) < 0)
                return err_host(e, err, "tap %s: offloads off (TUNSETOFFLOAD): %s", name, strerror(-err));
        *ret_made = !there;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

bool tap_takes_ufo(int fd)
{
        return ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_UFO) == 0;
}

int tap_set_offloads(int fd, uint64_t features)
{
        static const struct {
                unsigned int feature;
                unsigned int flag;
        } flags[] = {
                { NET_F_GUEST_CSUM, TUN_F_CSUM },
                { NET_F_GUEST_TSO4, TUN_F_TSO4 },
                { NET_F_GUEST_TSO6, TUN_F_TSO6 },
                { NET_F_GUEST_UFO, TUN_F_UFO },
        };
        unsigned int set = 0;

        for (size_t i = 0; i < ARRAY_LEN(flags); i++)
                if (features >> flags[i].feature & 1)
                        set |= flags[i].flag;
        /* Segmentation builds on checksums (virtio 1.2, section 5.1.3.1); a driver that took it without them gets neither. */
        if (!(set & TUN_F_CSUM))
                set = 0;
        return ioctl(fd, TUNSETOFFLOAD, set) < 0 ? -errno : 0;
}

void tap_discard(int fd)
{
        uint8_t header[HEADER_BYTES];

        for (unsigned int i = 0; i < DISCARD_MAX; i++)
                if (read(fd, header, sizeof(header)) < 0)
                        return;
}
