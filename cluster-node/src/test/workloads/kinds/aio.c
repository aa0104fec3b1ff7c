/* AIO contexts (io_setup): empty, with events that wait, around the end of the ring, full, waited for, in a child, and with requests all the time. */
#include "kind.h"

#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>

enum { PAGE = 4096, MANY = 4000 };

/* What the kernel has at the address of a context. */
struct ring {
  unsigned id, slots, head, tail, magic, compatible, incompatible, header;
  struct io_event events[];
};

static int zeros;

static long submit(aio_context_t context, long count, struct iocb **requests) { return syscall(SYS_io_submit, context, count, requests); }

static long take(aio_context_t context, long least, long most, struct io_event *events, struct timespec *limit) {
  return syscall(SYS_io_getevents, context, least, most, events, limit);
}

static aio_context_t set_up(unsigned requests) {
  aio_context_t context = 0;
  MUST(syscall(SYS_io_setup, requests, &context));
  if (zeros == 0) zeros = (int) MUST(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  return context;
}

/* A read of so many bytes that ends at once. */
static bool ask(aio_context_t context, uint64_t data, int bytes) {
  static char buffer[512];
  struct iocb request = {.aio_data = data, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (uint32_t) zeros, .aio_buf = (uintptr_t) buffer, .aio_nbytes = (uint64_t) bytes};
  struct iocb *requests[1] = {&request};
  return submit(context, 1, requests) == 1;
}

/* The event that waits next. */
static struct io_event next_event(aio_context_t context) {
  struct io_event event = {0};
  struct timespec limit = {2, 0};
  long got = WORKS(take(context, 1, 1, &event, &limit));
  HOLDS(got == 1, "no event waits");
  return event;
}

static void look_events(aio_context_t context, int count, uint64_t first) {
  for (int i = 0; i < count; i++) {
    struct io_event event = next_event(context);
    HOLDS(event.data == first + (uint64_t) i && event.res == 1 + i % 500, "event %d has data %llu and result %lld", i, event.data, event.res);
  }
  struct io_event more;
  struct timespec none = {0, 0};
  HOLDS(take(context, 0, 1, &more, &none) == 0, "more than %d events wait", count);
  for (int i = 0; i < count; i++) HOLDS(ask(context, first + (uint64_t) i, 1 + i % 500), "line %d: io_submit: %s", __LINE__, strerror(errno));
}

/* --- nothing waits ------------------------------------------------------------------------------------------------------------------------ */

static aio_context_t idle;

static void make_idle(void) { idle = set_up(10); }

static void look_idle(void) {
  HOLDS(((struct ring *) idle)->head == ((struct ring *) idle)->tail, "an event waits");
  HOLDS(ask(idle, 5, 100), "io_submit: %s", strerror(errno));
  struct io_event event = next_event(idle);
  HOLDS(event.data == 5 && event.res == 100, "the event has data %llu and result %lld", event.data, event.res);
}

static void damage_idle(void) { ask(idle, 6, 1); }

/* --- three events wait -------------------------------------------------------------------------------------------------------------------- */

static aio_context_t waiting;

static void make_waiting(void) {
  waiting = set_up(30);
  for (int i = 0; i < 3; i++) ask(waiting, 1000 + (uint64_t) i, 1 + i);
}

static void look_waiting(void) { look_events(waiting, 3, 1000); }

static void damage_waiting(void) { next_event(waiting); }

/* --- as many as can be -------------------------------------------------------------------------------------------------------------------- */

static aio_context_t full;
static int full_events;

static void make_full(void) {
  full = set_up(100);
  while (ask(full, 2000 + (uint64_t) full_events, 1 + full_events % 500)) full_events++;
}

static void look_full(void) { look_events(full, full_events, 2000); }

static void damage_full(void) {
  struct ring *ring = (struct ring *) full;
  ring->events[(ring->head + 7) % ring->slots].data++;
}

/* --- events around the end of a large ring, which the program reads itself ------------------------------------------------------------------ */

static aio_context_t large;

static void make_large(void) {
  large = set_up(MANY);
  struct ring *ring = (struct ring *) large;
  while (ring->tail < ring->slots - 50) {
    ask(large, 1, 1);
    ring->head = ring->tail;
  }
  for (int i = 0; i < 100; i++) ask(large, 3000 + (uint64_t) i, 1 + i);
}

static void look_large(void) {
  struct ring *ring = (struct ring *) large;
  unsigned head = ring->head;
  HOLDS(ring->magic == 0xa10a10a1 && (ring->tail + ring->slots - head) % ring->slots == 100, "events wait from %u to %u of %u", head, ring->tail, ring->slots);
  for (int i = 0; i < 100; i++) {
    struct io_event *event = &ring->events[(head + (unsigned) i) % ring->slots];
    HOLDS(event->data == 3000 + (uint64_t) i && event->res == 1 + i, "event %d has data %llu and result %lld", i, event->data, event->res);
  }
}

static void damage_large(void) { ((struct ring *) large)->head = (((struct ring *) large)->head + 1) % ((struct ring *) large)->slots; }

/* --- somebody waits for an event ------------------------------------------------------------------------------------------------------------ */

static aio_context_t awaited;
static atomic_int waits_ended, wait_errors;

static void *wait_for_events(void *nothing) {
  (void) nothing;
  for (;;) {
    struct io_event event;
    if (take(awaited, 1, 1, &event, NULL) == 1 && event.data == 9) {
      atomic_fetch_add(&waits_ended, 1);
    } else {
      atomic_fetch_add(&wait_errors, 1);
    }
  }
  return NULL;
}

static void make_awaited(void) {
  awaited = set_up(5);
  pthread_t thread;
  MUST(pthread_create(&thread, NULL, wait_for_events, NULL) == 0 ? 0 : -1);
}

static void look_awaited(void) {
  int before = atomic_load(&waits_ended);
  HOLDS(ask(awaited, 9, 1), "io_submit: %s", strerror(errno));
  for (int i = 0; i < 2000 && atomic_load(&waits_ended) == before; i++) usleep(1000);
  HOLDS(atomic_load(&waits_ended) == before + 1, "nobody was told of the event");
  HOLDS(atomic_load(&wait_errors) == 0, "a wait was interrupted");
}

static void damage_awaited(void) {
  ask(awaited, 8, 1);
  usleep(100000);
}

/* --- an eventfd is told, in a child ------------------------------------------------------------------------------------------------------- */

static aio_context_t childs;
static int told;
static struct child other;

static void make_childs(void) {
  childs = set_up(3);
  told = (int) MUST(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

static void look_childs(void) {
  static char buffer[8];
  struct iocb request = {.aio_data = 11, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (uint32_t) zeros, .aio_buf = (uintptr_t) buffer, .aio_nbytes = 8,
      .aio_flags = IOCB_FLAG_RESFD, .aio_resfd = (uint32_t) told};
  struct iocb *requests[1] = {&request};
  WORKS(submit(childs, 1, requests));
  uint64_t count = 0;
  HOLDS(read(told, &count, sizeof count) == sizeof count && count == 1, "the eventfd says %lu", (unsigned long) count);
  HOLDS(next_event(childs).data == 11, "it is another event");
}

static void damage_childs(void) { syscall(SYS_io_destroy, childs); }

/* The first of all items, since rings would be inherited. */
static void make_child(void) { other = child_begin(make_childs, look_childs, damage_childs); }

static void look_child(void) { child_says(&other); }

static void damage_child(void) { child_damages(&other); }

/* --- reads and writes past the page cache, all the time -------------------------------------------------------------------------------------- */

enum { BLOCKS = 64, DEPTH = 8 };

static atomic_ulong turns;
static atomic_int direct_wrong, direct_damaged;

static void direct_turn(aio_context_t context, int file, char *buffers, uint16_t operation, uint64_t turn) {
  struct iocb requests[DEPTH], *pointers[DEPTH];
  memset(requests, 0, sizeof requests);
  for (int i = 0; i < DEPTH; i++) {
    uint64_t block = (turn * DEPTH + (uint64_t) i) % BLOCKS;
    pointers[i] = &requests[i];
    if (operation == IOCB_CMD_PWRITE) fill(buffers + i * PAGE, PAGE, turn * 1000 + (uint64_t) i);
    else memset(buffers + i * PAGE, 0, PAGE);
    requests[i] = (struct iocb) {.aio_data = (uint64_t) i, .aio_lio_opcode = operation, .aio_fildes = (uint32_t) file, .aio_buf = (uintptr_t) (buffers + i * PAGE),
        .aio_nbytes = PAGE, .aio_offset = (int64_t) block * PAGE};
  }
  struct io_event events[DEPTH];
  long asked = submit(context, DEPTH, pointers), got = 0;
  while (asked == DEPTH && got < DEPTH) {
    long more = take(context, 1, DEPTH, events + got, NULL);
    if (more < 1) break;
    got += more;
  }
  bool right = got == DEPTH;
  for (int i = 0; i < got; i++) right &= events[i].res == PAGE;
  for (int i = 0; i < DEPTH; i++) {
    if (operation == IOCB_CMD_PREAD) right &= holds(buffers + i * PAGE, PAGE, turn * 1000 + (uint64_t) i);
  }
  if (!right) atomic_store(&direct_wrong, 1);
}

static void *work_directly(void *nothing) {
  (void) nothing;
  aio_context_t context = set_up(DEPTH);
  int file = (int) MUST(open(own_path("direct"), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600));
  MUST(ftruncate(file, BLOCKS * PAGE));
  char *buffers = mmap(NULL, DEPTH * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (uint64_t turn = 0;; turn++) {
    direct_turn(context, file, buffers, IOCB_CMD_PWRITE, turn);
    direct_turn(context, file, buffers, IOCB_CMD_PREAD, turn + (uint64_t) atomic_load(&direct_damaged));
    atomic_fetch_add(&turns, 1);
  }
  return NULL;
}

static void make_direct(void) {
  pthread_t thread;
  MUST(pthread_create(&thread, NULL, work_directly, NULL) == 0 ? 0 : -1);
}

static void look_direct(void) {
  uint64_t before = atomic_load(&turns);
  for (int i = 0; i < 2000 && atomic_load(&turns) < before + 2; i++) usleep(1000);
  HOLDS(atomic_load(&turns) >= before + 2, "requests do not end");
  HOLDS(atomic_load(&direct_wrong) == 0, "what was read is not what was written");
}

static void damage_direct(void) {
  atomic_store(&direct_damaged, 1);
  usleep(100000);
}

KIND({"child", make_child, look_child, damage_child}, {"idle", make_idle, look_idle, damage_idle}, {"waiting", make_waiting, look_waiting, damage_waiting},
    {"full", make_full, look_full, damage_full}, {"large", make_large, look_large, damage_large}, {"awaited", make_awaited, look_awaited, damage_awaited},
    {"direct", make_direct, look_direct, damage_direct});
