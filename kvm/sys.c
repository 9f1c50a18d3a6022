/* Every ioctl of KVM goes through here and comes back as -errno; and the one probe of what KVM offers. */
#include "kvm/sys.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "kvm/vm.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/ioctl.h>

#define KVM_API_VERSION_EXPECTED 12 /* the only one since Linux 2.6.22 (Documentation/virt/kvm/api.rst, 4.1) */

int kvm_open(void)
{
        int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

int kvm_ioctl(int fd, unsigned long request, void *arg)
{
        int r;

        do
                r = ioctl(fd, request, arg);
        while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : r;
}

int kvm_ioctl_in(int fd, unsigned long request, const void *arg)
{
        return kvm_ioctl(fd, request, (void *)arg);
}

int kvm_ioctl_value(int fd, unsigned long request, unsigned long value)
{
        return kvm_ioctl(fd, request, (void *)value);
}

int kvm_run(int vcpu_fd)
{
        return ioctl(vcpu_fd, KVM_RUN, 0) < 0 ? -errno : 0;
}

int kvm_check(int fd, int cap)
{
        int r = kvm_ioctl_value(fd, KVM_CHECK_EXTENSION, (unsigned long)cap);

        return r < 0 ? 0 : r;
}

/* Intel SDM vol. 2, CPUID leaf 1 ECX; AMD64 APM vol. 3, E.4.2. */
#define CPUID_1_ECX_VMX        (1u << 5)
#define CPUID_80000001_ECX_SVM (1u << 2)

static bool cpu_has_vmx_or_svm(void)
{
        unsigned int a, b, c, d;

        if (__get_cpuid(1, &a, &b, &c, &d) && (c & CPUID_1_ECX_VMX))
                return true;
        return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & CPUID_80000001_ECX_SVM);
}

static void probe_capabilities(int fd, struct host_caps *caps)
{
        const struct {
                int   cap;
                bool *ret;
        } wanted[] = {
                { KVM_CAP_IRQCHIP, &caps->kvm_irqchip },
                { KVM_CAP_PIT_STATE2, &caps->kvm_pit2 },
                { KVM_CAP_USER_MEMORY, &caps->kvm_user_memory },
                { KVM_CAP_IMMEDIATE_EXIT, &caps->kvm_immediate_exit },
                { KVM_CAP_XCRS, &caps->kvm_xcrs },
                { KVM_CAP_DEBUGREGS, &caps->kvm_debugregs },
                { KVM_CAP_SREGS2, &caps->kvm_sregs2 },
                { KVM_CAP_VCPU_EVENTS, &caps->kvm_vcpu_events },
                { KVM_CAP_ADJUST_CLOCK, &caps->kvm_adjust_clock },
                { KVM_CAP_GET_TSC_KHZ, &caps->kvm_get_tsc_khz },
                { KVM_CAP_TSC_CONTROL, &caps->kvm_tsc_control },
                { KVM_CAP_NESTED_STATE, &caps->kvm_nested_state },
                { KVM_CAP_DIRTY_LOG_RING, &caps->kvm_dirty_ring },
                { KVM_CAP_PRE_FAULT_MEMORY, &caps->kvm_pre_fault },
                { KVM_CAP_ASYNC_PF, &caps->kvm_async_pf },
        };

        for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
                *wanted[i].ret = kvm_check(fd, wanted[i].cap) > 0;
        caps->kvm_hlt_in_guest = kvm_check(fd, KVM_CAP_X86_DISABLE_EXITS) & KVM_X86_DISABLE_EXITS_HLT;
}

/* 0 where KVM has no XSAVE at all: then the state is in KVM_GET_FPU. */
static uint32_t probe_xsave_bytes(int fd)
{
        int bytes = kvm_check(fd, KVM_CAP_XSAVE2);

        if (bytes > 0)
                return (uint32_t)bytes;
        return kvm_check(fd, KVM_CAP_XSAVE) > 0 ? sizeof(struct kvm_xsave) : 0;
}

void kvm_probe(struct host_caps *caps)
{
        _cleanup_close_ int fd = kvm_open();

        caps->nested_or_software = !cpu_has_vmx_or_svm();
        if (fd < 0) {
                caps->kvm_errno = -fd;
                return;
        }
        caps->kvm_api_version = kvm_ioctl(fd, KVM_GET_API_VERSION, NULL);
        if (caps->kvm_api_version != KVM_API_VERSION_EXPECTED) {
                caps->kvm_errno = EPROTONOSUPPORT;
                return;
        }
        caps->kvm_errno = 0;
        probe_capabilities(fd, caps);
        caps->kvm_xsave_bytes = probe_xsave_bytes(fd);
        caps->kvm_max_vcpus = (uint32_t)kvm_check(fd, KVM_CAP_MAX_VCPUS);
        caps->kvm_max_memslots = (uint32_t)kvm_check(fd, KVM_CAP_NR_MEMSLOTS);
}
