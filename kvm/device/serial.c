/* The 16550 of the PC16550D data sheet (register numbers and bits in its section 8), with a transmitter that is always empty: a
 * byte is on its way the moment it is written. */
#include "kvm/device/serial.h"

#include "core/base/units.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RDI  0x01 /* received data */
#define IER_THRI 0x02 /* transmitter holding register empty */
#define IER_RLSI 0x04 /* receiver line status */
#define IER_MSI  0x08 /* modem status */
#define IER_BITS 0x0f

#define IIR_MSI     0x00
#define IIR_NONE    0x01
#define IIR_THRI    0x02
#define IIR_RDI     0x04
#define IIR_RLSI    0x06
#define IIR_TIMEOUT 0x0c /* data below the trigger level, and no more coming */
#define IIR_FIFOS   0xc0

#define FCR_ENABLE   0x01
#define FCR_CLEAR_RX 0x02
#define FCR_KEPT     0xc9 /* enable, DMA mode, trigger level; the rest are commands */

#define LCR_DLAB 0x80

#define MCR_DTR  0x01
#define MCR_RTS  0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_BITS 0x1f

#define LSR_DR     0x01
#define LSR_OE     0x02
#define LSR_ERRORS 0x1e /* overrun, parity, framing, break */
#define LSR_EMPTY  0x60 /* THRE and TEMT */
#define LSR_THRE   0x20

#define MSR_DELTAS 0x0f
#define MSR_TERI   0x04 /* RI went from on to off; unlike the others, the way back does not count */
#define MSR_CTS    0x10
#define MSR_DSR    0x20
#define MSR_RI     0x40
#define MSR_DCD    0x80
#define MSR_PEER   (MSR_CTS | MSR_DSR | MSR_DCD) /* somebody is always there */

#define FIFO_BYTES 16
static_assert(FIFO_BYTES <= SERIAL_RX_MAX, "the queue holds at least the FIFO");

struct serial {
        /* set when it is made, then read-only */
        const struct serial_ops *ops;
        void                    *arg;
        /* Keeps bytes in order while put blocks, without holding up who only looks at a register. Taken before `lock`. */
        pthread_mutex_t tx_lock;
        pthread_mutex_t lock;
        /* under lock */
        uint8_t  ier, fcr, lcr, mcr, msr, scr;
        uint8_t  lsr; /* errors and transmitter; DR is rx_len */
        uint16_t divisor;
        bool     thr_pending;
        bool     irq; /* as last told by set_irq */
        uint16_t rx_first, rx_len;
        uint8_t  rx[SERIAL_RX_MAX]; /* ring */
};

int serial_new(const struct serial_ops *ops, void *arg, struct serial **ret)
{
        struct serial *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->ops = ops;
        s->arg = arg;
        pthread_mutex_init(&s->tx_lock, NULL);
        pthread_mutex_init(&s->lock, NULL);
        /* 8N1 at 9600, OUT2 on: what firmware leaves, and what StratoVirt starts with (stratovirt.md 2.4) */
        s->lcr = 0x03;
        s->mcr = MCR_OUT2;
        s->lsr = LSR_EMPTY;
        s->msr = MSR_PEER;
        s->divisor = 12;
        *ret = s;
        return 0;
}

void serial_free(struct serial *s)
{
        if (!s)
                return;
        pthread_mutex_destroy(&s->lock);
        pthread_mutex_destroy(&s->tx_lock);
        free(s);
}

/* --- interrupts: one line, four sources, in the data sheet's priority --- */

static const uint8_t trigger_levels[] = { 1, 4, 8, 14 }; /* by FCR bits 7 and 6 */

static unsigned int trigger_level(const struct serial *s)
{
        return s->fcr & FCR_ENABLE ? trigger_levels[s->fcr >> 6] : 1;
}

static uint8_t interrupt_id(const struct serial *s)
{
        if ((s->ier & IER_RLSI) && (s->lsr & LSR_ERRORS))
                return IIR_RLSI;
        if ((s->ier & IER_RDI) && s->rx_len)
                return s->rx_len >= trigger_level(s) ? IIR_RDI : IIR_TIMEOUT;
        if ((s->ier & IER_THRI) && s->thr_pending)
                return IIR_THRI;
        if ((s->ier & IER_MSI) && (s->msr & MSR_DELTAS))
                return IIR_MSI;
        return IIR_NONE;
}

static void update_irq(struct serial *s)
{
        bool level = interrupt_id(s) != IIR_NONE;

        if (level == s->irq)
                return;
        s->irq = level;
        s->ops->set_irq(s->arg, level);
}

/* --- receiver --- */

static unsigned int rx_capacity(const struct serial *s)
{
        return s->fcr & FCR_ENABLE ? FIFO_BYTES : 1;
}

static void rx_push(struct serial *s, uint8_t byte)
{
        s->rx[(s->rx_first + s->rx_len) % SERIAL_RX_MAX] = byte;
        s->rx_len++;
}

static uint8_t rx_pop(struct serial *s)
{
        uint8_t byte = s->rx[s->rx_first];

        if (!s->rx_len)
                return 0;
        s->rx_first = (uint16_t)((s->rx_first + 1) % SERIAL_RX_MAX);
        s->rx_len--;
        return byte;
}

static void loop_back(struct serial *s, uint8_t byte)
{
        if (s->rx_len < rx_capacity(s))
                rx_push(s, byte);
        else
                s->lsr |= LSR_OE;
}

size_t serial_receive(struct serial *s, const uint8_t *bytes, size_t len)
{
        size_t taken = 0;

        pthread_mutex_lock(&s->lock);
        while (taken < len && s->rx_len < rx_capacity(s) && !(s->mcr & MCR_LOOP))
                rx_push(s, bytes[taken++]);
        update_irq(s);
        pthread_mutex_unlock(&s->lock);
        return taken;
}

/* --- modem lines --- */

/* Loopback ties the modem's inputs to its outputs (data sheet 8.6.7). */
static uint8_t modem_lines(const struct serial *s)
{
        if (!(s->mcr & MCR_LOOP))
                return MSR_PEER;
        return (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) | (s->mcr & MCR_OUT1 ? MSR_RI : 0) |
                         (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void set_mcr(struct serial *s, uint8_t value)
{
        uint8_t before = s->msr & ~MSR_DELTAS, now, changed;

        s->mcr = value & MCR_BITS;
        now = modem_lines(s);
        changed = (uint8_t)((before ^ now) >> 4);
        if (now & MSR_RI)
                changed &= (uint8_t)~MSR_TERI;
        s->msr = (uint8_t)(now | (s->msr & MSR_DELTAS) | changed);
}

/* --- registers --- */

static uint8_t read_iir(struct serial *s)
{
        uint8_t id = interrupt_id(s);

        if (id == IIR_THRI)
                s->thr_pending = false; /* reading it is what acknowledges this one */
        return (uint8_t)(id | (s->fcr & FCR_ENABLE ? IIR_FIFOS : 0));
}

static uint8_t line_status(const struct serial *s)
{
        return (uint8_t)(s->lsr | (s->rx_len ? LSR_DR : 0));
}

static uint8_t read_lsr(struct serial *s)
{
        uint8_t v = line_status(s);

        s->lsr &= (uint8_t)~LSR_ERRORS;
        return v;
}

static uint8_t read_msr(struct serial *s)
{
        uint8_t v = s->msr;

        s->msr &= (uint8_t)~MSR_DELTAS;
        return v;
}

static uint8_t read_register(struct serial *s, unsigned int reg)
{
        bool dlab = s->lcr & LCR_DLAB;

        switch (reg) {
        case REG_DATA:
                return dlab ? (uint8_t)s->divisor : rx_pop(s);
        case REG_IER:
                return dlab ? (uint8_t)(s->divisor >> 8) : s->ier;
        case REG_IIR_FCR:
                return read_iir(s);
        case REG_LCR:
                return s->lcr;
        case REG_MCR:
                return s->mcr;
        case REG_LSR:
                return read_lsr(s);
        case REG_MSR:
                return read_msr(s);
        case REG_SCR:
                return s->scr;
        default:
                return 0xff;
        }
}

uint8_t serial_read(struct serial *s, unsigned int reg)
{
        uint8_t v;

        pthread_mutex_lock(&s->lock);
        v = read_register(s, reg);
        update_irq(s);
        pthread_mutex_unlock(&s->lock);
        return v;
}

/* Enabling THRI while the transmitter is empty raises it at once; drivers test for that (data sheet 8.6.6). */
static void set_ier(struct serial *s, uint8_t value)
{
        uint8_t on = (uint8_t)(value & ~s->ier);

        s->ier = value & IER_BITS;
        if ((on & IER_THRI) && (s->lsr & LSR_THRE))
                s->thr_pending = true;
}

static void set_fcr(struct serial *s, uint8_t value)
{
        bool switched = (value ^ s->fcr) & FCR_ENABLE;

        /* the other bits count only together with the enable bit (data sheet 8.6.4) */
        if (switched || ((value & FCR_ENABLE) && (value & FCR_CLEAR_RX)))
                s->rx_len = 0;
        s->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
}

static void write_register(struct serial *s, unsigned int reg, uint8_t value)
{
        bool dlab = s->lcr & LCR_DLAB;

        switch (reg) {
        case REG_DATA:
                if (dlab)
                        s->divisor = (uint16_t)((s->divisor & 0xff00) | value);
                break;
        case REG_IER:
                if (dlab)
                        s->divisor = (uint16_t)((s->divisor & 0x00ff) | value << 8);
                else
                        set_ier(s, value);
                break;
        case REG_IIR_FCR:
                set_fcr(s, value);
                break;
        case REG_LCR:
                s->lcr = value;
                break;
        case REG_MCR:
                set_mcr(s, value);
                break;
        case REG_SCR:
                s->scr = value;
                break;
        default: /* LSR and MSR are read-only */
                break;
        }
}

/* The transmitter is busy from here on; true when the byte goes out, false when loopback has turned it round. */
static bool begin_transmit(struct serial *s, uint8_t byte)
{
        bool looped;

        pthread_mutex_lock(&s->lock);
        s->thr_pending = false;
        s->lsr &= (uint8_t)~LSR_EMPTY;
        looped = s->mcr & MCR_LOOP;
        if (looped)
                loop_back(s, byte);
        update_irq(s);
        pthread_mutex_unlock(&s->lock);
        return !looped;
}

static void end_transmit(struct serial *s)
{
        pthread_mutex_lock(&s->lock);
        s->thr_pending = true;
        s->lsr |= LSR_EMPTY;
        update_irq(s);
        pthread_mutex_unlock(&s->lock);
}

/* put is called without `lock`, so that a vCPU that waits in it for a slow reader stops nobody but other writers. */
static void transmit(struct serial *s, uint8_t byte)
{
        pthread_mutex_lock(&s->tx_lock);
        if (begin_transmit(s, byte))
                s->ops->put(s->arg, byte);
        end_transmit(s);
        pthread_mutex_unlock(&s->tx_lock);
}

void serial_write(struct serial *s, unsigned int reg, uint8_t value)
{
        bool to_wire;

        pthread_mutex_lock(&s->lock);
        to_wire = reg == REG_DATA && !(s->lcr & LCR_DLAB);
        write_register(s, reg, value);
        update_irq(s);
        pthread_mutex_unlock(&s->lock);
        if (to_wire)
                transmit(s, value);
}

/* --- state --- */

void serial_save(struct serial *s, struct serial_state *ret)
{
        struct serial_state st = { 0 };

        pthread_mutex_lock(&s->lock);
        st.ier = s->ier;
        st.iir = interrupt_id(s);
        st.fcr = s->fcr;
        st.lcr = s->lcr;
        st.mcr = s->mcr;
        st.lsr = line_status(s);
        st.msr = s->msr;
        st.scr = s->scr;
        st.divisor = s->divisor;
        st.thr_pending = s->thr_pending;
        st.rx_len = s->rx_len;
        for (unsigned int i = 0; i < s->rx_len; i++)
                st.rx[i] = s->rx[(s->rx_first + i) % SERIAL_RX_MAX];
        pthread_mutex_unlock(&s->lock);
        *ret = st;
}

void serial_load(struct serial *s, const struct serial_state *st)
{
        pthread_mutex_lock(&s->lock);
        s->ier = st->ier & IER_BITS;
        s->fcr = st->fcr & FCR_ENABLE ? st->fcr & FCR_KEPT : 0;
        s->lcr = st->lcr;
        s->mcr = st->mcr & MCR_BITS;
        s->lsr = (st->lsr & LSR_ERRORS) | LSR_EMPTY; /* nothing is ever on its way while a VM is saved */
        s->msr = st->msr;
        s->scr = st->scr;
        s->divisor = st->divisor;
        s->thr_pending = st->thr_pending;
        s->rx_first = 0;
        s->rx_len = (uint16_t)MIN(st->rx_len, SERIAL_RX_MAX);
        memcpy(s->rx, st->rx, s->rx_len);
        update_irq(s);
        pthread_mutex_unlock(&s->lock);
}
