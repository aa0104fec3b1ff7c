/*
 * One tree of processes that has one of everything a container may have when it is moved, and looks at each of them when asked.
 *
 * usage: everything DIRECTORY [-NAME]…     (-NAME leaves an item out; some prepare what others need)
 *
 *   items     written when the program is ready: the name of every item
 *   ask       made by a test, holds a number, 1 first and then one more each time: every item is looked at; "report" then begins with
 *             "asked=NUMBER" and has a line per item: "ok NAME" or "FAIL NAME: what is wrong"
 *   corrupt   holds an item's name: that item is damaged, and the next report must say so
 *
 * Waits are looked at all the time (everything_waits.h). The other files are those of report.h.
 */
#include "everything.h"

#include "everything_cpu.h"
#include "everything_files.h"
#include "everything_memory.h"
#include "everything_sockets.h"
#include "everything_tree.h"
#include "everything_waits.h"

static struct item items[ITEMS_MAX];
static int item_count, left_out_count;
static char **left_out;
static char report_text[64 * 1024];

static void add_item(enum role role, const char *name, void (*prepare)(void), void (*look)(void), void (*damage)(void)) {
  for (int i = 0; i < left_out_count; i++) {
    if (left_out[i][0] == '-' && strcmp(left_out[i] + 1, name) == 0) return;
  }
  if (item_count == ITEMS_MAX) abort();
  items[item_count++] = (struct item) {role, name, prepare, look, damage};
}

static void prepare_items(enum role role) {
  for (int i = 0; i < item_count; i++) {
    if (items[i].role == role && items[i].prepare != NULL) items[i].prepare();
  }
}

/* Looks at the items of a role and appends their lines; returns the new length. */
static size_t look_at_items(enum role role, char *text, size_t length, size_t room) {
  for (int i = 0; i < item_count && length + sizeof item_fault + 100 < room; i++) {
    if (items[i].role != role || items[i].look == NULL) continue;
    item_fault[0] = 0;
    items[i].look();
    length += (size_t) (item_fault[0] == 0 ? snprintf(text + length, room - length, "ok %s\n", items[i].name)
                                           : snprintf(text + length, room - length, "FAIL %s: %s\n", items[i].name, item_fault));
  }
  return length;
}

static void damage_item(enum role role, const char *name) {
  for (int i = 0; i < item_count; i++) {
    if (items[i].role == role && strcmp(items[i].name, name) == 0) items[i].damage();
  }
}

static void serve(enum role role) {
  static char text[16 * 1024];
  size_t length = 0;
  prepare_items(role);
  for (;;) {
    memcpy(text + length, "end\n", 4);
    MUST(write(answer_pipe[role][1], text, length + 4));
    struct order order;
    ssize_t got = read(order_pipe[role][0], &order, sizeof order);
    if (got != sizeof order) _exit(got == 0 ? 0 : 4);
    asked_number = order.number;
    length = order.verb == 'l' ? look_at_items(role, text, 0, sizeof text - 8) : 0;
    if (order.verb == 'd') damage_item(role, order.name);
  }
}

/* Gives an order to every process but the first and appends their answers; returns the new length. */
static size_t order_all(char verb, const char *name, size_t length) {
  for (int role = MAIN + 1; role < ROLES; role++) {
    struct order order = {.verb = verb, .number = asked_number};
    snprintf(order.name, sizeof order.name, "%s", name);
    MUST(write(order_pipe[role][1], &order, sizeof order));
    size_t from = length;
    while (length < from + 4 || memcmp(report_text + length - 4, "end\n", 4) != 0) {
      ssize_t got = read(answer_pipe[role][0], report_text + length, sizeof report_text - length);
      if (got <= 0) {
        error_found("process %d of the tree does not answer: %s", role, got == 0 ? "it is gone" : strerror(errno));
        report_end();
      }
      length += (size_t) got;
    }
    length -= 4;
  }
  return length;
}

static void look_everywhere(int number) {
  CHECK(number == asked_number + 1, "asked for look %d after look %d", number, asked_number);
  asked_number = number;
  size_t length = (size_t) snprintf(report_text, sizeof report_text, "asked=%d\n", number);
  length = look_at_items(MAIN, report_text, length, sizeof report_text / 2);
  length = order_all('l', "", length);
  for (char *line = report_text; line < report_text + length;) {
    int line_length = (int) strcspn(line, "\n");
    atomic_fetch_add(&report_checks, 1);
    if (strncmp(line, "FAIL ", 5) == 0) error_found("%.*s", line_length, line);
    line += line_length + 1;
  }
  replace_file("report", report_text, length);
}

static void start_watch(void) { start_thread(watch_gaps, NULL, THREAD_STACK); }

int main(int count, char **arguments) {
  if (count < 2) return 2;
  report_begin(arguments[1]);
  left_out = arguments + 2;
  left_out_count = count - 2;
  printf("everything: process %d\n", getpid());
  add_signal_items(add_item);
  add_memory_items(add_item);
  add_file_items(add_item);
  add_socket_items(add_item);
  add_tree_items(add_item);
  /* Threads come after the signals, since each needs the mask that keeps those pending, and after the processes. */
  add_item(MAIN, "watch", start_watch, NULL, NULL);
  add_cpu_items(add_item);
  add_wait_items(add_item);
  add_item(MAIN, "memory-layout", prepare_layout, look_at_layout, damage_layout);
  prepare_items(MAIN);
  char text[8192], word[64];
  size_t length = 0;
  for (int i = 0; i < item_count; i++) {
    if (items[i].look != NULL) length += (size_t) snprintf(text + length, sizeof text - length, "%s\n", items[i].name);
  }
  replace_file("items", text, length);
  for (;;) {
    struct timespec pause = timespec_of(10 * MS);
    if (nanosleep(&pause, NULL) != 0) error_found("the first thread's nanosleep ended with %s", strerror(errno));
    if (corrupt_wanted(word)) {
      damage_item(MAIN, word);
      order_all('d', word, 0);
    }
    if (asked("ask") && read_word("ask", word, sizeof word) && atoi(word) != asked_number) look_everywhere(atoi(word));
    write_status("");
    if (asked("finish")) {
      look_everywhere(asked_number + 1);
      report_end();
    }
  }
}
