/* formats/stratovirt_platform.c: the records of what all vCPUs share: PIT, clock, IOAPIC, and the serial port. */
#include "core/base/units.h"
#include "formats/stratovirt.h"

#include <inttypes.h>
#include <string.h>

enum kvm_field { PIT_STATE, KVM_CLOCK, IOAPIC, KVM_FIELDS };
static const struct sv_field kvm_fields[] = {
        [PIT_STATE] = { "pit_state", sizeof(struct kvm_pit_state2) },
        [KVM_CLOCK] = { "kvm_clock", sizeof(struct kvm_clock_data) },
        [IOAPIC]    = { "ioapic", sizeof(struct kvm_irqchip) },
};
static_assert(ARRAY_LEN(kvm_fields) == KVM_FIELDS, "every field has its size");

enum serial_field { RBR_VALUE, RBR_LEN, IER, IIR, LCR, MCR, LSR, MSR, SCR, DIV, THR_PENDING, SERIAL_FIELDS };
static const struct sv_field serial_fields[] = {
        [RBR_VALUE] = { "rbr_value", SV_SERIAL_RX_MAX },
        [RBR_LEN]   = { "rbr_len", 8 },
        [IER]       = { "ier", 1 },
        [IIR]       = { "iir", 1 },
        [LCR]       = { "lcr", 1 },
        [MCR]       = { "mcr", 1 },
        [LSR]       = { "lsr", 1 },
        [MSR]       = { "msr", 1 },
        [SCR]       = { "scr", 1 },
        [DIV]       = { "div", 2 },
        [THR_PENDING] = { "thr_pending", 4 },
};
static_assert(ARRAY_LEN(serial_fields) == SERIAL_FIELDS && SERIAL_FIELDS <= SV_FIELDS_MAX, "every field has its size");
static_assert(SV_SERIAL_RX_MAX <= SERIAL_RX_MAX, "what the file holds fits");

static int read_ioapic(const struct sv_record *rec, uint32_t at, struct kvm_ioapic_state *ret, struct err *e)
{
        struct kvm_irqchip chip;

        memcpy(&chip, rec->body + at, sizeof(chip));
        if (chip.chip_id != IOAPIC_CHIP_ID)
                return err_bad(e, "state", rec->offset_bytes + at, "expected the interrupt chip %d (IOAPIC), found %u" SV_DAMAGED,
                               IOAPIC_CHIP_ID, chip.chip_id);
        if (chip.chip.ioapic.base_address != SV_IOAPIC_BASE)
                return err_bad(e, "state", rec->offset_bytes + at, "expected the IOAPIC at %#llx, found it at %#llx" SV_DAMAGED,
                               SV_IOAPIC_BASE, chip.chip.ioapic.base_address);
        *ret = chip.chip.ioapic;
        return 0;
}

int sv_platform_read(const struct sv_descs *descs, const struct sv_record *kvm, struct platform_state *ret, struct err *e)
{
        struct kvm_clock_data clock;
        uint32_t              at[SV_FIELDS_MAX];
        int                   r = sv_fields_locate(descs, kvm->desc, kvm_fields, KVM_FIELDS, at, e);

        r = r < 0 ? r : read_ioapic(kvm, at[IOAPIC], &ret->ioapic, e);
        if (r < 0)
                return r;
        memcpy(&ret->pit, kvm->body + at[PIT_STATE], sizeof(ret->pit));
        memcpy(&clock, kvm->body + at[KVM_CLOCK], sizeof(clock));
        /* flags, realtime and host_tsc are the saving host's and mean nothing here: the guest's clock goes on where it stood */
        ret->clock = (struct kvm_clock_data){ .clock = clock.clock };
        ret->have = 1u << PLATFORM_IOAPIC | 1u << PLATFORM_PIT | 1u << PLATFORM_CLOCK;
        return 0;
}

static int read_received(const struct sv_record *rec, const uint32_t *at, struct serial_state *ret, struct err *e)
{
        uint64_t len;

        memcpy(&len, rec->body + at[RBR_LEN], sizeof(len));
        if (len > SV_SERIAL_RX_MAX)
                return err_bad(e, "state", rec->offset_bytes + at[RBR_LEN],
                               "serial port: expected at most %d received bytes, found %" PRIu64 SV_DAMAGED,
                               SV_SERIAL_RX_MAX, len);
        memcpy(ret->rx, rec->body + at[RBR_VALUE], len);
        ret->rx_len = (uint16_t)len;
        return 0;
}

int sv_serial_read(const struct sv_descs *descs, const struct sv_record *rec, struct serial_state *ret, struct err *e)
{
        uint32_t at[SV_FIELDS_MAX], pending;
        int      r = sv_fields_locate(descs, rec->desc, serial_fields, SERIAL_FIELDS, at, e);

        r = r < 0 ? r : read_received(rec, at, ret, e);
        if (r < 0)
                return r;
        memcpy(&pending, rec->body + at[THR_PENDING], sizeof(pending));
        if (pending > 1)
                return err_bad(e, "state", rec->offset_bytes + at[THR_PENDING],
                               "serial port: expected thr_pending 0 or 1, found %u" SV_DAMAGED, pending);
        ret->thr_pending = pending;
        ret->ier = rec->body[at[IER]];
        ret->iir = rec->body[at[IIR]];
        ret->lcr = rec->body[at[LCR]];
        ret->mcr = rec->body[at[MCR]];
        ret->lsr = rec->body[at[LSR]];
        ret->msr = rec->body[at[MSR]];
        ret->scr = rec->body[at[SCR]];
        memcpy(&ret->divisor, rec->body + at[DIV], sizeof(ret->divisor));
        return 0;
}
